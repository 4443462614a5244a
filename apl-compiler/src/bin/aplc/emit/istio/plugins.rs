//! WasmPlugins, or their successors, TrafficExtensions.

use serde_json::Value;

use super::super::built::{Built, Install};
use super::super::envoy_holder;
use super::super::yaml::{Map, Yaml};
use super::{Fault, Options, Place, attached, digest, file, object};

const HEADING: &str = "Written by `aplc emit istio`. One module, called twice: the decider judges, the holder behind it keeps the headers until then.";
const HEADING_SINGLE: &str = "Written by `aplc emit istio`. Mode `single`: request headers are not held (istio/README.md says what that costs).";

pub(super) fn objects(options: &Options, built: &Built) -> Result<String, Fault> {
    let whole = Value::Object(built.filter.clone());
    Ok(match built.install()? {
        Install::Paired => {
            let decider = plugin(options, built, "aplomb-decider", 101, &whole)?;
            let holder = plugin(options, built, "aplomb-holder", 100, &envoy_holder())?;
            file(HEADING, vec![decider, holder])
        }
        Install::Single => file(
            HEADING_SINGLE,
            vec![plugin(options, built, "aplomb", 100, &whole)?],
        ),
        Install::Full => file("", Vec::new()),
    })
}

fn plugin(options: &Options, built: &Built, name: &str, priority: u64, config: &Value) -> Result<Map, Fault> {
    let env: Vec<Map> = built
        .variables()
        .into_iter()
        .map(|name| Map::new().with("name", name).with("valueFrom", "HOST"))
        .collect();
    let mut module = Map::new()
        .with("url", options.image.as_str())
        .because("Pinned, and the same in every plugin of it: two versions cannot work as a pair.");
    if !options.image.starts_with("file://") {
        module = module.with("sha256", digest(&options.image)?);
    }
    module = module
        .with("failStrategy", "FAIL_RELOAD")
        .because("Never FAIL_OPEN. Istio before 1.27 knows only FAIL_CLOSE.")
        .with("pluginConfig", Yaml::from(config));
    if !env.is_empty() {
        module = module
            .with("vmConfig", Map::new().with("env", env))
            .because("From the proxy's own environment: no secret stands in this object. The same in both of a pair, or they run in two VMs.");
    }
    let order = |spec: Map| {
        spec.with("phase", "AUTHZ")
            .because("After Istio's authentication, before its authorization.")
            .with("priority", priority)
            .because("Within the phase the higher one is called first; nothing else may stand between decider and holder.")
    };
    let mut spec = attached(options, Map::new());
    if options.place == Place::Sidecar {
        spec = spec.with("match", vec![Map::new().with("mode", "SERVER")]);
    }
    let namespace = &options.namespace;
    Ok(if options.traffic_extension {
        object(
            "extensions.istio.io/v1alpha1",
            "TrafficExtension",
            name,
            namespace,
        )
        .with("spec", order(spec).with("wasm", module))
    } else {
        let spec = order(spec).append(module);
        object("extensions.istio.io/v1alpha1", "WasmPlugin", name, namespace).with("spec", spec)
    })
}
