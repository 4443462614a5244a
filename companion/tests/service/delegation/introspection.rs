//! Opaque tokens: the provider says what they are good for (RFC 7662), and that is checked like a JWT's claims.

use axum::http::StatusCode;
use companion_protocol::{Effect, EffectResult};
use serde_json::{Value, json};

use super::{exchange, refusal};
use crate::client::{Running, config};
use crate::fault_idp::{FaultIdp, Script, now_s};

fn minted() -> Value {
    json!({"access_token": "opaque-token", "token_type": "Bearer", "expires_in": 600, "scope": "read",
        "issued_token_type": "urn:ietf:params:oauth:token-type:access_token"})
}

fn active() -> Value {
    json!({"active": true, "sub": "bob", "aud": "api", "scope": "read", "exp": now_s() + 90, "client_id": "gate way"})
}

async fn outcome(status: StatusCode, says: Value) -> (EffectResult, FaultIdp) {
    let idp = FaultIdp::answering(move |asked| match asked.path.as_str() {
        "/introspect" => Script::Json(status, says.clone()),
        _ => Script::Json(StatusCode::OK, minted()),
    })
    .await;
    let mut config = config(&idp.endpoint());
    config["delegators"]["d"]["introspection_endpoint"] = json!(format!("http://{}/introspect", idp.address));
    let companion = Running::with(config).await;
    (companion.one(Effect::TokenExchange(exchange())).await, idp)
}

#[tokio::test]
async fn an_opaque_token_is_looked_into_with_the_clients_own_credentials() {
    let (result, idp) = outcome(StatusCode::OK, active()).await;
    let EffectResult::Granted(grant) = result else {
        panic!("not granted: {result:?}")
    };
    assert_eq!(grant.token, "opaque-token");
    // Its own end comes before `expires_in`.
    assert!(grant.expires_at <= now_s() + 90);
    let asked = idp.asked().remove(1);
    assert_eq!(
        (
            asked.form["token"].as_str(),
            asked.form["token_type_hint"].as_str()
        ),
        ("opaque-token", "access_token")
    );
    assert!(asked.headers.contains_key("authorization"));
}

#[tokio::test]
async fn what_the_provider_says_of_it_is_checked() {
    let with = |name: &str, value: Value| {
        let mut says = active();
        says[name] = value;
        says
    };
    for (what, status, says, expected) in [
        (
            "not active",
            200,
            with("active", json!(false)),
            "delegation.bad_response",
        ),
        (
            "another subject",
            200,
            with("sub", json!("eve")),
            "delegation.subject_mismatch",
        ),
        (
            "no subject",
            200,
            with("sub", Value::Null),
            "delegation.subject_unverifiable",
        ),
        (
            "another audience",
            200,
            with("aud", json!(["other"])),
            "delegation.audience_mismatch",
        ),
        (
            "wider",
            200,
            with("scope", json!("read admin")),
            "delegation.scope_overgrant",
        ),
        ("ended", 200, with("exp", json!(1)), "delegation.bad_response"),
        ("refused", 401, json!({}), "delegation.idp_rejected"),
    ] {
        let status = StatusCode::from_u16(status).expect("a status");
        let (result, _) = outcome(status, says).await;
        assert_eq!(refusal(result).0, expected, "{what}");
    }
}
