//! Streamed answers of models under rules that are field pipelines only: they are judged while they come.

use serde_json::{Value, json};

use crate::{
    host::Seen,
    llm::{CHAT, MESSAGES, ROUTES, SSN, chat_stream, events, message_stream, streamed},
    protocols::worker,
};

const RESPONSES: (&str, &str) = ("/v1/responses", "gpt-5");

/// Fields of every kind: what is cut out, what is replaced, what denies.
const FIELDS: &str = r#"
routes:
  - llm: "gpt-*"
    result:
      "choices.message.content": "str | pii.redact"
      "choices.message.refusal": "redact"
      "choices.message.reasoning": "mask(2)"
      "output.content.text": "pii.redact"
      "**.ssn": "redact"
  - llm: "claude-*"
    result:
      "content.text": "run(cards)"
      "content.input.account": "redact"
      "usage.output_tokens": "int | 0..5"
"#;

/// The texts of a stream of the Responses API in these pieces, and the events that repeat them.
fn response_stream(pieces: &[&str], arguments: &[&str]) -> String {
    let (text, call) = (pieces.concat(), arguments.concat());
    let part = |text: &str| json!({"type": "output_text", "text": text, "annotations": []});
    let message =
        |text: &str| json!({"type": "message", "id": "m", "role": "assistant", "content": [part(text)]});
    let function = |call: &str| json!({"type": "function_call", "id": "f", "call_id": "c", "name": "pay", "arguments": call});
    let status =
        |kind: &str| json!({"type": kind, "response": {"id": "r", "object": "response", "output": []}});
    let of_text = |kind: &str| json!({"type": kind, "output_index": 0, "content_index": 0, "item_id": "m"});
    let of_call = |kind: &str| json!({"type": kind, "output_index": 1, "item_id": "f"});
    let with = |mut event: Value, name: &str, value: Value| {
        event[name] = value;
        event
    };
    let mut all = vec![status("response.created"), status("response.in_progress")];
    let empty = json!({"type": "message", "id": "m", "role": "assistant", "content": []});
    all.push(json!({"type": "response.output_item.added", "output_index": 0, "item": empty}));
    all.push(with(of_text("response.content_part.added"), "part", part("")));
    for piece in pieces {
        let mut event = with(of_text("response.output_text.delta"), "delta", json!(piece));
        event["logprobs"] = json!([]);
        event["obfuscation"] = json!("x7");
        all.push(event);
    }
    all.push(with(of_text("response.output_text.done"), "text", json!(text)));
    all.push(with(of_text("response.content_part.done"), "part", part(&text)));
    all.push(json!({"type": "response.output_item.done", "output_index": 0, "item": message(&text)}));
    all.push(json!({"type": "response.output_item.added", "output_index": 1, "item": function("")}));
    for piece in arguments {
        all.push(with(
            of_call("response.function_call_arguments.delta"),
            "delta",
            json!(piece),
        ));
    }
    let mut done = with(
        of_call("response.function_call_arguments.done"),
        "arguments",
        json!(call),
    );
    done["name"] = json!("pay");
    all.push(done);
    all.push(json!({"type": "response.output_item.done", "output_index": 1, "item": function(&call)}));
    all.push(
        json!({"type": "response.completed", "response": {"id": "r", "object": "response",
        "output": [message(&text), function(&call)], "usage": {"total_tokens": 9}}}),
    );
    for (at, event) in all.iter_mut().enumerate() {
        event["sequence_number"] = json!(at);
    }
    events(&all)
}

