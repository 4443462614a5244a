//! A recorder between Envoy and the companion: which effects each round trip carried.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use companion_protocol::{EFFECTS_PATH, MAX_REQUEST_BYTES};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// The recorder, running until it is dropped.
#[derive(Debug)]
pub struct Tap {
    /// Where it listens in the companion's place.
    pub address: SocketAddr,
    seen: Seen,
    task: JoinHandle<()>,
}

/// The kinds of effects of each round trip.
type Seen = Arc<Mutex<Vec<Vec<String>>>>;

#[derive(Debug, Clone)]
struct Shared {
    companion: SocketAddr,
    http: reqwest::Client,
    seen: Seen,
}

impl Tap {
    pub(super) async fn start(companion: SocketAddr) -> anyhow::Result<Self> {
        let seen = Seen::default();
        let http = reqwest::Client::builder().no_proxy().build()?;
        let shared = Shared {
            companion,
            http,
            seen: seen.clone(),
        };
        let listener = TcpListener::bind(crate::ports::free()?).await?;
        let address = listener.local_addr()?;
        let app = Router::new().fallback(pass_on).with_state(shared);
        let task = tokio::spawn(async move {
            // Ends with the task; a failure shows in what Envoy answers.
            let _ = axum::serve(listener, app).await;
        });
        Ok(Tap { address, seen, task })
    }

    /// The round trips since the last [`Tap::forget`]: the kinds of their effects, as `session.load`.
    #[must_use]
    pub fn round_trips(&self) -> Vec<Vec<String>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The round trips that carried more than queued audit records.
    #[must_use]
    pub fn round_trips_beside_audit(&self) -> usize {
        self.round_trips()
            .iter()
            .filter(|kinds| kinds.iter().any(|kind| kind != "audit.append"))
            .count()
    }

    /// Starts over.
    pub fn forget(&self) {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass_on(State(shared): State<Shared>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let Ok(bytes) = to_bytes(body, MAX_REQUEST_BYTES).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    if head.uri.path().ends_with(EFFECTS_PATH) {
        shared
            .seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(kinds(&bytes));
    }
    let url = format!("http://{}{}", shared.companion, head.uri);
    let mut onward = shared.http.request(head.method, url);
    for (name, value) in &head.headers {
        if !matches!(name.as_str(), "host" | "content-length" | "transfer-encoding") {
            onward = onward.header(name, value);
        }
    }
    let Ok(answer) = onward.body(bytes).send().await else {
        return StatusCode::BAD_GATEWAY.into_response();
    };
    let mut response = Response::builder().status(answer.status());
    for (name, value) in answer.headers() {
        if !matches!(
            name.as_str(),
            "content-length" | "transfer-encoding" | "connection"
        ) {
            response = response.header(name, value);
        }
    }
    let body = answer.bytes().await.unwrap_or_default();
    response
        .body(Body::from(body))
        .unwrap_or_else(|_| StatusCode::BAD_GATEWAY.into_response())
}

fn kinds(body: &[u8]) -> Vec<String> {
    let request: Value = serde_json::from_slice(body).unwrap_or_default();
    let effects = request
        .get("effects")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    effects
        .iter()
        .filter_map(|call| call.pointer("/effect/kind")?.as_str().map(str::to_owned))
        .collect()
}
