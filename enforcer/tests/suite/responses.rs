//! Responses: JSON and event streams, edited, denied, or left alone.

use apl_bytecode::{Algorithm, Side, TokenRole};
use serde_json::{Value, json};

use crate::{
    host::{Backend, Seen, Worker},
    jwt::{es256, jwks},
    program::Builder,
};

const SSN: &str = "123-45-6789";

fn result(result: &Value) -> String {
    json!({"jsonrpc": "2.0", "id": 1, "result": result}).to_string()
}

fn text(blocks: &[&str]) -> Value {
    json!({"content": blocks.iter().map(|text| json!({"type": "text", "text": text})).collect::<Vec<_>>()})
}

/// `get_compensation` as eve, who may not see the number.
fn eve(backend: &Backend) -> Seen {
    let mut worker = Worker::new();
    worker.call("eve", "get_compensation", "{}", Some(backend))
}

fn denied_after(seen: &Seen, code: &str) {
    assert!(seen.forwarded());
    assert_eq!(seen.code(), code, "{seen:?}");
    let body = match (&seen.reply, &seen.client) {
        (Some(reply), _) => reply.body.clone(),
        (None, Some((_, _, body))) => body.clone(),
        (None, None) => panic!("no answer"),
    };
    let body: Value = serde_json::from_slice(&body).expect("JSON");
    assert_eq!(body["id"], json!(1));
    assert_eq!(body["error"]["data"]["executed"], json!(true));
    assert!(!body.to_string().contains(SSN));
}

#[test]
fn what_was_redacted_is_nowhere() {
    let record = json!({"ssn": SSN, "salary": 1}).to_string();
    for result in [
        result(&text(&[&record])),
        result(&text(&[&record, &record])),
        result(&json!({"content": [], "structuredContent": {"ssn": SSN}})),
        result(
            &json!({"content": [{"type": "text", "text": record}], "structuredContent": {"ssn": SSN, "salary": 1}}),
        ),
        // A second block in another shape, which no pipeline finds.
        result(
            &json!({"content": [{"type": "text", "text": json!([{"x": SSN}]).to_string()}], "structuredContent": {"ssn": SSN}}),
        ),
        result(&json!({"content": [{"type": "resource", "resource": {"uri": "a:b", "text": record}}]})),
        result(&json!({"content": [{"type": "text", "text": json!({"SSN": SSN}).to_string()}]})),
    ] {
        let seen = eve(&Backend::json(&result));
        assert!(
            !seen.client_body().contains(SSN),
            "{} -> {}",
            result,
            seen.client_body()
        );
        assert!(seen.client_body().contains("[REDACTED]"));
        assert!(serde_json::from_str::<Value>(&seen.client_body()).is_ok());
        let seen = eve(&Backend::events(&format!("event: message\ndata: {result}\n\n")));
        assert!(
            !seen.client_body().contains(SSN) && seen.client_body().contains("[REDACTED]"),
            "{}",
            seen.client_body()
        );
    }
}

#[test]
fn denies_results_that_cannot_be_read() {
    let record = json!({"ssn": SSN}).to_string();
    for body in [
        "nonsense".to_owned(),
        format!("{{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{record},\"result\":{{}}}}"),
        format!("[{}]", result(&text(&[&record]))),
        json!({"jsonrpc": "2.0", "id": 2, "result": text(&[&record])}).to_string(),
        json!({"jsonrpc": "2.0", "id": "1", "result": text(&[&record])}).to_string(),
        json!({"jsonrpc": "2.0", "id": 1, "Result": {}, "result": text(&[&record])}).to_string(),
        result(&text(&["the number is 123-45-6789"])),
        result(&json!({"content": [{"type": "image", "data": "AA=="}]})),
        result(&json!({"content": [{"type": "text", "text": record}, {"type": "image", "data": "AA=="}]})),
        result(&json!({"answer": SSN})),
    ] {
        denied_after(&eve(&Backend::json(&body)), "result.unparseable");
    }
    let mut encoded = Backend::json(&result(&text(&[&record])));
    encoded.headers.push(("content-encoding".into(), "gzip".into()));
    denied_after(&eve(&encoded), "result.unparseable");
    denied_after(
        &eve(&Backend::of(200, "text/html", &record)),
        "result.unparseable",
    );
    denied_after(
        &eve(&Backend::of(200, "application/json", "")),
        "result.unparseable",
    );
}

#[test]
fn a_denial_after_the_call_takes_the_whole_answers_place() {
    let mut backend = Backend::json("nonsense");
    backend
        .headers
        .push(("x-secret-of-the-backend".into(), SSN.into()));
    backend.headers.push(("mcp-session-id".into(), "S".into()));
    let seen = eve(&backend);
    let (status, headers, _) = seen.client.as_ref().unwrap();
    assert_eq!(*status, 200);
    assert!(
        !headers
            .iter()
            .any(|(name, _)| name == "x-secret-of-the-backend" || name == "content-length")
    );
    assert!(headers.contains(&("mcp-session-id".to_owned(), "S".to_owned())));
    assert!(headers.contains(&("content-type".to_owned(), "application/json".to_owned())));
}

