//! `aplc why`: why one decision fell as it did, from the audit log and the policy that decided.

mod log;
mod rule;

use std::path::PathBuf;

use clap::Args;
use companion_protocol::{AuditRecord, CallRecord, VerdictKind};
use serde_json::json;

use super::command::Format;
use super::{End, Fault};
use log::Story;
pub(crate) use log::segments;
use rule::Rule;
pub(crate) use rule::program;

/// `aplc why`.
#[derive(Debug, Args)]
pub(crate) struct Why {
    /// The decision's id, as in `X-Policy-Decision-Id` and in the error's `data.decision_id`.
    pub decision: String,
    /// The companion's audit log; its sealed segments are found beside it.
    #[arg(long, value_name = "FILE")]
    pub log: PathBuf,
    /// The policy, or the program (`.aplb`), that decided; may be given more than once. The one whose digest the record names is taken.
    #[arg(long, value_name = "FILE")]
    pub policy: Vec<PathBuf>,
    /// How it is written.
    #[arg(long, value_enum, default_value = "text")]
    pub format: Format,
}

/// Tells.
pub(crate) fn run(why: &Why) -> Result<End, Fault> {
    let story = log::read(&why.log, &why.decision)?;
    let Some(record) = &story.verdict else {
        return Err(Fault::Argument(format!(
            "there is no verdict of decision `{}` in `{}` and its segments: is it of another log, or still in the proxy's queue?",
            why.decision,
            why.log.display()
        )));
    };
    let rule = rule::find(&why.policy, record)?;
    match why.format {
        Format::Text => print!("{}", text(&story, record, &rule)),
        Format::Json => println!(
            "{}",
            serde_json::to_string_pretty(&object(&story, record, &rule))?
        ),
    }
    Ok(End::Fine)
}

fn verdict(record: &AuditRecord) -> &'static str {
    match record.verdict {
        Some(VerdictKind::Allow) => "allowed",
        Some(VerdictKind::Deny) => "denied before the call: the backend saw nothing",
        Some(VerdictKind::DenyAfter) => "denied after the call: the backend has acted",
        Some(VerdictKind::Pending) => "waits for a human: the backend saw nothing",
        None => "not decided",
    }
}

fn text(story: &Story, record: &AuditRecord, rule: &Rule) -> String {
    let mut out = String::new();
    let mut line = |what: &str, text: &str| out.push_str(&format!("{what:<11}{text}\n"));
    line("decision", &record.decision_id);
    line(
        "operation",
        &format!("{} {}", record.entity_type, record.entity_name),
    );
    line("verdict", verdict(record));
    if let Some(code) = &record.code {
        line("code", code);
    }
    let none = || "nobody".to_owned();
    line("subject", &record.subject.clone().unwrap_or_else(none));
    if let Some(client) = &record.client {
        line("client", client);
    }
    line(
        "at",
        &format!(
            "{} ms since 1970, policy {:.12}",
            record.at_ms, record.policy_digest
        ),
    );
    if let Some(position) = &record.rule {
        line("rule", position);
    }
    match rule {
        Rule::Found(found) => {
            line(
                "",
                &format!(
                    "at {}",
                    found
                        .at
                        .as_deref()
                        .unwrap_or("a place that the program does not name")
                ),
            );
            if let Some(condition) = &found.condition {
                line("denies if", condition);
            }
            if let Some(reason) = &found.reason {
                line("reason", reason);
            }
            if !found.reads.is_empty() {
                line("it reads", &found.reads.join(", "));
            }
        }
        Rule::NotThere => line("", "which this program has not at that operation"),
        Rule::OtherPolicies => line(
            "",
            "none of the policies given has that digest; give the one that was in force",
        ),
        Rule::NotAsked => match record.labels_of_policy.get("line") {
            Some(at) => line("", &format!("at {at}; give --policy to see its text")),
            None => line("", "give --policy to see its text and line"),
        },
    }
    if !record.labels.is_empty() {
        line("labels", &record.labels.join(", "));
    }
    for set in &story.labels_set {
        let by = format!(
            "{} by decision {} ({} {})",
            set.label, set.decision, set.entity_type, set.entity_name
        );
        line("label set", &by);
    }
    if !record.missing.is_empty() {
        line("not there", &record.missing.join(", "));
    }
    if !record.untrue.is_empty() {
        line("false", &record.untrue.join(", "));
    }
    for effect in &record.effects {
        line("performed", effect);
    }
    for call in &record.calls {
        line("asked", &asked(call));
    }
    if let Some(ms) = record.took_ms {
        line(
            "took",
            &format!("{ms} ms from the request's head to this verdict"),
        );
    }
    for edit in &record.edits {
        line("edited", edit);
    }
    if let Some(owner) = record.labels_of_policy.get("owner") {
        line("owner", owner);
    }
    if let Some(next) = record.code.as_deref().and_then(rule::next_step) {
        line("next", &next);
    }
    line(
        "not known",
        "what the attributes held: a record has none of their values",
    );
    out
}

/// An effect, what came of it, how long it took, and what an identity provider said.
fn asked(call: &CallRecord) -> String {
    let mut text = format!("{}: {}", call.effect, call.code.as_deref().unwrap_or("performed"));
    if let Some(ms) = call.ms {
        text.push_str(&format!(", {ms} ms"));
    }
    if let Some(provider) = &call.provider {
        text.push_str(&format!(", the identity provider answered {provider}"));
    }
    text
}

fn object(story: &Story, record: &AuditRecord, rule: &Rule) -> serde_json::Value {
    let found = match rule {
        Rule::Found(found) => {
            json!({"at": found.at, "condition": found.condition, "reason": found.reason, "reads": found.reads})
        }
        Rule::NotThere | Rule::OtherPolicies | Rule::NotAsked => serde_json::Value::Null,
    };
    let set: Vec<_> = story
        .labels_set
        .iter()
        .map(|set| json!({"label": set.label, "decision_id": set.decision, "entity_type": set.entity_type, "entity_name": set.entity_name}))
        .collect();
    json!({"record": record, "rule": found, "labels_set": set, "owner": record.labels_of_policy.get("owner"),
        "next": record.code.as_deref().and_then(rule::next_step)})
}
