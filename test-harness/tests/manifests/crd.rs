//! Custom resource definitions.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use super::{rules, structure, yaml};

/// Schemas by `apiVersion` and `kind`.
pub(crate) struct Definitions {
    schemas: BTreeMap<(String, String), Schema>,
}

struct Schema {
    open_api: Value,
    validator: jsonschema::Validator,
}

/// What an object came to.
#[derive(Default)]
pub(crate) struct Verdict {
    pub(crate) errors: Vec<String>,
    /// CEL rules that were run.
    pub(crate) rules: usize,
    /// The kind, if no definition of it is at hand.
    pub(crate) no_definition: Option<String>,
}

impl Definitions {
    /// Reads every `*.crd.yaml` of the folders.
    pub(crate) fn read(folders: &[&Path]) -> Self {
        let mut schemas = BTreeMap::new();
        for folder in folders {
            for entry in std::fs::read_dir(folder).expect("a folder of definitions") {
                let path = entry.expect("an entry").path();
                if !path.to_string_lossy().ends_with(".crd.yaml") {
                    continue;
                }
                let text = std::fs::read_to_string(&path).expect("a text");
                for definition in yaml::documents(&text).expect("YAML") {
                    add(&definition, &mut schemas);
                }
            }
        }
        assert!(!schemas.is_empty(), "no definition was found");
        Self { schemas }
    }

    /// Structure first; rules only on what has the right one, as an API server does.
    pub(crate) fn check(&self, object: &Value) -> Verdict {
        let word = |key: &str| object[key].as_str().unwrap_or("").to_owned();
        let (api, kind) = (word("apiVersion"), word("kind"));
        let mut verdict = Verdict::default();
        if kind.is_empty() || api.is_empty() {
            verdict
                .errors
                .push("an object without `apiVersion` or `kind`".to_owned());
            return verdict;
        }
        let name = format!("{kind}/{}", object["metadata"]["name"].as_str().unwrap_or("?"));
        let Some(schema) = self.schemas.get(&(api, kind.clone())) else {
            verdict.no_definition = Some(kind);
            return verdict;
        };
        let mut object = object.clone();
        structure::default(&schema.open_api, &mut object);
        for error in schema.validator.iter_errors(&object) {
            verdict
                .errors
                .push(format!("{name}: {}: {error}", error.instance_path()));
        }
        structure::keys(&schema.open_api, &object, &name, &mut verdict.errors);
        if verdict.errors.is_empty() {
            rules::run(&schema.open_api, &object, &name, &mut verdict);
        }
        verdict
    }
}

fn add(definition: &Value, schemas: &mut BTreeMap<(String, String), Schema>) {
    let spec = &definition["spec"];
    let group = spec["group"].as_str().expect("a group");
    let kind = spec["names"]["kind"].as_str().expect("a kind");
    for version in spec["versions"].as_array().expect("versions") {
        let name = version["name"].as_str().expect("a name");
        let open_api = version["schema"]["openAPIV3Schema"].clone();
        let validator = structure::validator(&open_api);
        schemas.insert(
            (format!("{group}/{name}"), kind.to_owned()),
            Schema { open_api, validator },
        );
    }
}
