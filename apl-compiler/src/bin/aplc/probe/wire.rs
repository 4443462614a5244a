//! Sending a request and looking at what comes back.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Request, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::attempts::Attempt;
use super::report::Came;
use super::target::Target;
use crate::Fault;

/// As much of an answer as is read: what it says beyond is nobody's business here.
const MAX_ANSWER: usize = 64 << 10;

/// A client. It follows no redirect and uses no proxy.
pub(super) struct Wire {
    runtime: tokio::runtime::Runtime,
    client: Client<HttpsConnector<HttpConnector>, Full<&'static [u8]>>,
    base: String,
    timeout: Duration,
}

impl Wire {
    /// # Errors
    ///
    /// No runtime, or no usable certificates.
    pub(super) fn new(target: &Target, ca: Option<&[u8]>, timeout: Duration) -> Result<Self, Fault> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Fault::Argument(format!("cannot start the network client: {error}")))?;
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        let builder = HttpsConnectorBuilder::new().with_tls_config(tls(target, ca)?);
        let connector = builder.https_or_http().enable_http1().wrap_connector(http);
        // What one request leaves on a connection must not be told to the next.
        let client = Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(0)
            .build(connector);
        Ok(Self {
            runtime,
            client,
            base: format!("{}://{}", target.scheme, target.authority),
            timeout,
        })
    }

    /// Sends.
    pub(super) fn send(&self, attempt: &Attempt) -> Came {
        let request = match self.request(attempt) {
            Ok(request) => request,
            Err(why) => return Came::NotSent(format!("it cannot be written: {why}")),
        };
        let answer = async {
            let response = self.client.request(request).await?;
            let (head, body) = response.into_parts();
            let header = |name: &str| {
                let value = head.headers.get(name)?;
                value.to_str().ok().map(str::to_owned)
            };
            let (decision, code) = (header("x-policy-decision-id"), header("x-policy-violation"));
            // A stream that was let through need not end.
            if decision.is_some() {
                let _ = Limited::new(body, MAX_ANSWER).collect().await;
            }
            Ok::<_, hyper_util::client::legacy::Error>(Came::Answered {
                status: head.status.as_u16(),
                ours: decision.is_some(),
                code,
                decision,
            })
        };
        // The timer needs the runtime, too.
        let answered = self
            .runtime
            .block_on(async { tokio::time::timeout(self.timeout, answer).await });
        match answered {
            Ok(Ok(came)) => came,
            Ok(Err(error)) => Came::Unanswered(chain(&error)),
            Err(_) => Came::Unanswered(format!("no answer within {} s", self.timeout.as_secs())),
        }
    }

    fn request(&self, attempt: &Attempt) -> Result<Request<Full<&'static [u8]>>, http::Error> {
        let uri: Uri = format!("{}{}", self.base, attempt.path).parse()?;
        let mut request = Request::builder().method(attempt.method).uri(uri);
        if let Some(headers) = request.headers_mut() {
            headers.insert("host", HeaderValue::from_str(&attempt.authority)?);
            for (name, value) in &attempt.headers {
                headers.append(
                    HeaderName::from_bytes(name.as_bytes())?,
                    HeaderValue::from_str(value)?,
                );
            }
        }
        // One command's bodies: a few megabytes at the most.
        request.body(Full::new(attempt.body.clone().leak()))
    }
}

/// The error and what it came from.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

fn tls(target: &Target, ca: Option<&[u8]>) -> Result<rustls::ClientConfig, Fault> {
    let wrong = |what: String| Fault::Argument(format!("TLS cannot be set up: {what}"));
    let mut roots = rustls::RootCertStore::empty();
    match ca {
        Some(pem) => {
            for certificate in CertificateDer::pem_slice_iter(pem) {
                let certificate = certificate.map_err(|error| wrong(format!("`--ca`: {error}")))?;
                roots
                    .add(certificate)
                    .map_err(|error| wrong(format!("`--ca`: {error}")))?;
            }
            if roots.is_empty() {
                return Err(wrong("`--ca` names a file without certificates".to_owned()));
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if roots.is_empty() && target.scheme == "https" {
                return Err(wrong(
                    "the system has no root certificates; name some by `--ca`".to_owned(),
                ));
            }
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(error.to_string()))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}
