//! Secrets from Vault: a mock that answers in the shapes of its KV version 2 API and of its logins. No real Vault is in reach.

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

/// Variables and what they hold.
type Environment<'a> = &'a [(&'a str, &'a str)];

/// What Vault answers to a login, as its API reference shows it.
fn login(token: &str) -> Value {
    json!({"request_id": "9e6b3f5a", "lease_id": "", "renewable": false, "lease_duration": 0, "data": null, "wrap_info": null,
        "warnings": null, "auth": {"client_token": token, "accessor": "afa306d0", "policies": ["default", "backends"],
        "token_policies": ["default", "backends"], "metadata": {"role_name": "gateway"}, "lease_duration": 1200, "renewable": true,
        "entity_id": "7d2e3179", "token_type": "service", "orphan": true, "mfa_requirement": null, "num_uses": 0}})
}

/// A Vault that lets in who posts this to that, and gives the secret to the token of that login alone.
async fn vault_with_login(path: &'static str, wanted: Value) -> FaultIdp {
    FaultIdp::answering(move |asked| {
        let token = asked
            .headers
            .get("x-vault-token")
            .and_then(|value| value.to_str().ok());
        let answer = |status, body| Script::Json(status, body);
        match (asked.path.as_str(), token) {
            (at, None) if at == path => match serde_json::from_str::<Value>(&asked.body) {
                Ok(posted) if posted == wanted => answer(StatusCode::OK, login("hvs.of-the-login")),
                _ => answer(
                    StatusCode::BAD_REQUEST,
                    json!({"errors": ["invalid role or secret ID"]}),
                ),
            },
            ("/v1/kv/data/backends/hr", Some("hvs.of-the-login")) => answer(
                StatusCode::OK,
                json!({"data": {"data": {"api_key": "from-vault"}, "metadata": {"version": 2}}}),
            ),
            ("/v1/auth/token/revoke-self", Some("hvs.of-the-login")) => {
                Script::Raw(StatusCode::NO_CONTENT, "cache-control", "no-store", String::new())
            }
            _ => answer(StatusCode::FORBIDDEN, json!({"errors": ["permission denied"]})),
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_logs_in_with_what_the_platform_gives_and_gives_the_token_back() {
    let files = tempfile::tempdir().expect("a directory");
    let file = |name: &str, text: &str| {
        let path = files.path().join(name);
        std::fs::write(&path, text).expect("writes");
        path.display().to_string()
    };
    let (secret_id, jwt) = (file("secret-id", "s-1\n"), file("jwt", "a.b.c\n"));
    let approle = json!({"role_id": "r-1", "secret_id": "s-1"});
    let by_jwt = json!({"role": "gateway", "jwt": "a.b.c"});
    let cases: [(&str, &Value, Environment); 4] = [
        (
            "/v1/auth/approle/login",
            &approle,
            &[
                ("VAULT_AUTH_METHOD", "approle"),
                ("VAULT_ROLE_ID", "r-1"),
                ("VAULT_SECRET_ID_FILE", &secret_id),
            ],
        ),
        (
            "/v1/auth/team/approle/login",
            &approle,
            &[
                ("VAULT_AUTH_METHOD", "approle"),
                ("VAULT_AUTH_MOUNT", "team/approle"),
                ("VAULT_ROLE_ID", "r-1"),
                ("VAULT_SECRET_ID", "s-1"),
            ],
        ),
        (
            "/v1/auth/kubernetes/login",
            &by_jwt,
            &[
                ("VAULT_AUTH_METHOD", "kubernetes"),
                ("VAULT_ROLE", "gateway"),
                ("VAULT_JWT_FILE", &jwt),
            ],
        ),
        (
            "/v1/auth/jwt/login",
            &by_jwt,
            &[
                ("VAULT_AUTH_METHOD", "jwt"),
                ("VAULT_ROLE", "gateway"),
                ("VAULT_JWT", "a.b.c"),
            ],
        ),
    ];
    for (path, wanted, environment) in cases {
        let vault = vault_with_login(path, wanted.clone()).await;
        let address = format!("http://{}", vault.address);
        let directory = tempfile::tempdir().expect("a directory");
        let environment = [environment, &[("VAULT_ADDR", address.as_str())]].concat();
        let process = Process::start(directory.path(), &config("backends/hr", "api_key"), &environment);
        let asked = TokenExchange {
            permissions: Vec::new(),
            ..exchange()
        };
        let calls = vec![call(Effect::TokenExchange(asked), OnFail::Stop)];
        match perform(process.address, DIGEST, calls).await.results.remove(0) {
            EffectResult::Granted(grant) => assert_eq!(grant.token, "from-vault"),
            other => panic!("{path}: not granted: {other:?}"),
        }
        let asked: Vec<String> = vault.asked().into_iter().map(|asked| asked.path).collect();
        assert_eq!(
            asked,
            [path, "/v1/kv/data/backends/hr", "/v1/auth/token/revoke-self"]
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_that_fails_stops_the_start_and_says_why() {
    let vault = vault_with_login(
        "/v1/auth/approle/login",
        json!({"role_id": "r-1", "secret_id": "s-1"}),
    )
    .await;
    let address = format!("http://{}", vault.address);
    let cases: [(Environment, &str); 5] = [
        (&[("VAULT_AUTH_METHOD", "ldap")], "not `ldap`"),
        (
            &[("VAULT_AUTH_METHOD", "approle"), ("VAULT_ROLE_ID", "r-1")],
            "`VAULT_SECRET_ID`",
        ),
        (
            &[
                ("VAULT_AUTH_METHOD", "approle"),
                ("VAULT_ROLE_ID", "r-1"),
                ("VAULT_SECRET_ID", "wrong-s3cret"),
            ],
            "Vault answers 400",
        ),
        (
            &[("VAULT_AUTH_METHOD", "jwt"), ("VAULT_ROLE", "gateway")],
            "`VAULT_JWT`",
        ),
        (
            &[
                ("VAULT_AUTH_METHOD", "jwt"),
                ("VAULT_ROLE", "gateway"),
                ("VAULT_JWT", "a.b.c"),
            ],
            "Vault answers 403",
        ),
    ];
    for (environment, expected) in cases {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("companion.json");
        std::fs::write(&file, config("backends/hr", "api_key").to_string()).expect("writes");
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_aplomb-companion"));
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--config"])
            .arg(&file)
            .arg("--data")
            .arg(directory.path().join("data"))
            .env("VAULT_ADDR", &address)
            .envs(environment.iter().copied());
        let output = command.output().await.expect("runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(
            said.contains(expected) && !said.contains("wrong-s3cret"),
            "{expected}: {said}"
        );
    }
}