fn payloads(body: &str) -> Vec<Value> {
    let lines = body.lines().filter_map(|line| line.strip_prefix("data: "));
    lines.filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// A text in pieces of so many bytes.
fn cut(text: &str, size: usize) -> Vec<&str> {
    let pieces = text.as_bytes().chunks(size);
    pieces
        .map(|piece| std::str::from_utf8(piece).expect("ASCII"))
        .collect()
}

/// The code of a denial in a stream whose head has left: the proxy's logs have it.
fn code(seen: &Seen) -> &str {
    seen.states.get("aplomb.code").map_or("", String::as_str)
}

const PROSE: &str = "The delegation leaves on Monday, and the rest of us will follow. ";

#[test]
fn events_leave_while_the_answer_comes() {
    let mut worker = worker("llm", FIELDS);
    let many = [PROSE; 60];
    for (stream, (path, model), repeated) in [
        (chat_stream(&many, &[]), CHAT, 0),
        (message_stream(&many, &[]), MESSAGES, 0),
        // The text stands in four more events, and the last of them is the longest.
        (
            response_stream(&many, &["{\"a\": ", "1}"]),
            RESPONSES,
            many.concat().len(),
        ),
    ] {
        // One event at a time, more or less.
        worker.chunk = 200;
        let seen = streamed(&mut worker, path, model, &stream);
        if path == MESSAGES.0 {
            // Its nine tokens are more than the route lets pass, which is told when it is known.
            assert!(
                code(&seen).ends_with("result.usage.output_tokens"),
                "{}",
                code(&seen)
            );
        } else {
            assert_eq!(seen.client_body(), stream, "nothing was to be edited");
        }
        let behind = stream.len() - seen.before_end;
        assert!(
            behind < repeated + 2_000,
            "{path}: {behind} bytes behind the backend"
        );
        worker.chunk = 0;
    }
}

#[test]
fn any_chunking_gives_the_same_bytes() {
    let secret = format!("It is {SSN}, and 4111 1111 1111 1111 pays; write to jane.doe@b.example. ");
    let call = json!({"ssn": SSN, "n": 1}).to_string();
    let (pieces, arguments) = (cut(&secret, 5), cut(&call, 4));
    for (stream, (path, model), routes) in [
        (chat_stream(&pieces, &arguments), CHAT, FIELDS),
        (message_stream(&pieces, &arguments), MESSAGES, ROUTES),
        (response_stream(&pieces, &arguments), RESPONSES, FIELDS),
    ] {
        let mut first = None;
        for chunk in [0, 1, 2, 3, 7, 64, 1_000] {
            let mut worker = worker("llm", routes);
            worker.chunk = chunk;
            let body = streamed(&mut worker, path, model, &stream).client_body();
            for leaked in [SSN, "6789", "4111", "123-"] {
                assert!(!body.contains(leaked), "{leaked} in {body}");
            }
            assert!(body.contains("[REDACTED]"), "{body}");
            assert_eq!(
                body.matches("data: ").count(),
                stream.matches("data: ").count(),
                "{body}"
            );
            assert_eq!(
                first.get_or_insert_with(|| body.clone()),
                &body,
                "in chunks of {chunk}"
            );
        }
    }
}

#[test]
fn what_a_streamed_response_repeats_is_the_same_everywhere() {
    let mut worker = worker("llm", FIELDS);
    let text = format!("It is {SSN}.");
    let call = json!({"ssn": SSN, "to": "jane"}).to_string();
    for at in [1, 6, 9, 16] {
        let (a, b) = text.split_at(at);
        let (x, y) = call.split_at(at);
        let stream = response_stream(&[a, b], &[x, y]);
        let body = streamed(&mut worker, RESPONSES.0, RESPONSES.1, &stream).client_body();
        let all = payloads(&body);
        let of = |kind: &str, pointer: &str| -> String {
            let events = all.iter().filter(|event| event["type"] == kind);
            events
                .filter_map(|event| Some(event.pointer(pointer)?.as_str()?.to_owned()))
                .collect()
        };
        for (kind, pointer) in [
            ("response.output_text.delta", "/delta"),
            ("response.output_text.done", "/text"),
            ("response.content_part.done", "/part/text"),
            ("response.output_item.done", "/item/content/0/text"),
            ("response.completed", "/response/output/0/content/0/text"),
        ] {
            assert_eq!(of(kind, pointer), "It is [REDACTED].", "{kind}");
        }
        for (kind, pointer) in [
            ("response.function_call_arguments.delta", "/delta"),
            ("response.function_call_arguments.done", "/arguments"),
            ("response.output_item.done", "/item/arguments"),
            ("response.completed", "/response/output/1/arguments"),
        ] {
            let call: Value = serde_json::from_str(&of(kind, pointer)).expect("JSON");
            assert_eq!(call, json!({"ssn": "[REDACTED]", "to": "jane"}), "{kind}");
        }
        assert!(!body.contains("6789"), "{body}");
    }
}

#[test]
fn a_text_that_is_judged_whole_stands_in_its_first_piece() {
    let mut worker = worker("llm", FIELDS);
    for (name, expected) in [("refusal", "[REDACTED]"), ("reasoning", "*******t.")] {
        let chunk = |text: &str| json!({"id": "c", "choices": [{"index": 0, "delta": {name: text}}]});
        let stream = events(&[chunk(""), chunk("I can"), chunk("not.")]);
        let body = streamed(&mut worker, CHAT.0, CHAT.1, &stream).client_body();
        let said: Vec<Value> = payloads(&body)
            .iter()
            .map(|event| event["choices"][0]["delta"][name].clone())
            .collect();
        assert_eq!(said, [json!(""), json!(expected), json!("")]);
    }
}

#[test]
fn a_denial_in_a_started_stream_is_its_last_event() {
    let mut worker = worker("llm", FIELDS);
    let pieces = ["Well. ", "Pay with 4111 1111", " 1111 1111", " and go on."];
    let stream = message_stream(&pieces, &[]);
    for chunk in [1, 50, 0] {
        worker.chunk = chunk;
        let seen = streamed(&mut worker, MESSAGES.0, MESSAGES.1, &stream);
        let body = seen.client_body();
        assert!(!body.contains("1111") && !body.contains("go on"), "{body}");
        let last = payloads(&body).pop().expect("an event");
        assert_eq!(
            (&last["type"], &last["error"]["type"]),
            (&json!("error"), &json!("permission_error"))
        );
        assert_eq!(last["error"]["violation"], json!(code(&seen)));
        assert!(body.contains("event: error\n"), "{body}");
    }
}

#[test]
fn a_stream_that_breaks_later_ends_with_an_error() {
    let mut worker = worker("llm", ROUTES);
    let good = json!({"id": "c", "choices": [{"index": 0, "delta": {"content": "Well, "}}]});
    let bad = json!({"id": "c", "choices": [{"index": 0, "delta": {"content": {"a": SSN}}}]});
    for (stream, (path, model)) in [
        (events(&[good, bad]), CHAT),
        (message_stream(&["Well, "], &["{\"a\""]), MESSAGES),
    ] {
        let seen = streamed(&mut worker, path, model, &stream);
        assert_eq!(code(&seen), "result.unparseable", "{stream}");
        let body = seen.client_body();
        let last = payloads(&body).pop().expect("an event");
        assert_eq!(last["error"]["violation"], "result.unparseable", "{body}");
        assert!(!body.contains(SSN) && body.contains("Well, "), "{body}");
    }
}

#[test]
fn what_comes_whole_is_checked_as_it_comes() {
    let citation = json!({"type": "content_block_delta", "index": 0,
        "delta": {"type": "citations_delta", "citation": {"ssn": SSN}}});
    let start =
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}});
    let stream = events(&[start, citation]);
    for (routes, named) in [(FIELDS, false), (ROUTES, true)] {
        let mut worker = worker("llm", routes);
        let body = streamed(&mut worker, MESSAGES.0, MESSAGES.1, &stream).client_body();
        assert_eq!(body.contains(SSN), !named, "{body}");
        assert_eq!(body.contains("[REDACTED]"), named, "{body}");
    }
}

