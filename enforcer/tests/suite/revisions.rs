//! Revisions of MCP, and the transport before the first of them.

use apl_bytecode::Algorithm;
use serde_json::json;

use crate::{
    host::{Backend, Worker, call},
    program,
    streams::{SSN, answer, ask, client_header, post, seal, sealed},
};

#[test]
fn the_old_transport_is_refused_where_results_are_governed() {
    let mut worker = sealed();
    let stream = format!(
        "event: endpoint\ndata: /messages?sessionId=1\n\ndata: {}\n\n",
        answer(1)
    );
    let seen = ask(&mut worker, "GET", "eve", &[], Some(&Backend::events(&stream)));
    let body = seen.client_body();
    assert!(
        body.contains("protocol.http_sse") && !body.contains("messages?") && !body.contains(SSN),
        "{body}"
    );
    let accepted = Backend::of(202, "text/plain", "");
    let seen = post(
        &mut worker,
        "eve",
        &[],
        &call("get_compensation", "{}"),
        Some(&accepted),
    );
    assert_eq!(seen.code(), "protocol.http_sse");
    let note = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
    assert_eq!(
        post(&mut worker, "eve", &[], note, Some(&accepted))
            .client
            .unwrap()
            .0,
        202
    );
}

#[test]
fn the_old_transport_passes_where_no_result_is_governed() {
    let list = r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"send_email"}]}}"#;
    let stream = format!(
        "event: endpoint\ndata: /messages?sessionId=1\n\ndata: {}\n\ndata: {list}\n\n",
        answer(1)
    );
    let mut program = program::seed(&[Algorithm::Es256], None);
    for route in &mut program.program.routes {
        route.post = None;
    }
    // With a seal key GET streams are read for the lists on them; without one they are not read at all.
    for with_key in [true, false] {
        for chunk in [0, 1, 17] {
            let mut worker = Worker::with(&program.bytes(), |config| {
                if with_key {
                    seal(config);
                }
            });
            worker.chunk = chunk;
            let seen = ask(&mut worker, "GET", "eve", &[], Some(&Backend::events(&stream)));
            assert_eq!(seen.client_body(), stream);
            let accepted = Backend::of(202, "text/plain", "");
            for body in [
                call("open", "{}"),
                r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#.to_owned(),
            ] {
                let seen = post(&mut worker, "eve", &[], &body, Some(&accepted));
                assert_eq!(seen.client.map(|(status, _, _)| status), Some(202), "{body}");
            }
            // Requests are governed all the same.
            let seen = post(&mut worker, "alice", &[], &call("get_compensation", "{}"), None);
            assert!(!seen.forwarded());
        }
    }
}

#[test]
fn the_stateless_revision_has_no_sessions() {
    let mut worker = sealed();
    let modern = ("mcp-protocol-version", "2026-07-28");
    for method in ["GET", "DELETE"] {
        let seen = ask(&mut worker, method, "bob", &[modern], None);
        let reply = seen.reply.unwrap();
        assert_eq!(reply.status, 405);
        assert!(reply.headers.contains(&("allow".to_owned(), "POST".to_owned())));
    }
    let head = [
        modern,
        ("mcp-session-id", "S1"),
        ("last-event-id", "3/0"),
        ("mcp-method", "tools/call"),
        ("mcp-name", "open"),
    ];
    let mut backend = Backend::events("id: 1\ndata: x\n\n");
    backend
        .headers
        .push(("mcp-session-id".to_owned(), "S1".to_owned()));
    let seen = post(&mut worker, "bob", &head, &call("open", "{}"), Some(&backend));
    assert!(
        seen.upstream_header("mcp-session-id").is_none() && seen.upstream_header("last-event-id").is_none()
    );
    assert!(client_header(&seen, "mcp-session-id").is_none());
}

#[test]
fn the_body_must_repeat_the_revision_of_the_header() {
    let body = |revision: &str| {
        json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list",
            "params": {"_meta": {"io.modelcontextprotocol/protocolVersion": revision}}})
        .to_string()
    };
    for (header, said, fine) in [
        ("2026-07-28", "2026-07-28", true),
        ("2026-07-28", "2025-06-18", false),
        ("2025-06-18", "2026-07-28", false),
        ("", "2026-07-28", false),
    ] {
        let mut worker = sealed();
        let head = [("mcp-protocol-version", header), ("mcp-method", "tools/list")];
        let seen = post(&mut worker, "bob", &head, &body(said), None);
        assert_eq!(seen.forwarded(), fine, "{header} {said}");
        if !fine {
            assert_eq!(seen.reply_json()["error"]["code"], json!(-32020));
        }
    }
}

#[test]
fn an_unknown_revision_is_refused_by_name() {
    let mut worker = sealed();
    for revision in ["2027-01-01", "x", "2025-06-18, 2025-03-26"] {
        let head = [("mcp-protocol-version", revision)];
        let seen = post(&mut worker, "bob", &head, &call("open", "{}"), None);
        assert_eq!(
            (seen.forwarded(), seen.code().as_str()),
            (false, "protocol.unknown_revision")
        );
        let reply = seen.reply_json();
        assert_eq!(reply["error"]["code"], json!(-32022));
        assert!(reply["error"]["message"].as_str().unwrap().contains("2025-11-25"));
    }
}
