//! One configuration that `aplc emit envoy` wrote, with every protocol that is governed and a route in shadow, in a real
//! Envoy: requests and streams of models as their official clients send them, and the proxy's own numbers.

use std::net::SocketAddr;

use aplomb_test_harness::envoy::Envoy;
use aplomb_test_harness::patience::eventually;
use aplomb_test_harness::{ports, programs};
use axum::body::{Body, Bytes};
use axum::http::{Response, Uri};
use serde_json::{Value, json};

use crate::rig::{done, text};

const SSN: &str = "123-45-6789";

const POLICY: &str = r#"
plugins:
  - { name: hide, kind: validator/pii-scan, config: { detect: [{ kind: ssn }], mode: redact } }
engine_settings: { unmatched: deny }
routes:
  - tool: search
    plugins: [hide]
    pre_invocation: ["args.q == 'no': deny('not that', 'tool.no')"]
  - tool: shady
    enforcement: shadow
    pre_invocation: ["args.q == 'no': deny('not that', 'tool.shady')"]
  - http: "/api/items/{id}"
    pre_invocation: ["args.path.id == '13': deny('not this', 'item.no')"]
    result: { "**.ssn": redact }
  - a2a: "message/*"
    pre_invocation: ["exists(args.configuration.pushNotificationConfig): deny('no call-backs', 'agent.push')"]
  - llm: "gpt-*"
    pre_invocation: ["args.max_tokens > 100: deny('too many', 'model.tokens')"]
    result:
      "choices.message.content": "run(hide)"
      "output.content.text": "run(hide)"
  - llm: "claude-*"
    result: { "content.text": "run(hide)" }
"#;

/// What models say, cut where the number is.
const SAID: [&str; 4] = ["The number is 123", "-45-", "6789. It is ", "secret."];

fn event(payload: &Value) -> String {
    match payload["type"].as_str() {
        Some(kind) => format!("event: {kind}\ndata: {payload}\n\n"),
        None => format!("data: {payload}\n\n"),
    }
}

/// A stream in the form of the API at this path.
fn stream(path: &str) -> Option<Vec<String>> {
    let all = SAID.concat();
    let part = |text: &str| json!({"type": "output_text", "text": text, "annotations": []});
    let mut events: Vec<Value> = match path {
        "/v1/chat/completions" => SAID
            .iter()
            .map(|text| json!({"id": "c", "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": text}}]}))
            .collect(),
        "/v1/messages" => SAID
            .iter()
            .map(|text| json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}))
            .collect(),
        "/v1/responses" => SAID
            .iter()
            .map(|text| json!({"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "item_id": "m", "delta": text}))
            .collect(),
        _ => return None,
    };
    match path {
        "/v1/messages" => {
            let message = json!({"id": "m", "type": "message", "role": "assistant", "content": [], "model": "claude-4", "usage": {"input_tokens": 1, "output_tokens": 1}});
            events.insert(0, json!({"type": "message_start", "message": message}));
            let block = json!({"type": "text", "text": ""});
            events.insert(
                1,
                json!({"type": "content_block_start", "index": 0, "content_block": block}),
            );
            events.push(json!({"type": "content_block_stop", "index": 0}));
            events.push(json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 9}}));
            events.push(json!({"type": "message_stop"}));
        }
        "/v1/responses" => {
            let item = |content: Value| json!({"type": "message", "id": "m", "role": "assistant", "content": content});
            let of =
                |kind: &str| json!({"type": kind, "output_index": 0, "content_index": 0, "item_id": "m"});
            let with = |mut event: Value, name: &str, value: Value| {
                event[name] = value;
                event
            };
            let whole = |content: Value| json!({"id": "r", "object": "response", "output": content});
            events.insert(
                0,
                json!({"type": "response.created", "response": whole(json!([]))}),
            );
            events.insert(
                1,
                json!({"type": "response.output_item.added", "output_index": 0, "item": item(json!([]))}),
            );
            events.insert(2, with(of("response.content_part.added"), "part", part("")));
            events.push(with(of("response.output_text.done"), "text", json!(all)));
            events.push(with(of("response.content_part.done"), "part", part(&all)));
            let item = item(json!([part(&all)]));
            events.push(json!({"type": "response.output_item.done", "output_index": 0, "item": item}));
            events.push(json!({"type": "response.completed", "response": whole(json!([item]))}));
            for (at, event) in events.iter_mut().enumerate() {
                event["sequence_number"] = json!(at);
            }
        }
        _ => {}
    }
    let mut texts: Vec<String> = events.iter().map(event).collect();
    if path == "/v1/chat/completions" {
        texts.push("data: [DONE]\n\n".to_owned());
    }
    Some(texts)
}

