//! Verdicts of the seed's shape of policy, end to end.

use companion_protocol::VerdictKind;
use serde_json::json;

use crate::{
    host::{Backend, Worker, call},
    jwt,
};

const RECORD: &str = r#"{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"{\"ssn\": \"123-45-6789\", \"salary\": 125000}"}],"structuredContent":{"ssn":"123-45-6789", "salary":125000}}}"#;

#[test]
fn forwards_with_the_minted_token_and_never_the_callers() {
    let mut worker = Worker::new();
    let seen = worker.call(
        "bob",
        "get_compensation",
        r#"{"employee_id":"E1"}"#,
        Some(&Backend::json(RECORD)),
    );
    assert!(seen.forwarded(), "{seen:?}");
    assert_eq!(
        seen.upstream_header("authorization").as_deref(),
        Some("Bearer minted-for-bob")
    );
    assert_eq!(
        seen.client_body(),
        RECORD,
        "who may see it gets every byte as it was"
    );
    assert_eq!(seen.companion_calls, 1);
}

#[test]
fn a_warm_call_asks_the_companion_nothing() {
    let mut worker = Worker::new();
    worker.call("bob", "get_compensation", "{}", Some(&Backend::json(RECORD)));
    worker.tick();
    let seen = worker.call("bob", "get_compensation", "{}", Some(&Backend::json(RECORD)));
    assert!(seen.forwarded());
    assert_eq!(seen.companion_calls, 0);
    assert_eq!(
        seen.upstream_header("authorization").as_deref(),
        Some("Bearer minted-for-bob")
    );
}

#[test]
fn redacts_both_the_structured_result_and_its_text_twin() {
    let mut worker = Worker::new();
    let seen = worker.call("eve", "get_compensation", "{}", Some(&Backend::json(RECORD)));
    let expected = RECORD.replace("123-45-6789", "[REDACTED]");
    assert_eq!(seen.client_body(), expected, "every other byte is untouched");
    let (_, headers, body) = seen.client.as_ref().unwrap();
    assert!(headers.contains(&("content-length".to_owned(), body.len().to_string())));
    assert!(!headers.iter().any(|(name, _)| name == "etag"));
}

#[test]
fn denies_without_the_role_and_the_backend_sees_nothing() {
    let mut worker = Worker::new();
    let seen = worker.call("alice", "get_compensation", "{}", Some(&Backend::json(RECORD)));
    assert!(!seen.forwarded());
    assert_eq!(seen.companion_calls, 0, "no exchange for who is denied");
    let reply = seen.reply.as_ref().unwrap();
    assert_eq!(reply.status, 200);
    let body = seen.reply_json();
    assert_eq!(body["id"], json!(1));
    assert_eq!(body["error"]["code"], json!(-32001));
    assert_eq!(
        body["error"]["data"]["violation"],
        json!("routes.tool:get_compensation.pre_invocation[0]")
    );
    let id = reply
        .headers
        .iter()
        .find(|(name, _)| name == "x-policy-decision-id")
        .map(|(_, v)| v.clone());
    assert_eq!(body["error"]["data"]["decision_id"].as_str(), id.as_deref());
}

#[test]
fn a_label_set_by_one_call_denies_the_next() {
    let mut worker = Worker::new();
    let clean = worker.call("bob", "send_email", "{}", Some(&Backend::json(RECORD)));
    assert!(clean.forwarded(), "{clean:?}");
    worker.call("bob", "get_compensation", "{}", Some(&Backend::json(RECORD)));
    let seen = worker.call("bob", "send_email", "{}", Some(&Backend::json(RECORD)));
    assert_eq!(
        (seen.forwarded(), seen.code().as_str()),
        (false, "session_tainted")
    );
    assert_eq!(seen.companion_calls, 1, "labels must be read");
}

#[test]
fn a_session_is_its_subjects_own() {
    let mut worker = Worker::new();
    let with = |worker: &mut Worker, user: &str, tool: &str| {
        let bearer = format!("bearer {}", jwt::token(user));
        worker.post(
            &[("authorization", &bearer), ("x-session-id", "S")],
            &call(tool, "{}"),
            Some(&Backend::json(RECORD)),
        )
    };
    assert!(with(&mut worker, "eve", "get_compensation").forwarded());
    assert!(
        with(&mut worker, "bob", "send_email").forwarded(),
        "another subject's session of the same name is another"
    );
    assert!(with(&mut worker, "bob", "get_compensation").forwarded());
    assert!(!with(&mut worker, "bob", "send_email").forwarded());
    let bearer = format!("Bearer {}", jwt::token("bob"));
    let other = worker.post(
        &[("authorization", &bearer), ("mcp-session-id", "S")],
        &call("send_email", "{}"),
        Some(&Backend::json(RECORD)),
    );
    assert!(
        other.forwarded(),
        "a session id in another header is another session"
    );
}

