//! The EnvoyFilter of mode `full`: what a WasmPlugin cannot set.

use serde_json::Value;

use super::super::built::Built;
use super::super::envoy_plugin;
use super::super::yaml::{Map, Yaml};
use super::{Fault, Options, Place, digest, file};

const HEADING: &str = "Written by `aplc emit istio`. An EnvoyFilter, because a WasmPlugin cannot set `allow_on_headers_stop_iteration`.";
const WASM: &str = "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm";
const RBAC: &str = "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC";

pub(super) fn objects(options: &Options, built: &Built) -> Result<String, Fault> {
    let code = match options.image.strip_prefix("file://") {
        Some(path) => Map::new().with("local", Map::new().with("filename", path)),
        None => Map::new().with(
            "remote",
            Map::new()
                .with(
                    "http_uri",
                    Map::new()
                        .with("uri", options.image.as_str())
                        .with("cluster", "_")
                        .with("timeout", "30s"),
                )
                .with("sha256", digest(&options.image)?),
        ),
    };
    let whole = Value::Object(built.filter.clone());
    let plugin = envoy_plugin("aplomb", built, code, &whole);
    let context = match options.place {
        Place::Gateway => "GATEWAY",
        Place::Waypoint | Place::Sidecar => "SIDECAR_INBOUND",
    };
    let router = Map::new()
        .with("name", "envoy.filters.network.http_connection_manager")
        .with("subFilter", Map::new().with("name", "envoy.filters.http.router"));
    let extension = Map::new()
        .with("applyTo", "EXTENSION_CONFIG")
        .with("match", Map::new().with("context", context))
        .with(
            "patch",
            Map::new().with("operation", "ADD").with(
                "value",
                Map::new().with("name", "aplomb").with("typed_config", plugin),
            ),
        );
    let insert = Map::new()
        .with("applyTo", "HTTP_FILTER")
        .with(
            "match",
            Map::new().with("context", context).with(
                "listener",
                Map::new().with("filterChain", Map::new().with("filter", router)),
            ),
        )
        .with(
            "patch",
            Map::new().with("operation", "INSERT_BEFORE").with(
                "value",
                Map::new()
                    .with("name", "aplomb")
                    .because("The name of the extension above.")
                    .with(
                        "config_discovery",
                        Map::new()
                            .with(
                                "config_source",
                                Map::new()
                                    .with("ads", Map::new())
                                    .with("initial_fetch_timeout", "0s"),
                            )
                            .with("type_urls", Yaml::from(vec![WASM, RBAC]))
                            .because("RBAC: where the module cannot be fetched, Istio's agent puts a deny-all in its place."),
                    ),
            ),
        );
    let mut spec = Map::new();
    spec = match options.place {
        Place::Gateway | Place::Waypoint => super::attached(options, spec),
        Place::Sidecar => spec.with(
            "workloadSelector",
            Map::new().with("labels", Map::new().with("app", options.name.as_str())),
        ),
    };
    let metadata = Map::new()
        .with("name", "aplomb")
        .with("namespace", options.namespace.as_str())
        .with(
            "annotations",
            Map::new().with(
                "envoyfilter.istio.io/referenced-services",
                format!("{}/{}", options.companion_namespace, options.companion_host()),
            ),
        )
        .because("A waypoint, and a gateway with filtered clusters, has the companion's cluster only because of this.");
    let filter = Map::new()
        .with("apiVersion", "networking.istio.io/v1alpha3")
        .with("kind", "EnvoyFilter")
        .with("metadata", metadata)
        .with("spec", spec.with("configPatches", vec![extension, insert]));
    Ok(file(HEADING, vec![filter]))
}
