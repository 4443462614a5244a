//! What is refused before policy is asked, each with its own answer (`reference/envoy-wasm.md` section 7).

use apl_bytecode::Algorithm;
use aplomb_enforcer::{Event, Flow};

use crate::{
    host::{Worker, call},
    jwt, program,
};

/// (status, X-Policy-Violation, JSON-RPC code)
fn refused(headers: &[(&str, &str)], body: &str) -> (u16, String, i64) {
    let mut worker = Worker::new();
    let bearer = format!("Bearer {}", jwt::token("bob"));
    let all: Vec<_> = [&[("authorization", bearer.as_str())], headers].concat();
    let seen = worker.post(&all, body, None);
    assert!(!seen.forwarded(), "{headers:?} {body}");
    let code = seen.code();
    let reply = seen.reply.unwrap();
    let rpc = serde_json::from_slice::<serde_json::Value>(&reply.body)
        .ok()
        .and_then(|v| v["error"]["code"].as_i64());
    (reply.status, code, rpc.unwrap_or(0))
}

#[test]
fn refuses_bodies_that_two_parsers_could_read_differently() {
    for (body, code, rpc) in [
        ("", "protocol.body", -32600),
        ("nonsense", "protocol.invalid_json", -32700),
        ("\u{feff}{}", "protocol.invalid_json", -32700),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"ping"} {}"#,
            "protocol.invalid_json",
            -32700,
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"ping","m\u0065thod":"tools/call"}"#,
            "protocol.invalid_json",
            -32700,
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"\ud800"}"#,
            "protocol.invalid_json",
            -32700,
        ),
        (
            r#"{"jsonrpc":"2.0","id":1e999,"method":"ping"}"#,
            "protocol.invalid_request",
            -32600,
        ),
        ("[]", "protocol.batch", -32600),
        (
            r#"[[{"jsonrpc":"2.0","id":1,"method":"ping"}]]"#,
            "protocol.invalid_request",
            -32600,
        ),
        ("3", "protocol.invalid_request", -32600),
        (r#"{"id":1,"method":"ping"}"#, "protocol.invalid_request", -32600),
        (
            r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#,
            "protocol.invalid_request",
            -32600,
        ),
        (r#"{"jsonrpc":"2.0","id":1}"#, "protocol.invalid_request", -32600),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":7}"#,
            "protocol.invalid_request",
            -32600,
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"pi\u0000ng"}"#,
            "protocol.invalid_request",
            -32600,
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"Method":"ping","method":"ping"}"#,
            "protocol.case_variant",
            -32600,
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"ping","result":{}}"#,
            "protocol.invalid_request",
            -32600,
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{}}"#,
            "protocol.invalid_request",
            -32600,
        ),
        (
            r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#,
            "protocol.invalid_request",
            -32600,
        ),
        (
            r#"{"jsonrpc":"2.0","id":true,"method":"ping"}"#,
            "protocol.invalid_request",
            -32600,
        ),
        (
            r#"{"jsonrpc":"2.0","id":{},"method":"ping"}"#,
            "protocol.invalid_request",
            -32600,
        ),
        (
            r#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#,
            "protocol.invalid_request",
            -32600,
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":["open"]}"#,
            "protocol.invalid_request",
            -32600,
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call"}"#,
            "protocol.invalid_params",
            -32602,
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{}}"#,
            "protocol.invalid_params",
            -32602,
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"open","Name":"edit"}}"#,
            "protocol.case_variant",
            -32600,
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"open","arguments":[]}}"#,
            "protocol.invalid_params",
            -32602,
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"open","arguments":null}}"#,
            "protocol.invalid_params",
            -32602,
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"open\n"}}"#,
            "protocol.invalid_request",
            -32600,
        ),
    ] {
        assert_eq!(refused(&[], body), (400, code.to_owned(), rpc), "{body}");
    }
    let deep = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"ping","params":{{"a":{}{}}}}}"#,
        "[".repeat(70),
        "]".repeat(70)
    );
    assert_eq!(
        refused(&[], &deep),
        (400, "protocol.too_complex".to_owned(), -32600)
    );
}

