//! The small areas: globs, and what the arguments look like to a policy.

use serde_json::{Map, Value, json};

use super::run::{self, Answer};

/// `glob`: the one matcher that routes use too.
pub(crate) fn glob(vector: &Value) -> Answer {
    let text = |key: &str| vector[key].as_str().unwrap_or("");
    Answer::Other(apl_bytecode::glob_matches(text("policy"), text("text")).into())
}

/// `flatten`: what conditions see of a document, asked path by path.
pub(crate) fn flatten(vector: &Value) -> Answer {
    let root = vector["policy"].as_str().unwrap_or("args");
    if root != "args" && root != "result" {
        return Answer::NotInBuild;
    }
    let mut bag = Map::new();
    walk(
        root.to_owned(),
        root.to_owned(),
        &vector["input"],
        &mut |path, name, value| {
            if let Some(seen) = seen(root, path, value, &vector["input"]) {
                bag.insert(name.to_owned(), seen);
            }
        },
    );
    Answer::Other(json!({ "bag": bag }))
}

/// Every value that a path leads to, with the path as policy spells it and as a bag names it.
fn walk(path: String, name: String, value: &Value, visit: &mut impl FnMut(&str, &str, &Value)) {
    match value {
        Value::Object(members) if !members.is_empty() => {
            for (key, value) in members {
                walk(
                    format!("{path}[{}]", json!(key)),
                    format!("{name}.{key}"),
                    value,
                    visit,
                );
            }
        }
        _ => visit(&path, &name, value),
    }
}

/// What conditions can tell of the attribute; `None`: it is absent.
fn seen(root: &str, path: &str, value: &Value, input: &Value) -> Option<Value> {
    let holds = |condition: String| {
        let rule = json!({ "when": condition, "do": ["deny('HIT', 'T')"] });
        run::denies(root, &rule, input)
    };
    if !holds(format!("exists({path})")) {
        return None;
    }
    match value {
        Value::Array(items) => {
            let mut members: Vec<String> = Vec::new();
            for item in items {
                let text = item.as_str().map_or_else(|| item.to_string(), str::to_owned);
                if holds(format!("{path} contains {}", json!(text))) && !members.contains(&text) {
                    members.push(text);
                }
            }
            Some(members.into())
        }
        Value::Null | Value::Object(_) => Some("present".into()),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            holds(format!("{path} == {value}")).then(|| value.clone())
        }
    }
}
