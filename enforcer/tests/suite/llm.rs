//! Requests to models, as OpenAI and Anthropic have them.

use serde_json::{Value, json};

use crate::{
    host::{Backend, Seen, Worker},
    protocols::{ask, worker},
};

const ROUTES: &str = r#"
routes:
  - llm: "gpt-*"
    args:
      max_tokens: "int"
      "messages.content": "pii.redact"
    pre_invocation:
      - "require(role.hr)"
      - "llm.offered_tools contains 'shell': deny('no shell', 'model.tool')"
      - "llm.provider != 'openai': deny('wrong provider', 'model.provider')"
    result: { "**.ssn": "redact(!perm.view_ssn)", "choices.message.content": "pii.redact" }
  - llm: claude-x
    pre_invocation: ["require(role.hr)"]
    result: { "content.text": "pii.redact", "**.ssn": "redact(!perm.view_ssn)" }
  - llm: open
"#;

pub(crate) const SSN: &str = "123-45-6789";

pub(crate) fn chat(model: &str, text: &str) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": text}]})
}

fn post(worker: &mut Worker, user: &str, path: &str, body: &Value, backend: Option<&Backend>) -> Seen {
    ask(worker, user, &format!("POST {path}"), &body.to_string(), backend)
}

#[test]
fn the_model_chooses_the_route() {
    let mut worker = worker("llm", ROUTES);
    for path in [
        "/v1/chat/completions",
        "/chat/completions",
        "/openai/v1/responses",
        "/v1/completions",
        "/v1/embeddings?x=1",
    ] {
        assert!(
            post(&mut worker, "eve", path, &chat("gpt-5", "hi"), None).forwarded(),
            "{path}"
        );
        assert_eq!(
            post(&mut worker, "eve", path, &chat("other", "hi"), None).code(),
            "route.unmatched",
            "{path}"
        );
    }
    let seen = post(&mut worker, "eve", "/v1/messages", &chat("gpt-5", "hi"), None);
    assert_eq!(seen.code(), "model.provider");
    for tools in [
        json!([{"type": "function", "function": {"name": "shell"}}]),
        json!([{"type": "function", "name": "shell"}]),
        json!([{"name": "x"}, {"type": "shell"}]),
    ] {
        let mut body = chat("gpt-5", "hi");
        body["tools"] = tools;
        assert_eq!(
            post(&mut worker, "eve", "/v1/responses", &body, None).code(),
            "model.tool"
        );
    }
}

#[test]
fn a_denial_has_the_providers_shape() {
    let mut worker = worker("llm", ROUTES);
    let seen = post(
        &mut worker,
        "sam",
        "/v1/chat/completions",
        &chat("gpt-5", "hi"),
        None,
    );
    let body = seen.reply_json();
    assert_eq!(seen.reply.as_ref().expect("a reply").status, 403);
    assert_eq!(body["error"]["type"], "permission_error");
    assert_eq!(body["error"]["code"], json!(seen.code()));
    assert_eq!(body["error"]["message"], "access denied");
    assert_eq!(body["error"]["violation"], json!(seen.code()));
    let seen = post(&mut worker, "sam", "/v1/messages", &chat("claude-x", "hi"), None);
    let body = seen.reply_json();
    assert_eq!(
        (&body["type"], &body["error"]["type"]),
        (&json!("error"), &json!("permission_error"))
    );
    assert_eq!(body["error"]["violation"], json!(seen.code()));
    let seen = post(&mut worker, "", "/v1/messages", &chat("claude-x", "hi"), None);
    assert_eq!(seen.reply.as_ref().expect("a reply").status, 401);
    assert_eq!(seen.reply_json()["error"]["type"], "authentication_error");
    let mut stream = chat("gpt-5", "hi");
    stream["stream"] = json!(true);
    let seen = post(&mut worker, "sam", "/v1/chat/completions", &stream, None);
    let reply = seen.reply.as_ref().expect("a reply");
    assert!(
        reply
            .headers
            .contains(&("content-type".into(), "application/json".into()))
    );
}

