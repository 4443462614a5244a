//! `x-kubernetes-validations`: the definitions' own CEL rules, run with the `cel` crate and the functions that Kubernetes
//! adds (https://kubernetes.io/docs/reference/using-api/cel/).

use std::collections::HashMap;
use std::sync::Arc;

use cel::extractors::This;
use cel::{Context, Program, Value as Cel};
use serde_json::Value;

use super::crd::Verdict;

/// Runs every rule whose value is there.
pub(crate) fn run(schema: &Value, value: &Value, at: &str, verdict: &mut Verdict) {
    for rule in schema["x-kubernetes-validations"]
        .as_array()
        .into_iter()
        .flatten()
    {
        let text = rule["rule"].as_str().expect("a rule is a text");
        // Rules of transition speak about updates.
        if text.contains("oldSelf") {
            continue;
        }
        verdict.rules += 1;
        match holds(text, value) {
            Ok(true) => {}
            Ok(false) => {
                let message = rule["message"].as_str().unwrap_or(text);
                verdict.errors.push(format!("{at}: {message}"));
            }
            Err(error) => verdict
                .errors
                .push(format!("{at}: the rule `{text}` cannot be run: {error}")),
        }
    }
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let inner = schema["properties"]
                    .get(name)
                    .unwrap_or(&schema["additionalProperties"]);
                run(inner, value, &format!("{at}.{name}"), verdict);
            }
        }
        Value::Array(items) => {
            for (number, item) in items.iter().enumerate() {
                run(&schema["items"], item, &format!("{at}[{number}]"), verdict);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn holds(rule: &str, value: &Value) -> Result<bool, String> {
    let program = Program::compile(rule).map_err(|error| error.to_string())?;
    let mut context = Context::default();
    functions(&mut context);
    context.add_variable_from_value("self", convert(value));
    match program.execute(&context) {
        Ok(Cel::Bool(holds)) => Ok(holds),
        Ok(other) => Err(format!("it gives {other:?}, no boolean")),
        Err(error) => Err(error.to_string()),
    }
}

/// JSON as CEL sees it: whole numbers are `int`, never `uint`.
fn convert(value: &Value) -> Cel {
    match value {
        Value::Null => Cel::Null,
        Value::Bool(value) => Cel::Bool(*value),
        Value::Number(number) => match number.as_i64() {
            Some(number) => Cel::Int(number),
            None => Cel::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(text) => Cel::String(Arc::new(text.clone())),
        Value::Array(items) => Cel::List(Arc::new(items.iter().map(convert).collect())),
        Value::Object(fields) => fields
            .iter()
            .map(|(key, value)| (key.clone(), convert(value)))
            .collect::<HashMap<String, Cel>>()
            .into(),
    }
}

fn functions(context: &mut Context<'_, '_>) {
    // A URL is carried as its text; the one method that these definitions call is its scheme.
    let declared = [
        context.add_function("url", |text: Arc<String>| text),
        context.add_function("isURL", |text: Arc<String>| scheme(&text).is_some()),
        context.add_function("getScheme", |This(text): This<Arc<String>>| {
            scheme(&text).unwrap_or_default().to_owned()
        }),
    ];
    for result in declared {
        result.expect("no function of the standard library");
    }
    // Some releases of the crate bring these.
    let _ = context.add_function(
        "substring",
        |This(text): This<Arc<String>>, from: i64, to: i64| {
            let (from, to) = (
                usize::try_from(from).unwrap_or(0),
                usize::try_from(to).unwrap_or(0),
            );
            text.chars()
                .skip(from)
                .take(to.saturating_sub(from))
                .collect::<String>()
        },
    );
    let _ = context.add_function("upperAscii", |This(text): This<Arc<String>>| {
        text.to_ascii_uppercase()
    });
}

/// Go's `url.ParseRequestURI`, as far as these rules look: an absolute URL, or an absolute path without a scheme.
fn scheme(text: &str) -> Option<&str> {
    if text.starts_with('/') {
        return Some("");
    }
    let (scheme, rest) = text.split_once(':')?;
    let legal = scheme.starts_with(|ch: char| ch.is_ascii_alphabetic())
        && scheme
            .chars()
            .all(|ch| ch.is_ascii_alphanumeric() || "+-.".contains(ch));
    (legal && rest.starts_with("//") && !rest.contains(' ')).then_some(scheme)
}
