//! Token exchange: what is asked, what is accepted, and the code of everything that is not.

#[path = "delegation/actors.rs"]
mod actors;
#[path = "delegation/biscuits.rs"]
mod biscuits;
#[path = "delegation/cache.rs"]
mod cache;
#[path = "delegation/client_proof.rs"]
mod client_proof;
#[path = "delegation/interop.rs"]
mod interop;
#[path = "delegation/introspection.rs"]
mod introspection;
#[path = "delegation/shapes.rs"]
mod shapes;
#[path = "delegation/workload.rs"]
mod workload;

use std::time::Duration;

use axum::http::StatusCode;
use companion_protocol::{Effect, EffectResult, Grant, SubjectKind, TokenExchange};
use serde_json::{Value, json};

use crate::client::{Running, config};
use crate::fault_idp::{FaultIdp, Script, honest, honest_claims, honest_with, now_s};

pub(crate) fn exchange() -> TokenExchange {
    TokenExchange {
        delegator: "d".to_owned(),
        subject: SubjectKind::User,
        subject_token: Some("callers-token".to_owned()),
        expected_sub: Some("bob".to_owned()),
        actor_token: None,
        target: "api".to_owned(),
        audience: "api".to_owned(),
        permissions: vec!["read".to_owned()],
        attenuation: None,
    }
}

async fn ask(script: Script, asked: TokenExchange) -> (EffectResult, FaultIdp) {
    let idp = FaultIdp::scripted(script).await;
    let companion = Running::with(config(&idp.endpoint())).await;
    (companion.one(Effect::TokenExchange(asked)).await, idp)
}

async fn granted(script: Script, asked: TokenExchange) -> (Grant, FaultIdp) {
    match ask(script, asked).await {
        (EffectResult::Granted(grant), idp) => (grant, idp),
        (other, _) => panic!("not granted: {other:?}"),
    }
}

pub(crate) fn refusal(result: EffectResult) -> (String, String) {
    match result {
        EffectResult::Denied { code, reason } | EffectResult::Failed { code, reason } => (code, reason),
        other => panic!("not refused: {other:?}"),
    }
}

async fn code(script: Script, asked: TokenExchange) -> String {
    refusal(ask(script, asked).await.0).0
}

pub(crate) fn ok(body: Value) -> Script {
    Script::Json(StatusCode::OK, body)
}

fn with(change: impl FnOnce(&mut Value)) -> Script {
    let mut body = honest();
    change(&mut body);
    ok(body)
}

fn with_claims(change: impl FnOnce(&mut Value)) -> Script {
    let mut claims = honest_claims();
    change(&mut claims);
    ok(honest_with(&claims))
}

#[tokio::test]
async fn asks_as_rfc_8693_says_and_grants_what_the_provider_granted() {
    let (grant, idp) = granted(ok(honest()), exchange()).await;
    assert_eq!(grant.permissions, ["read"]);
    assert_eq!(
        (grant.audience.as_str(), grant.outbound_header.as_str()),
        ("api", "authorization")
    );
    assert_eq!(grant.outbound_prefix, "Bearer ");
    // The token's own end comes before `expires_in`.
    assert!(grant.expires_at <= now_s() + 120);
    let asked = idp.asked().remove(0);
    let basic = asked.headers["authorization"].to_str().expect("text");
    // `gate way:pass:word`, each part form-encoded first.
    assert_eq!(basic, "Basic Z2F0ZSt3YXk6cGFzcyUzQXdvcmQ=");
    let form: Vec<(&str, &str)> = asked.form.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(
        form,
        [
            ("audience", "api"),
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
            ("scope", "read"),
            ("subject_token", "callers-token"),
            (
                "subject_token_type",
                "urn:ietf:params:oauth:token-type:access_token"
            ),
        ]
    );
}

#[tokio::test]
async fn this_workload_uses_client_credentials_without_a_subject() {
    let asked = TokenExchange {
        subject: SubjectKind::ThisWorkload,
        subject_token: None,
        expected_sub: None,
        ..exchange()
    };
    let script = with(|body| {
        body.as_object_mut().expect("object").remove("issued_token_type");
    });
    let (_, idp) = granted(script, asked).await;
    let form = idp.asked().remove(0).form;
    assert_eq!(form["grant_type"], "client_credentials");
    assert!(!form.contains_key("subject_token"));
}

