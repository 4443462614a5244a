//! Requests to models, as OpenAI and Anthropic have them.

use serde_json::{Value, json};

use crate::{
    host::{Backend, Seen, Worker},
    protocols::{ask, worker},
};

pub(crate) const ROUTES: &str = r#"
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

/// Events with these payloads.
pub(crate) fn events(payloads: &[Value]) -> String {
    payloads
        .iter()
        .map(|payload| match payload["type"].as_str() {
            Some(kind) => format!("event: {kind}\ndata: {payload}\n\n"),
            None => format!("data: {payload}\n\n"),
        })
        .collect()
}

/// A chat whose texts come in these fragments, one by one, as OpenAI sends them.
pub(crate) fn chat_stream(fragments: &[&str], arguments: &[&str]) -> String {
    let chunk = |delta: Value, finish: Value| {
        json!({"id": "c", "object": "chat.completion.chunk", "model": "gpt-5",
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish, "logprobs": null}]})
    };
    let mut all = vec![chunk(json!({"role": "assistant", "content": ""}), Value::Null)];
    all.extend(
        fragments
            .iter()
            .map(|text| chunk(json!({"content": text}), Value::Null)),
    );
    for (at, text) in arguments.iter().enumerate() {
        let call = if at == 0 {
            json!({"index": 0, "id": "t", "type": "function", "function": {"name": "f", "arguments": text}})
        } else {
            json!({"index": 0, "function": {"arguments": text}})
        };
        all.push(chunk(json!({"tool_calls": [call]}), Value::Null));
    }
    all.push(chunk(json!({}), json!("stop")));
    all.push(json!({"id": "c", "choices": [], "usage": {"total_tokens": 9}}));
    format!(": hello\n\n{}data: [DONE]\n\n", events(&all))
}

/// The same as Anthropic sends them.
pub(crate) fn message_stream(fragments: &[&str], arguments: &[&str]) -> String {
    let mut all = vec![
        json!({"type": "message_start", "message": {"id": "m", "type": "message", "role": "assistant", "content": [],
            "stop_reason": null, "usage": {"input_tokens": 3}}}),
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
        json!({"type": "ping"}),
    ];
    for text in fragments {
        all.push(
            json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}),
        );
    }
    all.push(json!({"type": "content_block_stop", "index": 0}));
    all.push(json!({"type": "content_block_start", "index": 1, "content_block": {"type": "tool_use", "id": "t", "name": "f", "input": {}}}));
    for text in arguments {
        all.push(json!({"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": text}}));
    }
    all.push(json!({"type": "content_block_stop", "index": 1}));
    all.push(
        json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 9}}),
    );
    all.push(json!({"type": "message_stop"}));
    events(&all)
}

pub(crate) fn streamed(worker: &mut Worker, path: &str, model: &str, stream: &str) -> Seen {
    let mut body = chat(model, "hi");
    body["stream"] = json!(true);
    post(worker, "eve", path, &body, Some(&Backend::events(stream)))
}

/// The texts of all fragments, joined as a client joins them.
pub(crate) fn joined(body: &str, pointers: &[&str]) -> String {
    body.lines()
        .filter_map(|line| serde_json::from_str::<Value>(line.strip_prefix("data: ")?).ok())
        .filter_map(|event| {
            pointers
                .iter()
                .find_map(|pointer| Some(event.pointer(pointer)?.as_str()?.to_owned()))
        })
        .collect()
}

pub(crate) const CHAT: (&str, &str) = ("/v1/chat/completions", "gpt-5");
pub(crate) const MESSAGES: (&str, &str) = ("/v1/messages", "claude-x");

#[test]
fn a_streamed_answer_is_judged_whole_however_it_is_cut() {
    let text = format!("It is {SSN}, of course.");
    let arguments = json!({"a": 1, "ssn": SSN}).to_string();
    let mut worker = worker("llm", ROUTES);
    for at in 1..text.len() {
        let (a, b) = text.split_at(at);
        let (x, y) = arguments.split_at(at.min(arguments.len() - 1));
        for (stream, (path, model), texts, calls) in [
            (
                chat_stream(&[a, b], &[x, y]),
                CHAT,
                ["/choices/0/delta/content"],
                ["/choices/0/delta/tool_calls/0/function/arguments"],
            ),
            (
                message_stream(&[a, b], &[x, y]),
                MESSAGES,
                ["/delta/text"],
                ["/delta/partial_json"],
            ),
        ] {
            let seen = streamed(&mut worker, path, model, &stream);
            let body = seen.client_body();
            let said = joined(&body, &texts);
            assert!(
                said.starts_with("It is ") && said.ends_with(", of course.") && !said.contains("6789"),
                "{said}"
            );
            let call: Value = serde_json::from_str(&joined(&body, &calls)).expect("JSON");
            assert_eq!(call, json!({"a": 1, "ssn": "[REDACTED]"}));
            assert_eq!(body.matches("data: ").count(), stream.matches("data: ").count());
            assert!(
                !body.contains(SSN) && !body.contains("-6789") && !body.contains("123-"),
                "{body}"
            );
        }
    }
}

