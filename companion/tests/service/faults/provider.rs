//! The identity provider is down, slow, or lies.

use std::time::{Duration, Instant};

use axum::http::StatusCode;
use companion_protocol::{Effect, EffectResult};
use serde_json::json;

use super::{ask_one, must_refuse, row};
use crate::client::{Running, config};
use crate::delegation::exchange;
use crate::fault_idp::{FaultIdp, Script, honest, honest_claims, honest_with};

/// Given up after two seconds.
const SLOW: &str = "is slow (an hour)";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_fails_or_lies_mints_nothing() {
    let ok = |body| Script::Json(StatusCode::OK, body);
    let lie = |name: &str, value: serde_json::Value| {
        let mut claims = honest_claims();
        claims[name] = value;
        ok(honest_with(&claims))
    };
    let raw = |kind, text: String| Script::Raw(StatusCode::OK, "content-type", kind, text);
    let cases = [
        (
            "answers 503",
            Script::Json(StatusCode::SERVICE_UNAVAILABLE, json!({})),
            "delegation.idp_rejected",
        ),
        (
            SLOW,
            Script::Slow(Duration::from_secs(3600), honest()),
            "delegation.idp_timeout",
        ),
        (
            "names another subject",
            lie("sub", json!("eve")),
            "delegation.subject_mismatch",
        ),
        (
            "names another audience",
            lie("aud", json!("other")),
            "delegation.audience_mismatch",
        ),
        (
            "grants a wider scope",
            lie("scope", json!("read admin")),
            "delegation.scope_overgrant",
        ),
        (
            "shows a login page (HTML)",
            raw("text/html", "<html>Sign in</html>".to_owned()),
            "delegation.bad_response",
        ),
        (
            "sends HTML as JSON",
            raw("application/json", "<html>".to_owned()),
            "delegation.bad_response",
        ),
        (
            "sends 10 MB",
            raw(
                "application/json",
                format!("{{\"x\":\"{}\"}}", "x".repeat(10 << 20)),
            ),
            "delegation.bad_response",
        ),
        (
            "redirects",
            Script::Raw(StatusCode::FOUND, "location", "http://127.0.0.1/", String::new()),
            "delegation.bad_response",
        ),
    ];
    for (what, script, expected) in cases {
        let idp = FaultIdp::scripted(script).await;
        let mut config = config(&idp.endpoint());
        if what == SLOW {
            config["delegators"]["d"]["timeout_ms"] = json!(2000);
        }
        let companion = Running::with(config).await;
        let begun = Instant::now();
        let result = companion.one(Effect::TokenExchange(exchange())).await;
        must_refuse(&result, expected);
        // A fault is not remembered: as soon as the provider tells the truth, it counts.
        idp.now(ok(honest()));
        let result = companion.one(Effect::TokenExchange(exchange())).await;
        assert!(matches!(result, EffectResult::Granted(_)), "{what}: {result:?}");
        row(
            &format!("identity provider {what}"),
            &format!("`{expected}` in {} ms", begun.elapsed().as_millis()),
            0,
            0,
        );
    }
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let companion = Running::with(config(&format!("http://{address}/token"))).await;
    let down = ask_one(companion.address, Effect::TokenExchange(exchange()))
        .await
        .expect("an answer");
    must_refuse(&down, "delegation.idp_unreachable");
    row("identity provider is down", "`delegation.idp_unreachable`", 0, 0);
}
