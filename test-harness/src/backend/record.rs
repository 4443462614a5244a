//! What a backend received: kept in front of the SDK, so that it holds the bytes and headers as they came.
//!
//! `GET /control/log` answers a JSON list of [`Request`], oldest first; `DELETE /control/log` empties it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The largest request body in bytes that is recorded and passed on.
const MAX_BODY: usize = 32 << 20;
/// How many requests are kept; the oldest go first.
const MAX_KEPT: usize = 10_000;

/// One request to `/mcp`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Request {
    /// The HTTP method.
    pub http_method: String,
    /// The JSON-RPC method, if the body is a JSON-RPC message.
    pub method: Option<String>,
    /// The tool of a `tools/call`.
    pub tool: Option<String>,
    /// Its arguments.
    pub arguments: Option<Value>,
    /// The `authorization` header.
    pub authorization: Option<String>,
    /// The `x-user-token` header.
    pub x_user_token: Option<String>,
    /// All headers, names in lower case, several values joined by `, `.
    pub headers: BTreeMap<String, String>,
    /// The body as it came (bytes that are not UTF-8 replaced).
    pub body: String,
}

/// The requests of one server so far.
#[derive(Debug, Clone, Default)]
pub struct Received(Arc<Mutex<Vec<Request>>>);

impl Received {
    fn push(&self, request: Request) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() == MAX_KEPT {
            kept.remove(0);
        }
        kept.push(request);
    }
}

/// Puts the recorder before `mcp` and the control endpoint beside it.
pub fn wrap(mcp: Router, received: Received) -> Router {
    let control = Router::new()
        .route("/control/log", get(show).delete(clear))
        .with_state(received.clone());
    mcp.layer(from_fn_with_state(received, keep)).merge(control)
}

async fn show(State(received): State<Received>) -> Json<Vec<Request>> {
    Json(received.0.lock().unwrap_or_else(PoisonError::into_inner).clone())
}

async fn clear(State(received): State<Received>) -> StatusCode {
    received.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    StatusCode::NO_CONTENT
}

async fn keep(State(received): State<Received>, request: axum::extract::Request, next: Next) -> Response {
    let (head, body) = request.into_parts();
    let Ok(bytes) = to_bytes(body, MAX_BODY).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let mut headers = BTreeMap::<String, String>::new();
    for (name, value) in &head.headers {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        headers
            .entry(name.as_str().to_owned())
            .and_modify(|earlier| {
                earlier.push_str(", ");
                earlier.push_str(&value);
            })
            .or_insert(value);
    }
    let message: Option<Value> = serde_json::from_slice(&bytes).ok();
    let text_at = |pointer: &str| {
        message
            .as_ref()
            .and_then(|m| m.pointer(pointer))
            .and_then(Value::as_str)
            .map(str::to_owned)
    };
    received.push(Request {
        http_method: head.method.to_string(),
        method: text_at("/method"),
        tool: text_at("/params/name"),
        arguments: message
            .as_ref()
            .and_then(|m| m.pointer("/params/arguments"))
            .cloned(),
        authorization: headers.get("authorization").cloned(),
        x_user_token: headers.get("x-user-token").cloned(),
        headers,
        body: String::from_utf8_lossy(&bytes).into_owned(),
    });
    next.run(axum::extract::Request::from_parts(head, Body::from(bytes)))
        .await
}
