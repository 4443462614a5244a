//! The key proxy.

use axum::http::StatusCode;
use companion_protocol::JWKS_REFRESH;
use serde_json::{Value, json};

use crate::client::{DIGEST, Running, get};
use crate::fault_idp::{FaultIdp, Script};
use crate::patience::eventually;

const QUERY: &str = "/v1/jwks?issuer=https%3A%2F%2Fidp.example%2Frealm";

fn keys(kid: &str) -> Script {
    let key = json!({"kty": "RSA", "kid": kid, "n": "AQ", "e": "AQAB", "d": "private"});
    Script::Json(StatusCode::OK, json!({"keys": [key]}))
}

async fn companion(idp: &FaultIdp) -> Running {
    Running::with(json!({
        "version": 1, "policy_digest": DIGEST,
        "issuers": [{"issuer": "https://idp.example/realm", "jwks_url": format!("http://{}/certs", idp.address), "allow_http": true}],
    }))
    .await
}

fn kids(body: &Value) -> Vec<&str> {
    let keys = body["keys"].as_array().expect("keys");
    keys.iter().filter_map(|key| key["kid"].as_str()).collect()
}

#[tokio::test]
async fn serves_public_members_and_fetches_once() {
    let idp = FaultIdp::scripted(keys("k1")).await;
    let companion = companion(&idp).await;
    let (a, b, c) = tokio::join!(
        get(companion.address, QUERY),
        get(companion.address, QUERY),
        get(companion.address, QUERY)
    );
    for answer in [a, b, c] {
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(
            answer.json(),
            json!({"keys": [{"kty": "RSA", "kid": "k1", "n": "AQ", "e": "AQAB"}]})
        );
        assert!(
            answer.headers["cache-control"]
                .to_str()
                .expect("text")
                .starts_with("max-age=")
        );
    }
    assert_eq!(idp.asked().len(), 1);
}

#[tokio::test]
async fn a_refresh_inside_the_floor_makes_no_fetch_and_the_last_good_keys_stay() {
    let idp = FaultIdp::scripted(keys("k1")).await;
    let companion = companion(&idp).await;
    assert_eq!(get(companion.address, QUERY).await.status, StatusCode::OK);
    idp.now(Script::Raw(
        StatusCode::OK,
        "content-type",
        "text/html",
        "<html>".to_owned(),
    ));
    let answer = get(companion.address, &format!("{QUERY}{JWKS_REFRESH}")).await;
    assert_eq!(kids(&answer.json()), ["k1"]);
    assert_eq!(idp.asked().len(), 1);
}

#[tokio::test]
async fn without_any_keys_it_answers_503_and_recovers_by_itself() {
    let idp = FaultIdp::scripted(Script::Json(StatusCode::INTERNAL_SERVER_ERROR, json!({}))).await;
    let companion = companion(&idp).await;
    let answer = get(companion.address, QUERY).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.error_code(), "jwks.unavailable");
    idp.now(keys("k2"));
    let keys = eventually("keys", async || {
        let answer = get(companion.address, QUERY).await;
        (answer.status == StatusCode::OK).then(|| answer.json())
    })
    .await;
    assert_eq!(kids(&keys), ["k2"]);
}

#[tokio::test]
async fn a_key_set_over_the_size_limit_is_refused() {
    let big = json!({"keys": [{"kty": "RSA", "kid": "x".repeat(300 << 10), "n": "AQ", "e": "AQAB"}]});
    let idp = FaultIdp::scripted(Script::Json(StatusCode::OK, big)).await;
    let companion = companion(&idp).await;
    assert_eq!(
        get(companion.address, QUERY).await.status,
        StatusCode::SERVICE_UNAVAILABLE
    );
}

#[tokio::test]
async fn only_configured_issuers_are_served() {
    let idp = FaultIdp::scripted(keys("k1")).await;
    let companion = companion(&idp).await;
    let answer = get(
        companion.address,
        "/v1/jwks?issuer=https%3A%2F%2Felsewhere.example",
    )
    .await;
    assert_eq!(
        (answer.status, answer.error_code().as_str()),
        (StatusCode::NOT_FOUND, "jwks.unknown_issuer")
    );
    let answer = get(companion.address, "/v1/jwks").await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
}
