//! Reads a JSON body within the limits of the protocol.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::Request;
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use companion_protocol::MAX_REQUEST_BYTES;
use http_body_util::{BodyExt, LengthLimitError, Limited};

use super::ApiError;

/// A proxy sends its body at once; whoever takes longer holds a place.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// The body of a request that says it is JSON.
pub(super) async fn json(request: Request) -> Result<Bytes, ApiError> {
    let headers = request.headers();
    let media_type = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .unwrap_or_default()
        .trim();
    if !media_type.eq_ignore_ascii_case("application/json") || headers.contains_key(CONTENT_ENCODING) {
        return Err(ApiError::MediaType);
    }
    let body = Limited::new(request.into_body(), MAX_REQUEST_BYTES);
    // A declared length over the limit need not be read to be refused.
    if axum::body::HttpBody::size_hint(&body).lower() > MAX_REQUEST_BYTES as u64 {
        return Err(ApiError::TooLarge);
    }
    match tokio::time::timeout(BODY_TIMEOUT, body.collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(ApiError::TooLarge),
        Ok(Err(_)) => Err(ApiError::BrokenBody),
        Err(_) => Err(ApiError::SlowBody),
    }
}
