//! HTTP resources, A2A and models through a real Envoy, with clients and backends that know nothing of the filter.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aplomb_test_harness::envoy::wasm::{Governed, InstallMode};
use aplomb_test_harness::envoy::{Envoy, Setup, Upstream};
use aplomb_test_harness::{ports, programs};
use axum::body::{Body, Bytes};
use axum::http::{Method, Request, Response, Uri};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};

const SSN: &str = "123-45-6789";

const POLICY: &str = r#"
routes:
  - http: { path: "/api/employees/{id}", method: [GET, PUT] }
    args: { body.ssn: "mask(4)" }
    pre_invocation: ["args.path.id == '13': deny('not her', 'api.closed')"]
    result: { "**.ssn": redact }
  - http: "/api/files/**"
  - http: "/api/late/{id}"
    post_invocation: ["http.status >= 500: deny('it failed', 'api.failed')"]
  - a2a: "message/*"
    pre_invocation: ["exists(args.configuration.pushNotificationConfig): deny('no call-backs', 'agent.push')"]
    result: { "**.ssn": redact }
  - llm: "gpt-*"
    args: { max_tokens: "int" }
    pre_invocation: ["args.max_tokens > 100: deny('too many', 'model.tokens')"]
    result: { "choices.message.content": redact }
  - llm: open
"#;

/// What the backend heard: method, target, body.
type Heard = Arc<Mutex<Vec<(Method, String, Bytes)>>>;

/// Events with a pause between them.
fn events(payloads: Vec<String>) -> Response<Body> {
    let pieces = futures_util::stream::unfold(payloads.into_iter(), |mut rest| async move {
        let payload = rest.next()?;
        tokio::time::sleep(Duration::from_millis(30)).await;
        let event = Bytes::from(format!("data: {payload}\n\n"));
        Some((Ok::<_, Infallible>(event), rest))
    });
    let response = Response::builder().header("content-type", "text/event-stream");
    response.body(Body::from_stream(pieces)).expect("a response")
}

fn answer(target: &Uri, body: &Bytes) -> Response<Body> {
    let given: Value = serde_json::from_slice(body).unwrap_or_default();
    let plain = |status: u16, value: &Value| {
        let response = Response::builder()
            .status(status)
            .header("content-type", "application/json");
        response.body(Body::from(value.to_string())).expect("a response")
    };
    let chunk =
        |text: &str| json!({"id": "c", "choices": [{"index": 0, "delta": {"content": text}}]}).to_string();
    match target.path() {
        "/agent" => {
            let update = json!({"kind": "artifact-update", "artifact": {"parts": [{"data": {"ssn": SSN}}]}});
            let message = |result: &Value| json!({"jsonrpc": "2.0", "id": given["id"], "result": result});
            if given["method"] == "message/send" {
                return plain(200, &message(&update));
            }
            events((0..3).map(|_| message(&update).to_string()).collect())
        }
        "/v1/chat/completions" if given["stream"] == true => {
            let mut all: Vec<String> = ["It is 12", "3-45", "-6789."].into_iter().map(chunk).collect();
            all.push("[DONE]".to_owned());
            events(all)
        }
        "/v1/chat/completions" => plain(
            200,
            &json!({"choices": [{"index": 0, "message": {"role": "assistant", "content": SSN}}]}),
        ),
        "/api/late/500" => Response::builder()
            .status(500)
            .body(Body::from("oops"))
            .expect("a response"),
        "/api/late/204" => Response::builder()
            .status(204)
            .body(Body::empty())
            .expect("a response"),
        path if path.starts_with("/api/files/") => Response::new(Body::from(format!("{} bytes", body.len()))),
        _ => plain(200, &json!({"ssn": SSN, "list": [{"ssn": SSN}], "name": "é"})),
    }
}

async fn serve(heard: Heard) -> SocketAddr {
    let app = axum::Router::new().fallback(move |request: Request<Body>| {
        let heard = Arc::clone(&heard);
        async move {
            let (head, body) = request.into_parts();
            let body = axum::body::to_bytes(body, usize::MAX).await.expect("a body");
            let answer = answer(&head.uri, &body);
            heard
                .lock()
                .expect("unpoisoned")
                .push((head.method, head.uri.to_string(), body));
            answer
        }
    });
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0))
        .await
        .expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

