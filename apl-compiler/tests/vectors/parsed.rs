//! `step_parse`: what a step became, in the vectors' form, as far as a program tells it apart.

use apl_bytecode::{Actor, Effect, OnError, Operand, Program, Subject, VerifiedProgram};
use serde_json::{Map, Value, json};

use super::effects::words;

/// The step's summary; `None`: of this kind only that it compiles can be compared.
pub(crate) fn summary(program: &VerifiedProgram, expected: &Value) -> Option<Value> {
    let program: &Program = program.program();
    let text = |id: apl_bytecode::StrId| program.strings[id.at()].clone();
    let one = |effect: &Effect| match (expected["kind"].as_str()?, effect) {
        ("plugin", Effect::Audit { plugin, .. }) => Some(json!({ "kind": "plugin", "name": text(*plugin) })),
        ("taint", Effect::Taint { label, scopes, .. }) => {
            Some(json!({ "kind": "taint", "label": text(*label), "scopes": words(*scopes) }))
        }
        ("restrict", Effect::Restrict(_)) => Some(json!({ "kind": "restrict" })),
        ("elicit", Effect::Elicit(elicit)) => {
            let mut spelled = String::new();
            match elicit.from {
                Operand::Text(id) => spelled = text(id),
                Operand::Attr(id) => {
                    for seg in &program.attrs[id.at()].segs {
                        if let apl_bytecode::Seg::Name(name) = seg {
                            spelled = format!(
                                "{spelled}{}{}",
                                if spelled.is_empty() { "" } else { "." },
                                text(*name)
                            );
                        }
                    }
                }
            }
            Some(json!({
                "kind": "elicit", "elicit_kind": elicit.kind.name(), "plugin": text(elicit.handler), "from": spelled,
            }))
        }
        ("delegate", Effect::Delegate(delegate)) => {
            let mut config = Map::new();
            for key in expected["config"]
                .as_object()
                .into_iter()
                .flatten()
                .map(|(key, _)| key)
            {
                let value = match key.as_str() {
                    "target" => Some(text(delegate.target).into()),
                    "audience" => Some(text(delegate.audience).into()),
                    "subject" => Some(spelled(delegate.subject, key_text(expected, key))),
                    "actor" => delegate.actor.map(|actor| match actor {
                        Actor::User => "user".into(),
                        Actor::Client => "client".into(),
                        Actor::CallerWorkload => "caller_workload".into(),
                    }),
                    // What the target is, and who checks there: nothing that is minted depends on it.
                    "target_type" | "auth_enforced_by" => Some(expected["config"][key].clone()),
                    "permissions" => Some(delegate.permissions.iter().map(|id| text(*id)).collect()),
                    _ => None,
                };
                config.extend(value.map(|value: Value| (key.clone(), value)));
            }
            let on_error = match delegate.on_error {
                // The word has no case.
                OnError::Continue => expected["on_error"]
                    .as_str()
                    .filter(|word| word.eq_ignore_ascii_case("continue"))
                    .or(Some("continue")),
                // Said or not, it is the same.
                OnError::Deny => expected["on_error"].as_str().filter(|word| *word == "deny"),
            };
            let config = if config.is_empty() {
                Value::Null
            } else {
                config.into()
            };
            Some(json!({
                "kind": "delegate", "plugin": text(delegate.delegator), "config": config, "on_error": on_error,
            }))
        }
        _ => None,
    };
    program.effects.iter().find_map(one)
}

fn key_text<'a>(expected: &'a Value, key: &str) -> &'a str {
    expected["config"][key].as_str().unwrap_or("")
}

/// The subject under the name by which the step called it.
fn spelled(subject: Subject, written: &str) -> Value {
    let names: &[&str] = match subject {
        Subject::User => &["user"],
        Subject::Client => &["client"],
        Subject::CallerWorkload => &["caller_workload", "workload"],
        Subject::ThisWorkload => &["this_workload", "gateway"],
    };
    let name = names.iter().find(|name| **name == written).or(names.first());
    name.map_or(Value::Null, |name| (*name).into())
}
