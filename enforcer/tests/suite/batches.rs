//! JSON-RPC batches (2025-03-26; `execution.md` rule 16).

use apl_bytecode::{Algorithm, Instr, TokenRole};
use serde_json::{Value, json};

use crate::{
    host::{Backend, Seen, Worker},
    jwt::{self, es256, jwks},
    program::Builder,
};

pub(crate) const SSN: &str = "123-45-6789";

pub(crate) fn call(id: &Value, tool: &str, args: &Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": tool, "arguments": args}})
}

pub(crate) fn answer(id: &Value, record: &Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "result": {"content": [{"type": "text", "text": record.to_string()}]}})
}

pub(crate) fn post(worker: &mut Worker, user: &str, body: &Value, backend: Option<&Backend>) -> Seen {
    let bearer = format!("Bearer {}", jwt::token(user));
    worker.post(&[("authorization", &bearer)], &body.to_string(), backend)
}

pub(crate) fn ids(answers: &Value) -> Vec<Value> {
    let all = answers.as_array().expect("an array");
    all.iter().map(|one| one["id"].clone()).collect()
}

pub(crate) fn violation(answer: &Value) -> &str {
    answer["error"]["data"]["violation"].as_str().unwrap_or_default()
}

#[test]
fn a_batch_is_a_matter_of_its_revision() {
    let body = json!([call(&json!(1), "open", &json!({}))]).to_string();
    let bearer = format!("Bearer {}", jwt::token("bob"));
    for (revision, fine) in [
        ("", true),
        ("2025-03-26", true),
        ("2024-11-05", false),
        ("2025-06-18", false),
        ("2025-11-25", false),
        ("2026-07-28", false),
    ] {
        let mut worker = Worker::new();
        let head = [
            ("authorization", bearer.as_str()),
            ("mcp-protocol-version", revision),
        ];
        let seen = worker.post(&head, &body, None);
        assert_eq!(seen.forwarded(), fine, "{revision}");
        if !fine {
            assert_eq!(
                (seen.code().as_str(), ids(&seen.reply_json())),
                ("protocol.batch", vec![json!(1)])
            );
        }
    }
}

#[test]
fn an_allowed_batch_goes_on_byte_for_byte() {
    let mut worker = Worker::new();
    let body = format!(
        " [ {} , {{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\"}},{}]",
        call(&json!(1), "open", &json!({"a": 1})),
        call(&json!("1"), "open", &json!({}))
    );
    let bearer = format!("Bearer {}", jwt::token("bob"));
    let seen = worker.post(&[("authorization", &bearer)], &body, None);
    assert_eq!(seen.upstream.unwrap().1, body.into_bytes());
    worker.tick();
    assert_eq!(worker.companion.records.len(), 2, "one record an operation");
}

#[test]
fn one_denied_element_denies_the_batch_and_every_id_is_answered() {
    let mut worker = Worker::new();
    let body = json!([
        call(&json!(1), "open", &json!({})),
        {"jsonrpc": "2.0", "method": "notifications/cancelled"},
        call(&json!("two"), "get_compensation", &json!({})),
        {"jsonrpc": "2.0", "id": 3, "method": "ping"},
    ]);
    let seen = post(&mut worker, "alice", &body, None);
    assert!(!seen.forwarded());
    let reply = seen.reply_json();
    assert_eq!(seen.reply.as_ref().unwrap().status, 200);
    assert_eq!(ids(&reply), [json!(1), json!("two"), json!(3)]);
    assert_eq!(violation(&reply[0]), "batch.denied");
    assert_eq!(
        violation(&reply[1]),
        "routes.tool:get_compensation.pre_invocation[0]"
    );
    assert_eq!(violation(&reply[2]), "batch.denied");
    worker.tick();
    let codes: Vec<_> = worker
        .companion
        .records
        .iter()
        .map(|record| record.code.clone().unwrap())
        .collect();
    assert_eq!(codes.len(), 2, "{codes:?}");
    let alone = json!([{"jsonrpc": "2.0", "method": "tools/call", "params": {"name": "get_compensation"}}]);
    let seen = post(&mut worker, "alice", &alone, None);
    assert_eq!(
        seen.reply.as_ref().unwrap().status,
        403,
        "nobody waits for an answer"
    );
}

#[test]
fn a_client_that_takes_events_only_gets_the_errors_in_one_event() {
    let mut worker = Worker::new();
    let bearer = format!("Bearer {}", jwt::token("bob"));
    let body = json!([call(&json!(1), "nothing", &json!({}))]).to_string();
    let head = [
        ("authorization", bearer.as_str()),
        ("accept", "text/event-stream"),
    ];
    let seen = worker.post(&head, &body, None);
    let text = String::from_utf8(seen.reply.unwrap().body).unwrap();
    assert!(
        text.starts_with("event: message\ndata: [{") && text.ends_with("}]\n\n"),
        "{text}"
    );
}

#[test]
fn a_label_of_one_element_is_seen_by_the_next() {
    let (read, mail) = (
        call(&json!(1), "get_compensation", &json!({})),
        call(&json!(2), "send_email", &json!({})),
    );
    let mut worker = Worker::new();
    let seen = post(&mut worker, "bob", &json!([read, mail]), None);
    assert!(!seen.forwarded());
    assert_eq!(violation(&seen.reply_json()[1]), "session_tainted");
    assert_eq!(
        worker.companion.sessions.len(),
        1,
        "the label stays: the written order"
    );
    // The other way round the label comes too late, but the two need different credentials.
    let mut worker = Worker::new();
    let seen = post(&mut worker, "bob", &json!([mail, read]), None);
    assert_eq!(violation(&seen.reply_json()[1]), "batch.credential_conflict");
}

