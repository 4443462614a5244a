//! A policy from what was called: an audit log of the companion, or an export of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;

use companion_protocol::{AuditRecord, VerdictKind};

use super::words::{comment, selector};
use super::{GATE, HEAD};
use crate::Fault;

/// Longest line of a log that is read, in bytes; a record is far smaller.
const MAX_LINE: usize = 1024 * 1024;

/// What was seen of an operation.
#[derive(Default)]
struct Seen {
    calls: u64,
    denied: u64,
    subjects: BTreeSet<String>,
    edits: BTreeSet<String>,
}

/// The whole policy, by kind and name.
pub(super) fn policy(path: &Path) -> Result<String, Fault> {
    let fault = |cause| Fault::File {
        doing: "read",
        path: path.to_owned(),
        cause,
    };
    let mut operations: BTreeMap<(String, String), Seen> = BTreeMap::new();
    let (mut records, mut unreadable) = (0_u64, 0_u64);
    for line in BufReader::new(File::open(path).map_err(fault)?).split(b'\n') {
        let line = line.map_err(fault)?;
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let record = (line.len() <= MAX_LINE)
            .then(|| serde_json::from_slice::<AuditRecord>(&line).ok())
            .flatten();
        match record {
            Some(record) => {
                records += 1;
                count(record, &mut operations);
            }
            None => unreadable += 1,
        }
    }
    if records == 0 {
        return Err(Fault::Argument(format!(
            "`{}` holds no audit records ({unreadable} lines that are none); expected one JSON object a line, as in the companion's audit log",
            path.display()
        )));
    }
    Ok(text(&operations, records, unreadable))
}

fn count(record: AuditRecord, operations: &mut BTreeMap<(String, String), Seen>) {
    let Some(verdict) = record.verdict else { return };
    let seen = operations
        .entry((record.entity_type, record.entity_name))
        .or_default();
    seen.calls += 1;
    if !matches!(verdict, VerdictKind::Allow) {
        seen.denied += 1;
    }
    seen.subjects.extend(record.subject);
    seen.edits.extend(record.edits);
}

fn text(operations: &BTreeMap<(String, String), Seen>, records: u64, unreadable: u64) -> String {
    let mut out = HEAD.to_owned();
    out.insert_str(
        0,
        &comment(
            "",
            &format!("From {records} audit records ({unreadable} lines were none)."),
        ),
    );
    let mut routes = 0;
    let mut others = Vec::new();
    for ((kind, name), seen) in operations {
        let people = seen.subjects.len();
        let facts = format!(
            "seen {} time{}, {} of them not allowed, by {people} subject{}",
            seen.calls,
            if seen.calls == 1 { "" } else { "s" },
            seen.denied,
            if people == 1 { "" } else { "s" }
        );
        if !matches!(kind.as_str(), "tool" | "prompt" | "resource" | "llm") || name.is_empty() {
            others.push(format!("{kind}:{name}: {facts}"));
            continue;
        }
        if routes > 0 {
            out.push('\n');
        }
        routes += 1;
        out.push_str(&comment("  ", &facts));
        out.push_str(&selector(kind, name));
        out.push_str("    pre_invocation:\n      # Gate: who may call this?\n");
        out.push_str(GATE);
        if !seen.edits.is_empty() {
            let edits: Vec<&str> = seen.edits.iter().map(String::as_str).collect();
            out.push_str(&comment(
                "    ",
                &format!("fields that were edited: {}", edits.join(", ")),
            ));
        }
    }
    if routes == 0 {
        out.truncate(out.len() - "routes:\n".len());
        out.push_str("routes: []\n");
    }
    if !others.is_empty() {
        out.push_str("\n# Seen too, and not something that a route of this build governs:\n");
        others.iter().for_each(|other| out.push_str(&comment("", other)));
    }
    out
}
