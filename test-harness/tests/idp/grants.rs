//! Claims as the demo's realm has them.

use aplomb_test_harness::idp::DEFAULT_ISSUER;
use axum::http::StatusCode;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use serde_json::{Value, json};

use crate::provider::{AGENT, GATEWAY, Provider, access_token, claims};

#[tokio::test]
async fn password_grant_issues_the_users_claims() {
    let idp = Provider::start().await;
    let bob = claims(&idp.user_token("bob").await);
    assert_eq!(bob["iss"], DEFAULT_ISSUER);
    assert_eq!(bob["preferred_username"], "bob");
    assert_eq!(bob["roles"], json!(["hr"]));
    assert_eq!(
        bob["permissions"],
        json!(["tool_execute", "view_ssn", "pii_access", "email_send"])
    );
    assert_eq!(bob["teams"], json!(["hr"]));
    assert_eq!(
        (&bob["azp"], &bob["manager"]),
        (&json!("hr-copilot"), &json!("alice"))
    );
    assert!(
        bob["aud"]
            .as_array()
            .expect("a list")
            .contains(&json!("praxis-gateway"))
    );
    assert_eq!(bob["exp"].as_u64(), bob["iat"].as_u64().map(|iat| iat + 600));
    let alice = claims(&idp.user_token("alice").await);
    assert_eq!(alice["gh_permissions"], json!(["repo:read:internal"]));
    assert_eq!(alice["manager"], Value::Null);
    assert_ne!(alice["jti"], bob["jti"]);
}

#[tokio::test]
async fn tokens_verify_with_the_published_key() {
    let idp = Provider::start().await;
    let key = idp.get(&idp.jwks_url).await["keys"][0].clone();
    let text = |name: &str| key[name].as_str().expect("text").to_owned();
    let decoding = DecodingKey::from_rsa_components(&text("n"), &text("e")).expect("a key");
    let mut validation = Validation::new(Algorithm::RS256);
    validation.set_audience(&["praxis-gateway"]);
    validation.set_issuer(&[DEFAULT_ISSUER]);
    let token = idp.user_token("eve").await;
    let data = decode::<Value>(&token, &decoding, &validation).expect("verifies");
    assert_eq!(data.header.kid, Some(text("kid")));
}

#[tokio::test]
async fn client_credentials_issue_the_agents_own_token() {
    let idp = Provider::start().await;
    let (status, body) = idp.token(AGENT, &[("grant_type", "client_credentials")]).await;
    assert_eq!(status, StatusCode::OK);
    let claims = claims(&access_token(&body));
    assert_eq!(claims["aud"], json!(["praxis-gateway", "account"]));
    assert_eq!(
        (&claims["azp"], &claims["client_id"]),
        (&json!("hr-copilot"), &json!("hr-copilot"))
    );
}

#[tokio::test]
async fn refuses_wrong_secrets_passwords_and_grants() {
    let idp = Provider::start().await;
    let password = |p| [("grant_type", "password"), ("username", "bob"), ("password", p)];
    let cases = [
        (
            idp.token(("hr-copilot", "wrong"), &password("bob")).await,
            StatusCode::UNAUTHORIZED,
            "invalid_client",
        ),
        (
            idp.token(("nobody", "x"), &password("bob")).await,
            StatusCode::UNAUTHORIZED,
            "invalid_client",
        ),
        (
            idp.token(AGENT, &password("eve")).await,
            StatusCode::UNAUTHORIZED,
            "invalid_grant",
        ),
        (
            idp.token(GATEWAY, &password("bob")).await,
            StatusCode::BAD_REQUEST,
            "unauthorized_client",
        ),
        (
            idp.token(AGENT, &[("grant_type", "magic")]).await,
            StatusCode::BAD_REQUEST,
            "unsupported_grant_type",
        ),
    ];
    for ((status, body), expected, error) in cases {
        assert_eq!((status, body["error"].as_str()), (expected, Some(error)));
    }
}

#[tokio::test]
async fn exchange_changes_audience_and_scope_and_keeps_the_subject() {
    let idp = Provider::start().await;
    let token = idp.user_token("bob").await;
    let (status, body) = idp.exchange(&token, "workday-api", "read_compensation").await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(
        body["issued_token_type"],
        "urn:ietf:params:oauth:token-type:access_token"
    );
    assert_eq!(body["scope"], "read_compensation");
    let minted = claims(&access_token(&body));
    assert_eq!(minted["sub"], claims(&token)["sub"]);
    assert_eq!(
        (&minted["aud"], &minted["azp"]),
        (&json!("workday-api"), &json!("praxis-gateway"))
    );
    assert_eq!(minted["scope"], "read_compensation");
}

#[tokio::test]
async fn github_permissions_come_from_the_provider_and_bound_the_grant() {
    let idp = Provider::start().await;
    let alice = idp.user_token("alice").await;
    let (_, body) = idp.exchange(&alice, "github-api", "repo:read:internal").await;
    assert_eq!(body["scope"], "repo:read:internal");
    assert_eq!(
        claims(&access_token(&body))["permissions"],
        json!(["repo:read:internal"])
    );
    let bob = idp.user_token("bob").await;
    let (status, body) = idp.exchange(&bob, "github-api", "repo:read:internal").await;
    assert_eq!((status, &body["scope"]), (StatusCode::OK, &json!("")));
    idp.control(r#"{"grant_less":true}"#).await;
    let (status, body) = idp.exchange(&alice, "github-api", "repo:read:internal").await;
    assert_eq!((status, &body["scope"]), (StatusCode::OK, &json!("")));
}

#[tokio::test]
async fn refuses_exchanges_of_foreign_tokens_audiences_and_scopes_and_logs_them() {
    let idp = Provider::start().await;
    let bob = idp.user_token("bob").await;
    let foreign = Provider::start().await.user_token("bob").await;
    for (token, audience, scope, error) in [
        (
            foreign.as_str(),
            "workday-api",
            "read_compensation",
            "invalid_request",
        ),
        ("nonsense", "workday-api", "read_compensation", "invalid_request"),
        (bob.as_str(), "elsewhere", "read_compensation", "invalid_client"),
        (bob.as_str(), "workday-api", "repo:read:internal", "invalid_scope"),
    ] {
        let (status, body) = idp.exchange(token, audience, scope).await;
        assert_eq!(
            (status, body["error"].as_str()),
            (StatusCode::BAD_REQUEST, Some(error))
        );
    }
    let log = idp.log().await;
    assert_eq!(log.as_array().map(Vec::len), Some(4));
    assert_eq!(
        (&log[3]["subject"], &log[3]["error"]),
        (&json!("bob"), &json!("invalid_scope"))
    );
}