#[test]
fn scope_message_covers_one_operation() {
    let keys = jwks(&[&es256()]);
    let mut b = Builder::default();
    let user = b.identity("authorization", TokenRole::User, &[Algorithm::Es256], Some(&keys));
    let label = b.text("loud");
    let denial = b.denial("session.persist_failed", "x");
    let taint = b.effect(apl_bytecode::Effect::Taint {
        label,
        scopes: apl_bytecode::Scopes::MESSAGE,
        ttl_s: 0,
        denial,
    });
    let mut twice = vec![taint.clone(), Instr::Await];
    twice.extend(b.deny_if_label("loud", "was_loud"));
    b.route("loud", twice, None, &[user]);
    let quiet = b.deny_if_label("loud", "was_loud");
    b.route("quiet", quiet, None, &[user]);
    let taint_only = vec![taint];
    b.route("mark", taint_only, None, &[user]);
    let policy = b.bytes();
    let (mark, quiet) = (
        call(&json!(1), "mark", &json!({})),
        call(&json!(2), "quiet", &json!({})),
    );
    let mut worker = Worker::cold(&policy, |_| {});
    assert!(post(&mut worker, "bob", &json!([mark, quiet]), None).forwarded());
    let seen = post(&mut worker, "bob", &call(&json!(3), "loud", &json!({})), None);
    assert_eq!(seen.code(), "was_loud", "within one operation it is seen");
}

#[test]
fn one_header_carries_one_credential_for_all() {
    let pay = |id: u32| call(&json!(id), "get_compensation", &json!({}));
    let mut worker = Worker::new();
    let seen = post(&mut worker, "bob", &json!([pay(1), pay(2)]), None);
    assert_eq!(
        seen.upstream_header("authorization").as_deref(),
        Some("Bearer minted-for-bob")
    );
    // The second would act under a credential that was minted for the first.
    let mixed = json!([pay(1), call(&json!(2), "open", &json!({}))]);
    let seen = post(&mut worker, "bob", &mixed, None);
    assert!(!seen.forwarded());
    assert_eq!(seen.code(), "batch.credential_conflict");
    assert_eq!(ids(&seen.reply_json()), [json!(1), json!(2)]);
}

#[test]
fn edits_of_all_elements_are_in_the_one_body() {
    let mut worker = Worker::new();
    let edit = |id: u32| call(&json!(id), "edit", &json!({"ssn": SSN, "n": id}));
    let seen = post(
        &mut worker,
        "eve",
        &json!([edit(1), call(&json!(9), "open", &json!({})), edit(2)]),
        None,
    );
    let (headers, body) = seen.upstream.unwrap();
    let text = String::from_utf8(body).unwrap();
    assert!(
        !text.contains(SSN) && text.matches("[REDACTED]").count() == 2,
        "{text}"
    );
    assert!(headers.contains(&("content-length".to_owned(), text.len().to_string())));
}

#[test]
fn refuses_batches_that_cannot_be_answered_well() {
    let ping = |id: u32| json!({"jsonrpc": "2.0", "id": id, "method": "ping"});
    let many: Vec<Value> = (0..33).map(ping).collect();
    for (body, code, answered) in [
        (json!([]), "protocol.batch", vec![]),
        (json!(many), "protocol.batch", vec![]),
        (
            json!([ping(1), ping(1)]),
            "protocol.batch",
            vec![json!(1), json!(1)],
        ),
        (json!([ping(1), 7]), "protocol.invalid_request", vec![json!(1)]),
        (
            json!([ping(1), [ping(2)]]),
            "protocol.invalid_request",
            vec![json!(1)],
        ),
        (
            json!([ping(1), {"jsonrpc": "2.0", "id": 5, "result": {}}]),
            "protocol.batch",
            vec![json!(1)],
        ),
        (
            json!([ping(1), {"jsonrpc": "2.0", "id": 2, "method": "initialize"}]),
            "protocol.batch",
            vec![json!(1), json!(2)],
        ),
        (
            json!([ping(1), {"jsonrpc": "2.0", "id": 2, "method": "ping", "Method": "x"}]),
            "protocol.case_variant",
            vec![json!(1), json!(2)],
        ),
    ] {
        let mut worker = Worker::new();
        let seen = post(&mut worker, "bob", &body, None);
        assert!(!seen.forwarded(), "{body}");
        assert_eq!(seen.code(), code, "{body}");
        assert_eq!(seen.reply.as_ref().unwrap().status, 400);
        let reply = seen.reply_json();
        let got = if reply.is_array() { ids(&reply) } else { Vec::new() };
        assert_eq!(got, answered, "{body}");
    }
    let escaped =
        r#"[{"jsonrpc":"2.0","id":"a","method":"ping"},{"jsonrpc":"2.0","id":"\u0061","method":"ping"}]"#;
    let mut worker = Worker::new();
    let bearer = format!("Bearer {}", jwt::token("bob"));
    let seen = worker.post(&[("authorization", &bearer)], escaped, None);
    assert_eq!(seen.code(), "protocol.batch");
}

#[test]
fn a_batch_of_answers_to_the_server_goes_on() {
    let mut worker = Worker::new();
    let body = json!([{"jsonrpc": "2.0", "id": 1, "result": {}}, {"jsonrpc": "2.0", "id": 2, "error": {}}]);
    assert!(post(&mut worker, "bob", &body, None).forwarded());
}

#[test]
fn a_batch_has_no_one_name_that_a_header_could_repeat() {
    let mut worker = Worker::new();
    let bearer = format!("Bearer {}", jwt::token("bob"));
    let body = json!([call(&json!(1), "open", &json!({}))]).to_string();
    let head = [("authorization", bearer.as_str()), ("mcp-name", "open")];
    assert_eq!(worker.post(&head, &body, None).code(), "protocol.batch");
}
