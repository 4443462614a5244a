//! `aplc diff`: what changed in meaning between two policies.
//!
//! Both sides are compiled and layered, and compared operation by operation, so a rule that moves to a group shows nothing.
//! What cannot be shown to be at least as strict counts as loosened.

mod compare;
mod facts;
mod who;

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::json;

use super::command::Format;
use super::{End, Fault, input};

/// `aplc diff`.
#[derive(Debug, Args)]
pub(crate) struct Diff {
    /// The policy as it was: text or program (`.aplb`).
    pub old: PathBuf,
    /// The policy as it is to be: text or program.
    pub new: PathBuf,
    /// How the changes are written; `human` is another word for `text`.
    #[arg(long, value_enum, default_value = "text")]
    pub format: Format,
    /// End with 1 if there is such a change.
    #[arg(long, value_enum, value_name = "WHAT")]
    pub fail_on: Option<FailOn>,
}

/// What makes `aplc diff` end with 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FailOn {
    /// Something that may let more through.
    Loosened,
    /// Any change.
    Any,
}

/// How dangerous a change is, the most dangerous first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Danger {
    /// It may let more through, or show or record less.
    Loosened,
    /// Neither, as far as the program tells.
    Changed,
    /// It lets no more through.
    Tightened,
}

impl Danger {
    const fn name(self) -> &'static str {
        match self {
            Self::Loosened => "loosened",
            Self::Changed => "changed",
            Self::Tightened => "tightened",
        }
    }
}

/// One change.
#[derive(Debug, Clone)]
struct Change {
    danger: Danger,
    /// `tool:pay`, or `policy` for what holds everywhere.
    operation: String,
    what: String,
    /// `file:line`.
    old: Option<String>,
    new: Option<String>,
}

/// Compares.
pub(crate) fn run(diff: &Diff) -> Result<End, Fault> {
    let (Some(old), Some(new)) = (input::outlined(&diff.old)?, input::outlined(&diff.new)?) else {
        return Ok(End::PolicyAtFault);
    };
    let mut changes = compare::outlines(&old, &new);
    changes.sort_by(|a, b| (a.danger, &a.operation, &a.what).cmp(&(b.danger, &b.operation, &b.what)));
    match diff.format {
        Format::Text => print!("{}", text(&changes)),
        Format::Json => {
            let list: Vec<_> = changes
                .iter()
                .map(|change| {
                    json!({ "danger": change.danger.name(), "operation": change.operation, "what": change.what,
                            "old": change.old, "new": change.new })
                })
                .collect();
            println!("{}", serde_json::to_string_pretty(&json!({ "changes": list }))?);
        }
    }
    let fails = match diff.fail_on {
        None => false,
        Some(FailOn::Loosened) => changes.iter().any(|change| change.danger == Danger::Loosened),
        Some(FailOn::Any) => !changes.is_empty(),
    };
    Ok(if fails { End::PolicyAtFault } else { End::Fine })
}

fn text(changes: &[Change]) -> String {
    if changes.is_empty() {
        return "both mean the same\n".to_owned();
    }
    let mut out = String::new();
    for change in changes {
        out.push_str(&format!(
            "{:<9}  {}: {}\n",
            change.danger.name(),
            change.operation,
            change.what
        ));
        let places = [("old", &change.old), ("new", &change.new)];
        for (side, place) in places {
            if let Some(place) = place {
                out.push_str(&format!("           {side} {place}\n"));
            }
        }
    }
    let count = |danger| changes.iter().filter(|change| change.danger == danger).count();
    out.push_str(&format!(
        "{} loosened, {} changed, {} tightened\n",
        count(Danger::Loosened),
        count(Danger::Changed),
        count(Danger::Tightened)
    ));
    out
}
