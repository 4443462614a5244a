//! News of a request reaches the receiver, signed, also when it stumbles first.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use companion_protocol::{Effect, EffectResult};
use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use super::approval_stage::begin;
use super::client::{DIGEST, Running};
use crate::patience::eventually;

type Seen = Arc<Mutex<Vec<(HeaderMap, Bytes)>>>;

#[tokio::test]
async fn it_is_signed_and_sent_again_after_an_error() {
    let seen = Seen::default();
    let receive = async |State(seen): State<Seen>, headers: HeaderMap, body: Bytes| {
        let mut seen = seen.lock().expect("a lock");
        seen.push((headers, body));
        match seen.len() {
            1 => StatusCode::BAD_GATEWAY,
            _ => StatusCode::NO_CONTENT,
        }
    };
    let routes = Router::new()
        .route("/hook", post(receive))
        .with_state(Arc::clone(&seen));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let url = format!("http://{}/hook", listener.local_addr().expect("an address"));
    tokio::spawn(axum::serve(listener, routes).into_future());
    let secret = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(secret.path(), "shared").expect("writes");
    let running = Running::with(json!({
        "version": 1, "policy_digest": DIGEST,
        "approvals": {"public_url": "https://approvals.test"},
        "elicitors": {"manager": {"kind": "page", "webhook":
            {"url": url, "allow_http": true, "secret": {"file": secret.path().display().to_string()}}}},
    }))
    .await;
    let begun = running.one(Effect::ElicitBegin(Box::new(begin("1")))).await;
    assert!(matches!(begun, EffectResult::Elicitation(_)));
    eventually("the second attempt", async || {
        (seen.lock().expect("a lock").len() == 2).then_some(())
    })
    .await;
    let seen = seen.lock().expect("a lock");
    assert_eq!(seen.len(), 2);
    for (headers, body) in seen.iter() {
        let text = |name: &str| headers[name].to_str().expect("text").to_owned();
        let mut mac = Hmac::<Sha256>::new_from_slice(b"shared").expect("a key");
        mac.update(text("x-aplomb-timestamp").as_bytes());
        mac.update(b".");
        mac.update(body);
        let expected: String = mac
            .finalize()
            .into_bytes()
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        assert_eq!(text("x-aplomb-signature"), format!("v1={expected}"));
        let news: Value = serde_json::from_slice(body).expect("JSON");
        let url = news["url"].as_str().expect("a URL");
        assert!(url.starts_with("https://approvals.test/approvals/"), "{news}");
        assert!(
            !body.windows(3).any(|part| part == b"img"),
            "no argument is in the news"
        );
    }
}
