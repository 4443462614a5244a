//! Answers of identity providers in the shapes that their own documentation shows: what is taken, what is refused, and why.
//!
//! `shapes.jsonl`: one case a line. `JWT` in the response stands for a token with `claims`; `exp` in them counts from now.

use axum::http::StatusCode;
use companion_protocol::{Effect, EffectResult, SubjectKind, TokenExchange};
use serde::Deserialize;
use serde_json::Value;

use super::{exchange, refusal};
use crate::client::{Running, config};
use crate::fault_idp::{FaultIdp, Script, jwt, now_s};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Shape {
    provider: String,
    what: String,
    subject: SubjectKind,
    sub: Option<String>,
    audience: String,
    #[serde(default)]
    permissions: Vec<String>,
    #[serde(default)]
    allowed_extra_scopes: Vec<String>,
    status: u16,
    #[serde(default)]
    claims: Value,
    response: Value,
    /// `granted`, or a code.
    expect: String,
}

#[tokio::test]
async fn providers_answer_in_their_own_shapes() {
    let mut seen = std::collections::BTreeMap::new();
    for line in include_str!("shapes.jsonl").lines() {
        let shape: Shape = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let name = format!("{}: {}", shape.provider, shape.what);
        let found = outcome(&shape).await;
        assert_eq!(found, shape.expect, "{name}");
        *seen.entry(shape.provider).or_insert(0) += 1;
    }
    for provider in ["keycloak", "auth0", "entra", "okta"] {
        assert!(
            seen.get(provider).is_some_and(|cases| *cases >= 4),
            "{provider}: {seen:?}"
        );
    }
}

async fn outcome(shape: &Shape) -> String {
    let mut response = shape.response.clone();
    if response["access_token"] == "JWT" {
        let mut claims = shape.claims.clone();
        if let Some(life) = claims["exp"].as_u64() {
            claims["exp"] = (now_s() + life).into();
        }
        response["access_token"] = jwt(&claims).into();
    }
    let status = StatusCode::from_u16(shape.status).expect("a status");
    let idp = FaultIdp::scripted(Script::Json(status, response)).await;
    let mut config = config(&idp.endpoint());
    config["delegators"]["d"]["allowed_extra_scopes"] = shape.allowed_extra_scopes.clone().into();
    let companion = Running::with(config).await;
    let asked = TokenExchange {
        subject: shape.subject,
        subject_token: shape.sub.as_ref().map(|_| "callers-token".to_owned()),
        expected_sub: shape.sub.clone(),
        audience: shape.audience.clone(),
        permissions: shape.permissions.clone(),
        ..exchange()
    };
    match companion.one(Effect::TokenExchange(asked)).await {
        EffectResult::Granted(_) => "granted".to_owned(),
        refused => {
            let (code, reason) = refusal(refused);
            // Their descriptions name users, clients and internals.
            if let Some(text) = shape.response["error_description"].as_str() {
                assert!(!reason.contains(text), "{reason}");
            }
            code
        }
    }
}
