//! Fault injection: an identity provider that answers what a test scripts, and remembers what it was asked.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// What the provider does with every request.
#[derive(Debug, Clone)]
pub(crate) enum Script {
    /// A JSON answer.
    Json(StatusCode, Value),
    /// Any answer: status, header, value, body.
    Raw(StatusCode, &'static str, &'static str, String),
    /// Waits, then a JSON answer.
    Slow(Duration, Value),
}

/// What it was asked.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) form: BTreeMap<String, String>,
    pub(crate) body: String,
}

pub(crate) struct FaultIdp {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    script: Arc<Mutex<Answers>>,
}

/// What is answered to what.
type Answers = Arc<dyn Fn(&Asked) -> Script + Send + Sync>;

impl FaultIdp {
    pub(crate) async fn scripted(script: Script) -> Self {
        Self::answering(move |_| script.clone()).await
    }

    /// Each request as it deserves.
    pub(crate) async fn answering(answers: impl Fn(&Asked) -> Script + Send + Sync + 'static) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let address = listener.local_addr().expect("an address");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let script: Arc<Mutex<Answers>> = Arc::new(Mutex::new(Arc::new(answers)));
        let (log, current) = (Arc::clone(&asked), Arc::clone(&script));
        let app = axum::Router::new().fallback(async move |uri: Uri, headers: HeaderMap, body: Bytes| {
            let asked = Asked {
                path: uri.path().to_owned(),
                headers,
                form: form_urlencoded::parse(&body).into_owned().collect(),
                body: String::from_utf8_lossy(&body).into_owned(),
            };
            let answers = Arc::clone(&current.lock().expect("lock"));
            let script = answers(&asked);
            log.lock().expect("lock").push(asked);
            answer(script).await
        });
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self {
            address,
            asked,
            script,
        }
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}/token", self.address)
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("lock").clone()
    }

    pub(crate) fn now(&self, script: Script) {
        *self.script.lock().expect("lock") = Arc::new(move |_| script.clone());
    }
}

async fn answer(script: Script) -> Response {
    match script {
        Script::Json(status, body) => (status, axum::Json(body)).into_response(),
        Script::Raw(status, header, value, body) => (status, [(header, value)], body).into_response(),
        Script::Slow(pause, body) => {
            tokio::time::sleep(pause).await;
            axum::Json(body).into_response()
        }
    }
}

/// A JWT with these claims and a signature that nobody checks here.
pub(crate) fn jwt(claims: &Value) -> String {
    let part = |text: String| URL_SAFE_NO_PAD.encode(text);
    let header = json!({"alg": "RS256", "kid": "k"}).to_string();
    format!("{}.{}.c2ln", part(header), part(claims.to_string()))
}

pub(crate) fn now_s() -> u64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH);
    elapsed.expect("after 1970").as_secs()
}

/// The claims of an honest token for what `delegation.rs` asks.
pub(crate) fn honest_claims() -> Value {
    json!({"sub": "bob", "aud": ["api"], "exp": now_s() + 120, "scope": "read"})
}

/// The answer around such a token.
pub(crate) fn honest() -> Value {
    honest_with(&honest_claims())
}

pub(crate) fn honest_with(claims: &Value) -> Value {
    json!({
        "access_token": jwt(claims), "token_type": "Bearer", "expires_in": 600, "scope": "read",
        "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
    })
}