#[tokio::test]
async fn scopes_allowed_beside_those_asked_for_are_no_overgrant() {
    let (grant, _) = granted(with(|body| body["scope"] = json!("read profile")), exchange()).await;
    assert_eq!(grant.permissions, ["read", "profile"]);
}

#[tokio::test]
async fn refuses_what_a_lying_provider_sends() {
    let cases: Vec<(&str, Script, &str)> = vec![
        (
            "another subject",
            with_claims(|c| c["sub"] = json!("eve")),
            "delegation.subject_mismatch",
        ),
        (
            "no subject",
            with_claims(|c| c["sub"] = Value::Null),
            "delegation.subject_unverifiable",
        ),
        (
            "opaque token",
            with(|b| b["access_token"] = json!("opaque")),
            "delegation.subject_unverifiable",
        ),
        (
            "another audience",
            with_claims(|c| c["aud"] = json!("other")),
            "delegation.audience_mismatch",
        ),
        (
            "no audience",
            with_claims(|c| c["aud"] = Value::Null),
            "delegation.audience_mismatch",
        ),
        (
            "wider scope",
            with(|b| b["scope"] = json!("read admin")),
            "delegation.scope_overgrant",
        ),
        (
            "wider scope in the token only",
            with_claims(|c| c["scope"] = json!("read admin")),
            "delegation.scope_overgrant",
        ),
        (
            "wider scope as scp",
            with_claims(|c| c["scp"] = json!(["admin"])),
            "delegation.scope_overgrant",
        ),
        (
            "narrower scope",
            with(|b| b["scope"] = json!("")),
            "delegation.scope_too_broad",
        ),
        (
            "silent about scope",
            with(|b| b["scope"] = Value::Null),
            "delegation.scope_too_broad",
        ),
        (
            "no issued type",
            with(|b| b["issued_token_type"] = Value::Null),
            "delegation.issued_token_type_mismatch",
        ),
        (
            "a refresh token",
            with(|b| b["issued_token_type"] = json!("urn:ietf:params:oauth:token-type:refresh_token")),
            "delegation.issued_token_type_mismatch",
        ),
        (
            "a key-bound token",
            with(|b| b["token_type"] = json!("DPoP")),
            "delegation.bad_response",
        ),
        (
            "a token that ended",
            with_claims(|c| c["exp"] = json!(now_s() - 1)),
            "delegation.bad_response",
        ),
        (
            "a token with a line feed",
            with(|b| b["access_token"] = json!("a\r\nx: y")),
            "delegation.bad_response",
        ),
        (
            "no token",
            with(|b| b["access_token"] = Value::Null),
            "delegation.bad_response",
        ),
        (
            "an array",
            ok(json!([honest()["access_token"]])),
            "delegation.bad_response",
        ),
        (
            "HTTP 400",
            Script::Json(StatusCode::BAD_REQUEST, json!({"error": "invalid_scope"})),
            "delegation.idp_rejected",
        ),
        (
            "HTTP 500",
            Script::Json(StatusCode::INTERNAL_SERVER_ERROR, json!({})),
            "delegation.idp_rejected",
        ),
        (
            "HTML",
            Script::Raw(StatusCode::OK, "content-type", "text/html", "<html>".to_owned()),
            "delegation.bad_response",
        ),
        (
            "not JSON",
            Script::Raw(
                StatusCode::OK,
                "content-type",
                "application/json",
                "<html>".to_owned(),
            ),
            "delegation.bad_response",
        ),
        (
            "a redirect",
            Script::Raw(StatusCode::FOUND, "location", "/elsewhere", String::new()),
            "delegation.bad_response",
        ),
        (
            "10 MB",
            with(|b| b["padding"] = json!("x".repeat(10 << 20))),
            "delegation.bad_response",
        ),
    ];
    for (name, script, expected) in cases {
        assert_eq!(code(script, exchange()).await, expected, "{name}");
    }
}

