//! Secrets from Vault: a stand-in that speaks its KV version 2 API.

use axum::http::StatusCode;
use companion_protocol::{Effect, EffectResult, OnFail, TokenExchange};
use serde_json::{Value, json};

use super::client::{DIGEST, call, perform};
use super::delegation::exchange;
use super::durability::Process;
use super::fault_idp::{FaultIdp, Script};

fn config(path: &str, field: &str) -> Value {
    json!({"version": 1, "policy_digest": DIGEST, "delegators": {"d": {
        "kind": "secret", "secret": {"vault": {"mount": "kv", "path": path, "field": field}}, "outbound_header": "x-api-key",
        "outbound_prefix": ""}}})
}

async fn vault() -> FaultIdp {
    FaultIdp::answering(|asked| {
        let token = asked.headers.get("x-vault-token").and_then(|value| value.to_str().ok());
        let answer = |status, body| Script::Json(status, body);
        match (asked.path.as_str(), token) {
            (_, None | Some("wrong")) => answer(StatusCode::FORBIDDEN, json!({"errors": ["permission denied"]})),
            ("/v1/kv/data/backends/hr", _) => answer(
                StatusCode::OK,
                json!({"request_id": "r", "lease_id": "", "renewable": false, "lease_duration": 0,
                    "data": {"data": {"api_key": "from-vault", "number": 7}, "metadata": {"version": 2, "destroyed": false}},
                    "wrap_info": null, "warnings": null, "auth": null}),
            ),
            _ => answer(StatusCode::NOT_FOUND, json!({"errors": []})),
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_comes_from_vault() {
    let vault = vault().await;
    let address = format!("http://{}", vault.address);
    let directory = tempfile::tempdir().expect("a directory");
    let environment = [
        ("VAULT_ADDR", address.as_str()),
        ("VAULT_TOKEN", "s.token"),
        ("VAULT_NAMESPACE", "team"),
    ];
    let process = Process::start(directory.path(), &config("backends/hr", "api_key"), &environment);
    let asked = TokenExchange {
        permissions: Vec::new(),
        ..exchange()
    };
    let calls = vec![call(Effect::TokenExchange(asked), OnFail::Stop)];
    match perform(process.address, DIGEST, calls).await.results.remove(0) {
        EffectResult::Granted(grant) => assert_eq!(grant.token, "from-vault"),
        other => panic!("not granted: {other:?}"),
    }
    let asked = vault.asked();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].headers["x-vault-namespace"], "team");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_secret_it_does_not_start_and_says_why() {
    let vault = vault().await;
    let address = format!("http://{}", vault.address);
    for (path, field, token, expected) in [
        (
            "backends/hr",
            "absent",
            Some("s.token"),
            "no text in its field `absent`",
        ),
        (
            "backends/hr",
            "number",
            Some("s.token"),
            "no text in its field `number`",
        ),
        ("backends/other", "api_key", Some("s.token"), "404"),
        ("backends/hr", "api_key", Some("wrong"), "403"),
        ("backends/hr", "api_key", None, "VAULT_TOKEN"),
    ] {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("companion.json");
        std::fs::write(&file, config(path, field).to_string()).expect("writes");
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_aplomb-companion"));
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--config"])
            .arg(&file);
        command
            .arg("--data")
            .arg(directory.path().join("data"))
            .env("VAULT_ADDR", &address);
        command
            .env_remove("VAULT_TOKEN")
            .env_remove("VAULT_TOKEN_FILE")
            .envs(token.map(|token| ("VAULT_TOKEN", token)));
        let output = command.output().await.expect("runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(expected), "{said}");
    }
}
