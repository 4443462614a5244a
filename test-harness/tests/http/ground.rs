//! The policy, the backend, Envoy with the filter, and a client whose frames the test decides.

use std::future::Future;

use aplomb_test_harness::envoy::Adapt;
use aplomb_test_harness::envoy::wasm::InstallMode;
use aplomb_test_harness::ground::recorder::{Answer, FrameBody, Frames, Heard, Recorder};
use aplomb_test_harness::ground::{Ground, Options, issuer, untouched};
use aplomb_test_harness::patience::PATIENCE;
use axum::body::{Bytes, HttpBody};
use axum::http::{HeaderMap, Request, Response, StatusCode, Version};
use http_body_util::BodyExt as _;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client, ResponseFuture};
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Stands in `args.secret` of each call; policy removes it on the way to the backend.
pub(crate) const ARGUMENT: &str = "s3-hidden";
/// Stands in `ssn` of each result; policy redacts it on the way to the client.
pub(crate) const RESULT: &str = "123-45-6789";
/// The largest body that the filter reads, bytes.
pub(crate) const LIMIT: usize = 65_536;

/// `edited` loses `args.secret` and `result.ssn`, `scanned` too but what a scanner finds in it, `labelled` does too and marks the session at the companion, `denied` is denied,
/// `plain` has no rules on results.
fn policy() -> String {
    let plugins = json!([issuer::plugin("user", "authorization", "user").expect("a key")]);
    format!(
        r#"plugins: {plugins}
engine_settings: {{ unmatched: deny }}
global:
  authentication: [user]
  session_store: {{ kind: embedded }}
routes:
  - tool: edited
    pre_invocation: ["require(role.tester)"]
    args: {{ secret: "omit" }}
    result: {{ ssn: "str | redact" }}
  - tool: labelled
    pre_invocation: ["require(role.tester)", "taint(seen, session)"]
    args: {{ secret: "omit" }}
    result: {{ ssn: "str | redact" }}
  - tool: scanned
    args: {{ secret: "omit" }}
    result: {{ ssn: "pii.redact" }}
  - tool: denied
    pre_invocation: ["deny('not today', 'test.denied')"]
  - tool: plain
    pre_invocation: ["require(role.tester)"]
"#
    )
}

/// Which HTTP is spoken on which side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wire {
    pub(crate) downstream: Version,
    pub(crate) upstream: Version,
}

pub(crate) const BOTH_2: Wire = Wire {
    downstream: Version::HTTP_2,
    upstream: Version::HTTP_2,
};
pub(crate) const BOTH_1: Wire = Wire {
    downstream: Version::HTTP_11,
    upstream: Version::HTTP_11,
};
pub(crate) const TWO_TO_ONE: Wire = Wire {
    downstream: Version::HTTP_2,
    upstream: Version::HTTP_11,
};

/// Everything, running.
pub(crate) struct Scene {
    pub(crate) ground: Ground,
    pub(crate) backend: Recorder,
    client: Client<HttpConnector, FrameBody>,
    wire: Wire,
    token: String,
    _dir: TempDir,
}

/// What the client got, to the end or to the break.
#[derive(Debug)]
pub(crate) struct Got {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
    pub(crate) trailers: Option<HeaderMap>,
    pub(crate) broken: bool,
}

