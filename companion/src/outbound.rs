//! Calls to identity providers: small, bounded in time and size, never redirected.

mod egress;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;

pub use egress::{Egress, EgressRule, EgressRuleError};
use egress::{Forbidden, Guarded};

/// The largest answer that is read, in bytes.
pub const MAX_REPLY_BYTES: usize = 256 << 10;

/// How long a TCP connection may take, within the total time.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Idle connections are dropped before a provider or a balancer between would drop them under a request.
const IDLE: Duration = Duration::from_secs(15);

/// A client for JSON endpoints.
pub struct Outbound {
    client: Client<HttpsConnector<Guarded>, Full<Bytes>>,
    has_roots: bool,
}

/// Why there is no JSON.
#[derive(Debug, thiserror::Error)]
pub enum OutboundError {
    /// No connection: refused, no route, no such host, TLS failed.
    #[error("no connection")]
    Unreachable,
    /// The address is private and the operator does not allow it, see [`Egress`].
    #[error("the address is private; `--egress-allow` says which of those may be reached")]
    Forbidden,
    /// Not answered whole in time.
    #[error("no answer in time")]
    TimedOut,
    /// An HTTP error status.
    #[error("HTTP status {status}")]
    Status {
        /// The status.
        status: StatusCode,
        /// The body as far as it could be read, for the OAuth error code.
        body: Bytes,
    },
    /// A redirect, which is never followed: a client secret would go with it.
    #[error("a redirect")]
    Redirected,
    /// Longer than [`MAX_REPLY_BYTES`].
    #[error("an answer over {MAX_REPLY_BYTES} bytes")]
    TooLarge,
    /// Not `application/json`, or compressed.
    #[error("an answer that is not plain JSON")]
    NotJson,
    /// The connection broke before the answer was whole, or it was not HTTP.
    #[error("a broken answer")]
    Broken,
}

/// TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
#[error("TLS cannot be set up")]
pub struct TlsError(#[source] rustls::Error);

impl Outbound {
    /// A client that trusts the system's roots (`SSL_CERT_FILE` names others).
    pub fn new(egress: Arc<Egress>) -> Result<Self, TlsError> {
        let http = Guarded::new(egress, |http| {
            http.enforce_http(false);
            http.set_nodelay(true);
            http.set_connect_timeout(Some(CONNECT_TIMEOUT));
        });
        let provider = rustls::crypto::ring::default_provider();
        let (builder, has_roots) = match HttpsConnectorBuilder::new().with_provider_and_native_roots(provider)
        {
            Ok(builder) => (builder, true),
            // Development over plain HTTP must not need certificates; `serve` refuses https endpoints in this case.
            Err(_) => (HttpsConnectorBuilder::new().with_tls_config(no_roots()?), false),
        };
        let connector = builder.https_or_http().enable_http1().wrap_connector(http);
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE)
            .build(connector);
        Ok(Self { client, has_roots })
    }

    /// Whether any root certificate was found; without one every TLS connection fails.
    pub fn has_roots(&self) -> bool {
        self.has_roots
    }

    /// Sends and returns the JSON text of a 2xx answer. `total` covers connecting and the last byte.
    pub async fn json(
        &self,
        mut request: Request<Full<Bytes>>,
        total: Duration,
    ) -> Result<Bytes, OutboundError> {
        let headers = request.headers_mut();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        tokio::time::timeout(total, self.exchange(request))
            .await
            .unwrap_or(Err(OutboundError::TimedOut))
    }

    /// Sends what is answered with a status only; the body is not looked at.
    pub async fn post(&self, request: Request<Full<Bytes>>, total: Duration) -> Result<(), OutboundError> {
        let answered = async {
            match self.exchange(request).await {
                Ok(_) | Err(OutboundError::NotJson) => Ok(()),
                Err(error) => Err(error),
            }
        };
        tokio::time::timeout(total, answered)
            .await
            .unwrap_or(Err(OutboundError::TimedOut))
    }

    /// Sends and returns the body of a 2xx answer, whatever it is.
    pub async fn bytes(
        &self,
        request: Request<Full<Bytes>>,
        total: Duration,
    ) -> Result<Bytes, OutboundError> {
        let answered = async { self.answer(request).await?.1 };
        tokio::time::timeout(total, answered)
            .await
            .unwrap_or(Err(OutboundError::TimedOut))
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Bytes, OutboundError> {
        let (head, body) = self.answer(request).await?;
        if !is_plain_json(&head) {
            return Err(OutboundError::NotJson);
        }
        body
    }

    /// Of a 2xx answer: its head, and its body as far as it could be read.
    async fn answer(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<(Response<()>, Result<Bytes, OutboundError>), OutboundError> {
        let response = self.client.request(request).await.map_err(|error| {
            if Forbidden::is_cause_of(&error) {
                OutboundError::Forbidden
            } else if error.is_connect() {
                OutboundError::Unreachable
            } else {
                OutboundError::Broken
            }
        })?;
        let (head, body) = response.into_parts();
        if head.status.is_redirection() {
            return Err(OutboundError::Redirected);
        }
        let body = match Limited::new(body, MAX_REPLY_BYTES).collect().await {
            Ok(collected) => Ok(collected.to_bytes()),
            Err(error) if error.is::<LengthLimitError>() => Err(OutboundError::TooLarge),
            Err(_) => Err(OutboundError::Broken),
        };
        if !head.status.is_success() {
            return Err(OutboundError::Status {
                status: head.status,
                body: body.unwrap_or_default(),
            });
        }
        Ok((Response::from_parts(head, ()), body))
    }
}

fn no_roots() -> Result<rustls::ClientConfig, TlsError> {
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TlsError)?;
    Ok(builder
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth())
}

/// `application/json` or `application/…+json`, not compressed.
fn is_plain_json(response: &Response<()>) -> bool {
    let text = |name| {
        response
            .headers()
            .get(name)
            .and_then(|value: &HeaderValue| value.to_str().ok())
    };
    let media_type = text(CONTENT_TYPE)
        .and_then(|value| value.split(';').next())
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    let json = media_type == "application/json"
        || (media_type.starts_with("application/") && media_type.ends_with("+json"));
    let plain = match response.headers().get(CONTENT_ENCODING) {
        None => true,
        Some(encoding) => encoding.as_bytes().eq_ignore_ascii_case(b"identity"),
    };
    json && plain
}
