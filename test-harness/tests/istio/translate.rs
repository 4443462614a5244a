//! What istiod makes of a WasmPlugin, a TrafficExtension and an EnvoyFilter, from its documentation and source (1.27 and later), and
//! what its agent makes of an image.

use std::path::Path;

use serde_json::{Map, Value, json};

const WASM: &str = "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm";
const RBAC: &str = "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC";

/// The HTTP filters in front of the router, in order. Extension configurations come by discovery, from files of `dir`, which stand
/// for istiod's stream.
pub(crate) fn filters(objects: &[Value], module: &Path, dir: &Path) -> Vec<Value> {
    let mut plugins: Vec<&Value> = Vec::new();
    let mut chain = Vec::new();
    for object in objects {
        match object["kind"].as_str() {
            Some("WasmPlugin" | "TrafficExtension") => plugins.push(object),
            Some("EnvoyFilter") => chain.extend(patched(object, module, dir)),
            other => panic!("istiod makes no HTTP filter of {other:?}"),
        }
    }
    // Phases in the order of the chain; within one the higher priority first, then by name.
    plugins.sort_by_key(|plugin| {
        let spec = &plugin["spec"];
        let phase = match spec["phase"].as_str() {
            Some("AUTHN") => 0,
            Some("AUTHZ") => 1,
            Some("STATS") => 2,
            None | Some("UNSPECIFIED_PHASE") => 3,
            Some(other) => panic!("no phase {other}"),
        };
        let priority = spec["priority"]
            .as_i64()
            .expect("set, because unset means the lowest");
        (
            phase,
            -priority,
            plugin["metadata"]["name"].as_str().unwrap_or_default().to_owned(),
        )
    });
    chain.extend(plugins.iter().map(|plugin| discovered(plugin, module, dir)));
    chain
}

/// One WasmPlugin or TrafficExtension: an extension configuration, and the entry of the chain that finds it.
fn discovered(object: &Value, module: &Path, dir: &Path) -> Value {
    let meta = &object["metadata"];
    let name = format!(
        "extensions.istio.io/trafficextension/{}.{}",
        meta["namespace"].as_str().expect("a namespace"),
        meta["name"].as_str().expect("a name")
    );
    let spec = match object["kind"].as_str() {
        Some("TrafficExtension") => &object["spec"]["wasm"],
        _ => &object["spec"],
    };
    let config = wasm(&name, spec, module);
    entry(&name, &json!({ "@type": WASM, "config": config }), dir)
}

fn wasm(name: &str, spec: &Value, module: &Path) -> Value {
    // `name` is always the object's, `pluginName` becomes the root id. No vm_id, no stop-iteration flag, no VM configuration:
    // there is no field for them.
    let mut config = json!({
        "name": name,
        "root_id": spec["pluginName"].as_str().unwrap_or_default(),
        "vm_config": {
            "runtime": "envoy.wasm.runtime.v8",
            "code": pulled(spec["url"].as_str().expect("a URL"), module),
        },
        "failure_policy": match spec["failStrategy"].as_str() {
            None | Some("FAIL_CLOSE") => "FAIL_CLOSED",
            Some("FAIL_RELOAD") => "FAIL_RELOAD",
            other => panic!("never {other:?}"),
        },
    });
    // Absent or empty: no configuration at all.
    if spec["pluginConfig"]
        .as_object()
        .is_some_and(|config| !config.is_empty())
    {
        config["configuration"] = json!({
            "@type": "type.googleapis.com/google.protobuf.StringValue",
            "value": as_struct(&spec["pluginConfig"]).to_string(),
        });
    }
    let mut environment = json!({});
    for variable in spec["vmConfig"]["env"].as_array().into_iter().flatten() {
        let name = variable["name"].as_str().expect("a name");
        match variable["valueFrom"].as_str() {
            Some("HOST") => {
                assert!(variable.get("value").is_none(), "a value only with INLINE");
                let keys = environment["host_env_keys"]
                    .as_array()
                    .cloned()
                    .unwrap_or_default();
                environment["host_env_keys"] = [keys, vec![json!(name)]].concat().into();
            }
            None | Some("INLINE") => environment["key_values"][name] = variable["value"].clone(),
            Some(other) => panic!("no such source: {other}"),
        }
    }
    config["vm_config"]["environment_variables"] = environment;
    config
}

