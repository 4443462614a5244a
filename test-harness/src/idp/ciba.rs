//! OpenID Connect CIBA in poll mode, and the page on which whoever is asked answers. For development: whoever reads the page
//! answers as the person whose name stands in its address.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State as Extract};
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::grants::{self, Refused};
use super::keys::random_id;
use super::realm::{self, Client, ClientRole};
use super::{State, server};

/// Below the realm.
pub(super) const BACKCHANNEL: &str = "/protocol/openid-connect/ext/ciba/auth";
/// The grant.
pub(super) const GRANT: &str = "urn:openid:params:grant-type:ciba";

/// Seconds between two questions.
const INTERVAL_S: u64 = 1;
/// How long a request lives unless it says otherwise, in seconds.
const EXPIRY_S: u64 = 120;
/// The most requests that wait.
const MAX_ASKED: usize = 256;

/// Requests that wait, by `auth_req_id`.
#[derive(Default)]
pub(super) struct Backchannel(Mutex<BTreeMap<String, Asked>>);

struct Asked {
    client: &'static str,
    who: String,
    message: String,
    answer: Option<bool>,
    ends: Instant,
}

impl Backchannel {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Asked>> {
        let mut asked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        asked.retain(|_, one| one.ends > Instant::now());
        asked
    }
}

/// Begins a request.
pub(super) async fn begin(Extract(state): Extract<Arc<State>>, headers: HeaderMap, body: Bytes) -> Response {
    let begun = server::form(&body).and_then(|form| {
        let client = server::authenticated(&headers, &form).ok_or(Refused::CLIENT)?;
        begun(&state, client, &form)
    });
    match begun {
        Ok(answer) => Json(answer).into_response(),
        Err(refused) => server::refusal(refused),
    }
}

fn begun(state: &State, client: &'static Client, form: &grants::Form) -> Result<Value, Refused> {
    let refused = |error, description| Refused::new(StatusCode::BAD_REQUEST, error, description);
    if client.role != ClientRole::Gateway {
        return Err(refused(
            "unauthorized_client",
            "Client not allowed for this grant",
        ));
    }
    let hint = grants::field(form, "login_hint");
    let who = realm::user_by_name(hint).ok_or(refused("unknown_user_id", "no such user"))?;
    let wanted = grants::field(form, "requested_expiry").parse();
    let seconds = wanted.unwrap_or(EXPIRY_S).min(600);
    let id = random_id();
    let mut asked = state.backchannel.lock();
    if asked.len() >= MAX_ASKED {
        return Err(refused("server_error", "too many requests wait"));
    }
    let one = Asked {
        client: client.id,
        who: who.name.to_owned(),
        message: grants::field(form, "binding_message").to_owned(),
        answer: None,
        ends: Instant::now() + Duration::from_secs(seconds),
    };
    asked.insert(id.clone(), one);
    Ok(json!({"auth_req_id": id, "expires_in": seconds, "interval": INTERVAL_S}))
}

/// The token response, once somebody has approved; a request is good for one.
pub(super) fn token(state: &State, client: &Client, form: &grants::Form) -> Result<Value, Refused> {
    let refused = |error| Refused::new(StatusCode::BAD_REQUEST, error, "see the error");
    let id = grants::field(form, "auth_req_id");
    let mut asked = state.backchannel.lock();
    let answer = match asked.get(id) {
        Some(one) if one.client == client.id => one.answer,
        Some(_) | None => return Err(refused("expired_token")),
    };
    match answer {
        None => Err(refused("authorization_pending")),
        Some(false) => {
            asked.remove(id);
            Err(refused("access_denied"))
        }
        Some(true) => {
            let who = asked.remove(id).map(|one| one.who).unwrap_or_default();
            let user = realm::user_by_name(&who).ok_or(refused("expired_token"))?;
            grants::signed_in(state, client, user)
        }
    }
}

#[derive(Deserialize)]
pub(super) struct Who {
    login_hint: String,
}

/// What waits for somebody.
pub(super) async fn page(Extract(state): Extract<Arc<State>>, Query(who): Query<Who>) -> Response {
    let asked = state.backchannel.lock();
    let mine = asked
        .iter()
        .filter(|(_, one)| one.who == who.login_hint && one.answer.is_none());
    let form = |(id, one): (&String, &Asked)| {
        // Ids are ours, and a message is letters, digits and dashes; what is not stays out.
        let plain = |ch: &char| ch.is_ascii_alphanumeric() || *ch == '-';
        let message: String = one.message.chars().filter(plain).collect();
        format!(
            "<form method=post action=/ciba/{id}><p>{} asks: <b>{message}</b></p>\
             <button name=decision value=approve>Approve</button> \
             <button name=decision value=deny>Deny</button></form>",
            one.client
        )
    };
    let forms: String = mine.map(form).collect();
    let nothing = if forms.is_empty() {
        "<p>Nothing waits.</p>"
    } else {
        ""
    };
    Html(format!(
        "<!doctype html><title>Requests</title><h1>Requests</h1>{forms}{nothing}"
    ))
    .into_response()
}

/// Their answer.
pub(super) async fn answer(
    Extract(state): Extract<Arc<State>>,
    Path(id): Path<String>,
    body: Bytes,
) -> Response {
    let form = match server::form(&body) {
        Ok(form) => form,
        Err(refused) => return server::refusal(refused),
    };
    let mut asked = state.backchannel.lock();
    let Some(one) = asked.get_mut(&id).filter(|one| one.answer.is_none()) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    one.answer = Some(grants::field(&form, "decision") == "approve");
    let to = format!("/ciba?login_hint={}", one.who);
    (StatusCode::SEE_OTHER, [(LOCATION, to)]).into_response()
}
