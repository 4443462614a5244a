//! Copies of audit records, and spans of calls, for an OpenTelemetry collector (OTLP over HTTP, protobuf).
//!
//! A copy is no evidence: the chained log on disk is, and nothing waits for the collector. What waits is bounded; what finds
//! no room, what the collector refuses and what it has not taken after [`TRIES`] attempts is lost, and
//! `aplomb_companion_otlp_items_total` counts it.

mod logs;
mod spans;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use axum::body::Bytes;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{HeaderValue, Method, Request, Uri};
use http_body_util::Full;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::config::Secret;
use crate::metrics::Metrics;
use crate::outbound::{Egress, Outbound, OutboundError, TlsError};

pub(crate) use logs::{log_record, with_line};
pub(crate) use spans::{Lap, Parent};

/// Records or spans that wait for the collector.
const QUEUE: usize = 8192;

/// The most that one request carries.
const MAX_BATCH: usize = 512;

/// How long the first of a batch waits for others.
const LINGER: Duration = Duration::from_millis(200);

/// How often a batch is sent before it is lost.
pub const TRIES: u32 = 4;

/// The pause before the second attempt; it doubles.
const BACKOFF: Duration = Duration::from_millis(500);

/// How long the collector may take for one batch.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What still waits when the companion ends has so long to leave.
const FINISH: Duration = Duration::from_secs(5);

/// Where copies go.
#[derive(Clone)]
pub struct OtlpOptions {
    /// The collector; `/v1/logs` and `/v1/traces` are added.
    pub endpoint: String,
    /// The environment variable with the collector's bearer token.
    pub token_env: Option<String>,
    /// Copies of audit records go there.
    pub logs: bool,
    /// Spans go there.
    pub traces: bool,
    /// Plain HTTP to another host than loopback is allowed.
    pub allow_plain: bool,
}

impl std::fmt::Debug for OtlpOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OtlpOptions")
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}

/// Why copies cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum OtlpError {
    /// Not an address.
    #[error(
        "`--otlp {0}` is not the URL of a collector, as `https://collector.example:4318`, without credentials and query"
    )]
    Endpoint(String),
    /// Names of people would be readable on the way.
    #[error(
        "`--otlp {0}` is plain HTTP: write `https://`, or add `--otlp-allow-plain` where the network is trusted"
    )]
    Plain(String),
    /// The variable is not set, or cannot stand in a header.
    #[error("`--otlp-token-env` names `{0}`, which is not set, empty or no header's text")]
    Token(String),
    /// https and no roots.
    #[error(
        "`--otlp` is https and no root certificates were found: install `ca-certificates` or set SSL_CERT_FILE"
    )]
    NoRoots,
    /// TLS cannot be set up.
    #[error("no client for the collector")]
    Tls(#[from] TlsError),
}

/// The callers' end.
pub(crate) struct Otlp {
    pub(crate) logs: Option<Feed<LogRecord>>,
    pub(crate) spans: Option<Feed<Span>>,
    stop: watch::Sender<bool>,
    tasks: Mutex<JoinSet<()>>,
}

/// A bounded queue of one signal.
pub(crate) struct Feed<T> {
    sender: mpsc::Sender<T>,
    signal: &'static str,
    metrics: Arc<Metrics>,
}

impl<T> Clone for Feed<T> {
    fn clone(&self) -> Self {
        Self {
            sender: self.sender.clone(),
            signal: self.signal,
            metrics: Arc::clone(&self.metrics),
        }
    }
}

impl<T> Feed<T> {
    /// Takes it, or counts it as lost.
    pub(crate) fn offer(&self, item: T) {
        if self.sender.try_send(item).is_err() {
            self.metrics.otlp(self.signal, "lost", 1);
        }
    }
}

/// How a signal travels.
struct Signal<T> {
    name: &'static str,
    path: &'static str,
    /// The body of a request.
    encode: fn(Vec<T>) -> Vec<u8>,
    /// How many the collector says it has not taken.
    rejected: fn(Bytes) -> u64,
}

struct Post {
    outbound: Outbound,
    endpoint: String,
    token: Option<HeaderValue>,
    metrics: Arc<Metrics>,
}

impl Otlp {
    /// Must be called inside a runtime.
    pub(crate) fn start(options: &OtlpOptions, metrics: &Arc<Metrics>) -> Result<Self, OtlpError> {
        let post = Arc::new(Post::new(options, metrics)?);
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        let logs = options
            .logs
            .then(|| feed(&mut tasks, logs::SIGNAL, &post, &stopped));
        let spans = options
            .traces
            .then(|| feed(&mut tasks, spans::SIGNAL, &post, &stopped));
        let tasks = Mutex::new(tasks);
        Ok(Self {
            logs,
            spans,
            stop,
            tasks,
        })
    }

    /// Lets what waits leave, within [`FINISH`].
    pub(crate) async fn finish(&self) {
        let _ = self.stop.send(true);
        let tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        if tokio::time::timeout(FINISH, tasks.join_all()).await.is_err() {
            tracing::warn!("the OpenTelemetry collector did not take all that waited for it");
        }
    }
}

fn feed<T: Send + 'static>(
    tasks: &mut JoinSet<()>,
    signal: Signal<T>,
    post: &Arc<Post>,
    stopped: &watch::Receiver<bool>,
) -> Feed<T> {
    let (sender, receiver) = mpsc::channel(QUEUE);
    let feed = Feed {
        sender,
        signal: signal.name,
        metrics: Arc::clone(&post.metrics),
    };
    tasks.spawn(drive(receiver, signal, Arc::clone(post), stopped.clone()));
    feed
}