#[test]
fn refuses_foreign_types_encodings_methods_and_headers() {
    let body = call("open", "{}");
    for (header, status, code) in [
        (("content-type", ""), 415, "protocol.media_type"),
        (("content-type", "text/plain"), 415, "protocol.media_type"),
        (
            ("content-type", "application/json; charset=utf-16"),
            415,
            "protocol.media_type",
        ),
        (("content-encoding", "gzip"), 415, "protocol.content_encoding"),
        (("content-range", "bytes 0-1/2"), 400, "protocol.range"),
        (("content-length", "999999999"), 413, "protocol.too_large"),
        (("x-http-method-override", "GET"), 400, "protocol.method_override"),
        (("upgrade", "websocket"), 403, "protocol.upgrade"),
        ((":protocol", "websocket"), 403, "protocol.upgrade"),
        ((":method", "GET"), 405, "protocol.method"),
        ((":method", "PUT"), 405, "protocol.method"),
        ((":method", "DELETE"), 400, "protocol.body"),
        ((":path", "/mcp/../mcp"), 400, "protocol.ambiguous_path"),
        ((":path", "/%6dcp"), 400, "protocol.ambiguous_path"),
        (("mcp-session-id", "a b"), 400, "protocol.session_id"),
        (("x-session-id", "\u{e4}"), 400, "protocol.session_id"),
    ] {
        let (found, violation, _) = refused(&[header], &body);
        assert_eq!((found, violation.as_str()), (status, code), "{header:?}");
    }
}

#[test]
fn refuses_security_headers_that_stand_twice() {
    let bearer = format!("Bearer {}", jwt::token("bob"));
    for name in [
        "authorization",
        "content-type",
        "content-length",
        "mcp-session-id",
        "mcp-name",
        "x-session-id",
    ] {
        let mut worker = Worker::new();
        let mut head = vec![
            (":method", "POST"),
            (":path", "/mcp"),
            (":authority", "x"),
            ("content-type", "application/json"),
            ("authorization", bearer.as_str()),
        ];
        head.retain(|(known, _)| *known != name);
        head.extend([(name, "1"), (name, "1")]);
        let mut stream = worker.open(&head);
        assert_eq!(stream.head(&mut worker, false), Flow::Pause);
        assert_eq!(stream.seen.code(), "protocol.duplicate_header", "{name}");
    }
}

#[test]
fn headers_must_say_what_the_body_says() {
    let body = call("open", "{}");
    let mismatch = (400, "protocol.header_mismatch".to_owned(), -32020);
    assert_eq!(refused(&[("mcp-method", "ping")], &body), mismatch);
    assert_eq!(refused(&[("mcp-name", "edit")], &body), mismatch);
    let modern = ("mcp-protocol-version", "2026-07-28");
    assert_eq!(
        refused(&[modern], &body),
        mismatch,
        "they are not optional any more"
    );
    assert_eq!(refused(&[modern, ("mcp-method", "tools/call")], &body), mismatch);
    let mut worker = Worker::new();
    let bearer = format!("Bearer {}", jwt::token("bob"));
    let head = [
        ("authorization", bearer.as_str()),
        modern,
        ("mcp-method", "tools/call"),
    ];
    for name in ["open", "=?base64?b3Blbg==?="] {
        let seen = worker.post(&[&head[..], &[("mcp-name", name)]].concat(), &body, None);
        assert!(seen.forwarded(), "{name}");
    }
}

#[test]
fn denies_agent_traffic_on_unlisted_paths() {
    assert_eq!(
        refused(&[(":path", "/other"), ("mcp-session-id", "S")], "{}").1,
        "protocol.unlisted_path"
    );
    assert_eq!(
        refused(&[(":path", "/other"), ("a2a-version", "1.0")], "{}").0,
        403
    );
}

#[test]
fn lets_preflights_and_metadata_pass_without_identity() {
    let mut worker = Worker::new();
    for head in [
        vec![
            (":method", "OPTIONS"),
            (":path", "/mcp"),
            ("origin", "https://a"),
            ("access-control-request-method", "POST"),
        ],
        vec![
            (":method", "GET"),
            (":path", "/.well-known/oauth-protected-resource/mcp"),
        ],
    ] {
        let mut stream = worker.open(&head);
        stream.run(&mut worker, b"", None);
        assert!(stream.seen.forwarded(), "{head:?}");
    }
}