#[test]
fn denies_what_no_route_covers() {
    let mut worker = Worker::new();
    let seen = worker.call("bob", "drop_tables", "{}", None);
    assert_eq!(
        (seen.forwarded(), seen.code().as_str()),
        (false, "route.unmatched")
    );
}

#[test]
fn passes_housekeeping_with_identity_and_denies_unknown_methods() {
    let mut worker = Worker::new();
    let bearer = format!("Bearer {}", jwt::token("alice"));
    let with = [("authorization", bearer.as_str())];
    for body in [
        r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{}}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#,
        r#"{"jsonrpc":"2.0","id":"a","method":"tools/list"}"#,
        r#"{"jsonrpc":"2.0","id":3,"result":{}}"#,
    ] {
        let seen = worker.post(&with, body, None);
        assert!(seen.forwarded(), "{body}");
        assert_eq!(
            seen.upstream_header("authorization").as_deref(),
            Some(bearer.as_str()),
            "nothing was delegated"
        );
        let anonymous = worker.post(&[], body, None);
        assert_eq!(
            anonymous.reply.as_ref().map(|reply| reply.status),
            Some(401),
            "{body}"
        );
    }
    let seen = worker.post(
        &with,
        r#"{"jsonrpc":"2.0","id":1,"method":"tasks/result","params":{}}"#,
        None,
    );
    assert_eq!(
        (seen.forwarded(), seen.code().as_str()),
        (false, "protocol.unknown_method")
    );
    let reply = seen.reply.expect("a reply");
    assert_eq!(reply.status, 200);
    assert!(String::from_utf8_lossy(&reply.body).contains("\"code\":-32601"));
    let seen = worker.post(&with, r#"{"jsonrpc":"2.0","method":"vendor/shout"}"#, None);
    assert_eq!(
        seen.reply.as_ref().map(|reply| (reply.status, reply.body.len())),
        Some((403, 0))
    );
}

#[test]
fn ends_a_session_with_identity_only() {
    let mut worker = Worker::new();
    let bearer = format!("Bearer {}", jwt::token("alice"));
    let head = [
        (":method", "DELETE"),
        (":path", "/mcp"),
        (":authority", "x"),
        ("mcp-session-id", "S"),
    ];
    let mut stream = worker.open(&head);
    stream.run(&mut worker, b"", None);
    assert_eq!(stream.seen.reply.as_ref().map(|reply| reply.status), Some(401));
    let mut stream = worker.open(&[&head[..], &[("authorization", bearer.as_str())]].concat());
    stream.run(&mut worker, b"", None);
    assert!(stream.seen.forwarded());
}

#[test]
fn a_denied_call_without_an_id_is_a_bare_403() {
    let mut worker = Worker::new();
    let bearer = format!("Bearer {}", jwt::token("alice"));
    let body = r#"{"jsonrpc":"2.0","method":"tools/call","params":{"name":"get_compensation"}}"#;
    let seen = worker.post(&[("authorization", &bearer)], body, None);
    assert_eq!(
        seen.reply.as_ref().map(|reply| (reply.status, reply.body.len())),
        Some((403, 0))
    );
    assert!(!seen.code().is_empty());
}

#[test]
fn ids_keep_their_type_and_spelling() {
    let mut worker = Worker::new();
    let bearer = format!("Bearer {}", jwt::token("alice"));
    for id in ["1", "\"1\"", "9007199254740993", "-0", "\"\\u0041\""] {
        let body =
            format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"drop"}}}}"#);
        let seen = worker.post(&[("authorization", &bearer)], &body, None);
        let text = String::from_utf8(seen.reply.unwrap().body).unwrap();
        assert!(text.contains(&format!("\"id\":{id},")), "{text}");
    }
}

