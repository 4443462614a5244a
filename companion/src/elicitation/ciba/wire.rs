//! The forms that go to the provider and what comes back.

use axum::body::Bytes;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{Method, Request, Uri};
use companion_protocol::config::CibaHint;
use form_urlencoded::Serializer;
use http_body_util::Full;
use serde::Deserialize;

use super::super::ElicitError;
use super::super::case::Case;
use crate::client_auth::basic;
use crate::config::Ciba;
use crate::json_object;

/// The longest binding message; phones show little.
const MAX_MESSAGE: usize = 50;

const GRANT: &str = "urn:openid:params:grant-type:ciba";

pub(super) type Pairs = Vec<(&'static str, String)>;

/// What became of the request, as the token endpoint says (section 11).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    Pending,
    SlowDown,
    Denied,
    Expired,
    Approved,
}

/// An acknowledgement (section 7.3).
#[derive(Deserialize)]
pub(super) struct Started {
    pub(super) auth_req_id: String,
    pub(super) expires_in: u64,
    #[serde(default)]
    pub(super) interval: Option<u64>,
}

/// The authentication request (section 7.1).
pub(super) fn authentication(ciba: &Ciba, case: &Case, timeout_s: u64, notification: Option<&str>) -> Pairs {
    let hint = match ciba.config.hint {
        CibaHint::LoginHint => "login_hint",
        CibaHint::LoginHintToken => "login_hint_token",
    };
    let mut pairs = vec![
        ("scope", ciba.config.scope.clone()),
        (hint, case.from.clone()),
        ("binding_message", message(case)),
        ("requested_expiry", timeout_s.to_string()),
    ];
    if let Some(token) = notification {
        pairs.push(("client_notification_token", token.to_owned()));
    }
    pairs
}

/// The token request (section 10.1).
pub(super) fn token(auth_req_id: &str) -> Pairs {
    vec![
        ("grant_type", GRANT.to_owned()),
        ("auth_req_id", auth_req_id.to_owned()),
    ]
}

/// The request's number, so that both humans can compare it, and the purpose: letters, digits and dashes, which every
/// provider takes.
fn message(case: &Case) -> String {
    let mut text = case.intent_id();
    for word in case.purpose.as_deref().unwrap_or_default().split_whitespace() {
        let word: String = word.chars().filter(char::is_ascii_alphanumeric).collect();
        if !word.is_empty() {
            text.push('-');
            text.push_str(&word);
        }
    }
    text.truncate(MAX_MESSAGE);
    text
}

/// A form with the client's credentials in `Authorization`.
pub(super) fn form(ciba: &Ciba, to: &Uri, pairs: &Pairs) -> Result<Request<Full<Bytes>>, ElicitError> {
    let credentials = basic(&ciba.config.client_id, &ciba.client_secret)
        .ok_or(ElicitError::BadRequest("the client credentials cannot be sent"))?;
    let mut form = Serializer::new(String::new());
    for (name, value) in pairs {
        form.append_pair(name, value);
    }
    Request::builder()
        .method(Method::POST)
        .uri(to.clone())
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(AUTHORIZATION, credentials)
        .body(Full::new(Bytes::from(form.finish())))
        .map_err(|_| ElicitError::BadRequest("the request cannot be built"))
}

pub(super) fn started(body: &[u8]) -> Option<Started> {
    json_object::parse(body).ok()
}

pub(super) fn id_token(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Tokens {
        id_token: String,
    }
    json_object::parse::<Tokens>(body)
        .ok()
        .map(|tokens| tokens.id_token)
}

fn error(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Refusal {
        error: String,
    }
    json_object::parse::<Refusal>(body)
        .ok()
        .map(|refusal| refusal.error)
}

/// What a refusal of the token endpoint says about the request; `None`: it is about something else.
pub(super) fn told(body: &[u8]) -> Option<Told> {
    match error(body)?.as_str() {
        "authorization_pending" => Some(Told::Pending),
        "slow_down" => Some(Told::SlowDown),
        "access_denied" => Some(Told::Denied),
        "expired_token" => Some(Told::Expired),
        _ => None,
    }
}

/// The error code for the operator's log, if it is one that is registered; anything else is the provider's own text.
pub(super) fn registered_error(body: &[u8]) -> &'static str {
    const REGISTERED: [&str; 13] = [
        "invalid_request",
        "invalid_scope",
        "expired_login_hint_token",
        "unknown_user_id",
        "unauthorized_client",
        "missing_user_code",
        "invalid_user_code",
        "invalid_binding_message",
        "invalid_client",
        "access_denied",
        "invalid_grant",
        "transaction_failed",
        "unsupported_grant_type",
    ];
    let said = error(body).unwrap_or_default();
    REGISTERED
        .into_iter()
        .find(|known| *known == said)
        .unwrap_or("none that is registered")
}
