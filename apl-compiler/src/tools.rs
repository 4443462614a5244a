//! What tools there are: the answer to MCP's `tools/list`, as far as policy can be checked against it.
//!
//! JSON Schema is read for the properties, types and `required` that it states plainly; what it says by `$ref`, `anyOf` and
//! the like is taken as "anything", so that a check never objects to what the schema may allow.

use serde_json::{Map, Value};

/// Deepest properties that are looked at.
const MAX_DEPTH: usize = 32;

/// Tools, in the order of the list.
#[derive(Debug, Clone, Default)]
pub struct Tools {
    /// Each name once.
    pub list: Vec<Tool>,
}

/// A tool.
#[derive(Debug, Clone)]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// What it says about itself.
    pub description: Option<String>,
    /// The JSON Schema of its arguments.
    pub input: Value,
    /// The JSON Schema of its structured result.
    pub output: Option<Value>,
}

/// Why a list of tools cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ToolsError {
    /// Not JSON.
    #[error("this is not JSON: {0}")]
    Json(String),
    /// JSON, but no list.
    #[error(
        "this is no `tools/list` answer: expected an array, `{{\"tools\": [...]}}`, or a JSON-RPC message with `result.tools`"
    )]
    NoList,
    /// The answer is an error.
    #[error("this is the JSON-RPC error {0}, not a list of tools")]
    Answer(String),
    /// An entry without a name.
    #[error("tool {0} of the list has no `name`")]
    NoName(usize),
    /// Two entries of one name.
    #[error("the tool `{0}` stands twice in the list")]
    Twice(String),
}

impl Tools {
    /// Reads an array of tools, a bare result, or a JSON-RPC message.
    ///
    /// # Errors
    ///
    /// When it is none of these.
    pub fn parse(text: &str) -> Result<Self, ToolsError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let value: Value = serde_json::from_str(text).map_err(|fault| ToolsError::Json(fault.to_string()))?;
        if let Some(fault) = value.get("error") {
            return Err(ToolsError::Answer(fault.to_string()));
        }
        let result = value.get("result").unwrap_or(&value);
        let items = result
            .get("tools")
            .unwrap_or(result)
            .as_array()
            .ok_or(ToolsError::NoList)?;
        let mut list: Vec<Tool> = Vec::new();
        for (at, item) in items.iter().enumerate() {
            let name = item
                .get("name")
                .and_then(Value::as_str)
                .filter(|name| !name.is_empty())
                .ok_or(ToolsError::NoName(at))?;
            if list.iter().any(|tool| tool.name == name) {
                return Err(ToolsError::Twice(name.to_owned()));
            }
            list.push(Tool {
                name: name.to_owned(),
                description: item.get("description").and_then(Value::as_str).map(str::to_owned),
                input: item.get("inputSchema").cloned().unwrap_or(Value::Null),
                output: item.get("outputSchema").cloned().filter(Value::is_object),
            });
        }
        Ok(Self { list })
    }
}

impl Tool {
    /// Dotted paths that a valid call always has: `required` properties, and those required in them.
    #[must_use]
    pub fn required(&self) -> Vec<String> {
        let mut found = Vec::new();
        required(&self.input, "", MAX_DEPTH, &mut found);
        found
    }
}

fn required(schema: &Value, prefix: &str, depth: usize, found: &mut Vec<String>) {
    let names = schema.get("required").and_then(Value::as_array);
    for name in names.into_iter().flatten().filter_map(Value::as_str) {
        let path = if prefix.is_empty() {
            name.to_owned()
        } else {
            format!("{prefix}.{name}")
        };
        if depth > 0
            && let Some(inner) = properties(schema).and_then(|properties| properties.get(name))
        {
            required(inner, &path, depth - 1, found);
        }
        found.push(path);
    }
}

fn properties(schema: &Value) -> Option<&Map<String, Value>> {
    schema.get("properties").and_then(Value::as_object)
}

/// What a schema says about a path.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Lookup<'s> {
    /// The schema of it.
    Known(&'s Value),
    /// It may be there; nothing is said about it.
    Open,
    /// It cannot be there; these names stand in its place.
    Missing(&'s Map<String, Value>),
}

/// Follows object keys, going through arrays. A name that is not declared is missing where `properties` are given, unless
/// `additionalProperties` or a pattern admits more.
///
/// JSON Schema's default admits more everywhere, which would make every check mute; a tool that declares properties and
/// says nothing about others is taken at its word, and the finding is a warning.
#[must_use]
pub fn lookup<'s>(schema: &'s Value, path: &[&str]) -> Lookup<'s> {
    let mut at = schema;
    for (index, name) in path.iter().enumerate() {
        if index >= MAX_DEPTH {
            return Lookup::Open;
        }
        at = through_arrays(at);
        if loose(at) {
            return Lookup::Open;
        }
        let Some(properties) = properties(at) else {
            return Lookup::Open;
        };
        match properties.get(*name) {
            Some(inner) => at = inner,
            None => {
                let more = at.get("patternProperties").is_some()
                    || at
                        .get("additionalProperties")
                        .is_some_and(|more| *more != Value::Bool(false));
                return if more {
                    Lookup::Open
                } else {
                    Lookup::Missing(properties)
                };
            }
        }
    }
    Lookup::Known(at)
}

fn through_arrays(mut schema: &Value) -> &Value {
    for _ in 0..MAX_DEPTH {
        match schema.get("items") {
            Some(items) if items.is_object() && properties(schema).is_none() => schema = items,
            Some(_) | None => break,
        }
    }
    schema
}

/// Says things that are not followed.
fn loose(schema: &Value) -> bool {
    ["$ref", "anyOf", "oneOf", "allOf", "if", "$dynamicRef"]
        .iter()
        .any(|word| schema.get(word).is_some())
}

/// The types that a schema allows, without `null`; empty: anything.
#[must_use]
pub fn types(schema: &Value) -> Vec<&str> {
    if loose(schema) {
        return Vec::new();
    }
    match schema.get("type") {
        Some(Value::String(name)) => vec![name.as_str()],
        Some(Value::Array(names)) => names
            .iter()
            .filter_map(Value::as_str)
            .filter(|name| *name != "null")
            .collect(),
        Some(_) | None => Vec::new(),
    }
}
