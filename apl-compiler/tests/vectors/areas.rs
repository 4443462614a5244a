//! The small areas: globs, what documents look like to a policy, constraints, templates.

use std::collections::BTreeMap;

use apl_bytecode::ListKind;
use apl_compiler::{File, Files, Policy, compile_policy};
use apl_vm::{Constraint, Tree};
use serde_json::{Map, Value, json};

use super::run::{self, Answer};

/// `glob`: patterns of models, as constraints have them.
pub(crate) fn glob(vector: &Value) -> Answer {
    let text = |key: &str| vector[key].as_str().unwrap_or("");
    Answer::Other(apl_vm::model_matches(text("policy"), text("text")).into())
}

/// `flatten`: what conditions see of a document, asked path by path.
pub(crate) fn flatten(vector: &Value) -> Answer {
    let root = vector["policy"].as_str().unwrap_or("args");
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
                    format!("{path}[{}]", quoted(key)),
                    format!("{name}.{key}"),
                    value,
                    visit,
                );
            }
        }
        _ => visit(&path, &name, value),
    }
}

/// A text as policy writes it: only quotes and backslashes are escaped.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// A scalar as policy writes it: numbers have no exponent.
fn literal(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        Value::Number(number) if number.as_i64().is_none() => {
            let number = format!("{}", number.as_f64().unwrap_or_default());
            if number.contains('.') {
                number
            } else {
                format!("{number}.0")
            }
        }
        other => other.to_string(),
    }
}

/// What conditions can tell of the attribute; `None`: it is absent.
fn seen(root: &str, path: &str, value: &Value, input: &Value) -> Option<Value> {
    let holds = |condition: String| {
        let rule = json!({ "when": condition, "do": ["deny('HIT', 'T')"] });
        if root == "args" || root == "result" {
            run::denies(root, &rule, input)
        } else {
            denies_by_file(root, &rule, input)
        }
    };
    if !holds(format!("exists({path})")) {
        return None;
    }
    match value {
        Value::Array(items) => {
            let mut members: Vec<String> = Vec::new();
            for item in items {
                let text = item.as_str().map_or_else(|| item.to_string(), str::to_owned);
                if holds(format!("{path} contains {}", quoted(&text))) && !members.contains(&text) {
                    members.push(text);
                }
            }
            Some(members.into())
        }
        Value::Null | Value::Object(_) => Some("present".into()),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            holds(format!("{path} == {}", literal(value))).then(|| value.clone())
        }
    }
}

/// A file of static attributes.
struct Attributes<'a>(&'a str, &'a Value);

impl Files for Attributes<'_> {
    fn read(&self, path: &str) -> Result<(String, String), String> {
        Ok((path.to_owned(), json!({ self.0: self.1 }).to_string()))
    }
}

/// Whether a rule over static attributes denies.
fn denies_by_file(root: &str, rule: &Value, input: &Value) -> bool {
    let text = json!({
        "global": { "attribute_files": ["attributes.yaml"] },
        "routes": [{ "tool": "t", "pre_invocation": [rule] }],
    });
    let policy = Policy {
        main: File {
            name: "policy.yaml".to_owned(),
            text: text.to_string(),
        },
        teams: Vec::new(),
        files: &Attributes(root, input),
    };
    let Some(output) = compile_policy(&policy).output else {
        return false;
    };
    let ran = run::phase(
        output.program,
        &Value::Null,
        &Map::new(),
        &Value::Null,
        &Value::Null,
    );
    ran.denied.is_some()
}

/// A list of texts.
fn texts(value: &Value) -> impl Iterator<Item = String> + '_ {
    value
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(str::to_owned)
}

/// `restrict_fold`: one `restrict` step for each constraint; what is left in the end.
pub(crate) fn restrict_fold(vector: &Value) -> Answer {
    let steps: Vec<Value> = vector["constraints"]
        .as_array()
        .into_iter()
        .flatten()
        .map(step)
        .collect();
    let route = format!("{{tool: t, \"pre_invocation\": {}}}", Value::Array(steps));
    match run::run(&route, &Value::Null, Map::new(), Value::Null, Value::Null) {
        Answer::Verdict(ran) => match ran.denied {
            Some((code, _)) if code == "policy.restrict_conflict" => Answer::Other("conflict".into()),
            _ => Answer::Other(spelled(&ran.constraint)),
        },
        other => other,
    }
}

