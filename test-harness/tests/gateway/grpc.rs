//! gRPC and other HTTP/2 traffic on a gateway with the filter: every header, message and trailer is what it is without it, and
//! a stream goes on in step.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aplomb_test_harness::envoy::wasm::InstallMode;
use aplomb_test_harness::envoy::{Envoy, Setup, Upstream, config};
use aplomb_test_harness::ground::recorder::{FrameBody, Frames, piece, trailer};
use aplomb_test_harness::ports;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request as Incoming, State};
use axum::http::{HeaderMap, Request, Response, Version};
use http_body_util::BodyExt as _;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};

use crate::shared::governed;

/// Longer than a step takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
const LARGE: usize = 2 * 1024 * 1024;

/// A gRPC message: not compressed, its length, its bytes.
fn message(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).expect("short").to_be_bytes();
    [&[0], &length[..], bytes].concat()
}

/// A service that sends back every piece as soon as it came, and keeps what it heard.
#[derive(Clone, Default)]
struct Echo(Arc<Mutex<Vec<String>>>);

impl Echo {
    fn keep(&self, line: String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }

    fn heard(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn start(self) -> SocketAddr {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0))
            .await
            .expect("a port");
        let address = listener.local_addr().expect("an address");
        let router = Router::new().fallback(echo).with_state(self);
        tokio::spawn(async move { axum::serve(listener, router).await });
        address
    }
}

async fn echo(State(echo): State<Echo>, request: Incoming) -> Response<Body> {
    let (head, mut body) = request.into_parts();
    echo.keep(format!("{:?} {} {}", head.version, head.method, head.uri));
    echo.keep(lines(&head.headers));
    let response = Response::builder().header("content-type", "application/grpc");
    if head.uri.path().ends_with("/Refused") {
        // Headers alone, which end the stream.
        let refused = response.header("grpc-status", "7").header("grpc-message", "no");
        return refused.body(Body::empty()).expect("a response");
    }
    let (frames, answer) = FrameBody::new();
    tokio::spawn(async move {
        let mut all = Vec::new();
        while let Some(Ok(frame)) = body.frame().await {
            match frame.into_data() {
                Ok(data) => {
                    all.extend_from_slice(&data);
                    piece(&frames, data).await;
                }
                Err(frame) => echo.keep(lines(frame.trailers_ref().unwrap_or(&HeaderMap::new()))),
            }
        }
        echo.keep(format!("{} bytes, {}", all.len(), digest(&all)));
        trailer(&frames, "grpc-status", "0").await;
    });
    response.body(Body::new(answer)).expect("a response")
}

fn digest(bytes: &[u8]) -> u64 {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}

/// Headers in order, without the one that is never the same.
fn lines(headers: &HeaderMap) -> String {
    let shown = headers.iter().filter(|(name, _)| *name != "date");
    shown
        .map(|(name, value)| format!("{name}: {value:?}\n"))
        .collect()
}

/// A gateway that speaks HTTP/2 on both sides.
struct Gateway {
    envoy: Envoy,
    echo: Echo,
    client: Client<HttpConnector, FrameBody>,
}

async fn gateway(dir: &Path, filters: Vec<Value>) -> Gateway {
    std::fs::create_dir_all(dir).expect("a folder");
    let echo = Echo::default();
    let upstream = Upstream {
        name: "services".into(),
        path: "/".into(),
        rewrite: "/".into(),
        keep_host: false,
        address: echo.clone().start().await,
    };
    let setup = Setup::new(ports::free().expect("a port"), filters, vec![upstream]);
    let admin = ports::free().expect("a port");
    let mut document = config::bootstrap(&setup, admin, &dir.join("access.log"));
    let manager = document
        .pointer_mut("/static_resources/listeners/0/filter_chains/0/filters/0/typed_config")
        .expect("the manager");
    manager["generate_request_id"] = json!(false);
    manager["route_config"]["virtual_hosts"][0]["routes"][0]["route"]["host_rewrite_literal"] =
        json!("services");
    for router in manager["http_filters"].as_array_mut().expect("filters") {
        if router["name"] == "router" {
            router["typed_config"]["suppress_envoy_headers"] = json!(true);
        }
    }
    document["static_resources"]["clusters"][0]["typed_extension_protocol_options"] = json!({
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": {"http2_protocol_options": {}},
        }
    });
    let listen = setup.listeners[0].address;
    let envoy = Envoy::start_document(&document, (listen, admin), 1, dir)
        .await
        .expect("Envoy starts");
    let client = Client::builder(TokioExecutor::new())
        .http2_only(true)
        .build_http();
    Gateway { envoy, echo, client }
}