#[test]
fn records_say_what_was_cut_out_of_a_stream() {
    let mut worker = worker("llm", FIELDS);
    let stream = chat_stream(&["It is ", SSN, ". "], &[]);
    let seen = streamed(&mut worker, CHAT.0, CHAT.1, &stream);
    assert!(
        seen.client_body().contains("[REDACTED]"),
        "{}",
        seen.client_body()
    );
    worker.tick();
    let records = worker.companion.records.iter();
    let edits: Vec<String> = records.flat_map(|record| record.edits.clone()).collect();
    assert!(
        edits.contains(&"result.choices.message.content:scan".to_owned()),
        "{edits:?}"
    );
}

/// Scanners as steps, which look into everything: they are judged while the answer comes, as fields are.
const STEPS: &str = r#"
routes:
  - llm: "gpt-*"
    plugins: [cards: { config: { detect: [{ kind: ssn }], mode: redact } }]
  - llm: "claude-*"
    post_invocation: ["run(cards)"]
"#;

#[test]
fn a_scanner_as_a_step_works_on_every_text_of_a_stream() {
    let mut worker = worker("llm", STEPS);
    let pieces = [PROSE, "It is ", "123-", "45-6789. ", PROSE];
    let call = json!({"note": format!("for {SSN}"), "n": 1}).to_string();
    for (stream, (path, model)) in [
        (chat_stream(&pieces, &cut(&call, 4)), CHAT),
        (response_stream(&pieces, &cut(&call, 4)), RESPONSES),
    ] {
        for chunk in [0, 1, 50] {
            worker.chunk = chunk;
            let body = streamed(&mut worker, path, model, &stream).client_body();
            assert!(!body.contains("6789") && !body.contains("45-"), "{body}");
            assert!(
                body.contains("[REDACTED]") && body.contains("for [REDACTED]"),
                "{body}"
            );
        }
    }
    let many = [PROSE; 60];
    worker.chunk = 200;
    for (stream, (path, model)) in [
        (chat_stream(&many, &[]), CHAT),
        (message_stream(&many, &[]), MESSAGES),
    ] {
        let seen = streamed(&mut worker, path, model, &stream);
        assert_eq!(seen.client_body(), stream, "nothing was to be edited");
        let behind = stream.len() - seen.before_end;
        assert!(behind < 2_000, "{path}: {behind} bytes behind the backend");
    }
    let stream = message_stream(
        &["Well. ", "Pay with 4111 1111", " 1111 1111", " and go on."],
        &[],
    );
    for chunk in [1, 50, 0] {
        worker.chunk = chunk;
        let seen = streamed(&mut worker, MESSAGES.0, MESSAGES.1, &stream);
        let body = seen.client_body();
        assert!(!body.contains("1111") && !body.contains("go on"), "{body}");
        assert_eq!(code(&seen), "pii.detected");
    }
}
