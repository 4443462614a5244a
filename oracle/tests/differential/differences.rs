//! The deliberate differences from `praxis-policy-apl-core` 0.5.0, each with its reason: rows of `design/language.md`.
//!
//! Two more lie outside of that crate, which knows no routes, so no case here can show them; `aplc check --from praxis-0.5` tells
//! of both (`apl-compiler/src/lints/dialect/table.rs`):
//!
//! * `args` and `result` on `http` routes, which 0.5.0 refuses, are pipelines over path, query, JSON body and JSON response: what is
//!   governed for tools can be governed for resources.
//! * HTTP paths are compared decoded, and ambiguous ones are refused; 0.5.0 compares the raw path, so that an escape could lead past
//!   a route to a backend that decodes it.

use serde_json::Value;

use super::Answer;
use super::generate::Case;

/// Why the answers may differ; `None`: one of the engines is wrong.
pub(crate) fn reason(case: &Case, ours: &Answer, theirs: &Answer) -> Option<&'static str> {
    let stages = |word: &str| case.fields.iter().any(|(_, stages)| stages.contains(word));
    let (
        Answer::Ran {
            denied: a,
            taints: x,
            labels: l,
            document: d,
        },
        Answer::Ran {
            denied: b,
            taints: y,
            labels: m,
            document: e,
        },
    ) = (ours, theirs)
    else {
        return None;
    };
    let field = |code: &str| code.contains(".args.") || code.contains(".result.");
    if let Some((code, reason)) = b
        && reason.contains("order comparison on")
    {
        match a {
            Some((ours, why)) if ours == code && why == "condition cannot be evaluated" && l == m => {
                return Some("row 3: an order comparison that cannot be made denies, in our words");
            }
            // Ours hides the value, goes on, and denies at the end unless a later stage does. Labels it set on the way stay.
            Some((ours, _)) if ours == code && field(code) && m.is_subset(l) => {
                return Some(
                    "row 3: behind a `redact` that cannot be decided later stages run before the denial",
                );
            }
            // Another denial of ours must be explained by what follows.
            Some(_) => {}
            None => return None,
        }
    }
    if let (Some((code, _)), Some((their_code, _))) = (a, b)
        && case.fields.len() > 1
        && field(code)
        && field(their_code)
        && (code != their_code || x != y)
    {
        return Some("upstream runs the fields of a section in no fixed order, we in the written one");
    }
    if let Some((code, why)) = a
        && field(code)
        && why == "condition cannot be evaluated"
        && stages("omit")
    {
        return Some(
            "the condition of a `redact` is evaluated before the stages: behind an `omit` its error denies, too",
        );
    }
    if let Some((code, _)) = a
        && case.fields.iter().any(|(name, stages)| {
            code.ends_with(&format!(".{name}")) && (stages.contains("mask(") || stages.contains("hash |"))
        })
        && b.as_ref().is_none_or(|(theirs, _)| theirs != code)
    {
        return Some("rows 10 and 11: what stands behind a `mask` or `hash` sees the text that it left");
    }
    if l != m || x != y {
        return None;
    }
    // The words of a pipeline's reason are each engine's own; verdict, code and labels count.
    if let (Some((code, _)), Some((their_code, _))) = (a, b)
        && code == their_code
    {
        return field(code).then_some("a pipeline's denial names stage and field in our words");
    }
    if a == b && a.is_none() && stages("hash") && alike(d, e, &hashed) {
        return Some("row 11: HMAC-SHA-256 under the deployment key, in place of a truncated SHA-256");
    }
    if a == b && a.is_none() && stages("mask") && alike(d, e, &masked) {
        return Some("row 10: `mask` always hides at least half");
    }
    None
}

/// Whether two documents are equal but for texts that `may` differ.
fn alike(ours: &Value, theirs: &Value, may: &impl Fn(&str, &str) -> bool) -> bool {
    match (ours, theirs) {
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len()
                && a.iter()
                    .all(|(key, value)| b.get(key).is_some_and(|other| alike(value, other, may)))
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(value, other)| alike(value, other, may))
        }
        (Value::String(a), Value::String(b)) => a == b || may(a, b),
        _ => ours == theirs,
    }
}

fn hashed(ours: &str, theirs: &str) -> bool {
    let digits = |text: &str| text.strip_prefix("hash:").map(str::len);
    // A mask behind the hash hides the digits, and leaves the difference in length.
    let hidden = |text: &str| text.starts_with('*') && text.trim_start_matches('*').len() <= 8;
    digits(ours) == Some(32) && digits(theirs) == Some(16)
        || hidden(ours) && hidden(theirs) && ours.len() == theirs.len() + 16
        || masked(ours, theirs)
}

fn masked(ours: &str, theirs: &str) -> bool {
    let clear = |text: &str| text.chars().filter(|ch| *ch != '*').count();
    let count = theirs.chars().count();
    ours.chars().count() == count && clear(theirs) > count / 2 && clear(ours) <= count / 2
}
