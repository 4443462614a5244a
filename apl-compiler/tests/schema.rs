//! The JSON Schema accepts every policy that the compiler accepts, and refuses keys that the compiler does not know.

use std::fs;
use std::path::{Path, PathBuf};

use apl_compiler::diagnostics::{Code, examples};
use apl_compiler::vocabulary::json_schema;
use apl_compiler::yaml;
use apl_compiler::{Source, compile};
use serde_json::{Value, json};

/// The words of JSON Schema that the generator writes; any other fails.
fn fault(schema: &Value, value: &Value, root: &Value, at: &str) -> Option<String> {
    for (word, wanted) in schema.as_object().expect("a schema is an object") {
        let found = match word.as_str() {
            "$schema" | "title" | "description" | "deprecationMessage" | "definitions" | "then" => None,
            "$ref" => {
                let name = wanted
                    .as_str()
                    .and_then(|name| name.strip_prefix('#'))
                    .expect("local");
                fault(root.pointer(name).expect("defined"), value, root, at)
            }
            "type" => {
                let own = match value {
                    Value::Null => "null",
                    Value::Bool(_) => "boolean",
                    Value::Number(_) => "number",
                    Value::String(_) => "string",
                    Value::Array(_) => "array",
                    Value::Object(_) => "object",
                };
                let good = match wanted {
                    Value::Array(names) => names.iter().any(|name| name == own),
                    name => name == own,
                };
                (!good).then(|| format!("{at}: {own} is not {wanted}"))
            }
            "properties" => value.as_object().and_then(|map| {
                map.iter().find_map(|(key, inner)| {
                    wanted
                        .get(key)
                        .and_then(|schema| fault(schema, inner, root, &format!("{at}/{key}")))
                })
            }),
            "additionalProperties" => value.as_object().and_then(|map| {
                let known = |key: &str| {
                    schema
                        .get("properties")
                        .is_some_and(|known| known.get(key).is_some())
                };
                map.iter()
                    .filter(|(key, _)| !known(key))
                    .find_map(|(key, inner)| {
                        if *wanted == json!(false) {
                            Some(format!("{at}: no key {key}"))
                        } else {
                            fault(wanted, inner, root, &format!("{at}/{key}"))
                        }
                    })
            }),
            "required" => value.as_object().and_then(|map| {
                let names = wanted.as_array().expect("a list");
                let missing = names
                    .iter()
                    .find(|name| !map.contains_key(name.as_str().expect("a name")));
                missing.map(|name| format!("{at}: {name} is missing"))
            }),
            "items" => value.as_array().and_then(|items| {
                items
                    .iter()
                    .enumerate()
                    .find_map(|(index, item)| fault(wanted, item, root, &format!("{at}/{index}")))
            }),
            "enum" => (!wanted.as_array().expect("a list").contains(value))
                .then(|| format!("{at}: not one of {wanted}")),
            "const" => (wanted != value).then(|| format!("{at}: not {wanted}")),
            "allOf" => wanted
                .as_array()
                .expect("a list")
                .iter()
                .find_map(|part| fault(part, value, root, at)),
            "anyOf" => {
                let parts = wanted.as_array().expect("a list");
                let none = parts.iter().all(|part| fault(part, value, root, at).is_some());
                none.then(|| format!("{at}: none of {wanted}"))
            }
            "if" => match fault(wanted, value, root, at) {
                None => fault(schema.get("then").expect("beside"), value, root, at),
                Some(_) => None,
            },
            other => panic!("the test does not know `{other}`"),
        };
        if found.is_some() {
            return found;
        }
    }
    None
}

fn check(text: &str) -> Option<String> {
    let schema = json_schema();
    let root = yaml::read(&Source::new("p", text)).expect("YAML");
    fault(&schema, &root.to_json(), &schema, "")
}

fn policies(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            policies(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "yaml") {
            found.push(path);
        }
    }
}

#[test]
fn accepts_every_policy_of_the_repository_that_compiles() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for folder in ["../examples", "tests/fixtures", "tests/cases"] {
        policies(&here.join(folder), &mut files);
    }
    let mut texts: Vec<String> = files
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok())
        .collect();
    texts.extend(examples().iter().map(|example| example.right.to_owned()));
    let mut checked = 0;
    for text in texts.iter().filter(|text| compile("p", text).output.is_some()) {
        checked += 1;
        assert_eq!(check(text), None, "{text}");
    }
    assert!(checked > 50, "{checked}");
}

#[test]
fn refuses_keys_that_the_compiler_does_not_know() {
    for text in [
        "routs: []\n",
        "routes:\n  - tool: x\n    pre_invocations: []\n",
        "global: {authenticaton: [x]}\n",
        "plugins:\n  - name: a\n    kind: identity/jwt\n    config: {trusted_isuers: []}\n",
        "plugins:\n  - kind: audit/logger\n",
        "engine_settings: {unmatched: refuse}\n",
        "routes:\n  - tool: x\n    unparseable_result: maybe\n",
        "groups:\n  g: {pdp: []}\n",
    ] {
        assert!(check(text).is_some(), "{text}");
        assert!(compile("p", text).output.is_none(), "{text}");
    }
    let unknown = examples()
        .into_iter()
        .filter(|example| example.code == Code::UnknownKey);
    assert!(unknown.into_iter().all(|example| check(example.wrong).is_some()));
}