/// As policy writes it. What the vectors call an empty list is a reference that names nothing.
fn step(constraint: &Value) -> Value {
    let mut fields = Map::new();
    for (key, value) in constraint.as_object().into_iter().flatten() {
        let value = match value.as_array() {
            Some(members) if members.is_empty() => "claim.of_nobody".into(),
            _ => value.clone(),
        };
        fields.insert(key.clone(), value);
    }
    json!({ "restrict": fields })
}

/// A folded constraint as vectors spell it.
pub(crate) fn spelled(constraint: &Constraint) -> Value {
    if constraint.is_empty() {
        return Value::Null;
    }
    let mut folded = Map::new();
    for (kind, members) in &constraint.lists {
        folded.insert(kind.name().to_owned(), json!(members));
    }
    if !constraint.max_cost_tiers.is_empty() {
        folded.insert("max_cost_tiers".to_owned(), json!(constraint.max_cost_tiers));
    }
    if !constraint.custom.is_empty() {
        folded.insert("custom".to_owned(), json!(constraint.custom));
    }
    let on_empty = if constraint.falls_back() {
        "fallback"
    } else {
        "deny"
    };
    folded.insert("on_empty".to_owned(), on_empty.into());
    Value::Object(folded)
}

/// `accepts`: whether a folded constraint admits a backend.
pub(crate) fn accepts(vector: &Value) -> Answer {
    let policy = &vector["policy"];
    let pairs = |value: &Value| -> BTreeMap<String, String> {
        let members = value.as_object().into_iter().flatten();
        members
            .map(|(name, value)| {
                (
                    name.clone(),
                    value.as_str().map_or_else(|| value.to_string(), str::to_owned),
                )
            })
            .collect()
    };
    let lists = ListKind::ALL
        .into_iter()
        .filter(|kind| policy[kind.name()].is_array())
        .map(|kind| (kind, texts(&policy[kind.name()]).collect()));
    let constraint = Constraint {
        lists: lists.collect(),
        max_cost_tiers: texts(&policy["max_cost_tiers"])
            .chain(policy["max_cost_tier"].as_str().map(str::to_owned))
            .collect(),
        custom: pairs(&policy["custom"]),
        strict: policy["on_empty"] != "fallback",
    };
    let tiers: Vec<String> = texts(&vector["tier_order"]).collect();
    Answer::Other(constraint.admits(&pairs(&vector["labels"]), &tiers).into())
}

/// `template`: a value in the arguments of a decision point.
pub(crate) fn template(vector: &Value) -> Answer {
    let call = json!({ "action": "a", "resource": { "type": "T", "id": "i" }, "context": { "v": vector["policy"] } });
    let bag = vector["bag"].as_object().cloned().unwrap_or_default();
    let route = format!("{{tool: t, \"pre_invocation\": [{{\"cedar\": {call}}}]}}");
    let vector = json!({ "mocks": { "pdp": { "cedar": "allow" } } });
    let (args, result) = (run::from_bag(&bag, "args"), run::from_bag(&bag, "result"));
    let Answer::Verdict(ran) = run::run(&route, &vector, bag, args, result) else {
        return Answer::Refused;
    };
    let value = match ran.asked.told.first() {
        Some(Tree::Map(call)) => match call.get("context") {
            Some(Tree::Map(context)) => context.get("v").map(tree),
            _ => None,
        },
        _ => None,
    };
    Answer::Other(match value {
        Some(value) => json!({ "value": value }),
        // A denial of the step: what it was to be told has no value.
        None => json!({ "error": "missing_key" }),
    })
}

fn tree(tree: &Tree) -> Value {
    match tree {
        Tree::Null => Value::Null,
        Tree::Bool(value) => json!(value),
        Tree::Int(value) => json!(value),
        Tree::Uint(value) => json!(value),
        Tree::Float(value) => json!(value),
        Tree::Text(text) => json!(text),
        Tree::List(items) => items.iter().map(self::tree).collect(),
        Tree::Map(members) => members
            .iter()
            .map(|(key, value)| (key.clone(), self::tree(value)))
            .collect::<Map<_, _>>()
            .into(),
    }
}
