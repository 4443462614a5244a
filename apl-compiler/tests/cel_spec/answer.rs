//! One test of cel-spec through compiler and machine.

use apl_bytecode::EntityKind;
use apl_compiler::compile;
use apl_vm::{Env, Facts, Machine, Mode, Outcome, Prepared, Verdict};
use serde_json::{Map, Value, json};

use super::textproto::{Field, Message};

/// What became of a test.
pub(crate) enum Answer {
    Right,
    /// It does not compile, or cannot be put as a policy's expression.
    NotAccepted(String),
    Wrong(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Truth {
    True,
    False,
    Error,
}

/// Asks.
pub(crate) fn answer(test: &Message) -> Answer {
    let expression = test.text("expr");
    if !test.text("container").is_empty() {
        return Answer::NotAccepted("names of messages".to_owned());
    }
    let mut variables = Map::new();
    for binding in test.all("bindings") {
        let value = binding
            .message("value")
            .and_then(|value| value.message("value"))
            .and_then(bound);
        let Some(value) = value else {
            return Answer::NotAccepted("a variable that JSON cannot hold".to_owned());
        };
        variables.insert(binding.text("key").to_owned(), value);
    }
    let (asked, wanted) = if test.get("eval_error").is_some() || test.get("any_eval_errors").is_some() {
        // An error of any expression denies; of one that is no boolean, too, so it is compared with itself.
        (format!("({expression}) == ({expression})"), Truth::Error)
    } else if test.get("unknown").is_some() || test.get("any_unknowns").is_some() {
        return Answer::NotAccepted("unknowns".to_owned());
    } else {
        if let Some(typed) = test.message("typed_result")
            && typed.message("result").is_none()
        {
            return Answer::NotAccepted("only a type is deduced".to_owned());
        }
        let typed = test
            .message("typed_result")
            .and_then(|typed| typed.message("result"));
        match test.message("value").or(typed) {
            // Without a value the specification wants true.
            None => (expression.to_owned(), Truth::True),
            Some(value) => match value.get("bool_value") {
                Some(Field::Word(word)) if word == "true" => (expression.to_owned(), Truth::True),
                Some(_) => (expression.to_owned(), Truth::False),
                None => match literal(value) {
                    Some(literal) => (format!("({expression}) == {literal}"), Truth::True),
                    None => return Answer::NotAccepted("a value that has no literal".to_owned()),
                },
            },
        }
    };
    let holds = match holds(&asked, &variables) {
        Ok(holds) => holds,
        Err(why) => return Answer::NotAccepted(why),
    };
    let holds_not = match self::holds(&format!("!({asked})"), &variables) {
        Ok(holds) => holds,
        Err(why) => return Answer::NotAccepted(why),
    };
    let truth = match (holds, holds_not) {
        (true, false) => Truth::True,
        (false, true) => Truth::False,
        (false, false) => Truth::Error,
        (true, true) => return Answer::Wrong("it holds, and so does its negation".to_owned()),
    };
    if truth == wanted {
        Answer::Right
    } else {
        Answer::Wrong(format!("{truth:?}, not {wanted:?}"))
    }
}

/// Whether a policy with this expression allows.
fn holds(expression: &str, variables: &Map<String, Value>) -> Result<bool, String> {
    let mut body = variables.clone();
    body.insert("expr".to_owned(), expression.into());
    let policy = json!({ "routes": [{ "tool": "t", "pre_invocation": [{ "cel": body }] }] });
    let compilation = compile("policy.yaml", &policy.to_string());
    let Some(output) = compilation.output else {
        let first = compilation.diagnostics.first();
        return Err(first.map_or_else(String::new, |one| one.message.clone()));
    };
    let program = Prepared::new(output.program).expect("it is sound");
    let route = apl_vm::find_route(&program, EntityKind::Tool, "t", None).expect("the route");
    let block = program.program().routes[route].pre.expect("its steps");
    let mut facts = Facts::default();
    let mut edits = Vec::new();
    let mut env = Env {
        facts: &mut facts,
        args: None,
        result: None,
        hash_key: None,
        mode: Mode::Enforce,
        edits: &mut edits,
    };
    match Machine::new(block, 1_000_000).run(&program, &mut env) {
        Outcome::Done(Verdict::Allow) => Ok(true),
        Outcome::Done(_) => Ok(false),
        Outcome::Await(_) => Err("it asks for an effect".to_owned()),
    }
}

/// A bound variable as JSON; `None`: of a type that JSON has not.
fn bound(value: &Message) -> Option<Value> {
    let (name, field) = value.0.first()?;
    match (name.as_str(), field) {
        ("null_value", _) => Some(Value::Null),
        ("bool_value", Field::Word(word)) => Some((word == "true").into()),
        ("int64_value", Field::Word(word)) => word.parse::<i64>().ok().map(Value::from),
        ("double_value", Field::Word(word)) => {
            // A whole double would be an integer in YAML.
            let value: f64 = word.parse().ok()?;
            (value.fract() != 0.0 && value.is_finite()).then(|| value.into())
        }
        ("string_value", Field::Text(text)) => Some(text.clone().into()),
        ("list_value", Field::Message(list)) => list.all("values").map(bound).collect(),
        ("map_value", Field::Message(map)) => {
            let mut members = Map::new();
            for entry in map.all("entries") {
                let Some(Value::String(key)) = entry.message("key").and_then(bound) else {
                    return None;
                };
                members.insert(key, entry.message("value").and_then(bound)?);
            }
            Some(members.into())
        }
        _ => None,
    }
}

/// An expected value as CEL writes it.
fn literal(value: &Message) -> Option<String> {
    let (name, field) = value.0.first()?;
    match (name.as_str(), field) {
        ("null_value", _) => Some("null".to_owned()),
        ("bool_value", Field::Word(word)) => Some(word.clone()),
        ("int64_value", Field::Word(word)) => Some(format!("({word})")),
        ("uint64_value", Field::Word(word)) => Some(format!("{word}u")),
        ("double_value", Field::Word(word)) => {
            let value: f64 = word.parse().ok()?;
            value.is_finite().then(|| format!("({value:?})"))
        }
        ("string_value", Field::Text(text)) => Some(quoted(text)),
        ("list_value", Field::Message(list)) => {
            let items: Option<Vec<String>> = list.all("values").map(literal).collect();
            Some(format!("[{}]", items?.join(", ")))
        }
        ("map_value", Field::Message(map)) => {
            let mut members = Vec::new();
            for entry in map.all("entries") {
                let (key, value) = (entry.message("key")?, entry.message("value")?);
                members.push(format!("{}: {}", literal(key)?, literal(value)?));
            }
            Some(format!("{{{}}}", members.join(", ")))
        }
        ("type_value", Field::Text(name)) => Some(name.clone()),
        _ => None,
    }
}

fn quoted(text: &str) -> String {
    let mut out = "\"".to_owned();
    for ch in text.chars() {
        match ch {
            '"' | '\\' => out.extend(['\\', ch]),
            ' '..='~' => out.push(ch),
            _ => out.push_str(&format!("\\U{:08x}", u32::from(ch))),
        }
    }
    out.push('"');
    out
}
