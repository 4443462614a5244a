//! The companion's spans in the trace of the request that they are for: as a child of the client's span, and behind an Envoy
//! that traces, with the filter of the book in front, of Envoy's own.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use aplomb_test_harness::envoy::Envoy;
use aplomb_test_harness::patience::eventually;
use aplomb_test_harness::{ports, programs};
use axum::body::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use serde_json::{Value, json};

use crate::evidence::Companion;
use crate::rig::{build, done, text};
use crate::swap::{backend, policy};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN: &str = "00f067aa0ba902b7";

/// The filter that the book shows, for Envoy's own span.
fn in_front() -> Value {
    let page = std::fs::read_to_string(programs::root().join("docs/companion.md")).expect("the page");
    let after = page
        .split("- name: envoy.filters.http.header_mutation")
        .nth(1)
        .expect("the filter");
    let body = after.split("```").next().expect("its end");
    serde_saphyr::from_str::<Vec<Value>>(&format!("- name: envoy.filters.http.header_mutation{body}"))
        .expect("YAML")
        .remove(0)
}

#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<(String, Span)>>>);

impl Collector {
    async fn listen(&self) -> SocketAddr {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0))
            .await
            .expect("a port");
        let address = listener.local_addr().expect("an address");
        let all = Arc::clone(&self.0);
        let take = move |body: Bytes| {
            let all = Arc::clone(&all);
            async move {
                let request = ExportTraceServiceRequest::decode(body).expect("spans");
                let mut all = all.lock().expect("no panic");
                for of in request.resource_spans {
                    let service = of.resource.as_ref().map(|from| format!("{:?}", from.attributes));
                    let spans = of.scope_spans.into_iter().flat_map(|scope| scope.spans);
                    all.extend(spans.map(|span| (service.clone().unwrap_or_default(), span)));
                }
            }
        };
        let routes = axum::Router::new().route("/v1/traces", axum::routing::post(take));
        tokio::spawn(async move { axum::serve(listener, routes).await });
        address
    }

    async fn span(&self, what: &str, is_it: impl Fn(&str, &Span) -> bool) -> Span {
        eventually(what, async || {
            let all = self.0.lock().expect("no panic");
            let found = all.iter().find(|(service, span)| is_it(service, span));
            found.map(|(_, span)| span.clone())
        })
        .await
    }

    /// The companion's span of the call that counted.
    async fn counting_call(&self) -> Span {
        let counted = self
            .span("the effect", |_, span| span.name == "limit.count")
            .await;
        self.span("its call", |_, span| span.span_id == counted.parent_span_id)
            .await
    }

    fn forget(&self) {
        self.0.lock().expect("no panic").clear();
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What `aplc emit envoy` writes, with tracing to this collector.
async fn envoy(dir: &Path, built: &Path, companion: SocketAddr, traces_to: Option<SocketAddr>) -> Envoy {
    let at = (ports::free().expect("a port"), ports::free().expect("a port"));
    let (listen, admin) = (at.0.to_string(), at.1.to_string());
    let (companion, upstream) = (
        format!("http://{companion}"),
        format!("/mcp=http://{}/mcp", backend().await),
    );
    let module = programs::filter().expect("built");
    let arguments = [
        ["emit", "envoy"],
        ["--build", text(built)],
        ["--module", text(&module)],
        ["--upstream", &upstream],
        ["--listen", &listen],
        ["--admin", &admin],
        ["--companion", &companion],
    ];
    let written = done("aplc", arguments.as_flattened());
    let mut document: Value = serde_saphyr::from_str(&written).expect("YAML");
    if let Some(collector) = traces_to {
        let resources = &mut document["static_resources"];
        let manager = &mut resources["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"];
        manager["tracing"] = json!({"random_sampling": {"value": 100}, "provider": {
            "name": "envoy.tracers.opentelemetry",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig",
                "service_name": "the-gateway",
                "http_service": {"http_uri": {"uri": format!("http://{collector}/v1/traces"), "cluster": "collector", "timeout": "10s"}},
            },
        }});
        let filters = manager["http_filters"].as_array_mut().expect("filters");
        filters.insert(0, in_front());
        let address = json!({"socket_address": {"address": "127.0.0.1", "port_value": collector.port()}});
        let cluster = json!({"name": "collector", "type": "STATIC", "load_assignment": {"cluster_name": "collector",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}]}});
        resources["clusters"]
            .as_array_mut()
            .expect("clusters")
            .push(cluster);
    }
    Envoy::start_document(&document, at, 1, dir)
        .await
        .expect("Envoy starts")
}

async fn call(envoy: &Envoy, traceparent: Option<&str>) {
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": {"name": "counted", "arguments": {"k": "a"}}});
    let mut request = http
        .post(envoy.url("/mcp"))
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream")
        .body(call.to_string());
    if let Some(value) = traceparent {
        request = request.header("traceparent", value);
    }
    let body = request
        .send()
        .await
        .expect("an answer")
        .text()
        .await
        .expect("a body");
    assert!(body.contains("done"), "{body}\n{}", envoy.log());
}

async fn the_companions_spans_join_the_trace(mode: &str) {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path();
    let built = build(path, "built", &policy("traced"), mode);
    let collector = Collector::default();
    let collects = collector.listen().await;
    let otlp = format!("http://{collects}");
    let arguments = ["--otlp", &otlp, "--otlp-send", "traces"];
    let companion = Companion::start(path, &built, &arguments).await;

    let plain = envoy(path, &built, companion.address, None).await;
    call(&plain, Some(&format!("00-{TRACE}-{SPAN}-01"))).await;
    let whole = collector.counting_call().await;
    assert_eq!(
        (hex(&whole.trace_id), hex(&whole.parent_span_id)),
        (TRACE.to_owned(), SPAN.to_owned())
    );
    drop(plain);

    let tracing = envoy(path, &built, companion.address, Some(collects)).await;
    for sent in [None, Some(format!("00-{TRACE}-{SPAN}-01"))] {
        collector.forget();
        call(&tracing, sent.as_deref()).await;
        let is_gateways = |service: &str, _: &Span| service.contains("the-gateway");
        let gateways = collector.span("the gateway's span", is_gateways).await;
        let whole = collector.counting_call().await;
        assert_eq!(
            (&whole.trace_id, &whole.parent_span_id),
            (&gateways.trace_id, &gateways.span_id),
            "{sent:?}"
        );
        if sent.is_some() {
            assert_eq!(hex(&whole.trace_id), TRACE);
        }
        let trace = hex(&gateways.trace_id);
        eventually("the record of it", async || {
            companion.trace_ids().contains(&trace).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_companions_spans_join_the_trace_in_full_mode() {
    the_companions_spans_join_the_trace("full").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_companions_spans_join_the_trace_in_paired_mode() {
    the_companions_spans_join_the_trace("paired").await;
}