#[test]
fn what_is_no_request_for_a_model_is_denied() {
    let mut worker = worker("llm", ROUTES);
    for body in [
        json!({"messages": []}),
        json!({"model": 7}),
        json!({"model": ""}),
        json!({"model": "open", "Model": "gpt-5"}),
        json!({"model": "open", "MESSAGES": []}),
        json!([{"model": "open"}]),
    ] {
        let seen = post(&mut worker, "eve", "/v1/chat/completions", &body, None);
        assert_eq!(seen.reply.as_ref().expect("a reply").status, 400, "{body}");
        assert_eq!(seen.reply_json()["error"]["type"], "invalid_request_error");
    }
    for request in [
        "POST /v1/files",
        "POST /v1/chat/completions/",
        "POST /v1/xmessages",
        "POST /v1/models",
        "GET /v1/responses/r1",
        "GET /v1/files/models%2f..",
        "DELETE /v1/models/gpt-5",
    ] {
        let body = if request.starts_with("POST") { "{}" } else { "" };
        let seen = ask(&mut worker, "eve", request, body, None);
        assert!(!seen.forwarded(), "{request}");
    }
    let seen = ask(&mut worker, "eve", "GET /v1/chat/completions", "", None);
    assert_eq!(seen.reply.as_ref().expect("a reply").status, 405);
    assert!(
        ask(
            &mut worker,
            "eve",
            "GET /v1/models",
            "",
            Some(&Backend::json("{}"))
        )
        .forwarded()
    );
    assert!(
        ask(
            &mut worker,
            "eve",
            "GET /v1/models/gpt-5",
            "",
            Some(&Backend::json("{}"))
        )
        .forwarded()
    );
    assert!(
        !ask(&mut worker, "", "GET /v1/models", "", None).forwarded(),
        "a list needs identity"
    );
}

#[test]
fn arguments_are_the_request() {
    let mut worker = worker("llm", ROUTES);
    let mut body = chat("gpt-5", &format!("my number is {SSN}, please"));
    body["max_tokens"] = json!(5);
    let seen = post(&mut worker, "eve", "/v1/chat/completions", &body, None);
    let (_, sent) = seen.upstream.expect("forwarded");
    let sent = String::from_utf8(sent).unwrap();
    assert!(
        !sent.contains(SSN) && sent.contains("my number is ") && sent.contains(", please"),
        "{sent}"
    );
    body["max_tokens"] = json!("many");
    assert_eq!(
        post(&mut worker, "eve", "/v1/chat/completions", &body, None)
            .reply
            .expect("a reply")
            .status,
        403
    );
}

#[test]
fn what_was_redacted_is_nowhere() {
    let arguments = json!({"ssn": SSN, "n": 1}).to_string();
    let answer = json!({"id": "c", "object": "chat.completion", "choices": [
        {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": format!("it is {SSN}.")}},
        {"index": 1, "finish_reason": "tool_calls", "message": {"role": "assistant", "content": null,
            "tool_calls": [{"id": "t", "type": "function", "function": {"name": "f", "arguments": arguments}}]}},
    ], "usage": {"total_tokens": 9}});
    let mut worker = worker("llm", ROUTES);
    let backend = Backend::json(&answer.to_string());
    let seen = post(
        &mut worker,
        "eve",
        "/v1/chat/completions",
        &chat("gpt-5", "hi"),
        Some(&backend),
    );
    let found: Value = serde_json::from_str(&seen.client_body()).expect("JSON");
    assert!(!seen.client_body().contains(SSN), "{found}");
    assert_eq!(found["usage"], answer["usage"]);
    let call = &found["choices"][1]["message"]["tool_calls"][0]["function"]["arguments"];
    let call: Value = serde_json::from_str(call.as_str().expect("a text")).expect("JSON");
    assert_eq!(call, json!({"ssn": "[REDACTED]", "n": 1}));

    let answer = json!({"type": "message", "content": [
        {"type": "text", "text": format!("it is {SSN}.")},
        {"type": "tool_use", "id": "t", "name": "f", "input": {"ssn": SSN}},
    ]});
    let backend = Backend::json(&answer.to_string());
    let seen = post(
        &mut worker,
        "eve",
        "/v1/messages",
        &chat("claude-x", "hi"),
        Some(&backend),
    );
    assert!(!seen.client_body().contains(SSN) && seen.client_body().contains("[REDACTED]"));
    // The provider's own error is governed too.
    let backend = Backend::of(
        500,
        "application/json",
        &json!({"error": {"ssn": SSN}}).to_string(),
    );
    let seen = post(
        &mut worker,
        "eve",
        "/v1/messages",
        &chat("claude-x", "hi"),
        Some(&backend),
    );
    assert!(!seen.client_body().contains(SSN));
}

#[test]
fn what_is_not_governed_streams_through() {
    let mut worker = worker("llm", ROUTES);
    let stream = "data: {\"choices\":[]}\n\ndata: [DONE]\n\n";
    let seen = post(
        &mut worker,
        "eve",
        "/v1/chat/completions",
        &chat("open", "hi"),
        Some(&Backend::events(stream)),
    );
    assert_eq!(seen.client_body(), stream);
}
