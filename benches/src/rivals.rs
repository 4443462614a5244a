//! The chains that are compared: listeners of one Envoy before one upstream that answers a fixed record.

use std::net::SocketAddr;
use std::path::Path;

use aplomb_test_harness::backend::Role;
use aplomb_test_harness::envoy::{Envoy, Listener, Setup, Upstream};
use aplomb_test_harness::ports;
use serde_json::{Value, json};

const TYPES: &str = "type.googleapis.com/envoy.extensions";

/// The chains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chain {
    /// Only the router.
    None,
    /// A wasm module that does nothing.
    Noop,
    /// Envoy's own `mcp` filter with `rbac` on what it found.
    Native,
    /// Ours.
    Ours,
}

impl Chain {
    /// All of them.
    pub const ALL: [Chain; 4] = [Chain::None, Chain::Noop, Chain::Native, Chain::Ours];

    /// How it is called in tables and in Envoy's statistics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Chain::None => "no filter",
            Chain::Noop => "no-op wasm",
            Chain::Native => "native mcp + rbac",
            Chain::Ours => "aplomb",
        }
    }
}

/// A listener for each chain; `ours` are the filters of [`Chain::Ours`], `noop` the compiled no-op module.
///
/// # Errors
/// When no port is free.
pub fn listeners(ours: &[Value], noop: &Path) -> anyhow::Result<Vec<Listener>> {
    Chain::ALL
        .into_iter()
        .map(|chain| {
            let filters = match chain {
                Chain::None => Vec::new(),
                Chain::Noop => vec![noop_filter(noop)],
                Chain::Native => native_filters(),
                Chain::Ours => ours.to_vec(),
            };
            Ok(Listener {
                name: chain.name().replace(' ', "_"),
                address: ports::free()?,
                filters,
            })
        })
        .collect()
}

fn noop_filter(module: &Path) -> Value {
    json!({
        "name": "noop",
        "typed_config": {
            "@type": format!("{TYPES}.filters.http.wasm.v3.Wasm"),
            "config": {
                "name": "noop",
                "vm_config": {
                    "vm_id": "noop",
                    "runtime": "envoy.wasm.runtime.v8",
                    "code": { "local": { "filename": module } },
                },
            },
        },
    })
}

/// Reads the method from the body and lets `tools/call` pass: less than ours decides, and what Envoy has for it.
fn native_filters() -> Vec<Value> {
    let called = json!({ "sourced_metadata": { "metadata_matcher": {
        "filter": "envoy.filters.http.mcp",
        "path": [{ "key": "method" }],
        "value": { "string_match": { "exact": "tools/call" } },
    } } });
    let rules = json!({
        "action": "ALLOW",
        "policies": { "calls": { "permissions": [called], "principals": [{ "any": true }] } },
    });
    vec![
        json!({ "name": "envoy.filters.http.mcp", "typed_config": { "@type": format!("{TYPES}.filters.http.mcp.v3.Mcp") } }),
        json!({ "name": "rbac", "typed_config": { "@type": format!("{TYPES}.filters.http.rbac.v3.RBAC"), "rules": rules } }),
    ]
}

/// An Envoy that answers every request with one HR record: an upstream that is never what limits.
///
/// # Errors
/// When it does not start.
pub async fn fixed_upstream(dir: &Path) -> anyhow::Result<(Envoy, Vec<Upstream>)> {
    let dir = dir.join("upstream");
    std::fs::create_dir_all(&dir)?;
    let (listen, admin) = (ports::free()?, ports::free()?);
    let envoy = Envoy::start_document(&answering(listen, admin), (listen, admin), 1, &dir).await?;
    let upstream = |role: Role| Upstream {
        name: role.name().to_owned(),
        path: role.path(),
        rewrite: "/mcp".to_owned(),
        address: listen,
        keep_host: false,
    };
    Ok((envoy, Role::ALL.into_iter().map(upstream).collect()))
}

fn answering(listen: SocketAddr, admin: SocketAddr) -> Value {
    let record =
        json!({ "employee_id": "EMP-001234", "name": "Jane Smith", "ssn": "123-45-6789", "salary": 125_000 });
    let text = serde_json::to_string_pretty(&record).unwrap_or_default();
    let result = json!({ "content": [{ "type": "text", "text": text }], "isError": false });
    let body = json!({ "jsonrpc": "2.0", "id": 1, "result": result }).to_string();
    let socket = |address: SocketAddr| json!({ "socket_address": { "address": address.ip().to_string(), "port_value": address.port() } });
    let manager = json!({
        "@type": format!("{TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager"),
        "stat_prefix": "fixed",
        "route_config": { "virtual_hosts": [{ "name": "all", "domains": ["*"], "routes": [{
            "match": { "prefix": "/" },
            "direct_response": { "status": 200, "body": { "inline_string": body } },
            "response_headers_to_add": [{
                "header": { "key": "content-type", "value": "application/json" },
                "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
            }],
        }] }] },
        "http_filters": [
            // Reads the request to its end first: a reply before it would close the connection, each time.
            { "name": "buffer", "typed_config": {
                "@type": format!("{TYPES}.filters.http.buffer.v3.Buffer"),
                "max_request_bytes": 1_048_576,
            } },
            { "name": "router", "typed_config": { "@type": format!("{TYPES}.filters.http.router.v3.Router") } },
        ],
    });
    json!({
        "admin": { "address": socket(admin) },
        "static_resources": { "listeners": [{
            "name": "fixed",
            "address": socket(listen),
            "filter_chains": [{ "filters": [{ "name": "http", "typed_config": manager }] }],
        }] },
    })
}

/// The comparison's Envoy: every chain before the fixed upstream, one worker.
///
/// # Errors
/// When it does not start.
pub async fn compared(
    listeners: Vec<Listener>,
    upstreams: Vec<Upstream>,
    companion: Option<SocketAddr>,
    dir: &Path,
) -> anyhow::Result<Envoy> {
    let dir = dir.join("compared");
    std::fs::create_dir_all(&dir)?;
    Envoy::start(
        &Setup {
            listeners,
            upstreams,
            companion,
            workers: 1,
            access_log: false,
        },
        &dir,
    )
    .await
}