#[tokio::test]
async fn a_member_sent_twice_is_a_bad_response() {
    let text = format!(
        r#"{{"scope":"read","scope":"read admin",{}"#,
        &honest().to_string()[1..]
    );
    let script = Script::Raw(StatusCode::OK, "content-type", "application/json", text);
    assert_eq!(code(script, exchange()).await, "delegation.bad_response");
}

#[tokio::test]
async fn a_slow_provider_is_given_up_in_the_delegators_time() {
    // A companion that waited for this answer would wait longer than the test is let run.
    let idp = FaultIdp::scripted(Script::Slow(Duration::from_secs(3600), honest())).await;
    let mut config = config(&idp.endpoint());
    config["delegators"]["d"]["timeout_ms"] = json!(300);
    let result = Running::with(config)
        .await
        .one(Effect::TokenExchange(exchange()))
        .await;
    assert_eq!(refusal(result).0, "delegation.idp_timeout");
}

#[tokio::test]
async fn a_provider_that_is_down_is_unreachable() {
    // A port that was free a moment ago.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let companion = Running::with(config(&format!("http://{address}/token"))).await;
    let result = companion.one(Effect::TokenExchange(exchange())).await;
    assert!(matches!(result, EffectResult::Failed { .. }));
    assert_eq!(refusal(result).0, "delegation.idp_unreachable");
}

#[tokio::test]
async fn the_providers_own_text_is_in_no_reason() {
    let error = json!({"error": "secret-detail", "error_description": "secret-detail"});
    let wider = with(|body| body["scope"] = json!("read secret-detail"));
    for script in [Script::Json(StatusCode::BAD_REQUEST, error), wider] {
        let (_, reason) = refusal(ask(script, exchange()).await.0);
        assert!(!reason.contains("secret-detail"), "{reason}");
    }
}

#[tokio::test]
async fn a_question_with_an_empty_part_is_not_asked() {
    let cases = [
        (
            TokenExchange {
                audience: String::new(),
                ..exchange()
            },
            "delegation.bad_request",
        ),
        (
            TokenExchange {
                subject_token: None,
                ..exchange()
            },
            "delegation.bad_request",
        ),
        (
            TokenExchange {
                expected_sub: Some(String::new()),
                ..exchange()
            },
            "delegation.bad_request",
        ),
        (
            TokenExchange {
                permissions: vec!["two scopes".to_owned()],
                ..exchange()
            },
            "delegation.bad_request",
        ),
        (
            TokenExchange {
                delegator: "unknown".to_owned(),
                ..exchange()
            },
            "delegation.bad_request",
        ),
        (
            TokenExchange {
                subject: SubjectKind::ThisWorkload,
                ..exchange()
            },
            "delegation.bad_request",
        ),
        (
            TokenExchange {
                expected_sub: None,
                ..exchange()
            },
            "delegation.subject_unverifiable",
        ),
    ];
    for (asked, expected) in cases {
        let (result, idp) = ask(ok(honest()), asked).await;
        assert_eq!(refusal(result).0, expected);
        assert!(idp.asked().is_empty());
    }
}

#[tokio::test]
async fn without_strict_validation_scope_must_still_cover_what_was_asked() {
    let idp = FaultIdp::scripted(ok(json!({"access_token": "opaque", "scope": "read"}))).await;
    let mut config = config(&idp.endpoint());
    config["delegators"]["d"]["strict_response_validation"] = json!(false);
    config["delegators"]["d"]["cache_ttl_s"] = json!(0);
    let companion = Running::with(config).await;
    let result = companion.one(Effect::TokenExchange(exchange())).await;
    let EffectResult::Granted(grant) = result else {
        panic!("not granted: {result:?}")
    };
    assert_eq!(grant.token, "opaque");
    idp.now(ok(json!({"access_token": "opaque"})));
    let result = companion.one(Effect::TokenExchange(exchange())).await;
    assert_eq!(refusal(result).0, "delegation.scope_too_broad");
}
