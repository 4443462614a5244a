//! What a vector expects, and whether an answer is that.

use std::collections::BTreeSet;

use apl_vm::Fact;
use serde_json::Value;

use super::areas;
use super::run::{Answer, Ran};

/// The reference: the 0.5.0 crate's answer where there is one.
pub(crate) fn reference(vector: &Value) -> &Value {
    match &vector["praxis_policy_0_5_0"] {
        Value::Null => &vector["expect"],
        praxis => praxis,
    }
}

/// Whether our answer is the reference's.
pub(crate) fn matches(area: &str, vector: &Value, ours: &Answer) -> bool {
    answers(area, vector, reference(vector), ours)
}

/// Whether a reference denies.
pub(crate) fn denies(expected: &Value) -> bool {
    expected["decision"] == "deny" || expected["outcome"] == "deny"
}

/// Whether our answer is this one.
pub(crate) fn answers(area: &str, vector: &Value, expected: &Value, ours: &Answer) -> bool {
    if !expected["parse_error"].is_null() || !expected["load_error"].is_null() {
        return *ours == Answer::Refused;
    }
    match ours {
        Answer::Refused => false,
        Answer::Other(ours) => other(expected, ours),
        Answer::Verdict(ours) => ran(area, vector, expected, ours),
    }
}

fn ran(area: &str, vector: &Value, expected: &Value, ours: &Ran) -> bool {
    match area {
        "predicate" => predicate(expected, ours),
        "rule" | "route" | "pdp" => verdict(vector, expected, ours),
        "pipeline" => pipeline(vector, expected, ours),
        // What a step parses to upstream is a tree of upstream's; that it compiles is what can be compared.
        _ => true,
    }
}

