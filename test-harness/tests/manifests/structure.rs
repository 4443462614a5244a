//! The structural half of a definition: OpenAPI v3 as Kubernetes uses it, turned into JSON Schema.

use serde_json::{Map, Value, json};

/// A validator that refuses unknown fields, as `kubectl --validate=strict` does.
pub(crate) fn validator(open_api: &Value) -> jsonschema::Validator {
    let mut schema = strict(open_api);
    // An API server adds to these by itself.
    schema["properties"]["apiVersion"] = json!({ "type": "string" });
    schema["properties"]["kind"] = json!({ "type": "string" });
    schema["properties"]["metadata"] = json!({ "type": "object", "required": ["name"] });
    jsonschema::draft7::new(&schema).expect("a definition's schema compiles")
}

/// The same schema with nothing beside its properties allowed. Below `allOf`, `anyOf`, `oneOf` and `not` stand conditions,
/// not structure (apiextensions.k8s.io: structural schemas), so they are left as they are.
fn strict(schema: &Value) -> Value {
    let Value::Object(fields) = schema else {
        return schema.clone();
    };
    let mut out = Map::new();
    for (key, value) in fields {
        match key.as_str() {
            "properties" => {
                let inner = value.as_object().expect("properties are a map");
                out.insert(
                    key.clone(),
                    inner
                        .iter()
                        .map(|(name, inner)| (name.clone(), strict(inner)))
                        .collect(),
                );
            }
            "items" | "additionalProperties" => {
                out.insert(key.clone(), strict(value));
            }
            "nullable" | "description" | "default" | "format" | "example" => {}
            extension if extension.starts_with("x-kubernetes") => {}
            _ => {
                out.insert(key.clone(), value.clone());
            }
        }
    }
    let flag = |name: &str| fields.get(name) == Some(&Value::Bool(true));
    if flag("x-kubernetes-int-or-string") {
        out.insert("type".to_owned(), json!(["integer", "string"]));
    }
    if fields.contains_key("properties")
        && !fields.contains_key("additionalProperties")
        && !flag("x-kubernetes-preserve-unknown-fields")
    {
        out.insert("additionalProperties".to_owned(), Value::Bool(false));
    }
    if flag("nullable")
        && let Some(Value::String(kind)) = out.get("type").cloned()
    {
        out.insert("type".to_owned(), json!([kind, "null"]));
    }
    Value::Object(out)
}

/// Fills in defaults, as an API server does before it runs rules.
pub(crate) fn default(schema: &Value, value: &mut Value) {
    match value {
        Value::Object(fields) => {
            let Some(properties) = schema["properties"].as_object() else {
                if schema["additionalProperties"].is_object() {
                    fields
                        .values_mut()
                        .for_each(|value| default(&schema["additionalProperties"], value));
                }
                return;
            };
            for (name, inner) in properties {
                if !fields.contains_key(name)
                    && let Some(given) = inner.get("default")
                {
                    fields.insert(name.clone(), given.clone());
                }
                if let Some(value) = fields.get_mut(name) {
                    default(inner, value);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| default(&schema["items"], item)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Lists of type `map` have every key once.
pub(crate) fn keys(schema: &Value, value: &Value, at: &str, errors: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let inner = schema["properties"]
                    .get(name)
                    .unwrap_or(&schema["additionalProperties"]);
                keys(inner, value, &format!("{at}.{name}"), errors);
            }
        }
        Value::Array(items) => {
            if schema["x-kubernetes-list-type"] == "map" {
                let names = schema["x-kubernetes-list-map-keys"]
                    .as_array()
                    .expect("keys of a map list");
                let mut seen = Vec::new();
                for item in items {
                    let key: Vec<&Value> = names
                        .iter()
                        .map(|name| &item[name.as_str().unwrap_or("")])
                        .collect();
                    if seen.contains(&key) {
                        errors.push(format!("{at}: two entries with the key {key:?}"));
                    }
                    seen.push(key);
                }
            }
            for (number, item) in items.iter().enumerate() {
                keys(&schema["items"], item, &format!("{at}[{number}]"), errors);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
