//! The approval pages: server-rendered, without a script.
//!
//! | path | |
//! |---|---|
//! | `GET /approvals` | what waits for whoever is signed in |
//! | `GET /approvals/{key}` | one request; `POST`: the answer to it |
//! | `GET /approvals/sign-in`, `/approvals/callback` | OpenID Connect |
//! | `POST /approvals/sign-out` | forgets the session |
//! | `GET`, `POST /approvals/link/{key}/{link}` | a one-time link (demonstrations) |
//! | `POST /v1/ciba/notify` | an OpenID provider's ping |
//!
//! Nothing is kept in this process: a session is a signed cookie whose key is in the store, so every companion over one
//! store knows it. A change needs the session's cookie (`SameSite=Strict`), the token in the form, and an `Origin` that is
//! ours: any one of them stops a foreign page. A link is used up by a button and not by opening it, because chat systems
//! open links to preview them.

mod html;
mod session;
mod sign_in;

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Request, State};
use axum::http::header::{CONTENT_TYPE, LOCATION, ORIGIN, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use serde::Deserialize;
use tokio::sync::Semaphore;

use crate::clock::now_s;
use crate::config::Pages;
use crate::elicitation::{AnswerError, Desk, NOTIFY_PATH, PingError};
use crate::json_object;
use html::Problem;
use session::{Keyring, Session};

/// The largest form in bytes.
const MAX_FORM_BYTES: usize = 16 << 10;

/// Requests that are worked on at a time; one more is refused with 503.
const MAX_IN_FLIGHT: usize = 128;

/// What browsers are told on every page.
const HEADERS: [(&str, &str); 6] = [
    (
        "content-security-policy",
        "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    // Not `no-referrer`: browsers would then send `Origin: null` with a form.
    ("referrer-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cache-control", "no-store"),
];

/// What the handlers work with.
pub struct ApprovalPages {
    desk: Arc<Desk>,
    pages: Pages,
    keyring: Keyring,
    in_flight: Semaphore,
}

type Shared = State<Arc<ApprovalPages>>;

impl ApprovalPages {
    /// The pages over this desk.
    pub fn new(desk: Arc<Desk>, pages: Pages) -> Self {
        let keyring = Keyring::new(Arc::clone(&desk.cases), pages.origin.starts_with("https:"));
        Self {
            desk,
            pages,
            keyring,
            in_flight: Semaphore::new(MAX_IN_FLIGHT),
        }
    }

    async fn session(&self, headers: &HeaderMap) -> Result<Option<Session>, Problem> {
        self.keyring
            .session(headers, now_s())
            .await
            .map_err(|_| Problem::Unavailable)
    }

    /// Whether a form was sent from one of our pages.
    fn is_ours(&self, headers: &HeaderMap) -> bool {
        let is_form = headers
            .get(CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().starts_with(b"application/x-www-form-urlencoded"));
        let origin = headers.get(ORIGIN).and_then(|origin| origin.to_str().ok());
        is_form && origin == Some(self.pages.origin.as_str())
    }
}

/// The routes.
pub fn router(pages: ApprovalPages) -> Router {
    let shared = Arc::new(pages);
    let browsed = Router::new()
        .route("/approvals", get(list))
        .route("/approvals/style.css", get(style))
        .route("/approvals/sign-in", get(sign_in::begin))
        .route("/approvals/callback", get(sign_in::finish))
        .route("/approvals/sign-out", post(sign_out))
        .route("/approvals/link/{key}/{link}", get(link).post(enter))
        .route("/approvals/{key}", get(show).post(answer))
        .layer(middleware::from_fn(protect));
    Router::new()
        .route(NOTIFY_PATH, post(notify))
        .merge(browsed)
        .layer(DefaultBodyLimit::max(MAX_FORM_BYTES))
        .layer(middleware::from_fn_with_state(Arc::clone(&shared), admit))
        .with_state(shared)
}

async fn admit(State(shared): Shared, request: Request, next: Next) -> Response {
    match shared.in_flight.try_acquire() {
        Ok(_permit) => next.run(request).await,
        Err(_) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

async fn protect(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    for (name, value) in HEADERS {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}

async fn style() -> impl IntoResponse {
    (
        [(CONTENT_TYPE, "text/css; charset=utf-8")],
        include_str!("approvals/style.css"),
    )
}

async fn list(State(shared): Shared, headers: HeaderMap) -> Result<Response, Problem> {
    let Some(session) = shared.session(&headers).await? else {
        return Ok(stranger(&shared, None));
    };
    let cases = shared.desk.waiting_for(&session.approver()).await?;
    Ok(html::list(&session, &cases, now_s()).into_response())
}

/// Whoever is not signed in is asked to, if there is a way.
fn stranger(shared: &ApprovalPages, to: Option<&str>) -> Response {
    let page = html::sign_in(shared.pages.sign_in.is_some(), to);
    (StatusCode::UNAUTHORIZED, page).into_response()
}

async fn show(
    State(shared): Shared,
    Path(key): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Some(session) = shared.session(&headers).await? else {
        return Ok(stranger(&shared, Some(&key)));
    };
    let case = shared.desk.case_for(&session.approver(), &key).await?;
    Ok(html::case(&session, &case, now_s()).into_response())
}

async fn answer(
    State(shared): Shared,
    Path(key): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let Some(session) = shared.session(&headers).await? else {
        return Ok(stranger(&shared, Some(&key)));
    };
    let form = Form::of(&body);
    if !shared.is_ours(&headers) || !session.is_its_form(form.get("csrf")) {
        return Err(Problem::Forged);
    }
    let approved = match form.get("decision") {
        Some("approve") => true,
        Some("deny") => false,
        Some(_) | None => return Err(Problem::NoDecision),
    };
    let note = form.get("note").map(str::trim).filter(|note| !note.is_empty());
    let nonce = form.get("nonce").unwrap_or_default();
    let case = shared
        .desk
        .answer(
            &session.approver(),
            &key,
            nonce,
            approved,
            note.map(str::to_owned),
        )
        .await?;
    Ok(html::answered(&session, &case, approved).into_response())
}

async fn sign_out(State(shared): Shared, headers: HeaderMap, body: Bytes) -> Result<Response, Problem> {
    if let Some(session) = shared.session(&headers).await?
        && !(shared.is_ours(&headers) && session.is_its_form(Form::of(&body).get("csrf")))
    {
        return Err(Problem::Forged);
    }
    let gone = shared.keyring.forget_session();
    Ok((
        StatusCode::SEE_OTHER,
        [(SET_COOKIE, gone), (LOCATION, "/approvals".to_owned())],
    )
        .into_response())
}

async fn link(State(shared): Shared, Path((key, link)): Path<(String, String)>) -> Result<Response, Problem> {
    let held = shared.desk.by_link(&key, &link).await?;
    Ok(html::link(&held.case.from, &key, &link).into_response())
}

async fn enter(
    State(shared): Shared,
    Path((key, link)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    if !shared.is_ours(&headers) {
        return Err(Problem::Forged);
    }
    let approver = shared.desk.enter(&key, &link).await?;
    let cookie = shared.keyring.new_session(approver, now_s()).await;
    let cookie = cookie.map_err(|_| Problem::Unavailable)?;
    let to = format!("/approvals/{key}");
    Ok((StatusCode::SEE_OTHER, [(SET_COOKIE, cookie), (LOCATION, to)]).into_response())
}

#[derive(Deserialize)]
struct Ping {
    auth_req_id: String,
}

async fn notify(State(shared): Shared, headers: HeaderMap, body: Bytes) -> StatusCode {
    let Ok(ping) = json_object::parse::<Ping>(&body) else {
        return StatusCode::BAD_REQUEST;
    };
    match shared.desk.pinged(&headers, &ping.auth_req_id).await {
        Ok(()) => StatusCode::NO_CONTENT,
        Err(PingError::Unauthorized) => StatusCode::UNAUTHORIZED,
        Err(PingError::Unavailable) => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// A form's fields; of two of one name the first counts.
struct Form(Vec<(String, String)>);

impl Form {
    fn of(body: &[u8]) -> Self {
        Self(form_urlencoded::parse(body).into_owned().collect())
    }

    fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }
}

impl From<AnswerError> for Problem {
    fn from(error: AnswerError) -> Self {
        match error {
            AnswerError::NotFound => Self::NotFound,
            AnswerError::Closed => Self::Closed,
            AnswerError::OwnRequest => Self::OwnRequest,
            AnswerError::Note => Self::Note,
            AnswerError::Failed(_) => Self::Unavailable,
        }
    }
}

impl From<crate::elicitation::ElicitError> for Problem {
    fn from(_: crate::elicitation::ElicitError) -> Self {
        Self::Unavailable
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        (self.status(), html::problem(self)).into_response()
    }
}

type Page = Html<String>;
