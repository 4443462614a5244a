//! Sessions, GET streams and resumption through a real Envoy, with a stateful server on the official Rust SDK behind it.

use aplomb_test_harness::backend::Role;
use aplomb_test_harness::envoy::wasm::InstallMode;
use aplomb_test_harness::scenario::seed;
use aplomb_test_harness::stack::{Options, SEAL_KEY_ENV, Stack, Tokens};
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

const RECORD: &str = r#"{"employee_id":"EMP-001234"}"#;

/// A client that shows every header.
struct Client<'a> {
    http: reqwest::Client,
    url: String,
    tokens: &'a Tokens,
}

impl Client<'_> {
    async fn send(&self, method: Method, headers: &[(&str, &str)], body: Option<&Value>) -> Response {
        let mut request = self
            .http
            .request(method, &self.url)
            .header("authorization", format!("Bearer {}", self.tokens.client))
            .header("x-user-token", &self.tokens.user)
            .header("accept", "application/json, text/event-stream");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request
                .header("content-type", "application/json")
                .body(body.to_string());
        }
        request.send().await.expect("a reply")
    }

    /// The client's id of a new session.
    async fn session(&self) -> String {
        let params = json!({
            "protocolVersion": "2025-06-18",
            "capabilities": {},
            "clientInfo": { "name": "t", "version": "1" },
        });
        let body = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params});
        let reply = self.send(Method::POST, &[], Some(&body)).await;
        assert_eq!(reply.status(), StatusCode::OK);
        let id = reply.headers()["mcp-session-id"]
            .to_str()
            .expect("text")
            .to_owned();
        let _result = reply.text().await.expect("a result");
        let ready = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        let reply = self
            .send(Method::POST, &[("mcp-session-id", &id)], Some(&ready))
            .await;
        assert_eq!(reply.status(), StatusCode::ACCEPTED);
        id
    }
}

fn code(reply: &Response) -> &str {
    let value = reply.headers().get("x-policy-violation");
    value.and_then(|value| value.to_str().ok()).unwrap_or_default()
}

async fn sessions_and_streams_are_governed(mode: InstallMode) {
    let dir = tempfile::tempdir().expect("a directory");
    let mut options = Options::new(seed::scenario().policy, mode, dir.path());
    options
        .filter_config
        .insert("seal_key_env".to_owned(), SEAL_KEY_ENV.into());
    let stack = Stack::start(&options, |what| println!("==> {what}"))
        .await
        .expect("everything starts");
    let (eve, bob) = (
        stack.idp.log_in("eve").await.expect("a login"),
        stack.idp.log_in("bob").await.expect("a login"),
    );
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    let url = stack.envoy.url(&Role::Hr.path());
    let client = |tokens| Client {
        http: http.clone(),
        url: url.clone(),
        tokens,
    };
    let (eve, bob) = (client(&eve), client(&bob));

    let session = eve.session().await;
    assert!(session.len() > 60, "the server's own is a UUID of 36: {session}");
    let own = ("mcp-session-id", session.as_str());

    // A call, whose reply is a stream with a priming event, and the answer redacted.
    let arguments: Value = serde_json::from_str(RECORD).expect("JSON");
    let call = json!({"jsonrpc": "2.0", "id": 7, "method": "tools/call",
        "params": {"name": "get_compensation", "arguments": arguments}});
    let reply = eve.send(Method::POST, &[own], Some(&call)).await;
    let first = reply.text().await.expect("a stream");
    assert!(first.contains("[REDACTED]"), "{first}\n{}", stack.envoy.log());
    let event = first
        .lines()
        .find_map(|line| line.strip_prefix("id:"))
        .expect("an event id")
        .trim();
    assert!(event.len() > 40, "sealed: {event}");

    // Resumed at the priming event: the filter opens the id and the server takes the request. This SDK answers with an
    // empty stream once the call is over (`enforcer/tests/suite/streams.rs` shows an answer that comes again).
    let reply = eve
        .send(Method::GET, &[own, ("last-event-id", event)], None)
        .await;
    assert_eq!((reply.status(), code(&reply)), (StatusCode::OK, ""));
    let again = reply.text().await.expect("a stream that ends");
    assert_eq!(
        again.matches("\"ssn\"").count(),
        again.matches("[REDACTED]").count(),
        "{again}"
    );

    // Nobody else can use the session or the event, and an id that was not sealed is none.
    for (who, headers, status, violation) in [
        (&bob, vec![own], 404, "protocol.unknown_session"),
        (
            &eve,
            vec![("mcp-session-id", "0")],
            404,
            "protocol.unknown_session",
        ),
        (
            &eve,
            vec![own, ("last-event-id", "0/0")],
            400,
            "protocol.unknown_event",
        ),
    ] {
        let reply = who.send(Method::GET, &headers, None).await;
        assert_eq!((reply.status().as_u16(), code(&reply)), (status, violation));
    }
    let reply = bob.send(Method::DELETE, &[own], None).await;
    assert_eq!(
        (reply.status().as_u16(), code(&reply)),
        (404, "protocol.unknown_session")
    );

    // A GET stream opens at once.
    let reply = eve.send(Method::GET, &[own], None).await;
    assert_eq!(reply.status(), StatusCode::OK);
    assert_eq!(reply.headers()["content-type"], "text/event-stream");
    drop(reply);

    // The owner ends the session, and then the server knows it no more.
    let reply = eve.send(Method::DELETE, &[own], None).await;
    assert!(reply.status().is_success(), "{}", reply.status());
    let reply = eve.send(Method::POST, &[own], Some(&call)).await;
    assert_eq!(reply.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn sessions_and_streams_are_governed_in_full_mode() {
    sessions_and_streams_are_governed(InstallMode::Full).await;
}

#[tokio::test]
async fn sessions_and_streams_are_governed_in_paired_mode() {
    sessions_and_streams_are_governed(InstallMode::Paired).await;
}
