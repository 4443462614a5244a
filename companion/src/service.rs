//! HTTP: routes, limits and authentication.
//!
//! | path | |
//! |---|---|
//! | `POST /v1/effects` | performs an ordered list of effects |
//! | `GET /v1/jwks?issuer=…` | an issuer's public keys; `&refresh=true` after an unknown key id |
//! | `POST /v1/admin/sessions/show`, `.../clear`, `.../import` | for the operator's token, see [`crate::admin`] |
//! | `GET /healthz` | the process answers |
//! | `GET /readyz` | store and audit log work |
//! | `GET /metrics` | OpenMetrics text |
//! | `GET /openapi.json` | this, for programs |

mod body;
mod error;
mod openapi;
mod rate;
mod token;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Instant, SystemTime};

use axum::Json;
use axum::Router;
use axum::extract::{ConnectInfo, Query, Request, State};
use axum::http::header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use companion_protocol::{EFFECTS_PATH, EffectsRequest, EffectsResponse, JWKS_PATH, MAX_EFFECTS};
use opentelemetry_proto::tonic::trace::v1::Span;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::Semaphore;

pub use error::ApiError;
pub use rate::RateLimit;
pub use token::{AccessToken, AccessTokens};

use crate::admin::{Admin, CLEAR_PATH, ClearRequest, IMPORT_PATH, ImportRequest, Imported, SHOW_PATH};
use crate::effects::Effects;
use crate::json_object;
use crate::jwks::{JwksError, KeySets};
use crate::listen::Caller;
use crate::live::Live;
use crate::metrics;
use crate::otlp::{Feed, Parent};
use crate::store::{Bucket, Cleared, Selection};

/// Requests that are worked on at a time; it bounds the memory that bodies take. One more is refused with 503.
const MAX_IN_FLIGHT: usize = 1024;

/// An Envoy that checks this companion's health sends nothing more once it has seen this in any answer.
const TURN_AWAY: HeaderName = HeaderName::from_static("x-envoy-immediate-health-check-fail");

/// What the handlers work with.
pub struct Service {
    /// Performs effects.
    pub effects: Effects,
    /// Issuers' keys.
    pub(crate) keys: Live<KeySets>,
    /// How often one caller may ask.
    pub rate: Option<RateLimit>,
    /// An operator's wishes.
    pub admin: Admin,
    /// Admits an operator. Always needed, loopback or not.
    pub admin_token: AccessToken,
    /// Who may ask; `None`: everybody who reaches the socket (loopback only).
    pub(crate) tokens: Live<Option<AccessTokens>>,
    /// This companion is about to end: it answers, and says that others should be asked.
    pub(crate) leaving: AtomicBool,
    /// Where spans of calls go.
    pub(crate) spans: Option<Feed<Span>>,
}

struct Shared {
    service: Arc<Service>,
    in_flight: Semaphore,
}

/// The routes.
pub fn router(service: Arc<Service>) -> Router {
    let shared = Arc::new(Shared {
        service,
        in_flight: Semaphore::new(MAX_IN_FLIGHT),
    });
    let guarded = Router::new()
        .route(EFFECTS_PATH, post(effects))
        .route(JWKS_PATH, get(jwks))
        .route("/metrics", get(prometheus))
        .route(openapi::PATH, get(async || Json(openapi::document())))
        .fallback(async || ApiError::NotFound)
        .method_not_allowed_fallback(async || ApiError::MethodNotAllowed)
        .layer(middleware::from_fn_with_state(Arc::clone(&shared), authenticate));
    // Probes have no token, and these two say nothing that an outsider could use.
    let open = Router::new()
        .route("/healthz", get(async || Json(json!({"status": "ok"}))))
        .route("/readyz", get(ready));
    let operator = Router::new()
        .route(SHOW_PATH, post(show))
        .route(CLEAR_PATH, post(clear))
        .route(IMPORT_PATH, post(import))
        .method_not_allowed_fallback(async || ApiError::MethodNotAllowed)
        .layer(middleware::from_fn_with_state(
            Arc::clone(&shared),
            authenticate_operator,
        ));
    guarded
        .merge(open)
        .merge(operator)
        .layer(middleware::from_fn_with_state(Arc::clone(&shared), count))
        .with_state(shared)
}

async fn effects(
    State(shared): State<Arc<Shared>>,
    request: Request,
) -> Result<Json<EffectsResponse>, ApiError> {
    let _permit = shared.in_flight.try_acquire().map_err(|_| ApiError::Overloaded)?;
    let (began, parent) = (SystemTime::now(), Parent::of(request.headers()));
    let bytes = body::json(request).await?;
    // The parser's own message would quote what was sent, tokens included.
    let asked: EffectsRequest =
        json_object::parse(&bytes).map_err(|error| ApiError::NotAnEffectsRequest {
            line: error.line(),
            column: error.column(),
        })?;
    if asked.effects.len() > MAX_EFFECTS {
        return Err(ApiError::TooManyEffects {
            found: asked.effects.len(),
        });
    }
    let mut laps = Vec::with_capacity(asked.effects.len());
    let response = shared.service.effects.perform(&asked, &mut laps).await;
    if let Some(spans) = &shared.service.spans {
        spans.call(&parent, &asked, began, &laps);
    }
    Ok(Json(response))
}

