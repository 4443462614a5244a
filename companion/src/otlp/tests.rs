use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsPartialSuccess, ExportLogsServiceResponse};
use prost::Message;

use super::*;

fn options(endpoint: &str) -> OtlpOptions {
    OtlpOptions {
        endpoint: endpoint.to_owned(),
        token_env: None,
        logs: true,
        traces: false,
        allow_plain: false,
    }
}

fn refusal(options: OtlpOptions) -> Option<OtlpError> {
    Post::new(&options, &Arc::new(Metrics::new())).err()
}

#[test]
fn names_of_people_do_not_travel_in_the_clear_unless_the_operator_says_so() {
    assert!(refusal(options("http://127.0.0.1:4318/")).is_none());
    assert!(refusal(options("http://localhost:4318")).is_none());
    let far = options("http://collector.example:4318");
    assert!(matches!(refusal(far.clone()), Some(OtlpError::Plain(_))));
    let trusted = OtlpOptions {
        allow_plain: true,
        ..far
    };
    assert!(refusal(trusted).is_none());
    for wrong in [
        "collector:4318",
        "grpc://127.0.0.1:4317",
        "https://u:p@c.example",
        "https://c.example?x",
    ] {
        assert!(
            matches!(refusal(options(wrong)), Some(OtlpError::Endpoint(_))),
            "{wrong}"
        );
    }
    let no_token = OtlpOptions {
        token_env: Some("APLOMB_NO_SUCH_VARIABLE".to_owned()),
        ..options("http://127.0.0.1:4318")
    };
    assert!(matches!(refusal(no_token), Some(OtlpError::Token(_))));
}

#[test]
fn a_parent_is_read_as_w3c_says() {
    let parent = |value: &str| {
        let mut headers = HeaderMap::new();
        headers.insert("traceparent", value.parse().expect("a header"));
        Parent::of(&headers)
    };
    let (trace, span) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
    let ids = Parent::Span {
        trace: id(trace, 16).expect("an id"),
        span: id(span, 8).expect("an id"),
    };
    assert_eq!(parent(&format!("00-{trace}-{span}-01")), ids);
    assert_eq!(parent(&format!("00-{trace}-{span}-00")), Parent::NotSampled);
    assert_eq!(Parent::of(&HeaderMap::new()), Parent::None);
    for wrong in [
        format!("00-{}-{span}-01", "0".repeat(32)),
        format!("00-{trace}-{}-01", "0".repeat(16)),
        format!("00-{}-{span}-01", trace.to_uppercase()),
        format!("ff-{trace}-{span}-01"),
        format!("00-{trace}-{span}"),
        "x".to_owned(),
    ] {
        assert_eq!(parent(&wrong), Parent::None, "{wrong}");
    }
}

#[test]
fn what_finds_no_room_is_counted_and_nobody_waits() {
    let metrics = Arc::new(Metrics::new());
    let (sender, _receiver) = mpsc::channel(2);
    let feed = Feed {
        sender,
        signal: "logs",
        metrics: Arc::clone(&metrics),
    };
    (0..5).for_each(|number| feed.offer(number));
    assert!(
        metrics
            .text()
            .contains("otlp_items_total{signal=\"logs\",outcome=\"lost\"} 3")
    );
}

/// Answers each request with the next of these.
async fn collector(answers: Vec<(StatusCode, Vec<u8>)>) -> (String, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let answers = Arc::new(answers);
    let answer = async move || {
        let number = count.fetch_add(1, Ordering::SeqCst);
        answers
            .get(number)
            .cloned()
            .unwrap_or((StatusCode::OK, Vec::new()))
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(axum::serve(listener, Router::new().route("/v1/logs", post(answer))).into_future());
    (format!("http://{address}"), asked)
}

async fn offered(count: usize, endpoint: &str) -> String {
    let metrics = Arc::new(Metrics::new());
    let otlp = Otlp::start(&options(endpoint), &metrics).expect("starts");
    let feed = otlp.logs.clone().expect("logs go out");
    (0..count).for_each(|_| feed.offer(LogRecord::default()));
    // Ends as soon as every one is counted.
    for _ in 0..6000 {
        let text = metrics.text();
        let all = [counted(&text, "sent"), counted(&text, "lost")]
            .into_iter()
            .flatten()
            .sum::<u64>();
        if all == count as u64 {
            return text;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the collector's answer was not seen: {}", metrics.text());
}

fn counted(text: &str, outcome: &str) -> Option<u64> {
    let start = format!("otlp_items_total{{signal=\"logs\",outcome=\"{outcome}\"}} ");
    text.lines()
        .find_map(|line| line.split_once(&start)?.1.parse().ok())
}

#[tokio::test]
async fn a_collector_that_is_busy_is_asked_again() {
    let (endpoint, asked) = collector(vec![(StatusCode::SERVICE_UNAVAILABLE, Vec::new())]).await;
    let text = offered(3, &endpoint).await;
    assert_eq!((counted(&text, "sent"), counted(&text, "lost")), (Some(3), None));
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn what_a_collector_refuses_is_lost_and_counted() {
    let (endpoint, asked) = collector(vec![(StatusCode::BAD_REQUEST, Vec::new())]).await;
    let text = offered(3, &endpoint).await;
    assert_eq!((counted(&text, "sent"), counted(&text, "lost")), (None, Some(3)));
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    let partly = ExportLogsServiceResponse {
        partial_success: Some(ExportLogsPartialSuccess {
            rejected_log_records: 2,
            error_message: "too old".to_owned(),
        }),
    };
    let (endpoint, _) = collector(vec![(StatusCode::OK, partly.encode_to_vec())]).await;
    let text = offered(3, &endpoint).await;
    assert_eq!(
        (counted(&text, "sent"), counted(&text, "lost")),
        (Some(1), Some(2))
    );
}
