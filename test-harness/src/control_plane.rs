//! A control plane: delivers extension configuration to Envoy over one aggregated stream (ADS), as istiod does.
//!
//! Only what a test needs of xDS is here: Envoy subscribes to named resources of one type, gets them whole, and says whether
//! it took them. Messages are written field by field: a resource's own configuration travels as `xds.type.v3.TypedStruct`, which
//! holds any JSON, so that no compiled protocol definitions are needed.
//!
//! Source: envoyproxy.io "xDS REST and gRPC protocol"; `envoy/service/discovery/v3/discovery.proto`.

mod wire;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::ground::recorder::{FrameBody, Frames, piece};
use wire::{Asked, Resource};

/// How long to wait for Envoy's word. It ends as soon as the word is there.
const PATIENCE: Duration = Duration::from_secs(60);

/// The name of the cluster that leads to it.
pub const CLUSTER: &str = "control-plane";

/// What Envoy thinks of a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Word {
    /// It runs.
    Taken,
    /// It does not, with Envoy's reason; what ran before goes on.
    Refused(String),
}

/// The control plane, running until it is dropped.
pub struct ControlPlane {
    /// Where it listens.
    pub address: SocketAddr,
    newest: watch::Sender<Snapshot>,
    words: Arc<Mutex<Vec<(u64, Word)>>>,
    task: JoinHandle<()>,
}

#[derive(Debug, Clone, Default)]
struct Snapshot {
    version: u64,
    resources: Vec<Resource>,
}

#[derive(Clone)]
struct Shared {
    newest: watch::Receiver<Snapshot>,
    words: Arc<Mutex<Vec<(u64, Word)>>>,
}

impl ControlPlane {
    /// Starts it, with nothing to deliver yet.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind(crate::ports::free()?).await?;
        let address = listener.local_addr()?;
        let (newest, watched) = watch::channel(Snapshot::default());
        let words = Arc::<Mutex<Vec<(u64, Word)>>>::default();
        let shared = Shared {
            newest: watched,
            words: Arc::clone(&words),
        };
        let app = Router::new().fallback(stream).with_state(shared);
        let task = tokio::spawn(async move {
            // Ends with the task; a failure shows in what Envoy does not get.
            let _ = axum::serve(listener, app).await;
        });
        Ok(ControlPlane {
            address,
            newest,
            words,
            task,
        })
    }

    /// Delivers these from now on: `TypedExtensionConfig`s as Envoy's JSON. Returns the version.
    ///
    /// # Errors
    /// When one of them has no name or type.
    pub fn push(&self, extensions: &[Value]) -> anyhow::Result<u64> {
        let resources = extensions
            .iter()
            .map(|extension| {
                Resource::of(extension).context("a TypedExtensionConfig has `name` and `typed_config`")
            })
            .collect::<anyhow::Result<Vec<_>>>()?;
        let mut version = 0;
        self.newest.send_modify(|snapshot| {
            snapshot.version += 1;
            version = snapshot.version;
            snapshot.resources = resources;
        });
        Ok(version)
    }

    /// What Envoy says of a version.
    ///
    /// # Errors
    /// When it says nothing.
    pub async fn word_on(&self, version: u64) -> anyhow::Result<Word> {
        let found = || {
            let words = self.words.lock().unwrap_or_else(PoisonError::into_inner);
            words
                .iter()
                .find(|(of, _)| *of == version)
                .map(|(_, word)| word.clone())
        };
        let wait = async {
            loop {
                if let Some(word) = found() {
                    return word;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, wait)
            .await
            .with_context(|| format!("Envoy says nothing about version {version}"))
    }

    /// Makes a bootstrap document take its discovered extensions from here: every `config_discovery` that it has.
    pub fn adopt(&self, document: &mut Value) {
        discover_by_ads(document);
        document["dynamic_resources"] = json!({ "ads_config": {
            "api_type": "GRPC",
            "transport_api_version": "V3",
            "grpc_services": [{ "envoy_grpc": { "cluster_name": CLUSTER } }],
        } });
        let socket = json!({ "address": self.address.ip().to_string(), "port_value": self.address.port() });
        let cluster = json!({
            "name": CLUSTER,
            "type": "STATIC",
            "connect_timeout": "5s",
            "typed_extension_protocol_options": { "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": { "http2_protocol_options": {} },
            } },
            "load_assignment": { "cluster_name": CLUSTER, "endpoints": [{ "lb_endpoints": [{
                "endpoint": { "address": { "socket_address": socket } },
            }] }] },
        });
        if let Some(clusters) = document
            .pointer_mut("/static_resources/clusters")
            .and_then(Value::as_array_mut)
        {
            clusters.push(cluster);
        }
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn discover_by_ads(value: &mut Value) {
    match value {
        Value::Object(map) => {
            if let Some(discovery) = map.get_mut("config_discovery") {
                discovery["config_source"] =
                    json!({ "ads": {}, "initial_fetch_timeout": "0s", "resource_api_version": "V3" });
            }
            map.values_mut().for_each(discover_by_ads);
        }
        Value::Array(list) => list.iter_mut().for_each(discover_by_ads),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// One stream of one Envoy.
async fn stream(State(shared): State<Shared>, request: Request) -> Response {
    let (frames, answer) = FrameBody::new();
    tokio::spawn(converse(shared, request.into_body(), frames));
    let response = Response::builder()
        .header("content-type", "application/grpc")
        .body(Body::new(answer));
    response.unwrap_or_default()
}

async fn converse(mut shared: Shared, mut requests: Body, answers: Frames) {
    let mut unread = Vec::new();
    // The names that Envoy wants, and the last version that it was sent.
    let mut wanted: Vec<String> = Vec::new();
    let mut sent = 0;
    loop {
        let more = tokio::select! {
            frame = requests.frame() => frame,
            changed = shared.newest.changed() => {
                if changed.is_err() {
                    return;
                }
                send(&shared, &answers, &wanted, &mut sent).await;
                continue;
            }
        };
        let Some(Ok(frame)) = more else {
            return;
        };
        unread.extend_from_slice(&frame.into_data().unwrap_or_else(|_| Bytes::new()));
        while let Some(message) = wire::take_message(&mut unread) {
            let Some(asked) = Asked::read(&message) else {
                return;
            };
            if asked.type_url != wire::EXTENSION_CONFIG {
                continue;
            }
            if let Ok(version) = asked.nonce.parse::<u64>() {
                let word = asked.refused.clone().map_or(Word::Taken, Word::Refused);
                shared
                    .words
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push((version, word));
            }
            if asked.names != wanted {
                wanted.clone_from(&asked.names);
                sent = 0;
            }
            send(&shared, &answers, &wanted, &mut sent).await;
        }
    }
}

/// Sends the newest snapshot if Envoy wants something and has not got it yet.
async fn send(shared: &Shared, answers: &Frames, wanted: &[String], sent: &mut u64) {
    let snapshot = shared.newest.borrow().clone();
    if wanted.is_empty() || snapshot.version == *sent {
        return;
    }
    *sent = snapshot.version;
    let named = snapshot
        .resources
        .iter()
        .filter(|resource| wanted.contains(&resource.name));
    piece(answers, wire::response(snapshot.version, named)).await;
}
