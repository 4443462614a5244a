//! `aplc replay`: captured decisions, run through another policy.

mod tell;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};

use apl_vm::Prepared;
use aplomb_enforcer::replay::{Replayed, replay};
use clap::Args;
use companion_protocol::sealed::OpeningKey;
use companion_protocol::{AuditRecord, VerdictKind};
use serde::Serialize;

use super::command::Format;
use super::why::{program, segments};
use super::{End, Fault};

/// `aplc replay`.
#[derive(Debug, Args)]
pub(crate) struct Replay {
    /// The companion's audit log; its sealed segments are found beside it.
    #[arg(long, value_name = "FILE")]
    pub log: PathBuf,
    /// PEM of the X25519 private key whose public key the companion has (`--capture-key`).
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,
    /// The policy, or the program (`.aplb`), that was in force.
    #[arg(long, value_name = "FILE")]
    pub from: PathBuf,
    /// The policy, or the program, to run the decisions through.
    #[arg(long, value_name = "FILE")]
    pub to: PathBuf,
    /// How it is written.
    #[arg(long, value_enum, default_value = "text")]
    pub format: Format,
}

/// What a decision was, and what it would be.
#[derive(Debug, Serialize)]
struct Difference {
    decision_id: String,
    operation: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    was: String,
    would_be: String,
}

/// What came of all of them.
#[derive(Debug, Default, Serialize)]
struct Outcome {
    /// Records of verdicts under the policy that was in force.
    verdicts: u64,
    /// Come to the same.
    same: u64,
    /// Come to something else.
    differences: Vec<Difference>,
    /// Not replayable, by reason.
    not_replayable: BTreeMap<String, u64>,
    /// Records of verdicts under other policies.
    of_other_policies: u64,
}

/// Runs them.
pub(crate) fn run(asked: &Replay) -> Result<End, Fault> {
    let pem = std::fs::read_to_string(&asked.key).map_err(|cause| wrong(&asked.key, cause))?;
    let key = OpeningKey::from_pem(&pem)
        .map_err(|error| Fault::Argument(format!("`{}`: {error}", asked.key.display())))?;
    let (Some(from), Some(to)) = (prepared(&asked.from)?, prepared(&asked.to)?) else {
        // What is wrong with it was said.
        return Ok(End::PolicyAtFault);
    };
    let mut outcome = Outcome::default();
    for path in segments(&asked.log).map_err(|cause| wrong(&asked.log, cause))? {
        let file = File::open(&path).map_err(|cause| wrong(&path, cause))?;
        for line in BufReader::new(file).split(b'\n') {
            let line = line.map_err(|cause| wrong(&path, cause))?;
            if let Ok(record) = serde_json::from_slice::<AuditRecord>(&line) {
                outcome.add(&record, &key, &from, &to);
            }
        }
    }
    match asked.format {
        Format::Text => print!("{}", tell::text(&outcome)),
        Format::Json => println!("{}", serde_json::to_string_pretty(&outcome)?),
    }
    Ok(End::Fine)
}

fn wrong(path: &Path, cause: std::io::Error) -> Fault {
    Fault::File {
        doing: "read",
        path: path.to_owned(),
        cause,
    }
}

fn prepared(path: &Path) -> Result<Option<Prepared>, Fault> {
    match program(path)? {
        None => Ok(None),
        Some(program) => Prepared::new(program)
            .map(Some)
            .map_err(|error| Fault::Argument(format!("`{}`: {error}", path.display()))),
    }
}

impl Outcome {
    fn add(&mut self, record: &AuditRecord, key: &OpeningKey, from: &Prepared, to: &Prepared) {
        let Some(verdict) = record.verdict else { return };
        if record.policy_digest != from.digest_hex() {
            self.of_other_policies += 1;
            return;
        }
        self.verdicts += 1;
        match compare(record, verdict, key, from, to) {
            Ok(None) => self.same += 1,
            Ok(Some(difference)) => self.differences.push(difference),
            Err(why) => *self.not_replayable.entry(why).or_default() += 1,
        }
    }
}

/// `Ok(None)`: the same. `Err`: it cannot be known.
fn compare(
    record: &AuditRecord,
    verdict: VerdictKind,
    key: &OpeningKey,
    from: &Prepared,
    to: &Prepared,
) -> Result<Option<Difference>, String> {
    let captured = key.open(record).map_err(|error| error.to_string())?;
    let was = tell::recorded(record, verdict);
    // The policy of then must come to what it came to then; what it hung on besides was not captured.
    match replay(from, from, record, &captured) {
        Replayed::Unknown(why) => return Err(why.to_owned()),
        again if tell::replayed(&again) != was => {
            return Err("something else than the policy decided it then".to_owned());
        }
        _ => {}
    }
    let now = match replay(to, from, record, &captured) {
        Replayed::Unknown(why) => return Err(why.to_owned()),
        known => tell::replayed(&known),
    };
    Ok((now != was).then(|| Difference {
        decision_id: record.decision_id.clone(),
        operation: format!("{} {}", record.entity_type, record.entity_name),
        subject: record.subject.clone(),
        was,
        would_be: now,
    }))
}