/// One exchange as both ends saw it.
type Seen = Vec<String>;

impl Gateway {
    /// Sends the pieces, each after the one before it came back, and one trailer at the end.
    async fn exchange(&self, path: &str, pieces: &[Vec<u8>], last: Option<&'static str>) -> Seen {
        let (frames, body) = FrameBody::new();
        let request = Request::post(self.envoy.url(path))
            .version(Version::HTTP_2)
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("grpc-timeout", "60S")
            .header("authorization", "Bearer of another application")
            .body(body)
            .expect("a request");
        let sent = self.client.request(request);
        tokio::time::timeout(PATIENCE, self.play(sent, frames, pieces, last))
            .await
            .unwrap_or_else(|_| panic!("{path}: a step does not come\n{}", self.envoy.log()))
    }

    async fn play(
        &self,
        sent: hyper_util::client::legacy::ResponseFuture,
        frames: Frames,
        pieces: &[Vec<u8>],
        last: Option<&'static str>,
    ) -> Seen {
        let response = sent.await.expect("an answer before the first message");
        let (head, mut body) = response.into_parts();
        let mut seen = vec![
            format!("{} {:?}", head.status, head.version),
            lines(&head.headers),
        ];
        for sent in pieces {
            piece(&frames, sent.clone()).await;
            let mut back = Vec::new();
            while back.len() < sent.len() {
                let frame = body.frame().await.expect("more").expect("whole");
                back.extend_from_slice(&frame.into_data().unwrap_or_else(|_| Bytes::new()));
            }
            assert!(back == *sent, "what came back is what was sent");
        }
        if let Some(value) = last {
            trailer(&frames, "x-last", value).await;
        }
        drop(frames);
        while let Some(Ok(frame)) = body.frame().await {
            if let Some(trailers) = frame.trailers_ref() {
                seen.push(lines(trailers));
            }
        }
        seen.extend(self.echo.heard());
        seen
    }
}

async fn services_are_untouched(mode: InstallMode) {
    let dir = tempfile::tempdir().expect("a directory");
    let filters = governed(dir.path(), mode).filters();
    let without = gateway(&dir.path().join("without"), Vec::new()).await;
    let with = gateway(&dir.path().join("with"), filters).await;
    let mut count = 0;
    for (path, pieces, last) in [
        ("/shop.Orders/Get", vec![message(b"one")], None),
        (
            "/shop.Orders/Watch",
            (0..6_u8).map(|n| message(&[n; 9])).collect(),
            None,
        ),
        ("/shop.Orders/Upload", vec![message(&vec![7; LARGE])], Some("sum")),
        ("/shop.Orders/Nothing", vec![], None),
        ("/shop.Orders/Refused", vec![], None),
        (
            "/mcp.Service/Call",
            vec![message(br#"{"jsonrpc":"2.0","id":1,"method":"tools/call"}"#)],
            None,
        ),
    ] {
        let before = without.exchange(path, &pieces, last).await;
        let after = with.exchange(path, &pieces, last).await;
        assert!(before.len() >= 4, "{path}: {before:?}");
        assert_eq!(after, before, "{path}");
        count += 1;
    }
    let unlisted = with
        .envoy
        .stat("wasmcustom.aplomb.unlisted")
        .await
        .expect("stats");
    assert_eq!(unlisted, Some(count), "every one of them is counted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grpc_is_untouched_in_full_mode() {
    services_are_untouched(InstallMode::Full).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grpc_is_untouched_in_paired_mode() {
    services_are_untouched(InstallMode::Paired).await;
}
