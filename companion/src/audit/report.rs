//! `aplomb-companion audit report`: counts.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use companion_protocol::AuditRecord;
use serde::Serialize;

use super::segments;
use crate::admin::CLEAR_STEP;

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
    /// Verdicts by kind, as `deny_after`.
    pub verdicts: BTreeMap<String, u64>,
    /// Denials by code.
    pub codes: BTreeMap<String, u64>,
    /// Verdicts by digest of the program.
    pub policies: BTreeMap<String, u64>,
    /// Verdicts by operation, as `tool:send_email`.
    pub operations: BTreeMap<String, u64>,
    /// Records that a policy asked for, by plugin.
    pub steps: BTreeMap<String, u64>,
    /// Labels that operators cleared.
    pub clears: Vec<Clear>,
}

/// An operator's act.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Clear {
    /// When, milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// Who, as they said.
    pub operator: String,
    /// Why.
    pub reason: String,
    /// What was there.
    pub labels: Vec<String>,
}

/// Counts over all segments of a log.
pub fn report(log: &Path) -> io::Result<Report> {
    let mut report = Report::default();
    let mut files = segments::sealed(log)?;
    files.push(log.to_owned());
    for file in files {
        for line in BufReader::new(File::open(file)?).split(b'\n') {
            match serde_json::from_slice(&line?) {
                Ok(record) => report.count(record),
                Err(_) => report.unreadable += 1,
            }
        }
    }
    Ok(report)
}

impl Report {
    fn count(&mut self, record: AuditRecord) {
        self.records += 1;
        let at = record.at_ms;
        self.from_ms = Some(self.from_ms.map_or(at, |from| from.min(at)));
        self.to_ms = Some(self.to_ms.map_or(at, |to| to.max(at)));
        let add = |counts: &mut BTreeMap<String, u64>, key: String| *counts.entry(key).or_default() += 1;
        if let Some(step) = record.step {
            if step.plugin == CLEAR_STEP {
                self.clears.push(Clear {
                    at_ms: at,
                    operator: record.client.unwrap_or_default(),
                    reason: step.source,
                    labels: record.labels,
                });
            } else {
                add(&mut self.steps, step.plugin);
            }
            return;
        }
        if let Some(verdict) = record.verdict {
            // As on the wire.
            let name = serde_json::to_value(verdict).ok();
            let name = name.as_ref().and_then(|value| value.as_str()).unwrap_or_default();
            add(&mut self.verdicts, name.to_owned());
        }
        if let Some(code) = record.code {
            add(&mut self.codes, code);
        }
        add(&mut self.policies, record.policy_digest);
        add(
            &mut self.operations,
            format!("{}:{}", record.entity_type, record.entity_name),
        );
    }
}