#[test]
fn edits_arguments_and_leaves_every_other_byte() {
    let mut worker = Worker::new();
    let seen = worker.call(
        "eve",
        "edit",
        r#"{ "a" : 1.0,"ssn":"123-45-6789" , "z":[ ] }"#,
        None,
    );
    let (_, body) = seen.upstream.as_ref().unwrap();
    let expected = call("edit", r#"{ "a" : 1.0,"ssn":"[REDACTED]" , "z":[ ] }"#);
    assert_eq!(String::from_utf8_lossy(body), expected);
    assert_eq!(
        seen.upstream_header("content-length"),
        Some(expected.len().to_string())
    );
    let seen = worker.call("bob", "edit", r#"{"ssn":"1"}"#, None);
    assert_eq!(
        String::from_utf8_lossy(&seen.upstream.as_ref().unwrap().1),
        call("edit", r#"{"ssn":"1"}"#)
    );
}

#[test]
fn strips_what_only_we_may_say() {
    let mut worker = Worker::new();
    let bearer = format!("Bearer {}", jwt::token("bob"));
    let seen = worker.post(
        &[
            ("authorization", &bearer),
            ("x-policy-restrict-model", "any"),
            ("x-aplomb-verdict", "allow"),
            ("mcp_session_id", "S"),
            ("x-session-id", "S"),
            ("accept-encoding", "gzip"),
        ],
        &call("after", "{}"),
        None,
    );
    let (headers, _) = seen.upstream.as_ref().unwrap();
    for gone in [
        "x-policy-restrict-model",
        "x-aplomb-verdict",
        "mcp_session_id",
        "accept-encoding",
    ] {
        assert!(!headers.iter().any(|(name, _)| name == gone), "{gone}");
    }
    let seen = worker.post(
        &[("authorization", &bearer), ("accept-encoding", "gzip")],
        &call("open", "{}"),
        None,
    );
    assert_eq!(
        seen.upstream_header("accept-encoding").as_deref(),
        Some("gzip"),
        "nobody reads this response"
    );
}

#[test]
fn records_every_verdict_once() {
    let mut worker = Worker::new();
    worker.call("bob", "get_compensation", "{}", Some(&Backend::json(RECORD)));
    worker.call("alice", "get_compensation", "{}", None);
    worker.call("eve", "get_compensation", "{}", Some(&Backend::json(RECORD)));
    worker.call("eve", "get_compensation", "{}", Some(&Backend::json("nonsense")));
    worker.post(&[], &call("open", "{}"), None);
    worker.tick();
    worker.tick();
    let mut records = worker.companion.records.clone();
    records.sort_by_key(|record| record.seq);
    let verdicts: Vec<_> = records.iter().filter(|record| record.step.is_none()).collect();
    let kinds: Vec<_> = verdicts.iter().map(|record| record.verdict.unwrap()).collect();
    use VerdictKind::{Allow, Deny, DenyAfter};
    assert_eq!(kinds, [Allow, Deny, Allow, DenyAfter, Deny]);
    assert_eq!(verdicts[0].subject.as_deref(), Some("bob"));
    assert_eq!(
        verdicts[0].effects,
        [
            "token.exchange:workday-oauth",
            "session.append:secret",
            "audit.append:audit-log"
        ]
    );
    assert_eq!(verdicts[0].labels_added, ["secret"]);
    assert!(verdicts[0].request_digest.is_some() && verdicts[0].response_digest.is_some());
    assert!(
        verdicts[2]
            .edits
            .iter()
            .any(|edit| edit.starts_with("result.ssn:")),
        "{:?}",
        verdicts[2].edits
    );
    assert_eq!(verdicts[3].code.as_deref(), Some("result.unparseable"));
    assert_eq!(verdicts[4].entity_type, "identity");
    assert_eq!(records.iter().filter(|record| record.step.is_some()).count(), 3);
    let numbers: Vec<_> = records.iter().map(|record| record.seq).collect();
    assert_eq!(
        numbers,
        (0..numbers.len() as u64).collect::<Vec<_>>(),
        "without gaps"
    );
    let text = serde_json::to_string(&records).unwrap();
    assert!(
        !text.contains("123-45") && !text.contains("minted-for"),
        "no payload, no credential"
    );
}

#[test]
fn leaves_traffic_outside_its_paths_alone() {
    let mut worker = Worker::new();
    let seen = worker.post(
        &[(":path", "/other"), ("x-policy-x", "1")],
        "not json",
        Some(&Backend::json("{")),
    );
    assert!(seen.forwarded());
    assert_eq!(seen.client_body(), "{");
    assert_eq!(seen.upstream_header("x-policy-x").as_deref(), Some("1"));
}
