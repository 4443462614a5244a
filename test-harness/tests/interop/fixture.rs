//! The fixture server, and an Envoy with the filter in front of it under the policy of `interop/policy.yaml`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use aplomb_test_harness::envoy::wasm::InstallMode;
use aplomb_test_harness::ground::{Ground, Options, issuer, untouched};
use aplomb_test_harness::patience::PATIENCE;
use aplomb_test_harness::process::Process;
use aplomb_test_harness::stack::SEAL_KEY_ENV;
use aplomb_test_harness::{ports, programs};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::Command;

/// A program that `make setup` installed.
fn installed(path: &str) -> PathBuf {
    let path = programs::root().join(path);
    assert!(
        path.exists(),
        "{} is not there; fix: `make setup`",
        path.display()
    );
    path
}

pub(crate) fn python() -> PathBuf {
    installed(".venv/bin/python")
}

/// Node itself, not the wrapper of its package, so that a kill reaches it.
pub(crate) fn node() -> PathBuf {
    installed(".tools/node")
}

pub(crate) fn modules() -> PathBuf {
    installed(".tools/interop")
}

/// A file of `test-harness/interop`.
pub(crate) fn file(name: &str) -> PathBuf {
    programs::root().join("test-harness/interop").join(name)
}

pub(crate) async fn start(dir: &Path) -> (Process, SocketAddr) {
    let address = ports::free().expect("a port");
    let mut command = Command::new(python());
    command.arg(file("fixture.py")).arg(address.port().to_string());
    let mut process =
        Process::start("the fixture server", command, &dir.join("fixture.log")).expect("starts");
    process
        .wait_until(
            PATIENCE,
            || async move { TcpStream::connect(address).await.is_ok() },
        )
        .await
        .expect("listens");
    (process, address)
}

/// A token of the caller whom the policy lets through.
pub(crate) fn token() -> String {
    issuer::token(&json!({ "sub": "alice", "roles": ["tester"], "manager": "bob" })).expect("a token")
}

fn policy() -> String {
    let plugins = json!([
        issuer::plugin("user", "authorization", "user").expect("a key"),
        issuer::plugin("other", "x-other-token", "client").expect("a key"),
        { "name": "manager", "kind": "elicitation/page" },
    ]);
    std::fs::read_to_string(file("policy.yaml"))
        .expect("the policy")
        .replace("@PLUGINS@", &plugins.to_string())
}

/// Envoy's own filter in front of ours that makes every client an authenticated one.
pub(crate) fn signs_in() -> Value {
    let header = json!({ "key": "authorization", "value": format!("Bearer {}", token()) });
    json!({
        "name": "sign-in",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation",
            "mutations": { "request_mutations": [{ "append": {
                "header": header, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
            } }] },
        },
    })
}

/// An Envoy with the filter in front of the server at `address`; its MCP endpoint has the same path.
pub(crate) async fn governed(
    mode: InstallMode,
    denial_shape: &str,
    in_front: Vec<Value>,
    address: SocketAddr,
) -> (Ground, TempDir) {
    let dir = tempfile::tempdir().expect("a directory");
    let options = Options {
        policy: policy(),
        beside_companion: Vec::new(),
        mode,
        filter_config: json!({
            "protocols": [{ "path_prefix": "/mcp", "speaks": "mcp" }],
            "seal_key_env": SEAL_KEY_ENV,
            "denial_shape": denial_shape,
        }),
        companion: Some(json!({})),
        upstreams: vec![untouched("/mcp", address)],
        in_front,
        adapt: None,
    };
    let ground = Ground::start(options, dir.path())
        .await
        .expect("everything starts");
    (ground, dir)
}
