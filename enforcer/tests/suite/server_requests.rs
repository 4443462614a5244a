//! What a backend asks of the client, what the client answers, where sessions and metadata come from.

use apl_bytecode::{Algorithm, BlockKind, Fallback, Instr, Side, TokenRole};
use serde_json::{Value, json};

use crate::{
    host::{Backend, Worker, call},
    jwt::token,
    program::{Builder, ISSUER, seed},
    streams::{SSN, ask, sealed},
};

fn worker(change: impl FnOnce(&mut Value)) -> Worker {
    Worker::with(&seed(&[Algorithm::Es256], None).bytes(), change)
}

fn event(message: &Value) -> String {
    format!("data: {message}\n\n")
}

fn asks(method: &str) -> Value {
    json!({"jsonrpc": "2.0", "id": 90, "method": method, "params": {"message": SSN}})
}

fn answer() -> Value {
    json!({"jsonrpc": "2.0", "id": 1, "result": {"content": [{"type": "text", "text": "{}"}]}})
}

#[test]
fn what_a_backend_asks_on_the_way_of_a_governed_result_ends_the_operation() {
    for method in ["sampling/createMessage", "elicitation/create", "of/tomorrow"] {
        let stream = event(&asks(method)) + &event(&answer());
        for chunk in [0, 1, 9] {
            let mut worker = worker(|_| {});
            worker.chunk = chunk;
            let seen = worker.call("eve", "get_compensation", "{}", Some(&Backend::events(&stream)));
            let body = seen.client_body();
            assert!(
                body.contains("server_request.denied") && body.contains("\"executed\":true"),
                "{body}"
            );
            assert!(
                !body.contains(SSN) && body.matches("\"id\":1").count() == 1,
                "{body}"
            );
        }
    }
}

#[test]
fn what_tells_nothing_and_what_no_rule_governs_passes() {
    let mut worker = worker(|_| {});
    for (tool, method) in [
        ("get_compensation", "ping"),
        ("get_compensation", "roots/list"),
        ("open", "sampling/createMessage"),
    ] {
        let stream = event(&asks(method)) + &event(&answer());
        let seen = worker.call("eve", tool, "{}", Some(&Backend::events(&stream)));
        assert_eq!(seen.client_body(), stream);
    }
    let mut worker = self::worker(|config| config["server_requests"] = json!("allow"));
    let stream = event(&asks("elicitation/create")) + &event(&answer());
    let seen = worker.call("eve", "get_compensation", "{}", Some(&Backend::events(&stream)));
    assert_eq!(seen.client_body(), stream);
}

#[test]
fn on_a_stream_where_nothing_waits_it_is_dropped() {
    let mut worker = sealed();
    let note = event(&json!({"jsonrpc": "2.0", "method": "notifications/message", "params": {}}));
    let stream = event(&asks("elicitation/create")) + &note;
    let seen = ask(&mut worker, "GET", "bob", &[], Some(&Backend::events(&stream)));
    assert_eq!(seen.client_body(), note);
}

#[test]
fn a_result_that_asks_for_input_is_such_a_request() {
    let wants = |method: &str| {
        json!({"jsonrpc": "2.0", "id": 1, "result": {"resultType": "input_required", "requestState": "s",
            "inputRequests": {"a": {"method": method, "params": {"message": SSN}}}}})
        .to_string()
    };
    let mut worker = worker(|_| {});
    let asked = Backend::json(&wants("elicitation/create"));
    let seen = worker.call("eve", "get_compensation", "{}", Some(&asked));
    assert_eq!(seen.code(), "server_request.denied");
    assert!(!seen.client_body().contains(SSN));
    let seen = worker.call("eve", "open", "{}", Some(&asked));
    assert!(seen.client_body().contains(SSN), "no rule governs it");
}

