//! What an import found and did, for people and for programs.

use std::collections::BTreeSet;
use std::io::Write;

use aplomb_companion::admin::{Imported, Incoming};
use serde::Serialize;

/// All of it.
#[derive(Serialize)]
pub(super) struct Report {
    applied: bool,
    /// Sets that a line explains.
    pub(super) sets: Vec<Set>,
    /// Lines whose set is not there: nothing was written for them, or it has ended.
    pub(super) missing: Vec<String>,
    /// Where labels went, or would go.
    pub(super) buckets: Vec<Bucket>,
    /// What stays behind.
    pub(super) left: Vec<Left>,
}

/// A set of upstream's.
#[derive(Serialize)]
pub(super) struct Set {
    pub(super) name: String,
    pub(super) whose: Vec<String>,
    pub(super) labels: Vec<String>,
}

/// A bucket here.
#[derive(Serialize)]
pub(super) struct Bucket {
    subject: String,
    session: Option<String>,
    #[serde(flatten)]
    imported: Imported,
}

/// A key that stays behind.
#[derive(Serialize)]
pub(super) struct Left {
    name: String,
    why: String,
}

impl Left {
    pub(super) fn foreign(name: String) -> Self {
        let why = "no key of a session's labels".to_owned();
        Self { name, why }
    }

    pub(super) fn unreadable(name: &str, why: String) -> Self {
        let name = name.to_owned();
        Self { name, why }
    }

    pub(super) fn unexplained(name: &str, labels: BTreeSet<String>) -> Self {
        let labels: Vec<String> = labels.into_iter().collect();
        let why = format!("no line of the files explains it: {}", labels.join(", "));
        Self::unreadable(name, why)
    }
}

impl Bucket {
    pub(super) fn new(incoming: &Incoming, imported: Imported) -> Self {
        Self {
            subject: incoming.subject.clone(),
            session: incoming.session.clone(),
            imported,
        }
    }
}

impl Report {
    pub(super) fn new(applied: bool) -> Self {
        Self {
            applied,
            sets: Vec::new(),
            missing: Vec::new(),
            buckets: Vec::new(),
            left: Vec::new(),
        }
    }

    /// Nothing stays behind.
    pub(super) fn is_whole(&self) -> bool {
        self.left.is_empty() && self.buckets.iter().all(|bucket| !bucket.imported.full)
    }

    pub(super) fn print_json(&self) -> std::io::Result<()> {
        writeln!(std::io::stdout(), "{}", serde_json::to_string_pretty(self)?)
    }

    pub(super) fn print_text(&self) -> std::io::Result<()> {
        let mut out = std::io::stdout().lock();
        writeln!(out, "| | key | whose, or why | labels |\n|---|---|---|---|")?;
        for Set { name, whose, labels } in &self.sets {
            let (whose, labels) = (whose.join("; "), labels.join(", "));
            writeln!(out, "| found | {name} | {whose} | {labels} |")?;
        }
        for whose in &self.missing {
            writeln!(out, "| not found | | {whose} | |")?;
        }
        for Left { name, why } in &self.left {
            writeln!(out, "| left behind | {name} | {why} | |")?;
        }
        let verb = if self.applied { "written" } else { "to write" };
        writeln!(out, "\n| bucket | {verb} | there already |\n|---|---|---|")?;
        for Bucket {
            subject,
            session,
            imported,
        } in &self.buckets
        {
            let bucket = match session {
                Some(session) => format!("session {session}"),
                None => format!("subject {subject}"),
            };
            let added = match imported.full {
                true => "nothing: the bucket would be too full".to_owned(),
                false => imported.added.join(", "),
            };
            writeln!(out, "| {bucket} | {added} | {} |", imported.held)?;
        }
        let count = |of: fn(&Imported) -> u64| -> u64 {
            self.buckets.iter().map(|bucket| of(&bucket.imported)).sum()
        };
        let added = count(|imported| {
            if imported.full {
                0
            } else {
                imported.added.len() as u64
            }
        });
        writeln!(
            out,
            "\n{} sets found, {} not found, {} left behind; {added} labels {verb}, {} there already",
            self.sets.len(),
            self.missing.len(),
            self.left.len(),
            count(|imported| imported.held),
        )?;
        match self.applied {
            true => Ok(()),
            false => writeln!(
                out,
                "nothing was written: `--apply --reason TEXT` writes it and records it in the audit log"
            ),
        }
    }
}
