//! Runs a companion and talks to it.

use std::net::SocketAddr;
use std::path::PathBuf;

use aplomb_companion::outbound::{Egress, EgressRule};
use aplomb_companion::serve::{Companion, Options};
use axum::body::Bytes;
use axum::http::{HeaderMap, Request, StatusCode};
use companion_protocol::{
    Effect, EffectCall, EffectResult, EffectsRequest, EffectsResponse, OnFail, SessionKey,
};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tempfile::TempDir;

pub(crate) const DIGEST: &str = "00000000000000000000000000000000000000000000000000000000000000aa";

/// A companion in this process.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) directory: TempDir,
}

/// An HTTP answer.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("a JSON answer")
    }

    pub(crate) fn error_code(&self) -> String {
        self.json()["error"]["code"].as_str().expect("a code").to_owned()
    }
}

/// Writes a configuration and gives the options to start with it.
pub(crate) fn options(directory: &TempDir, config: &Value) -> Options {
    let path = directory.path().join("companion.json");
    std::fs::write(&path, config.to_string()).expect("writes");
    Options {
        configs: vec![path],
        listen: "127.0.0.1:0".parse().expect("an address"),
        data: directory.path().join("data"),
        audit: None,
        audit_key: None,
        audit_segment_bytes: None,
        audit_keep: None,
        audit_pseudonyms_env: None,
        capture_key: None,
        token_env: None,
        token_file: None,
        store: None,
        lifetimes: Default::default(),
        approvals: None,
        approvals_listen: None,
        demo_links: false,
        egress: loopback(),
        tls: None,
        rate_limit: None,
        drain: Default::default(),
        otlp: None,
    }
}

/// The servers of the tests are on this machine.
pub(crate) fn loopback() -> Egress {
    Egress::new(vec![EgressRule::Loopback])
}

impl Running {
    pub(crate) async fn with(config: Value) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let options = options(&directory, &config);
        Self::with_options(directory, &options).await
    }

    pub(crate) async fn with_options(directory: TempDir, options: &Options) -> Self {
        let companion = Companion::start(options).await.expect("starts");
        let address = companion.address();
        tokio::spawn(companion.run(std::future::pending(), || Box::pin(std::future::pending())));
        Self { address, directory }
    }

    pub(crate) fn audit_log(&self) -> PathBuf {
        self.directory.path().join("data/audit.jsonl")
    }

    pub(crate) async fn effects(&self, effects: Vec<EffectCall>) -> Vec<EffectResult> {
        perform(self.address, DIGEST, effects).await.results
    }

    /// Performs one effect.
    pub(crate) async fn one(&self, effect: Effect) -> EffectResult {
        self.effects(vec![call(effect, OnFail::Stop)]).await.remove(0)
    }
}

/// A configuration with one delegator `d` at `endpoint`, which is given all the time that it needs.
pub(crate) fn config(endpoint: &str) -> Value {
    json!({
        "version": 1,
        "policy_digest": DIGEST,
        "delegators": {"d": {
            "kind": "oauth", "token_endpoint": endpoint, "allow_http": true, "client_id": "gate way",
            "client_secret": {"file": secret_file()}, "timeout_ms": 60_000, "allowed_extra_scopes": ["profile"],
        }},
    })
}

/// The file outlives the tests' directories; it holds nothing that is secret.
fn secret_file() -> String {
    static FILE: std::sync::LazyLock<tempfile::NamedTempFile> = std::sync::LazyLock::new(|| {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), " pass:word \n").expect("writes");
        file
    });
    FILE.path().display().to_string()
}

pub(crate) fn call(effect: Effect, on_fail: OnFail) -> EffectCall {
    EffectCall {
        idempotency_key: "decision.0".to_owned(),
        on_fail,
        source: "routes.tool:test.pre_invocation[0]".to_owned(),
        effect,
    }
}

pub(crate) fn session(subject: char) -> SessionKey {
    SessionKey {
        subject: subject.to_string().repeat(64),
        session: "5".repeat(64),
    }
}

pub(crate) fn append(subject: char, label: &str) -> Effect {
    Effect::SessionAppend {
        session: session(subject),
        labels: vec![label.to_owned()],
        subject_labels: Vec::new(),
        ttl_s: None,
    }
}

pub(crate) fn load(subject: char) -> Effect {
    Effect::SessionLoad {
        session: session(subject),
    }
}

pub(crate) fn request(digest: &str, effects: Vec<EffectCall>) -> Vec<u8> {
    let request = EffectsRequest {
        policy_digest: digest.to_owned(),
        decision_id: "decision".to_owned(),
        effects,
    };
    serde_json::to_vec(&request).expect("serialises")
}

pub(crate) async fn perform(address: SocketAddr, digest: &str, effects: Vec<EffectCall>) -> EffectsResponse {
    let answer = post(address, request(digest, effects)).await;
    assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.body);
    serde_json::from_slice(&answer.body).expect("an effects response")
}

pub(crate) async fn post(address: SocketAddr, body: Vec<u8>) -> Answer {
    let request = Request::post(format!("http://{address}/v1/effects"))
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(body)))
        .expect("a request");
    send(request).await.expect("an answer")
}

pub(crate) async fn get(address: SocketAddr, path: &str) -> Answer {
    let request = Request::get(format!("http://{address}{path}"))
        .body(Full::default())
        .expect("a request");
    send(request).await.expect("an answer")
}

/// `None`: the connection failed, as it does when the companion is killed.
pub(crate) async fn send(request: Request<Full<Bytes>>) -> Option<Answer> {
    let client = Client::builder(TokioExecutor::new()).build_http();
    let (head, body) = client.request(request).await.ok()?.into_parts();
    Some(Answer {
        status: head.status,
        headers: head.headers,
        body: body.collect().await.ok()?.to_bytes(),
    })
}