#[test]
fn a_streamed_answer_that_is_not_edited_is_not_touched() {
    let mut worker = worker("llm", ROUTES);
    for (stream, (path, model)) in [
        (chat_stream(&["It is ", "fine."], &["{\"a\"", ": 1}"]), CHAT),
        (message_stream(&["It is ", "fine."], &[]), MESSAGES),
        (
            message_stream(&["It is ", "fine."], &["{\"a\"", ": 1}"]),
            MESSAGES,
        ),
        (
            events(&[json!({"type": "error", "error": {"type": "overloaded_error", "message": "x"}})]),
            MESSAGES,
        ),
        (events(&[json!({"error": {"message": "x"}})]), CHAT),
    ] {
        for chunk in [0, 1, 7] {
            worker.chunk = chunk;
            assert_eq!(streamed(&mut worker, path, model, &stream).client_body(), stream);
        }
    }
}

#[test]
fn tokens_do_not_tell_what_was_redacted() {
    let token = |text: &str| json!({"content": [{"token": text, "logprob": -1}]});
    let chunk = |text: &str| json!({"id": "c", "choices": [{"index": 0, "delta": {"content": text}, "logprobs": token(text)}]});
    let stream = events(&[chunk("123-"), chunk("45-6789")]);
    let mut worker = worker("llm", ROUTES);
    let body = streamed(&mut worker, CHAT.0, CHAT.1, &stream).client_body();
    assert!(!body.contains("6789") && !body.contains("token"), "{body}");
    let answer = json!({"choices": [{"message": {"content": SSN}, "logprobs": token("6789")}]});
    let seen = post(
        &mut worker,
        "eve",
        CHAT.0,
        &chat(CHAT.1, "hi"),
        Some(&Backend::json(&answer.to_string())),
    );
    assert!(!seen.client_body().contains("6789"), "{}", seen.client_body());
}

#[test]
fn a_stream_that_cannot_be_read_is_denied() {
    let mut worker = worker("llm", ROUTES);
    for (stream, (path, model)) in [
        ("data: nonsense\n\n".to_owned(), CHAT),
        ("data: {\"choices\":[],\"choices\":[]}\n\n".to_owned(), CHAT),
        (
            events(&[json!({"id": "c", "choices": [{"delta": {"content": SSN}}]})]),
            CHAT,
        ),
        (
            events(&[json!({"id": "c", "choices": [{"index": 9_999_999, "delta": {"content": SSN}}]})]),
            CHAT,
        ),
        (events(&[json!({"secret": SSN})]), CHAT),
        (
            events(&[json!({"type": "response.output_text.delta", "delta": SSN})]),
            ("/v1/responses", "gpt-5"),
        ),
        (
            events(&[json!({"type": "content_block_delta", "index": 0, "delta": {"partial_json": SSN}})]),
            MESSAGES,
        ),
        (events(&[json!({"type": "unheard_of", "text": SSN})]), MESSAGES),
    ] {
        let seen = streamed(&mut worker, path, model, &stream);
        assert_eq!(seen.code(), "result.unparseable", "{stream}");
        let (status, headers, body) = seen.client.expect("a response");
        assert_eq!(status, 403);
        assert!(headers.contains(&("content-type".into(), "application/json".into())));
        let body: Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!(body["error"]["violation"], "result.unparseable");
        assert!(!body.to_string().contains(SSN));
    }
}

#[test]
fn a_rule_on_the_result_denies_a_stream_before_a_byte_of_it_leaves() {
    let routes = "routes: [{llm: '*', post_invocation: [\"result.usage.total_tokens > 5: deny('too long', 'model.long')\"]}]";
    let mut worker = worker("llm", routes);
    let stream = chat_stream(&["It is ", SSN], &[]);
    let seen = streamed(&mut worker, CHAT.0, CHAT.1, &stream);
    assert_eq!(seen.code(), "model.long");
    assert!(!seen.client_body().contains("It is"));
}