#[test]
fn refuses_a_body_that_is_too_large_as_soon_as_it_is() {
    let policy = program::seed(&[Algorithm::Es256], None).bytes();
    let mut worker = Worker::with(&policy, |config| {
        config["limits"] = serde_json::json!({"max_body_bytes": 100})
    });
    let head = [
        (":method", "POST"),
        (":path", "/mcp"),
        ("content-type", "application/json"),
    ];
    let mut stream = worker.open(&head);
    stream.head(&mut worker, false);
    assert_eq!(stream.body(&mut worker, &[b' '; 90], false), Flow::Pause);
    assert!(stream.seen.reply.is_none());
    stream.body(&mut worker, &[b' '; 90], false);
    assert_eq!(stream.seen.reply.as_ref().map(|reply| reply.status), Some(413));
}

#[test]
fn refuses_when_the_worker_holds_too_much() {
    let policy = program::seed(&[Algorithm::Es256], None).bytes();
    let limits = serde_json::json!({"max_body_bytes": 400, "max_inflight_bytes": 1000});
    let mut worker = Worker::with(&policy, |config| config["limits"] = limits);
    let seen = worker.call("bob", "open", &format!("{{\"a\":\"{}\"}}", "x".repeat(200)), None);
    assert_eq!(seen.code(), "limit.memory");
    assert!(
        worker.call("bob", "open", "{}", None).forwarded(),
        "it has given back what it held"
    );
}

#[test]
fn names_the_missing_setting_when_the_proxy_delivers_no_body() {
    let mut worker = Worker::new();
    let mut stream = worker.open(&[
        (":method", "POST"),
        (":path", "/mcp"),
        ("content-type", "application/json"),
    ]);
    stream.head(&mut worker, false);
    assert!(stream.exchange.awaits_body());
    stream.event(&mut worker, Event::Stuck);
    assert_eq!(stream.seen.code(), "config.stop_iteration_missing");
    let text = String::from_utf8(stream.seen.reply.as_ref().unwrap().body.clone()).unwrap();
    assert!(text.contains("allow_on_headers_stop_iteration"), "{text}");
}

#[test]
fn refuses_twins_of_arguments_that_the_routes_policy_names() {
    let keys = jwt::jwks(&[&jwt::es256()]);
    let mut b = program::Builder::default();
    let user = b.identity(
        "authorization",
        apl_bytecode::TokenRole::User,
        &[Algorithm::Es256],
        Some(&keys),
    );
    let (mode, deep) = (b.attr("args.mode"), b.attr("args.options.force"));
    let rules = vec![
        apl_bytecode::Instr::Truth(mode),
        apl_bytecode::Instr::DenyIf(b.denial("mode", "no")),
        apl_bytecode::Instr::Truth(deep),
        apl_bytecode::Instr::DenyIf(b.denial("force", "no")),
    ];
    b.route("run", rules, None, &[user]);
    b.route("open", Vec::new(), None, &[user]);
    let mut worker = Worker::cold(&b.bytes(), |_| {});
    for (args, code) in [
        (r#"{"mode":true}"#, "mode"),
        (r#"{"Mode":true}"#, "protocol.case_variant"),
        (r#"{"mode":false,"MODE":true}"#, "protocol.case_variant"),
        (r#"{"options":{"\u0046orce":true}}"#, "protocol.case_variant"),
        (r#"{"Options":{"force":true}}"#, "protocol.case_variant"),
    ] {
        let seen = worker.call("bob", "run", args, None);
        assert_eq!((seen.forwarded(), seen.code().as_str()), (false, code), "{args}");
    }
    // Keys that nothing names are the tool's own matter, and other routes' keys too.
    for (tool, args) in [("run", r#"{"a":1,"A":2}"#), ("open", r#"{"Mode":true}"#)] {
        assert!(worker.call("bob", tool, args, None).forwarded(), "{tool} {args}");
    }
}
