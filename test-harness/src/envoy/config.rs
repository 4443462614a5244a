//! Envoy's bootstrap document: one listener, a route and a cluster for each upstream, a cluster for the companion.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};

/// The name of the companion's cluster in the filter configuration.
pub const COMPANION_CLUSTER: &str = "aplomb-companion";

const TYPES: &str = "type.googleapis.com/envoy.extensions";

/// What Envoy is to do.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Where it serves; the first one is what [`Envoy::url`](super::Envoy::url) names.
    pub listeners: Vec<Listener>,
    /// What is behind it, the same for every listener.
    pub upstreams: Vec<Upstream>,
    /// Where the companion is; without one there is no cluster for it.
    pub companion: Option<SocketAddr>,
    /// Worker threads.
    pub workers: u32,
    /// Write an access log.
    pub access_log: bool,
}

impl Setup {
    /// One listener with these HTTP filters in front of the router, and one worker.
    #[must_use]
    pub fn new(address: SocketAddr, filters: Vec<Value>, upstreams: Vec<Upstream>) -> Self {
        let listeners = vec![Listener {
            name: "in".to_owned(),
            address,
            filters,
        }];
        Setup {
            listeners,
            upstreams,
            companion: None,
            workers: 1,
            access_log: true,
        }
    }
}

/// A port of Envoy with its chain.
#[derive(Debug, Clone)]
pub struct Listener {
    /// Its name, and the prefix of its statistics.
    pub name: String,
    /// Where it serves.
    pub address: SocketAddr,
    /// The HTTP filters in front of the router, as Envoy's JSON.
    pub filters: Vec<Value>,
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
    /// Leave the client's `Host` as it is, in place of the backend's address.
    pub keep_host: bool,
}

/// A change of the bootstrap document that one test needs and no other.
#[derive(Clone)]
pub struct Adapt(Arc<dyn Fn(&mut Value) + Send + Sync>);

impl Adapt {
    /// This change.
    #[must_use]
    pub fn new(change: impl Fn(&mut Value) + Send + Sync + 'static) -> Self {
        Adapt(Arc::new(change))
    }

    pub(super) fn apply(&self, document: &mut Value) {
        (self.0)(document);
    }
}

impl fmt::Debug for Adapt {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Adapt")
    }
}

/// A cluster's name for a path: its words.
#[must_use]
pub fn cluster_name(path: &str) -> String {
    path.trim_matches('/').replace('/', "-")
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
    let log = if setup.access_log {
        access_log_to(access_log)
    } else {
        json!([])
    };
    let listeners = |each: &Listener| listener(each, &setup.upstreams, &log);
    json!({
        "admin": { "address": socket(admin) },
        "static_resources": {
            "listeners": setup.listeners.iter().map(listeners).collect::<Vec<_>>(),
            "clusters": clusters,
        },
    })
}

fn listener(listener: &Listener, upstreams: &[Upstream], log: &Value) -> Value {
    let mut filters = listener.filters.clone();
    filters.push(json!({
        "name": "router",
        "typed_config": { "@type": format!("{TYPES}.filters.http.router.v3.Router") },
    }));
    let manager = json!({
        "@type": format!("{TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager"),
        "stat_prefix": listener.name,
        // Server-sent events may be silent for long.
        "stream_idle_timeout": "0s",
        "access_log": log,
        "route_config": {
            "name": "local",
            "virtual_hosts": [{
                "name": "all",
                "domains": ["*"],
                "routes": upstreams.iter().map(route).collect::<Vec<_>>(),
            }],
        },
        "http_filters": filters,
    });
    json!({
        "name": listener.name,
        "address": socket(listener.address),
        "filter_chains": [{ "filters": [{ "name": "http", "typed_config": manager }] }],
    })
}

fn access_log_to(path: &Path) -> Value {
    json!([{
        "name": "file",
        "typed_config": {
            "@type": format!("{TYPES}.access_loggers.file.v3.FileAccessLog"),
            "path": path,
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
    }])
}

fn route(upstream: &Upstream) -> Value {
    let mut action = json!({
        "cluster": upstream.name,
        "prefix_rewrite": upstream.rewrite,
        "timeout": "0s",
    });
    if !upstream.keep_host {
        // MCP servers on loopback refuse a foreign Host.
        action["host_rewrite_literal"] = upstream.address.to_string().into();
    }
    json!({ "match": { "prefix": upstream.path }, "route": action })
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