fn answer(target: &Uri, body: &Bytes) -> Response<Body> {
    let given: Value = serde_json::from_slice(body).unwrap_or_default();
    let result = match target.path() {
        path if given["stream"] == true => {
            let events = stream(path).expect("a stream of a known API");
            let pieces = futures_util::stream::unfold(events.into_iter(), |mut rest| async move {
                let event = rest.next()?;
                tokio::task::yield_now().await;
                Some((Ok::<_, std::convert::Infallible>(event), rest))
            });
            let response = Response::builder().header("content-type", "text/event-stream");
            return response.body(Body::from_stream(pieces)).expect("a response");
        }
        "/mcp" => {
            let found =
                json!({"staff": [{"note": format!("ssn {SSN}")}], "q": given["params"]["arguments"]["q"]});
            let blocks = json!([{"type": "text", "text": found.to_string()}]);
            json!({"jsonrpc": "2.0", "id": given["id"], "result": {"content": blocks, "structuredContent": found}})
        }
        "/agent" => json!({"jsonrpc": "2.0", "id": given["id"], "result": {"kind": "message", "parts": []}}),
        _ => json!({"id": 7, "ssn": SSN}),
    };
    let response = Response::builder().header("content-type", "application/json");
    response.body(Body::from(result.to_string())).expect("a response")
}

async fn backend() -> SocketAddr {
    let app = axum::Router::new().fallback(|target: Uri, body: Bytes| async move { answer(&target, &body) });
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0))
        .await
        .expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

async fn start(mode: &str, dir: &std::path::Path) -> Envoy {
    let source = dir.join("policy.yaml");
    std::fs::write(&source, POLICY).expect("written");
    let built = dir.join("built");
    let mut arguments = vec!["build", text(&source), "-o", text(&built), "--mode", mode];
    for protocol in ["/mcp=mcp", "/api=http", "/agent=a2a", "/v1=llm"] {
        arguments.extend(["--protocol", protocol]);
    }
    done("aplc", &arguments);
    let (listen, admin) = (ports::free().expect("a port"), ports::free().expect("a port"));
    let (listen_at, admin_at) = (listen.to_string(), admin.to_string());
    let module = programs::filter().expect("built");
    let upstream = format!("/=http://{}/", backend().await);
    let arguments = [
        "emit",
        "envoy",
        "--build",
        text(&built),
        "--module",
        text(&module),
        "--listen",
        &listen_at,
        "--admin",
        &admin_at,
        "--upstream",
        &upstream,
    ];
    let document: Value = serde_saphyr::from_str(&done("aplc", &arguments)).expect("YAML");
    Envoy::start_document(&document, (listen, admin), 2, dir)
        .await
        .expect("Envoy starts")
}

/// What a client got: status, code of a refusal, body.
struct Got {
    status: u16,
    code: String,
    body: String,
}

async fn post(envoy: &Envoy, path: &str, body: &Value) -> Got {
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    let request = http
        .post(envoy.url(path))
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream");
    let reply = request.body(body.to_string()).send().await.expect("an answer");
    let code = reply.headers().get("x-policy-violation").cloned();
    Got {
        status: reply.status().as_u16(),
        code: code.map_or_else(String::new, |code| code.to_str().expect("text").to_owned()),
        body: reply.text().await.expect("a body"),
    }
}

