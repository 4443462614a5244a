//! The realm's endpoints.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State as Extract;
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::ciba;
use super::control::{Change, Lie};
use super::grants::{self, Form, Refused};
use super::realm::{self, Client};
use super::{REALM_PATH, State};

/// Below the realm.
pub(super) const TOKEN: &str = "/protocol/openid-connect/token";
/// Below the realm.
pub(super) const CERTS: &str = "/protocol/openid-connect/certs";

const TEN_MEGABYTES: usize = 10 << 20;

pub(super) fn router(state: Arc<State>, with_control: bool) -> Router {
    let realm = Router::new()
        .route("/.well-known/openid-configuration", get(discovery))
        .route(CERTS, get(certs))
        .route(TOKEN, post(token))
        .route(ciba::BACKCHANNEL, post(ciba::begin));
    let mut router = Router::new()
        .nest(REALM_PATH, realm)
        .route("/ciba", get(ciba::page))
        .route("/ciba/{id}", post(ciba::answer))
        .route("/healthz", get(async || "ok"));
    if with_control {
        router = router
            .route("/control", get(faults).post(change))
            .route("/control/log", get(log));
    }
    router.with_state(state)
}

async fn discovery(Extract(state): Extract<Arc<State>>) -> Response {
    let issuer = &state.issuer;
    Json(json!({
        "issuer": issuer,
        "token_endpoint": format!("{issuer}{TOKEN}"),
        "jwks_uri": format!("{issuer}{CERTS}"),
        "grant_types_supported": [
            "password", "client_credentials", "urn:ietf:params:oauth:grant-type:token-exchange", ciba::GRANT,
        ],
        "backchannel_authentication_endpoint": format!("{issuer}{}", ciba::BACKCHANNEL),
        "backchannel_token_delivery_modes_supported": ["poll"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "response_types_supported": ["none"],
        "subject_types_supported": ["public"],
    }))
    .into_response()
}

async fn certs(Extract(state): Extract<Arc<State>>) -> Response {
    if state.control.faults().down {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    Json(state.key.jwks()).into_response()
}

async fn token(Extract(state): Extract<Arc<State>>, headers: HeaderMap, body: Bytes) -> Response {
    let faults = state.control.faults();
    if faults.delay_ms > 0 {
        tokio::time::sleep(Duration::from_millis(faults.delay_ms)).await;
    }
    if faults.down {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let exchange = body.windows(14).any(|window| window == b"token-exchange");
    match faults.lie {
        Lie::Html if exchange => {
            return ([(CONTENT_TYPE, "text/html")], "<html>Sign in</html>").into_response();
        }
        Lie::Huge if exchange => {
            // Not by a serialiser, which takes seconds for it in a debug build: it is refused for its size, not for its time.
            let body = format!("{{\"access_token\":\"{}\"}}", "x".repeat(TEN_MEGABYTES));
            return ([(CONTENT_TYPE, "application/json")], body).into_response();
        }
        _ => {}
    }
    match answer(&state, &headers, &body) {
        Ok(response) => ([(CACHE_CONTROL, "no-store")], Json(response)).into_response(),
        Err(refused) => refusal(refused),
    }
}

pub(super) fn refusal(refused: Refused) -> Response {
    let body = json!({"error": refused.error, "error_description": refused.description});
    (refused.status, Json(body)).into_response()
}

fn answer(state: &State, headers: &HeaderMap, body: &[u8]) -> Result<serde_json::Value, Refused> {
    let form = form(body)?;
    let client = authenticated(headers, &form).ok_or(Refused::CLIENT)?;
    grants::token(state, client, &form)
}

/// Each parameter at most once (RFC 6749 section 3.2).
pub(super) fn form(body: &[u8]) -> Result<Form, Refused> {
    let mut form = Form::new();
    for (name, value) in form_urlencoded::parse(body) {
        if form.insert(name.into_owned(), value.into_owned()).is_some() {
            return Err(Refused::new(
                StatusCode::BAD_REQUEST,
                "invalid_request",
                "duplicated parameter",
            ));
        }
    }
    Ok(form)
}

/// `client_secret_basic`, else `client_secret_post`.
pub(super) fn authenticated(headers: &HeaderMap, form: &Form) -> Option<&'static Client> {
    let (id, secret) = match headers.get(AUTHORIZATION) {
        Some(value) => basic(value.to_str().ok()?)?,
        None => (form.get("client_id")?.clone(), form.get("client_secret")?.clone()),
    };
    realm::client(&id).filter(|client| client.secret == secret)
}

fn basic(value: &str) -> Option<(String, String)> {
    let encoded = value.strip_prefix("Basic ")?;
    let pair = String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?;
    let (id, secret) = pair.split_once(':')?;
    Some((form_decoded(id)?, form_decoded(secret)?))
}

fn form_decoded(text: &str) -> Option<String> {
    let pair = format!("v={text}");
    form_urlencoded::parse(pair.as_bytes())
        .next()
        .map(|(_, value): (Cow<'_, str>, Cow<'_, str>)| value.into_owned())
}

async fn faults(Extract(state): Extract<Arc<State>>) -> Response {
    Json(state.control.faults()).into_response()
}

async fn change(Extract(state): Extract<Arc<State>>, Json(change): Json<Change>) -> Response {
    Json(state.control.change(change)).into_response()
}

async fn log(Extract(state): Extract<Arc<State>>) -> Response {
    Json(state.control.log()).into_response()
}
