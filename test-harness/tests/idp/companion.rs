//! The companion at the development identity provider, honest and lying.

use std::net::SocketAddr;

use aplomb_companion::outbound::{Egress, EgressRule};
use aplomb_companion::serve::{Companion, LifetimeOverrides, Options};
use axum::body::Bytes;
use axum::http::{Request, StatusCode};
use http_body_util::Full;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::provider::{Provider, claims, send};

const DIGEST: &str = "00000000000000000000000000000000000000000000000000000000000000aa";

async fn companion(idp: &Provider) -> (SocketAddr, TempDir) {
    let directory = tempfile::tempdir().expect("a directory");
    let config = directory.path().join("companion.json");
    let delegator = json!({
        "kind": "oauth", "token_endpoint": idp.token_endpoint, "allow_http": true,
        "client_id": "praxis-gateway", "client_secret": {"env": "GATEWAY_SECRET"}, "timeout_ms": 3000, "cache_ttl_s": 0,
    });
    let text = json!({
        "version": 1, "policy_digest": DIGEST, "delegators": {"github-oauth": delegator},
        "issuers": [{"issuer": "i", "jwks_url": idp.jwks_url, "allow_http": true}],
    });
    std::fs::write(&config, text.to_string()).expect("writes");
    let secrets = directory.path().join("secrets.env");
    std::fs::write(secrets, "GATEWAY_SECRET=praxis-gateway-secret\n").expect("writes");
    let options = Options {
        configs: vec![config],
        listen: "127.0.0.1:0".parse().expect("an address"),
        data: directory.path().join("data"),
        audit: None,
        audit_key: None,
        audit_segment_bytes: None,
        audit_keep: None,
        audit_pseudonyms_env: None,
        capture_key: None,
        token_env: None,
        token_file: None,
        store: None,
        lifetimes: LifetimeOverrides::default(),
        approvals: None,
        approvals_listen: None,
        demo_links: false,
        egress: Egress::new(vec![EgressRule::Loopback]),
        tls: None,
        rate_limit: None,
        drain: Default::default(),
        otlp: None,
    };
    let companion = Companion::start(&options).await.expect("starts");
    let address = companion.address();
    tokio::spawn(companion.run(std::future::pending(), || Box::pin(std::future::pending())));
    (address, directory)
}

/// The result of one exchange of `token` for `github-api`.
async fn exchange(companion: SocketAddr, token: &str) -> Value {
    let sub = claims(token)["sub"].clone();
    let effect = json!({
        "kind": "token.exchange", "delegator": "github-oauth", "subject": "user", "subject_token": token,
        "expected_sub": sub, "target": "github-api", "audience": "github-api", "permissions": ["repo:read:internal"],
    });
    let body = json!({"policy_digest": DIGEST, "decision_id": "d", "effects": [
        {"idempotency_key": "d.0", "on_fail": "stop", "source": "routes.tool:search_repos.pre_invocation[2]", "effect": effect},
    ]});
    let request = Request::post(format!("http://{companion}/v1/effects"))
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(body.to_string())))
        .expect("a request");
    let (status, mut body) = send(request).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    body["results"][0].take()
}

#[tokio::test]
async fn an_honest_provider_grants_and_its_faults_have_their_codes() {
    let idp = Provider::start().await;
    let (companion, _directory) = companion(&idp).await;
    let alice = idp.user_token("alice").await;
    let granted = exchange(companion, &alice).await;
    assert_eq!(granted["status"], "granted", "{granted}");
    assert_eq!(granted["permissions"], json!(["repo:read:internal"]));
    for (fault, code) in [
        (r#"{"grant_less":true}"#, "delegation.scope_too_broad"),
        (
            r#"{"grant_less":false,"lie":"subject"}"#,
            "delegation.subject_mismatch",
        ),
        (r#"{"lie":"audience"}"#, "delegation.audience_mismatch"),
        (r#"{"lie":"scope"}"#, "delegation.scope_overgrant"),
        (
            r#"{"lie":"issued_type"}"#,
            "delegation.issued_token_type_mismatch",
        ),
        (r#"{"lie":"html"}"#, "delegation.bad_response"),
        (r#"{"lie":"huge"}"#, "delegation.bad_response"),
        (r#"{"lie":"none","delay_ms":20000}"#, "delegation.idp_timeout"),
        (r#"{"delay_ms":0,"down":true}"#, "delegation.idp_rejected"),
    ] {
        idp.control(fault).await;
        assert_eq!(exchange(companion, &alice).await["code"], code, "{fault}");
    }
    idp.control(r#"{"down":false}"#).await;
    assert_eq!(exchange(companion, &alice).await["status"], "granted");
}

#[tokio::test]
async fn its_keys_are_served_by_the_companion() {
    let idp = Provider::start().await;
    let (companion, _directory) = companion(&idp).await;
    let served = idp.get(&format!("http://{companion}/v1/jwks?issuer=i")).await;
    assert_eq!(served, idp.get(&idp.jwks_url).await);
}
