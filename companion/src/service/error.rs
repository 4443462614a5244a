//! Answers to requests that are not effects.

use axum::Json;
use axum::http::header::WWW_AUTHENTICATE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use companion_protocol::{MAX_EFFECTS, MAX_REQUEST_BYTES};
use serde_json::json;

use crate::admin::AdminError;
use crate::store::StoreError;

/// Why a request is refused. On the wire: `{"error":{"code":…,"message":…}}`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// No such path.
    #[error("no such endpoint")]
    NotFound,
    /// Another method.
    #[error("this endpoint does not know the method")]
    MethodNotAllowed,
    /// Not `application/json`.
    #[error("the content type must be `application/json`, without a content encoding")]
    MediaType,
    /// Over the limit.
    #[error("the body is larger than {MAX_REQUEST_BYTES} bytes")]
    TooLarge,
    /// The body did not come.
    #[error("the body did not arrive in time")]
    SlowBody,
    /// The body broke off.
    #[error("the body broke off")]
    BrokenBody,
    /// Not what `companion-protocol` describes.
    #[error("the body is not an effects request (line {line}, column {column})")]
    NotAnEffectsRequest {
        /// Where the parser stopped.
        line: usize,
        /// Where the parser stopped.
        column: usize,
    },
    /// Over the limit.
    #[error("{found} effects in one request, at most {MAX_EFFECTS} are performed")]
    TooManyEffects {
        /// How many.
        found: usize,
    },
    /// No or another token.
    #[error("a bearer token is required")]
    Unauthorized,
    /// Too many a second.
    #[error("too many requests a second from this caller")]
    TooOften,
    /// Too much at a time.
    #[error("too many requests at a time")]
    Overloaded,
    /// Not what [`crate::admin`] describes.
    #[error("the body is not what this endpoint takes")]
    NotAWish,
    /// An operator's wish was not performed.
    #[error(transparent)]
    Admin(AdminError),
    /// `issuer` is missing or the query does not parse.
    #[error(
        "the query must be `issuer=<percent-encoded issuer>`, with `refresh=true` if held keys do not do"
    )]
    NoIssuer,
    /// Not in any policy.
    #[error("this issuer is not configured")]
    UnknownIssuer,
    /// Cannot be fetched and none are held.
    #[error("the issuer's keys are not available")]
    KeysUnavailable,
}

impl ApiError {
    /// The status and the stable code.
    fn parts(&self) -> (StatusCode, &'static str) {
        match self {
            Self::NotFound => (StatusCode::NOT_FOUND, "companion.not_found"),
            Self::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, "companion.method_not_allowed"),
            Self::MediaType => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "companion.media_type"),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "companion.too_large"),
            Self::SlowBody => (StatusCode::REQUEST_TIMEOUT, "companion.slow_body"),
            Self::Admin(error) => match error {
                AdminError::Reason => (StatusCode::BAD_REQUEST, "admin.reason"),
                AdminError::TooMany => (StatusCode::BAD_REQUEST, "admin.too_many"),
                AdminError::Audit => (StatusCode::SERVICE_UNAVAILABLE, "audit.unavailable"),
                AdminError::Random => (StatusCode::SERVICE_UNAVAILABLE, "admin.unavailable"),
                AdminError::Store(StoreError::Unavailable) => {
                    (StatusCode::SERVICE_UNAVAILABLE, "admin.store_failed")
                }
                AdminError::Store(
                    StoreError::InvalidKey | StoreError::InvalidLabel | StoreError::BucketFull,
                ) => (StatusCode::BAD_REQUEST, "admin.bad_selection"),
            },
            Self::BrokenBody | Self::NotAnEffectsRequest { .. } | Self::NoIssuer | Self::NotAWish => {
                (StatusCode::BAD_REQUEST, "companion.bad_request")
            }
            Self::TooManyEffects { .. } => (StatusCode::BAD_REQUEST, "companion.too_many_effects"),
            Self::Unauthorized => (StatusCode::UNAUTHORIZED, "companion.unauthorized"),
            Self::TooOften => (StatusCode::TOO_MANY_REQUESTS, "companion.too_often"),
            Self::Overloaded => (StatusCode::SERVICE_UNAVAILABLE, "companion.overloaded"),
            Self::UnknownIssuer => (StatusCode::NOT_FOUND, "jwks.unknown_issuer"),
            Self::KeysUnavailable => (StatusCode::SERVICE_UNAVAILABLE, "jwks.unavailable"),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, code) = self.parts();
        let body = json!({"error": {"code": code, "message": self.to_string()}});
        let mut response = (status, Json(body)).into_response();
        if self == Self::Unauthorized {
            let bearer = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(WWW_AUTHENTICATE, bearer);
        }
        response
    }
}
