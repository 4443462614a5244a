//! Copies of audit records and spans, through a real collector (rotel) that decodes them and passes them on.

use std::io::Read;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use aplomb_companion::otlp::OtlpOptions;
use axum::Router;
use axum::body::Bytes;
use axum::routing::post;
use companion_protocol::{AuditRecord, Effect, OnFail, VerdictKind};
use flate2::read::GzDecoder;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use serde_json::json;
use tokio::net::TcpListener;

use super::client::{DIGEST, Running, call, get, options, session};
use super::real::{free_port, program};
use crate::patience::eventually;

/// What has arrived behind the collector.
#[derive(Clone, Default)]
struct Arrived {
    logs: Arc<Mutex<Vec<LogRecord>>>,
    spans: Arc<Mutex<Vec<Span>>>,
}

impl Arrived {
    async fn listen(&self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let address = listener.local_addr().expect("an address");
        let (logs, spans) = (Arc::clone(&self.logs), Arc::clone(&self.spans));
        let take_logs = async move |body: Bytes| {
            let request = ExportLogsServiceRequest::decode(plain(&body)).expect("logs");
            let scopes = request.resource_logs.into_iter().flat_map(|each| each.scope_logs);
            let mut logs = logs.lock().expect("no panic");
            logs.extend(scopes.flat_map(|scope| scope.log_records));
        };
        let take_spans = async move |body: Bytes| {
            let request = ExportTraceServiceRequest::decode(plain(&body)).expect("spans");
            let scopes = request
                .resource_spans
                .into_iter()
                .flat_map(|each| each.scope_spans);
            let mut spans = spans.lock().expect("no panic");
            spans.extend(scopes.flat_map(|scope| scope.spans));
        };
        let routes = Router::new()
            .route("/v1/logs", post(take_logs))
            .route("/v1/traces", post(take_spans));
        tokio::spawn(axum::serve(listener, routes).into_future());
        address
    }

    fn log(&self, decision: &str) -> Option<LogRecord> {
        let logs = self.logs.lock().expect("no panic");
        logs.iter()
            .find(|log| text_of(log, "aplomb.decision_id").as_deref() == Some(decision))
            .cloned()
    }

    fn span(&self, name: &str) -> Option<Span> {
        let spans = self.spans.lock().expect("no panic");
        spans.iter().find(|span| span.name == name).cloned()
    }
}

/// It compresses what it passes on.
fn plain(body: &[u8]) -> Bytes {
    let mut text = Vec::new();
    GzDecoder::new(body).read_to_end(&mut text).expect("gzip");
    text.into()
}

fn text_of(log: &LogRecord, key: &str) -> Option<String> {
    let found = log.attributes.iter().find(|attribute| attribute.key == key)?;
    match found.value.as_ref()?.value.as_ref()? {
        Any::StringValue(text) => Some(text.clone()),
        _ => None,
    }
}

struct Collector(Child);

