//! A workload that calls: its SVID gets it a token of its own, and that token is exchanged.

use axum::http::StatusCode;
use companion_protocol::{Effect, EffectResult, SubjectKind, TokenExchange};
use serde_json::{Value, json};

use super::{exchange, refusal};
use crate::client::{Running, config};
use crate::fault_idp::{Asked, FaultIdp, Script, honest_claims, honest_with, jwt};

const SVID_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe";

fn asked() -> TokenExchange {
    TokenExchange {
        subject: SubjectKind::CallerWorkload,
        subject_token: Some("the-svid".to_owned()),
        expected_sub: Some("spiffe://prod.example/agent".to_owned()),
        ..exchange()
    }
}

fn own_token() -> String {
    jwt(&json!({"sub": "service-account-agent", "exp": 4_102_444_800_u64}))
}

/// Both legs of a provider; the second one's token speaks for `sub`.
fn legs(first: Value, sub: &'static str) -> impl Fn(&Asked) -> Script + Send + Sync + 'static {
    move |asked| {
        let body = if asked.form["grant_type"] == "client_credentials" {
            first.clone()
        } else {
            let mut claims = honest_claims();
            claims["sub"] = json!(sub);
            honest_with(&claims)
        };
        Script::Json(StatusCode::OK, body)
    }
}

fn first_leg() -> Value {
    json!({"access_token": own_token(), "token_type": "Bearer", "expires_in": 60})
}

async fn outcome(answers: impl Fn(&Asked) -> Script + Send + Sync + 'static) -> (EffectResult, FaultIdp) {
    let idp = FaultIdp::answering(answers).await;
    let companion = Running::with(config(&idp.endpoint())).await;
    (companion.one(Effect::TokenExchange(asked())).await, idp)
}

#[tokio::test]
async fn the_svid_authenticates_and_the_token_it_brings_is_exchanged() {
    let (result, idp) = outcome(legs(first_leg(), "service-account-agent")).await;
    assert!(matches!(result, EffectResult::Granted(_)), "{result:?}");
    let [first, second] = &idp.asked()[..] else {
        panic!("two legs");
    };
    // The gateway's own credentials would make the provider take the workload for the gateway.
    assert!(!first.headers.contains_key("authorization"));
    let form: Vec<(&str, &str)> = first.form.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(
        form,
        [
            ("client_assertion", "the-svid"),
            ("client_assertion_type", SVID_TYPE),
            ("grant_type", "client_credentials"),
        ]
    );
    assert!(second.headers.contains_key("authorization"));
    assert_eq!(second.form["subject_token"], own_token());
    assert_eq!(second.form["audience"], "api");
    assert!(!second.form.values().any(|value| value == "the-svid"));
}

#[tokio::test]
async fn a_token_for_another_workload_is_refused() {
    let (result, _) = outcome(legs(first_leg(), "service-account-other")).await;
    assert_eq!(refusal(result).0, "delegation.subject_mismatch");
}

#[tokio::test]
async fn a_first_leg_that_fails_ends_it() {
    for (what, status, body, expected) in [
        (
            "refused",
            401,
            json!({"error": "invalid_client"}),
            "delegation.idp_rejected",
        ),
        (
            "nameless",
            200,
            json!({"access_token": jwt(&json!({})), "token_type": "Bearer"}),
            "delegation.subject_unverifiable",
        ),
        (
            "opaque",
            200,
            json!({"access_token": "opaque", "token_type": "Bearer"}),
            "delegation.subject_unverifiable",
        ),
        (
            "no token",
            200,
            json!({"token_type": "Bearer"}),
            "delegation.bad_response",
        ),
    ] {
        let status = StatusCode::from_u16(status).expect("a status");
        let (result, idp) = outcome(move |_| Script::Json(status, body.clone())).await;
        assert_eq!(refusal(result).0, expected, "{what}");
        assert_eq!(idp.asked().len(), 1, "{what}");
    }
}
