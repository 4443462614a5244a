//! Pipelines from JSON Schema: what the schema says and a pipeline can check.

use apl_compiler::{compile, types};
use serde_json::Value;

/// What came of a schema.
#[derive(Debug, Default)]
pub(super) struct Fields {
    /// Fields and their pipelines, in the order of the schema.
    pub lines: Vec<(String, String)>,
    /// What has no pipeline, and why.
    pub left: Vec<String>,
}

/// Deepest properties.
const MAX_DEPTH: u32 = 8;

/// The pipelines of a tool's arguments.
pub(super) fn of(schema: &Value) -> Fields {
    let mut fields = Fields::default();
    object(schema, "", true, 0, &mut fields);
    fields
}

/// Whether a property can stand in a field's path: dots separate keys, `*` and numbers mean something else there.
pub(super) fn nameable(name: &str) -> bool {
    !name.is_empty() && !name.contains(['.', '*']) && name.parse::<u64>().is_err()
}

/// `always`: whoever holds these properties is always there, so what it requires is required.
fn object(schema: &Value, prefix: &str, always: bool, depth: u32, out: &mut Fields) {
    let required: Vec<&str> = schema
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let properties = schema.get("properties").and_then(Value::as_object);
    for (name, inner) in properties.into_iter().flatten() {
        if !nameable(name) {
            out.left
                .push(format!("the argument `{name}`, whose name a field cannot spell"));
            continue;
        }
        let path = if prefix.is_empty() {
            name.clone()
        } else {
            format!("{prefix}.{name}")
        };
        let required = always && required.contains(&name.as_str());
        property(inner, &path, required, depth, out);
    }
}

fn property(schema: &Value, path: &str, required: bool, depth: u32, out: &mut Fields) {
    let nullable = schema
        .get("type")
        .and_then(Value::as_array)
        .is_some_and(|names| names.iter().any(|name| name == "null"));
    let mut stages: Vec<String> = Vec::new();
    if required && !nullable {
        stages.push("required".to_owned());
    }
    let nested = depth < MAX_DEPTH;
    match types(schema).as_slice() {
        _ if nullable => out.left.push(format!("`{path}`, which may be null")),
        ["string"] => text(schema, path, &mut stages, &mut out.left),
        ["integer"] => {
            stages.push("int".to_owned());
            stages.extend(range(schema));
        }
        ["number"] => {
            stages.push("float".to_owned());
            stages.extend(range(schema));
        }
        ["boolean"] => stages.push("bool".to_owned()),
        ["object"] if nested => object(schema, path, required, depth + 1, out),
        ["array"] if nested && schema.pointer("/items/properties").is_some() => {
            let items = schema.get("items").unwrap_or(&Value::Null);
            object(items, path, false, depth + 1, out);
        }
        ["array"] => out.left.push(format!("the elements of `{path}`")),
        _ => out
            .left
            .push(format!("`{path}`, whose schema names no single type")),
    }
    if stages.is_empty() {
        return;
    }
    let pipeline = stages.join(" | ");
    if accepted(&pipeline) {
        out.lines.push((path.to_owned(), pipeline));
    } else {
        out.left.push(format!("`{path}`"));
    }
}

fn text(schema: &Value, path: &str, stages: &mut Vec<String>, left: &mut Vec<String>) {
    let values = schema.get("enum").and_then(Value::as_array).or(None);
    let single = schema.get("const").map(std::slice::from_ref);
    if let Some(values) = values.map(Vec::as_slice).or(single) {
        let texts: Option<Vec<String>> = values.iter().map(|value| value.as_str().map(literal)).collect();
        if let Some(texts) = texts {
            stages.push(format!("enum({})", texts.join(", ")));
            return;
        }
    }
    stages.push("str".to_owned());
    match schema.get("format").and_then(Value::as_str) {
        Some("email") => stages.push("email".to_owned()),
        Some("uuid") => stages.push("uuid".to_owned()),
        Some("uri" | "url") if pattern_of(schema).is_none() => left.push(format!(
            "`{path}` is a URI; the stage `url` admits http and https only"
        )),
        Some(_) | None => {}
    }
    let length = |key: &str| {
        schema
            .get(key)
            .and_then(Value::as_u64)
            .filter(|length| *length <= u64::from(u32::MAX))
    };
    match (length("minLength").filter(|low| *low > 0), length("maxLength")) {
        (None, None) => {}
        (low, high) => {
            let show = |end: Option<u64>| end.map_or(String::new(), |end| end.to_string());
            stages.push(format!("len({}..{})", show(low), show(high)));
        }
    }
    if let Some(pattern) = pattern_of(schema) {
        let stage = format!("regex({})", literal(pattern));
        if accepted(&stage) {
            stages.push(stage);
        } else {
            left.push(format!(
                "the pattern of `{path}`, which is not anchored or not one of ours: {pattern}"
            ));
        }
    }
}

fn pattern_of(schema: &Value) -> Option<&str> {
    schema.get("pattern").and_then(Value::as_str)
}

/// Whole numbers only; a bound that is none is left out, which admits more than the schema, never less.
fn range(schema: &Value) -> Option<String> {
    let bound = |key: &str| schema.get(key).and_then(Value::as_i64);
    let integer = schema.get("type").is_some_and(|name| name == "integer");
    let low = bound("minimum")
        .or_else(|| bound("exclusiveMinimum").map(|low| if integer { low.saturating_add(1) } else { low }));
    let high = bound("maximum").or_else(|| {
        bound("exclusiveMaximum").map(|high| if integer { high.saturating_sub(1) } else { high })
    });
    let show = |end: Option<i64>| end.map_or(String::new(), |end| end.to_string());
    (low.is_some() || high.is_some()).then(|| format!("{}..{}", show(low), show(high)))
}

/// A quoted literal of the language.
fn literal(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Whether the compiler takes the pipeline without a word.
fn accepted(pipeline: &str) -> bool {
    let policy = format!(
        "routes: [{{tool: x, args: {{f: {}}}}}]\n",
        super::words::quoted(pipeline)
    );
    let compilation = compile("stage", &policy);
    compilation.output.is_some() && compilation.diagnostics.is_empty()
}