#[test]
fn failures_pass_when_they_are_readable_and_keep_their_status() {
    let error = json!({"jsonrpc": "2.0", "id": 1, "error": {"code": -32602, "message": "no such employee"}})
        .to_string();
    let seen = eve(&Backend::of(404, "application/json", &error));
    assert_eq!(
        (seen.client.as_ref().unwrap().0, seen.client_body()),
        (404, error)
    );
    let seen = eve(&Backend::of(500, "text/html", "<h1>123-45-6789</h1>"));
    denied_after(&seen, "result.unparseable");
    assert_eq!(seen.reply.as_ref().unwrap().status, 500);
    let failed = result(&json!({"content": [{"type": "text", "text": "no such employee"}], "isError": true}));
    assert_eq!(eve(&Backend::json(&failed)).client_body(), failed);
    let seen = eve(&Backend::of(404, "application/json", ""));
    assert_eq!(
        seen.client.as_ref().unwrap().0,
        404,
        "a session that is gone must look gone"
    );
}

#[test]
fn a_failure_is_redacted_too() {
    let failed = result(
        &json!({"content": [{"type": "text", "text": json!({"ssn": SSN}).to_string()}], "isError": true}),
    );
    assert!(!eve(&Backend::json(&failed)).client_body().contains(SSN));
    let error =
        json!({"jsonrpc": "2.0", "id": 1, "error": {"code": 1, "message": "x", "data": {"ssn": SSN}}})
            .to_string();
    assert!(!eve(&Backend::json(&error)).client_body().contains(SSN));
}

#[test]
fn other_events_of_the_stream_pass_byte_for_byte() {
    let progress = "event: message\r\nid: 1\r\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{}}\r\n\r\n";
    let ping = ": keep-alive\n\n";
    let answer = result(&text(&[&json!({"ssn": SSN}).to_string()]));
    let stream = format!("id: 0\ndata:\n\n{progress}{ping}event: message\nid: 2\ndata: {answer}\n\n");
    let seen = eve(&Backend::events(&stream));
    let expected = stream.replace(SSN, "[REDACTED]");
    assert_eq!(seen.client_body(), expected);
}

#[test]
fn a_second_answer_or_one_to_another_question_does_not_leave() {
    let answer = result(&text(&["{\"ok\":1}"]));
    let foreign = json!({"jsonrpc": "2.0", "id": 9, "result": text(&[&json!({"x": SSN}).to_string()])});
    let seen = eve(&Backend::events(&format!(
        "data: {foreign}\n\ndata: {answer}\n\ndata: {answer}\n\n"
    )));
    assert_eq!(seen.client_body(), format!("data: {answer}\n\n"));
}

#[test]
fn a_denial_inside_a_stream_is_an_error_event_and_then_nothing() {
    let answer = result(&text(&["number 123-45-6789"]));
    let seen = eve(&Backend::events(&format!(
        ": hi\n\ndata: {answer}\n\ndata: {answer}\n\n: bye\n\n"
    )));
    let body = seen.client_body();
    let (hello, rest) = body.split_at(": hi\n\n".len());
    assert_eq!(hello, ": hi\n\n");
    let event: Value =
        serde_json::from_str(rest.strip_prefix("event: message\ndata: ").unwrap().trim_end()).unwrap();
    assert_eq!(event["error"]["data"]["violation"], json!("result.unparseable"));
    assert!(rest.ends_with("\n\n") && rest.matches("data:").count() == 1);
}

#[test]
fn an_event_over_the_bound_is_denied() {
    let keys = jwks(&[&es256()]);
    let policy = crate::program::seed(&[Algorithm::Es256], Some(&keys)).bytes();
    let mut worker = Worker::cold(&policy, |config| {
        config["limits"] = json!({"max_event_bytes": 64})
    });
    worker.chunk = 16;
    let seen = worker.call(
        "eve",
        "get_compensation",
        "{}",
        Some(&Backend::events(&format!("data: {}", "x".repeat(200)))),
    );
    assert!(
        seen.client_body().contains("larger than allowed"),
        "{}",
        seen.client_body()
    );
    assert!(!seen.client_body().contains("xxx"));
}

#[test]
fn an_ungoverned_response_is_not_looked_at() {
    let mut worker = Worker::new();
    let seen = worker.call("bob", "open", "{}", Some(&Backend::json("nonsense")));
    assert_eq!(seen.client_body(), "nonsense");
    assert!(
        seen.client
            .as_ref()
            .unwrap()
            .1
            .iter()
            .any(|(name, _)| name == "etag")
    );
}