/// The agent pulls the image and puts a file in its place.
fn pulled(url: &str, module: &Path) -> Value {
    let pinned = url
        .strip_prefix("oci://")
        .and_then(|url| url.split_once("@sha256:"));
    assert!(
        pinned.is_some_and(|(_, digest)| digest.len() == 64) || url.starts_with("file://"),
        "{url} is neither pinned nor a file"
    );
    json!({ "local": { "filename": module } })
}

/// Through a protobuf `Struct`: numbers are doubles, and the order of keys is anybody's. Here the reverse, which no writer has.
fn as_struct(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let mut names: Vec<&String> = members.keys().collect();
            names.sort();
            let mut out = Map::new();
            for name in names.into_iter().rev() {
                out.insert(name.clone(), as_struct(&members[name]));
            }
            Value::Object(out)
        }
        Value::Array(items) => items.iter().map(as_struct).collect(),
        Value::Number(number) => {
            let double = number.as_f64().expect("a double");
            assert!(double.abs() <= 9_007_199_254_740_992.0, "{number} is no double");
            // Protobuf's JSON writes whole doubles without a point.
            if double.fract() == 0.0 {
                json!(double as i64)
            } else {
                json!(double)
            }
        }
        Value::Null | Value::Bool(_) | Value::String(_) => value.clone(),
    }
}

/// Writes an extension configuration to a file, and gives the entry of the chain that discovers it.
fn entry(name: &str, typed_config: &Value, dir: &Path) -> Value {
    let path = dir.join(format!("{}.json", name.replace('/', "_")));
    let resource = json!({
        "@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
        "name": name,
        "typed_config": typed_config,
    });
    let response = json!({ "version_info": "1", "resources": [resource] });
    std::fs::write(&path, response.to_string()).expect("written");
    json!({
        "name": name,
        "config_discovery": {
            "config_source": {
                "path_config_source": { "path": path },
                "resource_api_version": "V3",
                "initial_fetch_timeout": "0s",
            },
            "type_urls": [WASM, RBAC],
        },
    })
}

/// An EnvoyFilter's two patches: EXTENSION_CONFIG with ADD, which is the only operation it has, and HTTP_FILTER in front of the router.
fn patched(object: &Value, module: &Path, dir: &Path) -> Vec<Value> {
    let patches = object["spec"]["configPatches"].as_array().expect("patches");
    let mut known: Vec<(String, Value)> = Vec::new();
    let mut chain = Vec::new();
    for patch in patches {
        let (operation, value) = (&patch["patch"]["operation"], &patch["patch"]["value"]);
        let name = value["name"].as_str().expect("a name").to_owned();
        match patch["applyTo"].as_str() {
            Some("EXTENSION_CONFIG") => {
                assert_eq!(operation, "ADD");
                let mut typed = value["typed_config"].clone();
                let code = &mut typed["config"]["vm_config"]["code"];
                let url = code["remote"]["http_uri"]["uri"]
                    .as_str()
                    .expect("a remote module");
                *code = pulled(url, module);
                known.push((name, typed));
            }
            Some("HTTP_FILTER") => {
                assert_eq!(operation, "INSERT_BEFORE");
                let filter = &patch["match"]["listener"]["filterChain"]["filter"];
                // Another name here would apply to nothing, and say so in a metric only.
                assert_eq!(filter["name"], "envoy.filters.network.http_connection_manager");
                assert_eq!(filter["subFilter"]["name"], "envoy.filters.http.router");
                let discovery = &value["config_discovery"];
                assert_eq!(discovery["config_source"]["ads"], json!({}));
                assert_eq!(
                    discovery["type_urls"],
                    json!([WASM, RBAC]),
                    "the agent's deny-all must be allowed"
                );
                let (_, typed) = known
                    .iter()
                    .find(|(known, _)| *known == name)
                    .unwrap_or_else(|| panic!("no extension configuration is called {name}"));
                chain.push(entry(&name, typed, dir));
            }
            other => panic!("no such patch here: {other:?}"),
        }
    }
    chain
}
