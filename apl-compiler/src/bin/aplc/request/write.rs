//! An explanation for people and as JSON.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::gather::Explanation;

/// For people.
pub(super) fn text(it: &Explanation) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "{}  ({})", it.operation, it.route);
    let mut phase = "";
    for step in &it.steps {
        if phase != step.phase {
            phase = step.phase;
            let _ = writeln!(out, "\n{phase}");
        }
        let _ = writeln!(out, "  {}  {}", step.place, step.text);
        for (name, value) in &step.reads {
            let _ = writeln!(out, "      {name} is {value}");
        }
        for line in step.came_to.iter().chain(&step.notes) {
            let _ = writeln!(out, "      {line}");
        }
    }
    let _ = writeln!(out, "\nverdict: {}", it.verdict);
    for (name, value) in [("code", &it.code), ("reason", &it.reason), ("rule", &it.rule)] {
        if let Some(value) = value {
            let _ = writeln!(out, "  {name}: {value}");
        }
    }
    if it.steps.is_empty() && it.code.is_some() {
        match it.rule.as_deref().and_then(|rule| rule.strip_prefix("plugins.")) {
            Some(plugin) => {
                let _ = writeln!(
                    out,
                    "  no rule was reached: the credential that the plugin `{plugin}` asks for is not believed"
                );
            }
            None => {
                let _ = writeln!(out, "  no rule was reached: the proxy itself refuses");
            }
        }
    }
    for (name, list) in [("effects", &it.effects), ("edits", &it.edits)] {
        if !list.is_empty() {
            let _ = writeln!(out, "  {name}: {}", list.join(", "));
        }
    }
    if !it.others.is_empty() {
        let _ = writeln!(out, "\nwhy not the others");
        for other in &it.others {
            let _ = writeln!(out, "  {}  {}\n      {}", other.place, other.text, other.why);
        }
    }
    for missing in &it.missing {
        let _ = writeln!(out, "\nnot given: {missing}");
    }
    out
}

/// For tools.
pub(super) fn json(it: &Explanation) -> Value {
    let steps: Vec<Value> = it
        .steps
        .iter()
        .map(|step| {
            let reads: Vec<Value> = step
                .reads
                .iter()
                .map(|(name, value)| json!({ "attribute": name, "value": value }))
                .collect();
            json!({
                "phase": step.phase,
                "place": step.place,
                "text": step.text,
                "reads": reads,
                "came_to": step.came_to,
                "notes": step.notes,
            })
        })
        .collect();
    let others: Vec<Value> = it
        .others
        .iter()
        .map(|other| json!({ "place": other.place, "text": other.text, "why": other.why }))
        .collect();
    json!({
        "operation": it.operation,
        "route": it.route,
        "steps": steps,
        "verdict": it.verdict,
        "code": it.code,
        "reason": it.reason,
        "rule": it.rule,
        "effects": it.effects,
        "edits": it.edits,
        "others": others,
        "missing": it.missing,
    })
}
