//! Envoy's bootstrap document: one listener, a route and a cluster for each upstream, a cluster for the companion.

use std::net::SocketAddr;
use std::path::Path;

use serde_json::{Value, json};

use super::wasm::Governed;

/// The name of the companion's cluster in the filter configuration.
pub const COMPANION_CLUSTER: &str = "aplomb-companion";

const TYPES: &str = "type.googleapis.com/envoy.extensions";

/// What Envoy is to do.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Where it serves.
    pub listen: SocketAddr,
    /// What is behind it.
    pub upstreams: Vec<Upstream>,
    /// Where the companion is; without one there is no cluster for it.
    pub companion: Option<SocketAddr>,
    /// The filter in the chain; without one, Envoy only routes.
    pub governed: Option<Governed>,
    /// Other HTTP filters in front of it, as Envoy's JSON.
    pub other_filters: Vec<Value>,
    /// Worker threads.
    pub workers: u32,
}

impl Setup {
    /// Plain routing on a listener of this address with one worker.
    #[must_use]
    pub fn new(listen: SocketAddr, upstreams: Vec<Upstream>) -> Self {
        Setup {
            listen,
            upstreams,
            companion: None,
            governed: None,
            other_filters: Vec::new(),
            workers: 1,
        }
    }
}

/// One backend behind Envoy.
#[derive(Debug, Clone)]
pub struct Upstream {
    /// The cluster's name.
    pub name: String,
    /// The path prefix at Envoy.
    pub path: String,
    /// What replaces it at the backend.
    pub rewrite: String,
    /// Where the backend is.
    pub address: SocketAddr,
}

/// The whole document.
#[must_use]
pub fn bootstrap(setup: &Setup, admin: SocketAddr, access_log: &Path) -> Value {
    let mut clusters: Vec<Value> = setup
        .upstreams
        .iter()
        .map(|upstream| cluster(&upstream.name, upstream.address))
        .collect();
    clusters.extend(setup.companion.map(|address| cluster(COMPANION_CLUSTER, address)));
    json!({
        "admin": { "address": socket(admin) },
        "static_resources": {
            "listeners": [listener(setup, access_log)],
            "clusters": clusters,
        },
    })
}

fn listener(setup: &Setup, access_log: &Path) -> Value {
    let mut filters = setup.other_filters.clone();
    filters.extend(setup.governed.iter().flat_map(Governed::filters));
    filters.push(json!({
        "name": "router",
        "typed_config": { "@type": format!("{TYPES}.filters.http.router.v3.Router") },
    }));
    let manager = json!({
        "@type": format!("{TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager"),
        "stat_prefix": "in",
        // Server-sent events may be silent for long.
        "stream_idle_timeout": "0s",
        "access_log": [{
            "name": "file",
            "typed_config": {
                "@type": format!("{TYPES}.access_loggers.file.v3.FileAccessLog"),
                "path": access_log,
                "log_format": { "json_format": {
                    "method": "%REQ(:METHOD)%",
                    "path": "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%",
                    "status": "%RESPONSE_CODE%",
                    "details": "%RESPONSE_CODE_DETAILS%",
                    "flags": "%RESPONSE_FLAGS%",
                    "upstream": "%UPSTREAM_HOST%",
                    "ms": "%DURATION%",
                    "violation": "%RESP(X-POLICY-VIOLATION)%",
                } },
            },
        }],
        "route_config": {
            "name": "local",
            "virtual_hosts": [{
                "name": "all",
                "domains": ["*"],
                "routes": setup.upstreams.iter().map(route).collect::<Vec<_>>(),
            }],
        },
        "http_filters": filters,
    });
    json!({
        "name": "in",
        "address": socket(setup.listen),
        "filter_chains": [{ "filters": [{ "name": "http", "typed_config": manager }] }],
    })
}

fn route(upstream: &Upstream) -> Value {
    json!({
        "match": { "prefix": upstream.path },
        "route": {
            "cluster": upstream.name,
            "prefix_rewrite": upstream.rewrite,
            // MCP servers on loopback refuse a foreign Host.
            "host_rewrite_literal": upstream.address.to_string(),
            "timeout": "0s",
        },
    })
}

fn cluster(name: &str, address: SocketAddr) -> Value {
    json!({
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{ "lb_endpoints": [{ "endpoint": { "address": socket(address) } }] }],
        },
    })
}

fn socket(address: SocketAddr) -> Value {
    json!({ "socket_address": { "address": address.ip().to_string(), "port_value": address.port() } })
}