#[test]
fn a_clients_answer_is_the_argument_of_the_global_rules() {
    let mut b = Builder::default();
    let user = b.identity("authorization", TokenRole::User, &[Algorithm::Es256], None);
    let secret = b.attr("args.secret");
    let denial = b.denial("told_a_secret", "no");
    let redact = b.redact(Side::Args, "ssn", "perm.view_ssn");
    let pre = b.block(
        BlockKind::Steps,
        vec![redact, Instr::Truth(secret), Instr::DenyIf(denial)],
    );
    b.program.fallbacks.push(Fallback {
        entity: None,
        pre: Some(pre),
        post: None,
        identities: vec![user],
        assertions: None,
    });
    let mut worker = Worker::with(&b.bytes(), |_| {});
    let bearer = format!("Bearer {}", token("eve"));
    let mut tell = |result: &str| {
        let body = format!("{{\"jsonrpc\":\"2.0\",\"id\":90,\"result\":{result}}}");
        worker.post(
            &[("authorization", &bearer)],
            &body,
            Some(&Backend::of(202, "text/plain", "")),
        )
    };
    assert!(!tell(r#"{"secret":true}"#).forwarded());
    let seen = tell(r#"{"ssn":"123-45-6789","x":1}"#);
    let (_, body) = seen.upstream.expect("forwarded");
    assert_eq!(
        String::from_utf8(body).expect("text"),
        r#"{"jsonrpc":"2.0","id":90,"result":{"ssn":"[REDACTED]","x":1}}"#
    );
}

#[test]
fn the_order_of_session_sources_is_the_deployments() {
    let buckets = |sources: Value| {
        let mut worker = worker(|config| config["session_sources"] = sources);
        let bearer = format!("Bearer {}", token("bob"));
        let head = [
            ("authorization", bearer.as_str()),
            ("x-session-id", "x"),
            ("mcp-session-id", "m"),
        ];
        worker.post(&head, &call("open", "{}"), None);
        worker.post(&[head[0], head[1]], &call("open", "{}"), None);
        worker.post(&[head[0], head[2]], &call("open", "{}"), None);
        worker.post(&[head[0]], &call("open", "{}"), None);
        worker.tick();
        let all: Vec<_> = worker
            .companion
            .records
            .iter()
            .map(|record| record.session.clone())
            .collect();
        assert_eq!(all.len(), 4);
        let same = |a: usize, b: usize| all[a] == all[b];
        (same(0, 1), same(0, 2), same(1, 3), same(2, 3))
    };
    assert_eq!(
        buckets(json!(["x-session-id", "mcp-session-id", "claim"])),
        (true, false, false, false)
    );
    assert_eq!(buckets(json!(["mcp-session-id"])), (false, true, true, false));
    assert_eq!(
        buckets(json!([])),
        (true, true, true, true),
        "one bucket a subject"
    );
}

#[test]
fn the_filter_serves_the_metadata_of_the_resource() {
    let mut worker = worker(|config| {
        config["protected_resource"] = json!({"resource": "https://gw.example/mcp", "scopes": ["mail.send"]});
    });
    let get = |worker: &mut Worker, authority: &str, path: &str| {
        let head = [
            (":method", "GET"),
            (":path", path),
            (":authority", authority),
            ("mcp-protocol-version", "2025-11-25"),
        ];
        let mut stream = worker.open(&head);
        stream.run(worker, b"", None);
        stream.seen
    };
    for path in [
        "/.well-known/oauth-protected-resource/mcp",
        "/.well-known/oauth-protected-resource",
    ] {
        let seen = get(&mut worker, "GW.example", path);
        assert_eq!(
            seen.reply_json(),
            json!({"resource": "https://gw.example/mcp", "authorization_servers": [ISSUER],
                "bearer_methods_supported": ["header"], "scopes_supported": ["mail.send"]})
        );
        assert!(
            get(&mut worker, "other.example", path).forwarded(),
            "another host's is its own"
        );
    }
    assert!(
        !get(&mut worker, "gw.example", "/else").forwarded(),
        "protocol.unlisted_path"
    );
    let seen = worker.post(&[], &call("open", "{}"), None);
    let challenge =
        "Bearer resource_metadata=\"https://gw.example/.well-known/oauth-protected-resource/mcp\"";
    let reply = seen.reply.expect("a reply");
    assert!(
        reply
            .headers
            .contains(&("www-authenticate".to_owned(), challenge.to_owned())),
        "{reply:?}"
    );
}