async fn show(State(shared): State<Arc<Shared>>, request: Request) -> Result<Json<Vec<Bucket>>, ApiError> {
    let selection: Selection = operators_wish(request).await?;
    let shown = shared.service.admin.show(&selection).await;
    Ok(Json(shown.map_err(ApiError::Admin)?))
}

async fn clear(State(shared): State<Arc<Shared>>, request: Request) -> Result<Json<Cleared>, ApiError> {
    let asked: ClearRequest = operators_wish(request).await?;
    let cleared = shared.service.admin.clear(&asked).await;
    Ok(Json(cleared.map_err(ApiError::Admin)?))
}

async fn import(
    State(shared): State<Arc<Shared>>,
    request: Request,
) -> Result<Json<Vec<Imported>>, ApiError> {
    let asked: ImportRequest = operators_wish(request).await?;
    let imported = shared.service.admin.import(&asked).await;
    Ok(Json(imported.map_err(ApiError::Admin)?))
}

async fn operators_wish<T: serde::de::DeserializeOwned>(request: Request) -> Result<T, ApiError> {
    let bytes = body::json(request).await?;
    json_object::parse(&bytes).map_err(|_| ApiError::NotAWish)
}

#[derive(Deserialize)]
struct JwksQuery {
    issuer: Option<String>,
    #[serde(default)]
    refresh: bool,
}

async fn jwks(
    State(shared): State<Arc<Shared>>,
    query: Result<Query<JwksQuery>, axum::extract::rejection::QueryRejection>,
) -> Result<Response, ApiError> {
    let Query(query) = query.map_err(|_| ApiError::NoIssuer)?;
    let issuer = query.issuer.ok_or(ApiError::NoIssuer)?;
    let served = shared
        .service
        .keys
        .get()
        .get(&issuer, query.refresh)
        .await
        .map_err(|error| match error {
            JwksError::UnknownIssuer => ApiError::UnknownIssuer,
            JwksError::Unavailable => ApiError::KeysUnavailable,
        })?;
    let left = served.refresh.saturating_sub(served.fetched.elapsed());
    let headers = [
        (CONTENT_TYPE, "application/jwk-set+json".to_owned()),
        (CACHE_CONTROL, format!("max-age={}", left.as_secs())),
    ];
    Ok((headers, served.body).into_response())
}

async fn ready(State(shared): State<Arc<Shared>>) -> Response {
    let effects = &shared.service.effects;
    let (store, audit) = (effects.store.healthy(), effects.audit.healthy());
    let leaving = shared.service.leaving.load(Ordering::Relaxed);
    let status = match store && audit && !leaving {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    (
        status,
        Json(json!({"store": store, "audit": audit, "leaving": leaving})),
    )
        .into_response()
}

async fn prometheus(State(shared): State<Arc<Shared>>) -> Response {
    let text = shared.service.effects.metrics.text();
    ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response()
}

async fn authenticate(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    request: Request,
    next: Next,
) -> Response {
    if let Some(tokens) = shared.service.tokens.get().as_ref()
        && !tokens.admit(&headers)
    {
        return ApiError::Unauthorized.into_response();
    }
    let caller = request
        .extensions()
        .get::<ConnectInfo<Caller>>()
        .map(|info| info.0);
    match &shared.service.rate {
        Some(rate) if !rate.admits(caller, Instant::now()) => ApiError::TooOften.into_response(),
        Some(_) | None => next.run(request).await,
    }
}

async fn authenticate_operator(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    request: Request,
    next: Next,
) -> Response {
    match shared.service.admin_token.admits(&headers) {
        true => next.run(request).await,
        false => ApiError::Unauthorized.into_response(),
    }
}

async fn count(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let path = match request.uri().path() {
        EFFECTS_PATH => EFFECTS_PATH,
        JWKS_PATH => JWKS_PATH,
        SHOW_PATH => SHOW_PATH,
        CLEAR_PATH => CLEAR_PATH,
        IMPORT_PATH => IMPORT_PATH,
        "/metrics" => "/metrics",
        openapi::PATH => openapi::PATH,
        "/healthz" => "/healthz",
        "/readyz" => "/readyz",
        _ => "other",
    };
    let began = Instant::now();
    let has_connection_header = request.version() <= Version::HTTP_11;
    let mut response = next.run(request).await;
    if shared.service.leaving.load(Ordering::Relaxed) {
        let headers = response.headers_mut();
        headers.insert(TURN_AWAY, HeaderValue::from_static("true"));
        // A connection that is kept would be closed later, perhaps under the next request.
        if has_connection_header {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
    }
    shared
        .service
        .effects
        .metrics
        .request(path, response.status().as_u16(), began.elapsed());
    response
}
