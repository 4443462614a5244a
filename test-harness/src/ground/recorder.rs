//! A backend that keeps what it heard, byte for byte, and answers frame by frame what it is told, over HTTP/1.1 and HTTP/2.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, Version};
use axum::response::Response;
use http_body::Frame;
use http_body_util::BodyExt as _;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// One request as it came.
#[derive(Debug, Clone)]
pub struct Heard {
    /// HTTP/1.1 or HTTP/2.
    pub version: Version,
    /// Path and query.
    pub path: String,
    /// Every header.
    pub headers: HeaderMap,
    /// All that came of the body.
    pub body: Vec<u8>,
    /// The trailers, if there were some.
    pub trailers: Option<HeaderMap>,
    /// The body came to its end.
    pub complete: bool,
}

impl Heard {
    /// The JSON-RPC message.
    #[must_use]
    pub fn message(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The tool that is called; empty if none is.
    #[must_use]
    pub fn tool(&self) -> String {
        let message = self.message();
        let name = message.pointer("/params/name").and_then(Value::as_str);
        name.unwrap_or_default().to_owned()
    }

    /// A header's text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// Frames of a body that are sent one by one. Dropping the sender ends the body.
pub type Frames = mpsc::Sender<Result<Frame<Bytes>, io::Error>>;

/// A body made of them.
#[derive(Debug)]
pub struct FrameBody(mpsc::Receiver<Result<Frame<Bytes>, io::Error>>);

impl FrameBody {
    /// A body and what feeds it.
    #[must_use]
    pub fn new() -> (Frames, Self) {
        let (sender, receiver) = mpsc::channel(1);
        (sender, FrameBody(receiver))
    }
}

impl HttpBody for FrameBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        self.0.poll_recv(context)
    }
}

/// Sends a piece of a body.
pub async fn piece(frames: &Frames, data: impl Into<Bytes>) {
    // The other end may be gone; what then becomes of the exchange is what a test looks at.
    let _gone = frames.send(Ok(Frame::data(data.into()))).await;
}

/// Breaks a body off: a reset in HTTP/2, a closed connection in HTTP/1.1.
pub async fn reset(frames: &Frames) {
    let _gone = frames.send(Err(io::Error::other("a reset"))).await;
}

/// Ends a body with one trailer.
pub async fn trailer(frames: &Frames, name: &'static str, value: &'static str) {
    let mut trailers = HeaderMap::new();
    trailers.insert(name, axum::http::HeaderValue::from_static(value));
    let _gone = frames.send(Ok(Frame::trailers(trailers))).await;
}

/// What the backend answers.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The content type.
    pub content_type: &'static str,
    /// Answer at once, without a look at the request's body.
    pub early: bool,
}

impl Answer {
    /// A whole JSON document.
    pub const JSON: Answer = Answer {
        status: StatusCode::OK,
        content_type: "application/json",
        early: false,
    };
    /// Server-sent events.
    pub const EVENTS: Answer = Answer {
        status: StatusCode::OK,
        content_type: "text/event-stream",
        early: false,
    };
}

type Script = dyn Fn(Heard, Frames) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync;

#[derive(Clone)]
struct Shared {
    answer: Answer,
    script: Arc<Script>,
    heard: Arc<Mutex<Vec<Heard>>>,
}

/// The backend, running until it is dropped.
pub struct Recorder {
    /// Where it listens.
    pub address: SocketAddr,
    heard: Arc<Mutex<Vec<Heard>>>,
    task: JoinHandle<()>,
}

impl Recorder {
    /// Starts it. `script` feeds the body of each answer and is told the request.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn start<F>(
        answer: Answer,
        script: impl Fn(Heard, Frames) -> F + Send + Sync + 'static,
    ) -> anyhow::Result<Self>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let heard = Arc::<Mutex<Vec<Heard>>>::default();
        let shared = Shared {
            answer,
            script: Arc::new(move |heard, frames| Box::pin(script(heard, frames))),
            heard: Arc::clone(&heard),
        };
        let listener = TcpListener::bind(crate::ports::free()?).await?;
        let address = listener.local_addr()?;
        let app = Router::new().fallback(serve).with_state(shared);
        let task = tokio::spawn(async move {
            // Ends with the task; a failure shows in what Envoy answers.
            let _ = axum::serve(listener, app).await;
        });
        Ok(Recorder { address, heard, task })
    }

    /// Every request so far, in order.
    #[must_use]
    pub fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Starts over.
    pub fn forget(&self) {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(State(shared): State<Shared>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let mut heard = Heard {
        version: head.version,
        path: head.uri.to_string(),
        headers: head.headers,
        body: Vec::new(),
        trailers: None,
        complete: false,
    };
    if !shared.answer.early {
        read(&mut heard, body).await;
    }
    shared
        .heard
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(heard.clone());
    let (frames, answer) = FrameBody::new();
    tokio::spawn((shared.script)(heard, frames));
    let response = Response::builder()
        .status(shared.answer.status)
        .header("content-type", shared.answer.content_type)
        .body(Body::new(answer));
    response.unwrap_or_default()
}

async fn read(heard: &mut Heard, mut body: Body) {
    loop {
        match body.frame().await {
            None => {
                heard.complete = true;
                return;
            }
            Some(Err(_)) => return,
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => heard.body.extend_from_slice(&data),
                Err(frame) => heard.trailers = frame.into_trailers().ok(),
            },
        }
    }
}

/// A tool's result under the request's id: `record` as structured content and as its text twin.
#[must_use]
pub fn result(id: &Value, record: &Value) -> String {
    let text = record.to_string();
    serde_json::json!({
        "jsonrpc": "2.0", "id": id,
        "result": { "content": [{ "type": "text", "text": text }], "structuredContent": record },
    })
    .to_string()
}

/// The same as a server-sent event.
#[must_use]
pub fn event(message: &str) -> String {
    format!("event: message\ndata: {message}\n\n")
}
