//! A2A over JSON-RPC, of revisions 0.3 and 1.0.

use serde_json::{Value, json};

use crate::{
    host::{Backend, Seen, Worker},
    protocols::{ask, send, worker},
};

const ROUTES: &str = r#"
routes:
  - a2a: [message/send, SendStreamingMessage]
    args:
      "message.parts.data.ssn": "mask(4)"
    pre_invocation:
      - "require(role.hr)"
      - "exists(args.configuration.pushNotificationConfig): deny('no call-backs', 'agent.push')"
    result: { "**.ssn": "redact(!perm.view_ssn)" }
  - a2a: "tasks/*"
    pre_invocation: ["require(role.hr)"]
  - a2a: "tasks/pushNotificationConfig/*"
    pre_invocation: ["deny('no call-backs', 'agent.push')"]
"#;

const SSN: &str = "123-45-6789";

fn rpc(method: &str, params: &Value) -> String {
    json!({"jsonrpc": "2.0", "id": "r1", "method": method, "params": params}).to_string()
}

fn said(text: &str) -> Value {
    json!({"message": {"messageId": "m", "role": "user", "parts": [{"kind": "text", "text": text}]}})
}

fn post(worker: &mut Worker, user: &str, body: &str, backend: Option<&Backend>) -> Seen {
    ask(worker, user, "POST /agent", body, backend)
}

fn error(seen: &Seen) -> (i64, String) {
    assert_eq!(seen.reply.as_ref().expect("a reply").status, 200);
    let body = seen.reply_json();
    assert_eq!(body["id"], "r1");
    let code = body["error"]["data"]["violation"]
        .as_str()
        .expect("a code")
        .to_owned();
    (body["error"]["code"].as_i64().expect("a number"), code)
}

#[test]
fn both_names_of_a_method_are_one_operation() {
    let mut worker = worker("a2a", ROUTES);
    for (old, new) in apl_bytecode::A2A_METHODS {
        let verdicts: Vec<_> = [old, new]
            .into_iter()
            .map(|method| {
                let seen = post(&mut worker, "eve", &rpc(method, &said("hi")), None);
                seen.reply.as_ref().map(|_| error(&seen))
            })
            .collect();
        assert_eq!(verdicts[0], verdicts[1], "{old} {new}");
        let expected = match *old {
            "message/send" | "message/stream" => None,
            "agent/getAuthenticatedExtendedCard" => Some((-32000, "route.unmatched".to_owned())),
            method if method.contains("push") => Some((-32000, "agent.push".to_owned())),
            _ => None,
        };
        assert_eq!(verdicts[0], expected, "{old}");
    }
}

#[test]
fn what_is_no_method_of_a2a_is_denied() {
    let mut worker = worker("a2a", ROUTES);
    for method in [
        "tools/call",
        "message/Send",
        "tasks/purge",
        "initialize",
        "notifications/initialized",
    ] {
        let seen = post(&mut worker, "eve", &rpc(method, &said("hi")), None);
        assert_eq!(
            error(&seen),
            (-32601, "protocol.unknown_method".to_owned()),
            "{method}"
        );
    }
    let denied = post(&mut worker, "sam", &rpc("SendMessage", &said("hi")), None);
    // -32001 would say that there is no such task.
    assert_eq!(error(&denied).0, -32000);
    for body in [
        format!("[{}]", rpc("message/send", &said("hi"))),
        json!({"jsonrpc": "2.0", "id": 1, "result": {}}).to_string(),
        json!({"jsonrpc": "2.0", "id": 1, "method": "message/send", "params": [1]}).to_string(),
        json!({"message": said("hi")}).to_string(),
    ] {
        assert!(!post(&mut worker, "eve", &body, None).forwarded(), "{body}");
    }
    let rest = ask(
        &mut worker,
        "eve",
        "POST /agent/v1/message:send",
        &said("hi").to_string(),
        None,
    );
    assert!(!rest.forwarded());
    let get = ask(&mut worker, "eve", "GET /agent/v1/tasks/1", "", None);
    assert_eq!(get.reply.as_ref().expect("a reply").status, 405);
}

#[test]
fn arguments_are_the_parameters() {
    let mut worker = worker("a2a", ROUTES);
    let mut params = said("hi");
    params["configuration"] = json!({"pushNotificationConfig": {"url": "https://x"}});
    assert_eq!(
        error(&post(&mut worker, "eve", &rpc("message/send", &params), None)).1,
        "agent.push"
    );
    let params = json!({"message": {"parts": [{"kind": "data", "data": {"ssn": SSN}}, {"kind": "text", "text": "x"}]}});
    let seen = post(&mut worker, "eve", &rpc("SendMessage", &params), None);
    let (_, sent) = seen.upstream.expect("forwarded");
    assert_eq!(
        String::from_utf8(sent).unwrap(),
        rpc("SendMessage", &params).replace(SSN, "*******6789")
    );
}

