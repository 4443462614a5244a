//! `aplomb-companion audit report`: what a log says about a time.

mod enforcement;
mod policies;
mod signers;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use companion_protocol::{AuditRecord, StepRecord, VerdictKind};
use serde::Serialize;

use super::numbers::Numbers;
use super::segments;
use crate::admin::{CLEAR_STEP, IMPORT_STEP};
use crate::elicitation::ANSWER_STEP;
use enforcement::History;
pub use enforcement::{Change, Enforcement};
pub use policies::PolicyUse;
pub use signers::{Signer, SignerError, Signers};

/// What a log holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// All records.
    pub records: u64,
    /// Lines that are none.
    pub unreadable: u64,
    /// The earliest, on the proxies' clocks, milliseconds since the Unix epoch.
    pub from_ms: Option<u64>,
    /// The latest.
    pub to_ms: Option<u64>,
    /// Programs that decided or judged in shadow, by their first verdict.
    pub policies: Vec<PolicyUse>,
    /// When another program decided, and when operations came into shadow or out of it.
    pub enforcement: Vec<Enforcement>,
    /// What approvers answered.
    pub approvals: Vec<Approval>,
    /// What operators did to labels.
    pub operators: Vec<OperatorsAct>,
    /// Verdicts by kind, as `deny_after`.
    pub verdicts: BTreeMap<String, u64>,
    /// Denials by code.
    pub codes: BTreeMap<String, u64>,
    /// Verdicts by operation, as `tool:send_email`.
    pub operations: BTreeMap<String, u64>,
    /// Records that a policy asked for, by plugin.
    pub steps: BTreeMap<String, u64>,
    #[serde(skip)]
    history: History,
}

/// An answer to a request for approval. Answers of a CIBA provider are in it, too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Approval {
    /// When, milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// The operation's name.
    pub operation: String,
    /// Who wanted it.
    pub requester: String,
    /// Who answered.
    pub approver: String,
    /// `approved` or `denied`.
    pub answer: String,
    /// The step that asked.
    pub step: String,
}

/// Labels that an operator cleared or imported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OperatorsAct {
    /// When, milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// `clear` or `import`.
    pub act: String,
    /// Who, as they said.
    pub operator: String,
    /// Why.
    pub reason: String,
    /// Which labels.
    pub labels: Vec<String>,
}

/// Reads all segments of logs that companions on one store wrote. `signers` says who signed which program.
pub fn report<'a>(logs: impl IntoIterator<Item = &'a Path>, signers: &Signers) -> io::Result<Report> {
    let mut report = Report::default();
    // A record that was on its way when its companion was killed went to another one, too.
    let mut seen = Numbers::default();
    let mut logs = logs
        .into_iter()
        .map(|log| records(log).map(Iterator::peekable))
        .collect::<io::Result<Vec<_>>>()?;
    loop {
        // What happened first comes first, whoever wrote it down.
        let time = |next: Option<&io::Result<Option<AuditRecord>>>| match next {
            Some(Ok(Some(record))) => Some(record.at_ms),
            // It has no time, so it is dealt with at once.
            Some(Ok(None) | Err(_)) => Some(0),
            None => None,
        };
        let earliest = logs
            .iter_mut()
            .filter_map(|log| time(log.peek()).map(|at_ms| (at_ms, log)))
            .min_by_key(|(at_ms, _)| *at_ms);
        let Some(next) = earliest.and_then(|(_, log)| log.next()) else {
            break;
        };
        match next? {
            Some(record) if seen.insert(&record) => report.count(record),
            Some(_) => {}
            None => report.unreadable += 1,
        }
    }
    for policy in &mut report.policies {
        policy.signer = signers.of(&policy.digest);
    }
    Ok(report)
}

/// Of all segments, in their order; `None`: a line that is none.
fn records(log: &Path) -> io::Result<impl Iterator<Item = io::Result<Option<AuditRecord>>> + use<>> {
    let mut files = segments::sealed(log)?;
    files.push(log.to_owned());
    let lines = |file: PathBuf| -> Box<dyn Iterator<Item = io::Result<Vec<u8>>>> {
        match File::open(file) {
            Ok(file) => Box::new(BufReader::new(file).split(b'\n')),
            Err(error) => Box::new(std::iter::once(Err(error))),
        }
    };
    let parsed = |line: io::Result<Vec<u8>>| line.map(|line| serde_json::from_slice(&line).ok());
    Ok(files.into_iter().flat_map(lines).map(parsed))
}

fn add(counts: &mut BTreeMap<String, u64>, key: String) {
    *counts.entry(key).or_default() += 1;
}

impl Report {
    fn count(&mut self, mut record: AuditRecord) {
        self.records += 1;
        let at = record.at_ms;
        self.from_ms = Some(self.from_ms.map_or(at, |from| from.min(at)));
        self.to_ms = Some(self.to_ms.map_or(at, |to| to.max(at)));
        if let Some(step) = record.step.take() {
            self.step(record, step);
            return;
        }
        policies::count(&mut self.policies, &record);
        self.enforcement.extend(self.history.changes(&record));
        if let Some(verdict) = record.verdict {
            add(&mut self.verdicts, name(verdict).to_owned());
        }
        if let Some(code) = record.code {
            add(&mut self.codes, code);
        }
        add(
            &mut self.operations,
            format!("{}:{}", record.entity_type, record.entity_name),
        );
    }

    fn step(&mut self, record: AuditRecord, step: StepRecord) {
        match step.plugin.as_str() {
            CLEAR_STEP | IMPORT_STEP => self.operators.push(OperatorsAct {
                at_ms: record.at_ms,
                act: record.entity_name,
                operator: record.client.unwrap_or_default(),
                reason: step.source,
                labels: record.labels,
            }),
            ANSWER_STEP => self.approvals.push(Approval {
                at_ms: record.at_ms,
                operation: record.entity_name,
                requester: record.subject.unwrap_or_default(),
                approver: record.client.unwrap_or_default(),
                answer: record.code.unwrap_or_default(),
                step: step.source,
            }),
            _ => add(&mut self.steps, step.plugin),
        }
    }
}

/// As on the wire.
const fn name(verdict: VerdictKind) -> &'static str {
    match verdict {
        VerdictKind::Allow => "allow",
        VerdictKind::Deny => "deny",
        VerdictKind::DenyAfter => "deny_after",
        VerdictKind::Pending => "pending",
    }
}