fn configuration() -> Value {
    let compilation = apl_compiler::compile("policy.yaml", POLICY);
    let output = compilation
        .output
        .unwrap_or_else(|| panic!("{:?}", compilation.diagnostics));
    json!({
        "policy": STANDARD.encode(apl_bytecode::encode(output.program.program())),
        "protocols": [
            { "path_prefix": "/api", "speaks": "http" },
            { "path_prefix": "/agent", "speaks": "a2a" },
            { "path_prefix": "/v1", "speaks": "llm" },
        ],
    })
}

fn code(response: &reqwest::Response) -> String {
    let value = response.headers().get("x-policy-violation");
    value
        .map(|value| value.to_str().expect("text").to_owned())
        .unwrap_or_default()
}

fn media(response: &reqwest::Response) -> &str {
    response.headers()["content-type"].to_str().expect("text")
}

async fn all_traffic_is_governed(mode: InstallMode) {
    let dir = tempfile::tempdir().expect("a directory");
    let heard = Heard::default();
    let address = serve(Arc::clone(&heard)).await;
    let governed = Governed {
        module: programs::filter().expect("built"),
        configuration: configuration(),
        environment: BTreeMap::new(),
        plugins: mode.plugins(),
    };
    let upstream = Upstream {
        name: "backend".into(),
        path: "/".into(),
        rewrite: "/".into(),
        keep_host: false,
        address,
    };
    let setup = Setup::new(ports::free().expect("a port"), governed.filters(), vec![upstream]);
    let envoy = Envoy::start(&setup, dir.path()).await.expect("Envoy starts");
    let http = Client::builder().no_proxy().build().expect("a client");
    let url = |path: &str| envoy.url(path);
    let last = || heard.lock().expect("unpoisoned").last().cloned();
    let count = || heard.lock().expect("unpoisoned").len();

    // Resources.
    let response = http
        .get(url("/api/employees/7?x=1"))
        .send()
        .await
        .expect("a response");
    assert_eq!(response.status(), StatusCode::OK, "{}", envoy.log());
    let text = response.text().await.expect("text");
    assert_eq!(text.matches("[REDACTED]").count(), 2, "{text}");
    assert!(!text.contains(SSN) && text.contains('é'));
    let body = format!("{{ \"ssn\": \"{SSN}\", \"x\": 1.0 }}");
    let put = |path: &str| {
        let request = http.put(url(path)).header("content-type", "application/json");
        request.body(body.clone()).send()
    };
    assert_eq!(
        put("/api/employees/7").await.expect("a response").status(),
        StatusCode::OK
    );
    let (_, _, sent) = last().expect("a request");
    assert_eq!(sent, body.replace(SSN, "*******6789").as_bytes());
    let before = count();
    let response = put("/api/employees/13").await.expect("a response");
    assert_eq!(
        (response.status().as_u16(), code(&response).as_str()),
        (403, "api.closed")
    );
    assert_eq!(media(&response), "application/problem+json");
    let problem: Value = response.json().await.expect("JSON");
    assert_eq!(
        (&problem["detail"], &problem["violation"]),
        (&json!("not her"), &json!("api.closed"))
    );
    let response = http
        .delete(url("/api/employees/7"))
        .send()
        .await
        .expect("a response");
    assert_eq!(
        (response.status().as_u16(), code(&response).as_str()),
        (403, "route.unmatched")
    );
    for path in [
        "/api/%65mployees/13",
        "/api/files/..%2femployees/13",
        "/api/files;x/a",
        "/API/files/a",
    ] {
        let response = http.get(url(path)).send().await.expect("a response");
        assert_eq!(
            (response.status().as_u16(), code(&response).as_str()),
            (400, "protocol.ambiguous_path"),
            "{path}"
        );
    }
    assert_eq!(count(), before, "nothing of it reached the backend");
    // A body without a say passes, larger than any limit.
    let large = vec![7_u8; 3 << 20];
    let response = http
        .post(url("/api/files/a%20b"))
        .body(large)
        .send()
        .await
        .expect("a response");
    assert_eq!(response.text().await.expect("text"), "3145728 bytes");
    for (path, status, violation) in [("/api/late/500", 500, "api.failed"), ("/api/late/204", 204, "")] {
        let response = http.get(url(path)).send().await.expect("a response");
        assert_eq!(
            (response.status().as_u16(), code(&response).as_str()),
            (status, violation)
        );
        assert!(!response.text().await.expect("text").contains("oops"));
    }

    // Agents.
    let call = |method: &str, params: Value| {
        let message = json!({"jsonrpc": "2.0", "id": "r1", "method": method, "params": params});
        let request = http
            .post(url("/agent"))
            .header("content-type", "application/json");
        request.body(message.to_string()).send()
    };
    let response = call("SendStreamingMessage", json!({"message": {}}))
        .await
        .expect("a response");
    assert_eq!(media(&response), "text/event-stream");
    let text = response.text().await.expect("text");
    assert_eq!(
        (text.matches("[REDACTED]").count(), text.contains(SSN)),
        (3, false),
        "{text}"
    );
    let text = call("message/send", json!({}))
        .await
        .expect("a response")
        .text()
        .await
        .expect("text");
    assert!(text.contains("[REDACTED]") && !text.contains(SSN));
    let before = count();
    let push = json!({"configuration": {"pushNotificationConfig": {"url": "https://x"}}});
    for (method, params, number, violation) in [
        ("SendMessage", push, -32000, "agent.push"),
        ("tasks/get", json!({"id": "t"}), -32000, "route.unmatched"),
        ("tools/call", json!({}), -32601, "protocol.unknown_method"),
    ] {
        let message: Value = call(method, params)
            .await
            .expect("a response")
            .json()
            .await
            .expect("JSON");
        assert_eq!(message["error"]["code"], number, "{message}");
        assert_eq!(message["error"]["data"]["violation"], violation);
        assert_eq!(message["id"], "r1");
    }
    assert_eq!(count(), before);

    // Models.
    let ask = |body: Value| {
        let request = http
            .post(url("/v1/chat/completions"))
            .header("content-type", "application/json");
        request.body(body.to_string()).send()
    };
    let chat = json!({"model": "gpt-5", "messages": [{"role": "user", "content": "hi"}]});
    let with = |key: &str, value: Value| {
        let mut body = chat.clone();
        body[key] = value;
        body
    };
    let text = ask(chat.clone())
        .await
        .expect("a response")
        .text()
        .await
        .expect("text");
    assert!(text.contains("assistant") && !text.contains(SSN), "{text}");
    let response = ask(with("stream", true.into())).await.expect("a response");
    assert_eq!(media(&response), "text/event-stream");
    let text = response.text().await.expect("text");
    assert!(
        text.contains("[REDACTED]") && text.ends_with("data: [DONE]\n\n"),
        "{text}"
    );
    assert!(!text.contains("6789") && !text.contains("3-45"), "{text}");
    let response = ask(with("max_tokens", 500.into())).await.expect("a response");
    assert_eq!(
        (response.status().as_u16(), code(&response).as_str()),
        (403, "model.tokens")
    );
    let error: Value = response.json().await.expect("JSON");
    assert_eq!(
        (&error["error"]["message"], &error["error"]["code"]),
        (&json!("too many"), &json!("model.tokens"))
    );
    // What nothing looks at comes as it is sent, event by event.
    let mut body = with("stream", true.into());
    body["model"] = "open".into();
    let text = ask(body).await.expect("a response").text().await.expect("text");
    assert!(text.contains("-6789."), "{text}");
}

#[tokio::test]
async fn resources_agents_and_models_are_governed_in_full_mode() {
    all_traffic_is_governed(InstallMode::Full).await;
}

#[tokio::test]
async fn resources_agents_and_models_are_governed_in_paired_mode() {
    all_traffic_is_governed(InstallMode::Paired).await;
}