#[test]
fn the_agents_card_is_public() {
    let mut worker = worker("a2a", ROUTES);
    let card = Backend::json(r#"{"name":"x"}"#);
    for path in ["/.well-known/agent-card.json", "/.well-known/agent-card.json?v=1"] {
        assert!(ask(&mut worker, "", &format!("GET {path}"), "", Some(&card)).forwarded());
    }
    for request in [
        "POST /.well-known/agent-card.json",
        "GET /x/.well-known/agent-card.json",
        "GET /agent",
    ] {
        assert!(!ask(&mut worker, "", request, "", None).forwarded(), "{request}");
    }
}

fn result(result: &Value) -> String {
    json!({"jsonrpc": "2.0", "id": "r1", "result": result}).to_string()
}

fn update(part: &Value) -> Value {
    json!({"kind": "artifact-update", "taskId": "t", "artifact": {"parts": [part]}})
}

#[test]
fn what_was_redacted_is_nowhere() {
    let record = json!({"ssn": SSN, "salary": 1});
    for result in [
        result(&json!({"kind": "task", "artifacts": [{"parts": [{"kind": "data", "data": record}]}]})),
        result(&json!({"kind": "message", "parts": [{"kind": "text", "text": record.to_string()}]})),
        result(
            &json!({"task": {"history": [{"parts": [{"data": {"rows": [record, record]}}, {"text": "fine"}]}]}}),
        ),
        json!({"jsonrpc": "2.0", "id": "r1", "error": {"code": -32603, "message": "x", "data": record}})
            .to_string(),
    ] {
        let mut worker = worker("a2a", ROUTES);
        let seen = post(
            &mut worker,
            "eve",
            &rpc("message/send", &said("hi")),
            Some(&Backend::json(&result)),
        );
        assert!(
            !seen.client_body().contains(SSN) && seen.client_body().contains("[REDACTED]"),
            "{result}"
        );
        let seen = post(
            &mut worker,
            "eve",
            &rpc("message/stream", &said("hi")),
            Some(&Backend::events(&format!("data: {result}\n\n"))),
        );
        assert!(
            !seen.client_body().contains(SSN) && seen.client_body().contains("[REDACTED]"),
            "{result}"
        );
    }
}

#[test]
fn every_answer_of_a_stream_is_judged_and_none_is_lost() {
    let events: String = (0..4)
        .map(|at| {
            format!(
                "id: {at}\ndata: {}\n\n",
                result(&update(&json!({"kind": "data", "data": {"n": at, "ssn": SSN}})))
            )
        })
        .collect();
    let done = result(&json!({"kind": "status-update", "taskId": "t", "final": true}));
    let stream = format!("{events}data: {done}\n\n");
    let expected = stream.replace(SSN, "[REDACTED]");
    let mut worker = worker("a2a", ROUTES);
    for chunk in 0..120 {
        worker.chunk = chunk;
        let seen = post(
            &mut worker,
            "eve",
            &rpc("message/stream", &said("hi")),
            Some(&Backend::events(&stream)),
        );
        assert_eq!(seen.client_body(), expected, "{chunk}");
    }
    // Where nothing looks at results, it passes byte for byte.
    let seen = post(
        &mut worker,
        "eve",
        &rpc("tasks/resubscribe", &json!({"id": "t"})),
        Some(&Backend::events(&stream)),
    );
    assert_eq!(seen.client_body(), stream);
}

#[test]
fn a_denied_answer_ends_the_stream_and_is_recorded_once() {
    let routes = r#"
routes:
  - a2a: message/stream
    post_invocation: ["result.metadata.secret == true: deny('not this', 'agent.secret')"]
"#;
    let mut worker = worker("a2a", routes);
    let fine = result(&json!({"kind": "task"}));
    let secret = result(&json!({"kind": "task", "metadata": {"secret": true, "ssn": SSN}}));
    let stream = format!("data: {fine}\n\ndata: {secret}\n\ndata: {fine}\n\n");
    let seen = post(
        &mut worker,
        "eve",
        &rpc("SendStreamingMessage", &said("hi")),
        Some(&Backend::events(&stream)),
    );
    let body = seen.client_body();
    assert!(
        body.starts_with(&format!("data: {fine}\n\nevent: message\ndata: {{")),
        "{body}"
    );
    assert_eq!(body.matches("data: ").count(), 2);
    assert!(body.contains("\"code\":-32000") && body.contains("agent.secret") && !body.contains(SSN));
    worker.tick();
    let verdicts: Vec<_> = worker
        .companion
        .records
        .iter()
        .map(|record| {
            (
                record.entity_type.clone(),
                record.entity_name.clone(),
                record.verdict,
            )
        })
        .collect();
    assert_eq!(
        verdicts,
        [(
            "a2a".to_owned(),
            "message/stream".to_owned(),
            Some(companion_protocol::VerdictKind::DenyAfter)
        )]
    );
}

#[test]
fn a_client_that_takes_events_only_is_told_in_one() {
    let mut worker = worker("a2a", ROUTES);
    let accept = [("accept", "text/event-stream")];
    let seen = send(
        &mut worker,
        "sam",
        "POST /agent",
        &accept,
        &rpc("message/stream", &said("hi")),
        None,
    );
    let reply = seen.reply.expect("a reply");
    assert!(
        reply
            .headers
            .contains(&("content-type".into(), "text/event-stream".into()))
    );
    assert!(
        reply
            .body
            .starts_with(b"event: message\ndata: {\"jsonrpc\":\"2.0\",\"id\":\"r1\",\"error\":")
    );
}