impl Got {
    pub(crate) fn code(&self) -> &str {
        let value = self.headers.get("x-policy-violation");
        value.and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

pub(crate) async fn scene<F>(
    mode: InstallMode,
    wire: Wire,
    answer: Answer,
    limits: Value,
    script: impl Fn(Heard, Frames) -> F + Send + Sync + 'static,
) -> Scene
where
    F: Future<Output = ()> + Send + 'static,
{
    let backend = Recorder::start(answer, script).await.expect("listens");
    let dir = tempfile::tempdir().expect("a directory");
    let adapt = Adapt::new(move |document| {
        if wire.upstream == Version::HTTP_2 {
            speak_http_2(&mut document["static_resources"]["clusters"][0]);
        }
    });
    let options = Options {
        policy: policy(),
        beside_companion: Vec::new(),
        mode,
        filter_config: json!({
            "protocols": [{ "path_prefix": "/mcp", "speaks": "mcp" }],
            "limits": limits,
        }),
        companion: Some(json!({})),
        upstreams: vec![untouched("/mcp", backend.address)],
        in_front: Vec::new(),
        adapt: Some(adapt),
    };
    let ground = Ground::start(options, dir.path())
        .await
        .expect("everything starts");
    let client = Client::builder(TokioExecutor::new())
        .http2_only(wire.downstream == Version::HTTP_2)
        .build_http();
    let token = issuer::token(&json!({ "sub": "alice", "roles": ["tester"] })).expect("a token");
    Scene {
        ground,
        backend,
        client,
        wire,
        token,
        _dir: dir,
    }
}

fn speak_http_2(cluster: &mut Value) {
    cluster["typed_extension_protocol_options"] = json!({
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": { "http2_protocol_options": {} },
        },
    });
}

impl Scene {
    /// Opens a call; the body is fed by the frames, and the reply is its head, with a body that comes as it comes.
    pub(crate) fn begin(&self) -> (Frames, ResponseFuture) {
        let (frames, body) = FrameBody::new();
        let request = Request::post(self.ground.envoy.url("/mcp"))
            .version(self.wire.downstream)
            .header("authorization", format!("Bearer {}", self.token))
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream")
            .header("x-session-id", "crowd")
            .body(body)
            .expect("a request");
        (frames, self.client.request(request))
    }

    /// The same, with the reply read to its end.
    pub(crate) fn open(&self) -> (Frames, impl Future<Output = Result<Got, String>> + use<>) {
        let (frames, sent) = self.begin();
        (frames, async move {
            let response = sent.await.map_err(|error| format!("{error:?}"))?;
            tokio::time::timeout(PATIENCE, collected(response))
                .await
                .map_err(|_| "the reply does not end".to_owned())
        })
    }
}

async fn collected<B>(response: Response<B>) -> Got
where
    B: HttpBody<Data = Bytes> + Unpin,
{
    let (head, mut body) = response.into_parts();
    let mut got = Got {
        status: head.status,
        headers: head.headers,
        body: String::new(),
        trailers: None,
        broken: false,
    };
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        match frame {
            Err(_) => {
                got.broken = true;
                break;
            }
            Ok(frame) => match frame.into_data() {
                Ok(data) => bytes.extend_from_slice(&data),
                Err(frame) => got.trailers = frame.into_trailers().ok(),
            },
        }
    }
    got.body = String::from_utf8_lossy(&bytes).into_owned();
    assert!(
        !got.body.contains(RESULT),
        "GOT THROUGH to the client: {}",
        got.body
    );
    got
}

/// A call of a tool with the argument that policy removes.
pub(crate) fn call(tool: &str, id: u64) -> String {
    json!({"jsonrpc": "2.0", "id": id, "method": "tools/call",
           "params": {"name": tool, "arguments": {"n": id, "secret": ARGUMENT}}})
    .to_string()
}

/// What the backend's record for a call is: the call's number, and what policy redacts.
pub(crate) fn record(heard: &Heard) -> (Value, Value) {
    let message = heard.message();
    let number = message
        .pointer("/params/arguments/n")
        .cloned()
        .unwrap_or_default();
    (message["id"].clone(), json!({ "n": number, "ssn": RESULT }))
}

/// The backend heard what policy leaves, and nothing that it denies or removes.
pub(crate) fn keeps(scene: &Scene) {
    for heard in scene.backend.heard() {
        let body = String::from_utf8_lossy(&heard.body);
        for word in [ARGUMENT, "\"denied\""] {
            assert!(!body.contains(word), "GOT THROUGH to the backend: {body}");
        }
    }
}