/// The sum of a counter over its tags.
async fn counted(envoy: &Envoy, name: &str) -> u64 {
    let all = envoy.admin_get("/stats/prometheus").await.expect("statistics");
    all.lines()
        .filter(|line| line.starts_with(name) && line[name.len()..].starts_with(['{', ' ']))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
        .sum()
}

async fn every_protocol_is_governed_as_emitted(mode: &str) {
    let dir = tempfile::tempdir().expect("a directory");
    let envoy = start(mode, dir.path()).await;
    let mut sent = 0_u64;
    let tool = |name: &str, q: &str| json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": name, "arguments": {"q": q}}});
    let agent =
        |params: Value| json!({"jsonrpc": "2.0", "id": 1, "method": "message/send", "params": params});
    let chat = |model: &str, tokens: u32, stream: bool| json!({"model": model, "max_tokens": tokens, "stream": stream, "messages": [], "input": []});
    let push = json!({"configuration": {"pushNotificationConfig": {"url": "https://x"}}});
    for (path, body, status, code) in [
        ("/mcp", tool("search", "yes"), 200, ""),
        ("/mcp", tool("search", "no"), 200, "tool.no"),
        ("/mcp", tool("other", "yes"), 200, "route.unmatched"),
        ("/mcp", tool("shady", "yes"), 200, ""),
        ("/mcp", tool("shady", "no"), 200, ""),
        ("/api/items/7", json!({}), 200, ""),
        ("/api/items/13", json!({}), 403, "item.no"),
        ("/api/other", json!({}), 403, "route.unmatched"),
        ("/agent", agent(json!({"message": {}})), 200, ""),
        ("/agent", agent(push), 200, "agent.push"),
        ("/v1/chat/completions", chat("gpt-5", 7, true), 200, ""),
        (
            "/v1/chat/completions",
            chat("gpt-5", 700, true),
            403,
            "model.tokens",
        ),
        ("/v1/responses", chat("gpt-5", 7, true), 200, ""),
        ("/v1/messages", chat("claude-4", 7, true), 200, ""),
        ("/v1/messages", chat("other-4", 7, true), 403, "route.unmatched"),
    ] {
        let got = post(&envoy, path, &body).await;
        sent += 1;
        assert_eq!(
            (got.status, got.code.as_str()),
            (status, code),
            "{path} {body}\n{}\n{}",
            got.body,
            envoy.log()
        );
        let is_shadow = body["params"]["name"] == "shady";
        assert_eq!(got.body.contains(SSN), is_shadow, "{path}: {}", got.body);
        if path.starts_with("/v1") && code.is_empty() {
            assert!(
                got.body.contains("[REDACTED]") && got.body.contains("secret."),
                "{path}: {}",
                got.body
            );
            assert!(
                !got.body.contains("6789") && !got.body.contains("-45-"),
                "{path}: {}",
                got.body
            );
            let done = ["[DONE]", "message_stop", "response.completed"];
            assert!(
                done.iter().any(|done| got.body.contains(done)),
                "{path}: {}",
                got.body
            );
        }
    }
    // Traffic beside the protocols is counted as well: that is what shows the filter in the chain.
    post(&envoy, "/elsewhere", &json!({})).await;
    sent += 1;
    eventually("all requests in the filter's counter", async || {
        (counted(&envoy, "aplomb_requests").await == sent).then_some(())
    })
    .await;
    assert_eq!(counted(&envoy, "aplomb_would_deny").await, 1);
    assert_eq!(counted(&envoy, "aplomb_would_allow").await, 1);
    assert_eq!(counted(&envoy, "aplomb_shadow").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_protocol_is_governed_as_emitted_in_full_mode() {
    every_protocol_is_governed_as_emitted("full").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_protocol_is_governed_as_emitted_in_paired_mode() {
    every_protocol_is_governed_as_emitted("paired").await;
}