/// Names of headers have no case.
fn lower(headers: &Value) -> Value {
    let members = headers.as_object().into_iter().flatten();
    members
        .map(|(name, value)| (name.to_ascii_lowercase(), value.clone()))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

/// What an area of its own answers: everything that the reference says must be so, `*` and `apl` in codes aside.
fn other(expected: &Value, ours: &Value) -> bool {
    match expected {
        Value::Object(members) => members.iter().all(|(key, wanted)| match key.as_str() {
            "bag" => *wanted == ours["bag"],
            "reason" if wanted == "*" => ours["reason"].is_string(),
            "code" => {
                let wanted = wanted.as_str().unwrap_or("").replace(".apl.", ".");
                Some(wanted.replace("global.policies.", "groups.").as_str()) == ours["code"].as_str()
            }
            "http.headers" => other(&lower(wanted), &lower(&ours[key])),
            // No decoration is no member, and no labels are kept in a run of one request.
            "details" if wanted.as_object().is_some_and(|map| map.is_empty()) => ours["details"].is_null(),
            "persisted_labels" if wanted == &Value::Array(Vec::new()) => true,
            // What goes over the wire beside the verdict is the enforcer's, and tested there.
            "proto_error_code" => true,
            "details" if wanted.is_array() => true,
            // Sets have no order.
            "value" if wanted.is_array() => sorted(wanted) == sorted(&ours[key]),
            _ => other(wanted, &ours[key]),
        }),
        _ => expected == ours,
    }
}

fn sorted(list: &Value) -> Option<Vec<String>> {
    let mut texts: Vec<String> = list.as_array()?.iter().map(Value::to_string).collect();
    texts.sort_unstable();
    Some(texts)
}

fn predicate(expected: &Value, ours: &Ran) -> bool {
    match expected {
        Value::Bool(value) => ours.denied == value.then(|| ("T".to_owned(), "HIT".to_owned())),
        // The oracle cannot tell a match from a phase that denies.
        Value::Object(_) => ours.denied.is_some(),
        _ => false,
    }
}

/// `routes.tool:t.apl.x` and `T` are our `T`.
fn code(text: &str) -> String {
    let text = text.replace("routes.tool:t.apl", "T");
    if text == "T" {
        "T.pre_invocation[0]".to_owned()
    } else {
        text
    }
}

fn verdict(vector: &Value, expected: &Value, ours: &Ran) -> bool {
    let right = match (expected["decision"].as_str(), &ours.denied) {
        (Some("allow"), None) => match (&expected["pending"], &ours.pending) {
            (Value::Null, None) => true,
            (wanted, Some((id, step))) => {
                wanted["id"] == *id.as_str() && code(wanted["source"].as_str().unwrap_or("")) == *step
            }
            (_, None) => false,
        },
        (Some("deny"), Some((our_code, our_reason))) => {
            let code = code(expected["code"].as_str().unwrap_or(""));
            let reason = expected["reason"]
                .as_str()
                .filter(|reason| !reason.is_empty())
                .unwrap_or("access denied");
            *our_code == code && (reason == "*" || reason == our_reason || expected.get("reason").is_none())
        }
        _ => false,
    };
    let document = |key: &str, ours: &Value| expected[key].is_null() || vector["expect"][key] == *ours;
    right
        && taints(expected, ours)
        && document("args", &ours.args)
        && document("result", &ours.result)
        && beside(expected, ours)
}

/// Everything but verdict and documents: constraints, calls, attributes.
pub(crate) fn beside(expected: &Value, ours: &Ran) -> bool {
    constraints(expected, ours) && calls(expected, ours) && attributes(expected, ours)
}

/// Labels that outlive the exchange are written, in order; the others are seen by later rules.
fn taints(expected: &Value, ours: &Ran) -> bool {
    let Some(list) = expected["taints"].as_array() else {
        return true;
    };
    let (message, written): (Vec<_>, Vec<_>) = list
        .iter()
        .map(taint)
        .partition(|(_, scopes)| *scopes == ["message"]);
    written == ours.asked.taints && message.iter().all(|(label, _)| ours.labels.contains(label))
}

/// Vectors list constraints as they are emitted; ours are folded as they come.
fn constraints(expected: &Value, ours: &Ran) -> bool {
    let Some(list) = expected["constraints"].as_array() else {
        return true;
    };
    areas::spelled(&ours.constraint) == fold(list)
}

/// The reference's folding.
fn fold(list: &[Value]) -> Value {
    let texts = |value: &Value| -> Option<BTreeSet<String>> {
        let list = value.as_array()?;
        Some(list.iter().filter_map(Value::as_str).map(str::to_owned).collect())
    };
    let mut folded = serde_json::Map::new();
    for key in ["allow_models", "allow_regions", "allow_sites"] {
        let sets = list.iter().filter_map(|one| texts(&one[key]));
        if let Some(left) = sets.reduce(|one, other| one.intersection(&other).cloned().collect()) {
            folded.insert(key.to_owned(), serde_json::json!(left));
        }
    }
    let denied: BTreeSet<String> = list
        .iter()
        .filter_map(|one| texts(&one["deny_models"]))
        .flatten()
        .collect();
    if !denied.is_empty() {
        folded.insert("deny_models".to_owned(), serde_json::json!(denied));
    }
    let tiers: BTreeSet<&str> = list
        .iter()
        .filter_map(|one| one["max_cost_tier"].as_str())
        .collect();
    if !tiers.is_empty() {
        folded.insert("max_cost_tiers".to_owned(), serde_json::json!(tiers));
    }
    let custom: serde_json::Map<String, Value> = list
        .iter()
        .filter_map(|one| one["custom"].as_object().cloned())
        .flatten()
        .collect();
    if !custom.is_empty() {
        folded.insert("custom".to_owned(), custom.into());
    }
    if folded.is_empty() {
        return Value::Null;
    }
    let fallback = list.iter().all(|one| one["on_empty"] == "fallback");
    let on_empty = if fallback { "fallback" } else { "deny" };
    folded.insert("on_empty".to_owned(), on_empty.into());
    folded.into()
}

/// CEL is evaluated in place, so nobody is called.
fn calls(expected: &Value, ours: &Ran) -> bool {
    let Some(list) = expected["calls"].as_array() else {
        return true;
    };
    let wanted: Vec<&str> = list
        .iter()
        .filter_map(Value::as_str)
        .filter(|call| *call != "pdp:cel")
        .collect();
    wanted == ours.asked.calls
}

fn attributes(expected: &Value, ours: &Ran) -> bool {
    let wanted = expected["bag_after"].as_object().into_iter().flatten();
    let mut wanted = wanted.map(|(key, value)| (ours.facts.get(key), value));
    wanted.all(|(fact, value)| match (fact, value) {
        (Some(Fact::Str(text)), Value::String(wanted)) => text == wanted,
        (Some(Fact::Bool(fact)), Value::Bool(wanted)) => fact == wanted,
        (Some(Fact::Int(fact)), Value::Number(wanted)) => Some(*fact) == wanted.as_i64(),
        (Some(Fact::Set(fact)), Value::Array(wanted)) => fact
            .iter()
            .map(String::as_str)
            .eq(wanted.iter().filter_map(Value::as_str).collect::<BTreeSet<_>>()),
        (fact, Value::Null) => fact.is_none(),
        _ => false,
    })
}

fn taint(entry: &Value) -> (String, Vec<String>) {
    let words = |value: &Value| value.as_str().unwrap_or("").to_owned();
    (
        words(&entry[0]),
        entry[1]
            .as_array()
            .map(|scopes| scopes.iter().map(words).collect())
            .unwrap_or_default(),
    )
}

fn pipeline(vector: &Value, expected: &Value, ours: &Ran) -> bool {
    let denies = expected["outcome"] == "deny" || expected["decision"] == "deny";
    if denies || ours.denied.is_some() {
        return denies && ours.denied.as_ref().is_some_and(|(code, _)| code == "T.args.f");
    }
    // The oracle's recording has null for a field that is gone, and labels in its own notation; both engines agree there.
    let value = match vector["expect"]["outcome"].as_str() {
        Some("pass") => Some(&vector["value"]),
        Some("omit") => None,
        _ => expected.get("value"),
    };
    taints(&vector["expect"], ours) && ours.args.get("f") == value
}
