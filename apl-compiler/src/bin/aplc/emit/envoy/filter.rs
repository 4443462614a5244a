//! The filter as Envoy's configuration: one plugin, or a pair.

use std::path::Path;

use serde_json::{Value, json};

use super::super::built::{Built, Install};
use super::super::yaml::{Map, Yaml, document};
use super::Fault;

const WASM: &str = "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm";

/// One plugin of the chain.
pub(in super::super) struct Plugin {
    pub name: String,
    /// The `Wasm` message.
    pub typed: Map,
}

/// The plugins in the order of the chain.
pub(in super::super) fn plugins(built: &Built, module: &str) -> Result<Vec<Plugin>, Fault> {
    let code = Map::new().with("local", Map::new().with("filename", module));
    let decider = Value::Object(built.filter.clone());
    Ok(match built.install()? {
        Install::Full => vec![plugin("aplomb", built, code, &decider, true)],
        Install::Single => vec![plugin("aplomb", built, code, &decider, false)],
        Install::Paired => vec![
            plugin("aplomb-decider", built, code.clone(), &decider, false),
            plugin("aplomb-holder", built, code, &holder(), false),
        ],
    })
}

/// The second half's configuration. It names no policy: so a new one is a change of the decider alone, and one that the decider refuses
/// leaves both halves as they were.
pub(in super::super) fn holder() -> Value {
    json!({ "install": { "mode": "paired", "role": "holder" } })
}

/// A plugin around its configuration.
pub(in super::super) fn plugin(
    name: &str,
    built: &Built,
    code: Map,
    configuration: &Value,
    stop: bool,
) -> Plugin {
    let mut vm = Map::new()
        .with("vm_id", "aplomb")
        .with("runtime", "envoy.wasm.runtime.v8")
        .with("code", code);
    let variables = built.variables();
    if !variables.is_empty() {
        let names: Vec<String> = variables.into_iter().collect();
        vm = vm
            .with("environment_variables", Map::new().with("host_env_keys", names))
            .because("Secrets come from Envoy's own environment.");
    }
    let mut config = Map::new()
        .with("name", name)
        .with("root_id", name)
        .with("vm_config", vm)
        .with(
            "configuration",
            Map::new()
                .with("@type", "type.googleapis.com/google.protobuf.StringValue")
                .with("value", configuration.to_string()),
        )
        .with("failure_policy", "FAIL_RELOAD")
        .because("Never FAIL_OPEN.");
    if stop {
        config = config
            .with("allow_on_headers_stop_iteration", true)
            .because("What `install.mode: full` rests on: nothing goes to a backend before the verdict.");
    }
    Plugin {
        name: name.to_owned(),
        typed: Map::new().with("@type", WASM).with("config", config),
    }
}

/// The file that a plugin's configuration is discovered from.
pub(super) fn discovery(plugin: &Plugin) -> String {
    let heading = "Written by `aplc emit envoy`. Replace it by renaming another file over it: Envoy watches the folder.";
    let resource = Map::new()
        .with(
            "@type",
            "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
        )
        .with("name", plugin.name.as_str())
        .with("typed_config", plugin.typed.clone());
    document(heading, Map::new().with("resources", vec![resource]))
}

/// The chain's entry of a plugin that is discovered.
pub(super) fn discovered(plugin: &Plugin, folder: &Path) -> Map {
    let path = folder
        .join(format!("{}.yaml", plugin.name))
        .to_string_lossy()
        .into_owned();
    Map::new().with("name", plugin.name.as_str()).with(
        "config_discovery",
        Map::new()
            .with(
                "config_source",
                Map::new().with(
                    "path_config_source",
                    Map::new().with("path", path).with(
                        "watched_directory",
                        Map::new().with("path", folder.to_string_lossy().into_owned()),
                    ),
                ),
            )
            .with("type_urls", Yaml::from(vec![WASM])),
    )
}
