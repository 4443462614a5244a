//! Changes of what is enforced.
//!
//! Workers take a new program one after the other, so records of two programs stand mixed for a while, and that is one
//! change. A program that decides again is another change when others have decided without it for [`AWAY_MS`].

use std::collections::BTreeMap;

use companion_protocol::AuditRecord;
use serde::Serialize;

/// How long others must have decided alone, in milliseconds, until a program counts as put back.
const AWAY_MS: u64 = 60_000;

/// What changed, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Enforcement {
    /// Of the first verdict that shows it, milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// The program that decided then.
    pub policy_digest: String,
    /// What.
    #[serde(flatten)]
    pub change: Change,
}

/// A change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum Change {
    /// A program decides for the first time.
    Begins {
        /// The one that decided before.
        #[serde(skip_serializing_if = "Option::is_none")]
        after: Option<String>,
    },
    /// A program decides again after others have.
    Returns {
        /// The one that decided before.
        after: String,
    },
    /// Verdicts on the operation are not enforced any more.
    IntoShadow {
        /// As `tool:send_email`.
        operation: String,
    },
    /// Verdicts on the operation are enforced again.
    OutOfShadow {
        /// As `tool:send_email`.
        operation: String,
    },
    /// Another program judges beside this one, in shadow.
    Beside {
        /// The other program.
        shadow_digest: String,
    },
}

/// What is known so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct History {
    /// The last verdict of each program.
    last_ms: BTreeMap<String, u64>,
    /// The program of the last verdict, and when the programs before it were last alone.
    latest: Option<String>,
    operations: BTreeMap<String, Modes>,
    beside: Vec<(String, String)>,
}

/// Whether verdicts on an operation are in shadow.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Modes {
    latest: bool,
    by_program: BTreeMap<String, bool>,
}

impl History {
    /// What this verdict is the first to show.
    pub(super) fn changes(&mut self, record: &AuditRecord) -> Vec<Enforcement> {
        let digest = &record.policy_digest;
        let mut changes = Vec::new();
        changes.extend(self.program(digest, record.at_ms));
        let operation = format!("{}:{}", record.entity_type, record.entity_name);
        let in_shadow = record.shadow.iter().any(|shadow| shadow.policy_digest == *digest);
        changes.extend(self.mode(digest, operation, in_shadow));
        for shadow in &record.shadow {
            let pair = (digest.clone(), shadow.policy_digest.clone());
            if shadow.policy_digest != *digest && !self.beside.contains(&pair) {
                changes.push(Change::Beside {
                    shadow_digest: pair.1.clone(),
                });
                self.beside.push(pair);
            }
        }
        let told = |change| Enforcement {
            at_ms: record.at_ms,
            policy_digest: digest.clone(),
            change,
        };
        changes.into_iter().map(told).collect()
    }

    fn program(&mut self, digest: &str, at_ms: u64) -> Option<Change> {
        let before = self.last_ms.insert(digest.to_owned(), at_ms);
        let after = self.latest.replace(digest.to_owned());
        let after = after.filter(|after| after != digest);
        match (before, after) {
            (None, after) => Some(Change::Begins { after }),
            (Some(before), Some(after)) if at_ms.saturating_sub(before) >= AWAY_MS => {
                Some(Change::Returns { after })
            }
            (Some(_), Some(_) | None) => None,
        }
    }

    fn mode(&mut self, digest: &str, operation: String, in_shadow: bool) -> Option<Change> {
        let modes = self.operations.entry(operation.clone()).or_default();
        if modes.by_program.insert(digest.to_owned(), in_shadow) == Some(in_shadow) {
            return None;
        }
        // Nothing is in shadow until something says so.
        let was = std::mem::replace(&mut modes.latest, in_shadow);
        match (was, in_shadow) {
            (false, true) => Some(Change::IntoShadow { operation }),
            (true, false) => Some(Change::OutOfShadow { operation }),
            (true, true) | (false, false) => None,
        }
    }
}
