//! Labels that come from elsewhere: `aplomb-companion sessions import`.
//!
//! An import only adds. What is there already is neither written nor recorded again, so that it can be repeated.

use std::collections::BTreeSet;

use companion_protocol::{AuditRecord, SessionKey, StepRecord};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use super::{Admin, AdminError, MAX_REASON_BYTES};
use crate::clock::now_ms;
use crate::store::{Append, Lifetimes, MAX_LABELS, Selection, random_id};

/// The path that imports: `POST` of an [`ImportRequest`], answered with [`Imported`] for each bucket, in order.
pub const IMPORT_PATH: &str = "/v1/admin/sessions/import";

/// The most buckets in one request: with full ones it is still smaller than the largest body.
pub const MAX_IMPORTED: usize = 16;

/// The plugin name under which an import stands in the audit log.
pub const IMPORT_STEP: &str = "aplomb.sessions.import";

/// Labels to add, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ImportRequest {
    /// At most [`MAX_IMPORTED`].
    #[schemars(length(max = 16))]
    pub buckets: Vec<Incoming>,
    /// How long they live from now on.
    pub lifetimes: ImportLifetimes,
    /// False: only says what it would add.
    pub apply: bool,
    /// Why, for the audit log.
    pub reason: String,
    /// Who, as they say themselves.
    pub operator: String,
}

/// Seconds; 0: without end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ImportLifetimes {
    /// Of a session's labels since its last use.
    pub session_idle_s: u64,
    /// Of a session's labels, used or not.
    pub session_max_s: u64,
    /// Of a subject's labels.
    pub subject_s: u64,
}

/// Labels for one bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Incoming {
    /// The subject's digest, 64 lower-case hex digits.
    pub subject: String,
    /// The session's digest; absent: labels of the subject, for all its sessions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// The labels.
    pub labels: Vec<String>,
}

/// What became of one bucket's labels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Imported {
    /// Labels that were not there: added, or to be added.
    pub added: Vec<String>,
    /// Labels that were there already.
    pub held: u64,
    /// The bucket would hold more than it can; nothing of it was added.
    pub full: bool,
}

impl Incoming {
    /// Without a session a name that no session has: reading it is nobody's use.
    fn key(&self) -> SessionKey {
        SessionKey {
            subject: self.subject.clone(),
            session: self.session.clone().unwrap_or_else(|| self.subject.clone()),
        }
    }

    fn append(&self, labels: Vec<String>, lifetimes: ImportLifetimes) -> Append {
        let ms = |s: u64| s.saturating_mul(1000);
        let (labels, subject_labels) = match self.session {
            Some(_) => (labels, Vec::new()),
            None => (Vec::new(), labels),
        };
        Append {
            key: self.key(),
            labels,
            subject_labels,
            ttl_s: Some(lifetimes.subject_s),
            lifetimes: Lifetimes {
                session_idle_ms: ms(lifetimes.session_idle_s),
                session_max_ms: ms(lifetimes.session_max_s),
                subject_ms: ms(lifetimes.subject_s),
            },
        }
    }
}

impl Admin {
    /// Adds what is not there, each bucket recorded first.
    pub async fn import(&self, asked: &ImportRequest) -> Result<Vec<Imported>, AdminError> {
        let reason = asked.reason.trim();
        if asked.apply && (reason.is_empty() || reason.len() > MAX_REASON_BYTES) {
            return Err(AdminError::Reason);
        }
        if asked.buckets.len() > MAX_IMPORTED {
            return Err(AdminError::TooMany);
        }
        let mut tasks = JoinSet::new();
        for (at, incoming) in asked.buckets.iter().enumerate() {
            let (admin, incoming) = (self.clone(), incoming.clone());
            let why = (asked.reason.clone(), asked.operator.clone());
            let (lifetimes, apply) = (asked.lifetimes, asked.apply);
            tasks.spawn(async move { (at, admin.take_in(incoming, lifetimes, apply, why).await) });
        }
        let mut outcomes = tasks.join_all().await;
        outcomes.sort_unstable_by_key(|(at, _)| *at);
        outcomes.into_iter().map(|(_, outcome)| outcome).collect()
    }

    async fn take_in(
        self,
        incoming: Incoming,
        lifetimes: ImportLifetimes,
        apply: bool,
        (reason, operator): (String, String),
    ) -> Result<Imported, AdminError> {
        let held = self.held(&incoming).await?;
        let labels: BTreeSet<&String> = incoming.labels.iter().collect();
        let added: Vec<String> = labels
            .iter()
            .filter(|label| !held.contains(**label))
            .map(|label| (*label).clone())
            .collect();
        let append = incoming.append(added.clone(), lifetimes);
        append.check()?;
        let imported = Imported {
            held: labels.len().saturating_sub(added.len()) as u64,
            full: held.len().saturating_add(added.len()) > MAX_LABELS,
            added,
        };
        if !apply || imported.full || imported.added.is_empty() {
            return Ok(imported);
        }
        let id = random_id().map_err(|_| AdminError::Random)?;
        let record = AuditRecord {
            seq: 0,
            stream: format!("operator-{id}"),
            at_ms: now_ms(),
            decision_id: format!("operator-{id}"),
            step: Some(StepRecord {
                plugin: IMPORT_STEP.to_owned(),
                source: reason,
            }),
            entity_type: "sessions".to_owned(),
            entity_name: "import".to_owned(),
            subject: Some(format!("sha256:{}", incoming.subject)),
            client: Some(operator),
            session: incoming.session,
            labels: held.into_iter().collect(),
            labels_added: imported.added.clone(),
            ..AuditRecord::default()
        };
        self.audit.append(&record).await.map_err(|_| AdminError::Audit)?;
        self.store.append(append).await?;
        Ok(imported)
    }

    /// What the bucket holds, which must not count as a use of the session.
    async fn held(&self, incoming: &Incoming) -> Result<BTreeSet<String>, AdminError> {
        if incoming.session.is_none() {
            let held = self.store.load(&incoming.key()).await?;
            return Ok(held.labels.subject.into_iter().collect());
        }
        let selection = Selection {
            subject: incoming.subject.clone(),
            session: incoming.session.clone(),
        };
        let buckets = self.store.list(&selection).await?;
        let labels = buckets.into_iter().flat_map(|bucket| bucket.labels);
        Ok(labels.map(|held| held.label).collect())
    }
}