impl Drop for Collector {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Passes on what it decodes. `None`: not installed.
async fn collector(next: SocketAddr) -> Option<(Collector, String)> {
    let program = program("rotel-agent")?;
    let (http, grpc) = (free_port(), free_port());
    let child = Command::new(program)
        .arg("start")
        .args(["--otlp-http-endpoint", &format!("127.0.0.1:{http}")])
        .args(["--otlp-grpc-endpoint", &format!("127.0.0.1:{grpc}")])
        .args(["--exporter", "otlp", "--otlp-exporter-protocol", "http"])
        .args(["--otlp-exporter-endpoint", &format!("http://{next}")])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("starts");
    let collector = Collector(child);
    eventually("the collector", async || {
        tokio::net::TcpStream::connect(("127.0.0.1", http)).await.ok()
    })
    .await;
    Some((collector, format!("http://127.0.0.1:{http}")))
}

fn record(decision: &str) -> AuditRecord {
    AuditRecord {
        seq: 1,
        stream: "worker-1".to_owned(),
        at_ms: 1_700_000_000_123,
        decision_id: decision.to_owned(),
        policy_digest: DIGEST.to_owned(),
        verdict: Some(VerdictKind::Deny),
        code: Some("session_tainted".to_owned()),
        entity_type: "tool".to_owned(),
        entity_name: "send_email".to_owned(),
        subject: Some("bob".to_owned()),
        trace_id: Some("4bf92f3577b34da6a3ce929d0e0e4736".to_owned()),
        ..AuditRecord::default()
    }
}

async fn running(endpoint: String) -> Running {
    let directory = tempfile::tempdir().expect("a directory");
    let mut options = options(&directory, &json!({"version": 1, "policy_digest": DIGEST}));
    options.otlp = Some(OtlpOptions {
        endpoint,
        token_env: None,
        logs: true,
        traces: true,
        allow_plain: false,
    });
    Running::with_options(directory, &options).await
}

#[tokio::test]
async fn a_real_collector_takes_copies_of_audit_records_and_spans_of_calls() {
    let arrived = Arrived::default();
    let Some((_collector, endpoint)) = collector(arrived.listen().await).await else {
        return;
    };
    let companion = running(endpoint).await;
    let record = Effect::AuditAppend {
        record: Box::new(record("d-1")),
    };
    let load = Effect::SessionLoad {
        session: session('a'),
    };
    let results = companion
        .effects(vec![call(load, OnFail::Stop), call(record, OnFail::Stop)])
        .await;
    assert_eq!(results.len(), 2);

    let log = eventually("the copy", async || arrived.log("d-1")).await;
    let line = std::fs::read_to_string(companion.audit_log()).expect("reads");
    let body = log.body.and_then(|body| body.value);
    assert_eq!(body, Some(Any::StringValue(line.trim_end().to_owned())));
    assert_eq!(log.time_unix_nano, 1_700_000_000_123_000_000);
    assert_eq!((log.severity_text.as_str(), log.severity_number), ("WARN", 13));
    let trace: String = log.trace_id.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(trace, "4bf92f3577b34da6a3ce929d0e0e4736");

    let whole = eventually("the call's span", async || arrived.span("POST /v1/effects")).await;
    for name in ["session.load", "audit.append"] {
        let part = eventually("an effect's span", async || arrived.span(name)).await;
        assert_eq!(
            (&part.parent_span_id, &part.trace_id),
            (&whole.span_id, &whole.trace_id)
        );
        let within = whole.start_time_unix_nano..=whole.end_time_unix_nano;
        assert!(within.contains(&part.start_time_unix_nano), "{name}");
    }
    let shown = eventually("the count", async || {
        let text = get(companion.address, "/metrics").await.body;
        let text = String::from_utf8(text.to_vec()).expect("a text");
        text.contains("otlp_items_total{signal=\"traces\",outcome=\"sent\"} 3")
            .then_some(text)
    })
    .await;
    assert!(
        shown.contains("otlp_items_total{signal=\"logs\",outcome=\"sent\"} 1"),
        "{shown}"
    );
    assert!(!shown.contains("outcome=\"lost\""), "{shown}");
}

/// The copy is lost and counted; the record is on disk and acknowledged all the same.
#[tokio::test]
async fn a_collector_that_is_not_there_keeps_nobody_waiting() {
    let companion = running(format!("http://127.0.0.1:{}", free_port())).await;
    let record = Effect::AuditAppend {
        record: Box::new(record("d-2")),
    };
    companion.one(record).await;
    let log = std::fs::read_to_string(companion.audit_log()).expect("reads");
    assert!(log.contains("d-2"));
    eventually("the loss", async || {
        let text = get(companion.address, "/metrics").await.body;
        let text = String::from_utf8(text.to_vec()).expect("a text");
        text.contains("otlp_items_total{signal=\"logs\",outcome=\"lost\"} 1")
            .then_some(())
    })
    .await;
}