async fn drive<T>(
    mut receiver: mpsc::Receiver<T>,
    signal: Signal<T>,
    post: Arc<Post>,
    mut stopped: watch::Receiver<bool>,
) {
    loop {
        let mut batch = Vec::new();
        tokio::select! {
            taken = receiver.recv_many(&mut batch, MAX_BATCH) => if taken == 0 { return },
            // What is in the queue by now is still sent.
            _ = stopped.wait_for(|stopped| *stopped), if !receiver.is_closed() => {
                receiver.close();
                continue;
            }
        }
        if !receiver.is_closed() {
            let _ = tokio::time::timeout(LINGER, stopped.wait_for(|stopped| *stopped)).await;
        }
        while batch.len() < MAX_BATCH
            && let Ok(item) = receiver.try_recv()
        {
            batch.push(item);
        }
        let count = batch.len() as u64;
        let body = Bytes::from((signal.encode)(batch));
        let lost = match post.deliver(signal.path, &body).await {
            Ok(answer) => (signal.rejected)(answer).min(count),
            Err(error) => {
                tracing::error!(%error, signal = signal.name, items = count, "the OpenTelemetry collector takes nothing");
                count
            }
        };
        post.metrics.otlp(signal.name, "lost", lost);
        post.metrics.otlp(signal.name, "sent", count - lost);
    }
}

impl Post {
    fn new(options: &OtlpOptions, metrics: &Arc<Metrics>) -> Result<Self, OtlpError> {
        let wrong = || OtlpError::Endpoint(options.endpoint.clone());
        let endpoint = options.endpoint.trim_end_matches('/').to_owned();
        let uri: Uri = endpoint.parse().map_err(|_| wrong())?;
        let host = uri.host().ok_or_else(wrong)?.trim_matches(['[', ']']);
        if endpoint.contains(['@', '?', '#']) {
            return Err(wrong());
        }
        let here = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
        match uri.scheme_str() {
            Some("https") => {}
            Some("http") if here || options.allow_plain => {}
            Some("http") => return Err(OtlpError::Plain(endpoint)),
            Some(_) | None => return Err(wrong()),
        }
        let token = match &options.token_env {
            None => None,
            Some(name) => Some(bearer(name).ok_or_else(|| OtlpError::Token(name.clone()))?),
        };
        // The operator's own word on where to send, not a policy's: collectors are neighbours as a rule.
        let outbound = Outbound::new(Arc::new(Egress::everywhere()))?;
        if uri.scheme_str() == Some("https") && !outbound.has_roots() {
            return Err(OtlpError::NoRoots);
        }
        Ok(Self {
            outbound,
            endpoint,
            token,
            metrics: Arc::clone(metrics),
        })
    }

    async fn deliver(&self, path: &str, body: &Bytes) -> Result<Bytes, OutboundError> {
        let mut pause = BACKOFF;
        for _ in 1..TRIES {
            match self.once(path, body).await {
                Err(error) if is_passing(&error) => {}
                outcome => return outcome,
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        self.once(path, body).await
    }

    async fn once(&self, path: &str, body: &Bytes) -> Result<Bytes, OutboundError> {
        let mut request = Request::new(Full::new(body.clone()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = format!("{}{path}", self.endpoint)
            .parse()
            .map_err(|_| OutboundError::Unreachable)?;
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        if let Some(token) = &self.token {
            headers.insert(AUTHORIZATION, token.clone());
        }
        self.outbound.bytes(request, TIMEOUT).await
    }
}

fn bearer(name: &str) -> Option<HeaderValue> {
    let token = Secret::new(std::env::var(name).ok().filter(|token| !token.is_empty())?);
    let mut value = HeaderValue::from_str(&format!("Bearer {}", token.expose())).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// What OTLP says a client tries again ("Retryable Response Codes"), and broken connections.
fn is_passing(error: &OutboundError) -> bool {
    match error {
        OutboundError::Unreachable | OutboundError::TimedOut | OutboundError::Broken => true,
        OutboundError::Status { status, .. } => matches!(status.as_u16(), 429 | 502 | 503 | 504),
        OutboundError::Forbidden
        | OutboundError::Redirected
        | OutboundError::TooLarge
        | OutboundError::NotJson => false,
    }
}

/// Who says so.
fn resource() -> Resource {
    Resource {
        attributes: vec![
            text("service.name", "aplomb-companion"),
            text("service.version", env!("CARGO_PKG_VERSION")),
        ],
        ..Resource::default()
    }
}

fn scope() -> InstrumentationScope {
    InstrumentationScope {
        name: "aplomb".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    }
}

fn text(key: &str, value: impl Into<String>) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(any(value)),
        ..KeyValue::default()
    }
}

fn any(value: impl Into<String>) -> AnyValue {
    AnyValue {
        value: Some(Value::StringValue(value.into())),
    }
}

fn nanos(at: SystemTime) -> u64 {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// Bytes of lower-case hex; `None` if it is none, or all zeros, which W3C trace context forbids for ids.
fn id(hex: &str, bytes: usize) -> Option<Vec<u8>> {
    let is_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    if hex.len() != 2 * bytes || !hex.bytes().all(is_hex) {
        return None;
    }
    let parse = |at: usize| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok();
    let id: Option<Vec<u8>> = (0..hex.len()).step_by(2).map(parse).collect();
    id.filter(|id| id.iter().any(|byte| *byte != 0))
}