#[test]
fn unparseable_results_pass_where_the_route_says_so() {
    let keys = jwks(&[&es256()]);
    let mut b = Builder::default();
    let user = b.identity("authorization", TokenRole::User, &[Algorithm::Es256], Some(&keys));
    let post = vec![b.redact(Side::Result, "ssn", "perm.view_ssn")];
    let at = b.route("open", Vec::new(), Some(post), &[user]);
    b.program.routes[at].pass_unparseable = true;
    let mut worker = Worker::cold(&b.bytes(), |_| {});
    let prose = result(&text(&["just words"]));
    for backend in [
        Backend::json(&prose),
        Backend::json("nonsense"),
        Backend::of(200, "text/html", "<p>"),
        Backend::events("data: x\n\n"),
    ] {
        let seen = worker.call("eve", "open", "{}", Some(&backend));
        assert_eq!(seen.client_body().as_bytes(), backend.body, "{:?}", seen.reply);
    }
    let mixed = result(&text(&["words", &json!({"ssn": SSN}).to_string()]));
    assert!(
        !worker
            .call("eve", "open", "{}", Some(&Backend::json(&mixed)))
            .client_body()
            .contains(SSN)
    );
}

#[test]
fn a_label_of_the_phase_after_is_durable_before_the_answer_leaves() {
    let record = json!({"ssn": SSN}).to_string();
    let answer = result(&text(&[&record]));
    let progress = "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\"}\n\n";
    for backend in [
        Backend::json(&answer),
        Backend::events(&format!("{progress}data: {answer}\n\n: tail\n\n{progress}")),
    ] {
        for chunk in [0, 1, 7, 64] {
            let mut worker = Worker::new();
            worker.chunk = chunk;
            let seen = worker.call("eve", "after", "{}", Some(&backend));
            let expected = String::from_utf8(backend.body.clone())
                .unwrap()
                .replace(SSN, "[REDACTED]");
            assert_eq!(seen.client_body(), expected, "chunks of {chunk}");
            assert_eq!(worker.companion.sessions.len(), 1);
            assert_eq!(seen.companion_calls, 1);
        }
        let mut worker = Worker::new();
        worker.companion.faults = vec![crate::host::Said::Status(503, Vec::new())];
        let seen = worker.call("eve", "after", "{}", Some(&backend));
        assert!(seen.client_body().contains("session.persist_failed") && !seen.client_body().contains(SSN));
        assert!(!seen.client_body().contains(": tail"));
    }
}

#[test]
fn the_proxys_own_answers_pass_and_end_the_exchange() {
    use aplomb_enforcer::{Event, Flow};
    let mut worker = Worker::new();
    let bearer = format!("Bearer {}", crate::jwt::token("eve"));
    let mut stream = worker.open(&[
        (":method", "POST"),
        (":path", "/mcp"),
        ("content-type", "application/json"),
        ("authorization", &bearer),
    ]);
    stream.head(&mut worker, false);
    stream.body(
        &mut worker,
        crate::host::call("get_compensation", "{}").as_bytes(),
        true,
    );
    // A timeout of the proxy while the companion is asked: its answer must not become a second one.
    let head = [(b":status".to_vec(), b"504".to_vec())];
    let flow = stream.event(
        &mut worker,
        Event::ResponseHead {
            headers: &head,
            end_of_stream: false,
            from_upstream: false,
        },
    );
    assert_eq!(flow, Flow::Continue);
    stream.settle(&mut worker);
    assert!(stream.seen.reply.is_none() && !stream.seen.forwarded());
}

#[test]
fn without_held_headers_a_denial_takes_the_bodys_place_under_the_sent_status() {
    let keys = jwks(&[&es256()]);
    let mut b = Builder::default();
    let user = b.identity("authorization", TokenRole::User, &[Algorithm::Es256], Some(&keys));
    let post = vec![b.redact(Side::Result, "ssn", "perm.view_ssn")];
    b.route("open", Vec::new(), Some(post), &[user]);
    let mut worker = Worker::cold(&b.bytes(), |config| config["install"] = json!({"mode": "single"}));
    let bearer = format!("Bearer {}", crate::jwt::token("eve"));
    let head = [
        (":method", "POST"),
        (":path", "/mcp"),
        ("content-type", "application/json"),
        ("authorization", bearer.as_str()),
        ("x-policy-mine", "1"),
        ("accept-encoding", "gzip"),
    ];
    let record = result(&text(&[&json!({"ssn": SSN}).to_string()]));
    for (body, expected) in [
        (record.as_str(), "[REDACTED]"),
        ("nonsense", "result.unparseable"),
    ] {
        let mut stream = worker.open(&head);
        assert_eq!(
            stream.head(&mut worker, false),
            aplomb_enforcer::Flow::Continue,
            "headers go on"
        );
        assert!(!stream.has_header("x-policy-mine") && !stream.has_header("accept-encoding"));
        stream.body(&mut worker, crate::host::call("open", "{}").as_bytes(), true);
        assert!(stream.seen.forwarded());
        stream.respond(&mut worker, &Backend::json(body));
        let (status, headers, _) = stream.seen.client.as_ref().unwrap();
        assert_eq!(*status, 200);
        assert!(
            !headers.iter().any(|(name, _)| name == "content-length"),
            "it goes when headers go"
        );
        assert!(stream.seen.client_body().contains(expected) && !stream.seen.client_body().contains(SSN));
    }
}
