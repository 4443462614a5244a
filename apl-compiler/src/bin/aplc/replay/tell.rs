//! Verdicts in words, so that two of them can be compared and read.

use aplomb_enforcer::replay::{Denied, Replayed};
use companion_protocol::{AuditRecord, VerdictKind};

use super::Outcome;

/// What the record says.
pub(super) fn recorded(record: &AuditRecord, verdict: VerdictKind) -> String {
    let code = record.code.as_deref().unwrap_or_default();
    match verdict {
        VerdictKind::Allow => allowed(&record.edits),
        VerdictKind::Deny => format!("denied {code}"),
        VerdictKind::DenyAfter => format!("denied after the call {code}"),
        VerdictKind::Pending => "waits for a human".to_owned(),
    }
}

/// What a replay says.
pub(super) fn replayed(replayed: &Replayed) -> String {
    match replayed {
        Replayed::Allow(edits) => allowed(edits),
        Replayed::Deny(Denied { code, .. }) => format!("denied {code}"),
        Replayed::DenyAfter(Denied { code, .. }) => format!("denied after the call {code}"),
        Replayed::Unknown(why) => (*why).to_owned(),
    }
}

fn allowed(edits: &[String]) -> String {
    let mut fields: Vec<&str> = edits.iter().map(String::as_str).collect();
    fields.sort_unstable();
    fields.dedup();
    match fields.is_empty() {
        true => "allowed".to_owned(),
        false => format!("allowed, edited {}", fields.join(", ")),
    }
}

/// For people.
pub(super) fn text(outcome: &Outcome) -> String {
    let Outcome {
        verdicts,
        same,
        differences,
        not_replayable,
        of_other_policies,
    } = outcome;
    let mut out = format!(
        "{verdicts} verdicts: {same} the same, {} different, {} not replayable\n",
        differences.len(),
        not_replayable.values().sum::<u64>()
    );
    if *of_other_policies > 0 {
        out.push_str(&format!("{of_other_policies} verdicts of other policies\n"));
    }
    for difference in differences {
        let by = difference.subject.as_deref().unwrap_or("nobody");
        out.push_str(&format!(
            "{} {} by {by}: {}, would be {}\n",
            difference.decision_id, difference.operation, difference.was, difference.would_be
        ));
    }
    for (why, count) in not_replayable {
        out.push_str(&format!("not replayable {count}: {why}\n"));
    }
    out
}
