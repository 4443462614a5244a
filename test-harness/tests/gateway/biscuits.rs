//! A Biscuit on its way through a real Envoy: the caller's goes in, a narrower one arrives, and the backend verifies it with the
//! format's own crate.

use std::net::SocketAddr;
use std::time::Duration;

use aplomb_test_harness::envoy::wasm::InstallMode;
use aplomb_test_harness::ground::issuer;
use axum::http::HeaderMap;
use biscuit_auth::builder::{fact, string};
use biscuit_auth::{AuthorizerBuilder, AuthorizerLimits, Biscuit, KeyPair, PublicKey};
use serde_json::{Value, json};

use crate::rig::{build, companion, envoy};

const AUDIENCE: &str = "https://hr.example";

fn policy(root: &KeyPair) -> String {
    let user = issuer::plugin("user", "authorization", "user").expect("a key");
    let tokens = json!({"name": "biscuits", "kind": "delegator/biscuit",
        "config": {"root_public_key": {"hex": root.public().to_bytes_hex()}}});
    format!(
        "plugins: {}\nengine_settings: {{unmatched: deny}}\nglobal:\n  authentication: [user]\nroutes:\n\
           \x20 - tool: read_person\n    pre_invocation:\n      - \"require(authenticated)\"\n      - delegate:\n          plugin: biscuits\n\
           \x20         config:\n            audience: {AUDIENCE}\n            permissions: [read, list]\n            attenuation: {{ttl: 1h, \
         resource_template: \"hr://people/${{args.id}}\"}}\n      - \"require(delegation.granted)\"\n",
        json!([user, tokens])
    )
}

/// Whether the token lets this be done with this person, here.
fn allows(root: PublicKey, token: &str, audience: &str, operation: &str, person: &str) -> bool {
    let Ok(token) = Biscuit::from_base64(token, root) else {
        return false;
    };
    let limits = AuthorizerLimits {
        max_time: Duration::from_secs(60),
        ..AuthorizerLimits::default()
    };
    let resource = format!("hr://people/{person}");
    let facts = [
        ("audience", audience),
        ("operation", operation),
        ("resource", &resource),
    ];
    let builder = AuthorizerBuilder::new().set_limits(limits).time();
    let built = facts
        .iter()
        .try_fold(builder, |builder, (name, value)| {
            builder.fact(fact(name, &[string(value)]))
        })
        .and_then(|builder| builder.policy("allow if user(\"alice\")")?.build(&token));
    built.and_then(|mut authorizer| authorizer.authorize()).is_ok()
}

/// A server that asks its own questions of the token that arrives.
async fn backend(root: PublicKey) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0))
        .await
        .expect("a port");
    let address = listener.local_addr().expect("an address");
    let router = axum::Router::new().fallback(async move |headers: HeaderMap| {
        let heard = headers.get("authorization").and_then(|value| value.to_str().ok());
        let token = heard
            .and_then(|value| value.strip_prefix("Bearer "))
            .unwrap_or_default();
        let record = json!({
            "reads": allows(root, token, AUDIENCE, "read", "7"),
            "lists": allows(root, token, AUDIENCE, "list", "7"),
            "deletes": allows(root, token, AUDIENCE, "delete", "7"),
            "reads_others": allows(root, token, AUDIENCE, "read", "8"),
            "reads_elsewhere": allows(root, token, "https://pay.example", "read", "7"),
            "callers_own_arrives": headers.contains_key("x-biscuit"),
        });
        let answer = json!({"jsonrpc": "2.0", "id": 1, "result": {
            "content": [{"type": "text", "text": record.to_string()}], "structuredContent": record}});
        axum::Json(answer)
    });
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

async fn call(url: &str, user: &str, biscuit: Option<&str>) -> (u16, String, Value) {
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": {"name": "read_person", "arguments": {"id": 7}}});
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let token = issuer::token(&json!({ "sub": user })).expect("a token");
    let mut request = client
        .post(url)
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream")
        .bearer_auth(token);
    if let Some(biscuit) = biscuit {
        request = request.header("x-biscuit", biscuit);
    }
    let reply = request.body(call.to_string()).send().await.expect("an answer");
    let code = reply.headers().get("x-policy-violation");
    let code = code
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
        .to_owned();
    let status = reply.status().as_u16();
    let body: Value = serde_json::from_str(&reply.text().await.expect("a body")).unwrap_or_default();
    (status, code, body["result"]["structuredContent"].clone())
}

async fn a_biscuit_arrives_narrower(install: InstallMode, mode: &str) {
    let (root, foreign) = (KeyPair::new(), KeyPair::new());
    let dir = tempfile::tempdir().expect("a directory");
    let built = build(dir.path(), "policy", &policy(&root), mode);
    let companion = companion(dir.path(), &[&built]).await;
    let address = backend(root.public()).await;
    let envoy = envoy(dir.path(), &built, install, address, companion.address).await;
    let url = envoy.url("/mcp");
    let token = |root: &KeyPair, user: &str| {
        let builder = Biscuit::builder()
            .fact(fact("user", &[string(user)]))
            .expect("a fact");
        builder
            .build(root)
            .and_then(|token| token.to_base64())
            .expect("a token")
    };
    let own = token(&root, "alice");
    // The second call is served from what the worker remembers.
    for _ in 0..2 {
        let (status, code, heard) = call(&url, "alice", Some(&own)).await;
        assert_eq!((status, code.as_str()), (200, ""), "{heard}");
        let expected = json!({"reads": true, "lists": true, "deletes": false, "reads_others": false,
            "reads_elsewhere": false, "callers_own_arrives": false});
        assert_eq!(heard, expected);
    }
    for (user, biscuit, expected) in [
        ("alice", None, "delegation.bad_request"),
        (
            "alice",
            Some(token(&foreign, "alice")),
            "delegation.token_invalid",
        ),
        ("bob", Some(own.clone()), "delegation.subject_mismatch"),
    ] {
        let (_, code, heard) = call(&url, user, biscuit.as_deref()).await;
        assert_eq!((code.as_str(), &heard), (expected, &Value::Null), "{user}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_biscuit_arrives_narrower_in_full_mode() {
    a_biscuit_arrives_narrower(InstallMode::Full, "full").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_biscuit_arrives_narrower_in_paired_mode() {
    a_biscuit_arrives_narrower(InstallMode::Paired, "paired").await;
}
