//! What a vector expects, and whether an answer is that.

use serde_json::Value;

use super::run::Answer;

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
    if matches!(ours, Answer::Refused | Answer::NotInBuild) {
        return false;
    }
    if let Answer::Other(ours) = ours {
        return other(expected, ours);
    }
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
            _ => other(wanted, &ours[key]),
        }),
        _ => expected == ours,
    }
}

fn predicate(expected: &Value, ours: &Answer) -> bool {
    let Answer::Verdict { denied, .. } = ours else {
        return false;
    };
    match expected {
        Value::Bool(value) => *denied == value.then(|| ("T".to_owned(), "HIT".to_owned())),
        // The oracle cannot tell a match from a phase that denies.
        Value::Object(_) => denied.is_some(),
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

fn verdict(vector: &Value, expected: &Value, ours: &Answer) -> bool {
    let Answer::Verdict {
        denied,
        taints,
        args,
        result,
    } = ours
    else {
        return false;
    };
    let right = match (expected["decision"].as_str(), denied) {
        (Some("allow"), None) => expected["pending"].is_null() && expected["constraints"].is_null(),
        (Some("deny"), Some((our_code, our_reason))) => {
            let code = code(expected["code"].as_str().unwrap_or(""));
            let reason = expected["reason"]
                .as_str()
                .filter(|reason| !reason.is_empty())
                .unwrap_or("access denied");
            *our_code == code && (reason == "*" || reason == our_reason)
        }
        _ => false,
    };
    let taints_right = match expected["taints"].as_array() {
        Some(list) => list.iter().map(taint).collect::<Vec<_>>() == *taints,
        None => true,
    };
    let document = |key: &str, ours: &Value| expected[key].is_null() || vector["expect"][key] == *ours;
    right && taints_right && document("args", args) && document("result", result)
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

fn pipeline(vector: &Value, expected: &Value, ours: &Answer) -> bool {
    let Answer::Verdict {
        denied, taints, args, ..
    } = ours
    else {
        return false;
    };
    let denies = expected["outcome"] == "deny" || expected["decision"] == "deny";
    if denies || denied.is_some() {
        return denies && denied.as_ref().is_some_and(|(code, _)| code == "T.args.f");
    }
    // The oracle's recording has null for a field that is gone, and labels in its own notation; both engines agree there.
    let value = match vector["expect"]["outcome"].as_str() {
        Some("pass") => Some(&vector["value"]),
        Some("omit") => None,
        _ => expected.get("value"),
    };
    let taints_right = match vector["expect"]["taints"].as_array() {
        Some(list) => list.iter().map(taint).collect::<Vec<_>>() == *taints,
        None => true,
    };
    taints_right && args.get("f") == value
}
