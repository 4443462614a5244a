//! HTTP resources, agents and models in every way of installing: what holds in one must hold in the others, but for what
//! headers that were not held make impossible.

use aplomb_test_harness::abi::{Configured, ExchangeId, Host};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::fixture::{Mode, Proxy};

const SSN: &str = "123-45-6789";
const ALL: [Mode; 3] = [Mode::Full, Mode::Paired, Mode::Single];

/// Nothing in it needs held headers.
const POLICY: &str = r#"
routes:
  - http: { path: "/api/employees/{id}", method: [GET, PUT] }
    pre_invocation:
      - "args.path.id == '13': deny('not her', 'api.closed')"
      - "args.body.ssn == '123-45-6789': deny('not that', 'api.body')"
    result: { "**.ssn": redact }
  - http: "/api/files/**"
  - http: "/api/late/{id}"
    post_invocation: ["http.status >= 500: deny('it failed', 'api.failed')"]
  - a2a: "message/*"
    pre_invocation: ["exists(args.configuration.pushNotificationConfig): deny('no call-backs', 'agent.push')"]
    result: { "**.ssn": redact }
  - llm: "gpt-*"
    pre_invocation: ["args.max_tokens > 100: deny('too many', 'model.tokens')"]
    result: { "choices.message.content": redact }
"#;

/// The same with an edit before the call.
fn editing() -> String {
    POLICY.replace(
        "    result: { \"**.ssn\": redact }\n  - http: \"/api/files",
        "    args: { body.ssn: \"mask(4)\" }\n  - http: \"/api/files",
    )
}

fn configuration(policy: &str, install: &Value) -> Value {
    let compilation = apl_compiler::compile("policy.yaml", policy);
    let output = compilation
        .output
        .unwrap_or_else(|| panic!("{:?}", compilation.diagnostics));
    json!({
        "policy": STANDARD.encode(apl_bytecode::encode(output.program.program())),
        "protocols": [
            { "path_prefix": "/api", "speaks": "http" },
            { "path_prefix": "/agent", "speaks": "a2a" },
            { "path_prefix": "/v1", "speaks": "llm" },
        ],
        "limits": {"max_body_bytes": 4096, "max_inflight_bytes": 1 << 20},
        "install": install,
    })
}

fn proxy(mode: Mode) -> Proxy {
    Proxy::with(mode, |install| configuration(POLICY, &install))
}

fn head<'a>(method: &'a str, path: &'a str) -> Vec<(&'a str, &'a str)> {
    let mut head = crate::fixture::head(method, path);
    head.extend([
        ("x-policy-verdict", "allow"),
        ("x-aplomb-decision", "forged"),
        ("accept-encoding", "gzip"),
    ]);
    head
}

/// A request with this body, in pieces; nothing of it may have left before its last byte.
fn send(proxy: &mut Proxy, mode: Mode, path: &str, body: &Value) -> ExchangeId {
    let body = body.to_string();
    let length = body.len().to_string();
    let method = if path.starts_with("/api") { "PUT" } else { "POST" };
    let mut head = head(method, path);
    head.push(("content-length", &length));
    let x = proxy.ask(&head, false);
    let (last, rest) = body.as_bytes().split_last().unwrap();
    for piece in rest.chunks(9) {
        proxy.host.request_body(x, piece, false).unwrap();
        let upstream = proxy.host.upstream(x);
        assert!(
            upstream.body.is_empty(),
            "{mode:?} {path}: a body before its verdict"
        );
        assert!(
            mode == Mode::Single || !upstream.started,
            "{mode:?} {path}: a head before its verdict"
        );
    }
    proxy.host.request_body(x, &[*last], true).unwrap();
    x
}

fn respond(proxy: &mut Proxy, x: ExchangeId, status: &str, media: &str, body: &str, pieces: usize) -> String {
    let upstream = proxy.host.upstream(x);
    assert!(upstream.ended, "not forwarded; log: {:?}", proxy.host.logs());
    for forged in ["x-policy-verdict", "x-aplomb-decision"] {
        assert_eq!(upstream.header(forged), None, "{forged} went on");
    }
    // Where nothing looks at the response, it may come compressed.
    let is_read = media != "text/plain";
    assert!(
        !is_read || upstream.header("accept-encoding").is_none(),
        "accept-encoding went on"
    );
    let head = [(":status", status), ("content-type", media)];
    proxy.host.response_head(x, &head, body.is_empty()).unwrap();
    let size = body.len().div_ceil(pieces).max(1);
    let count = body.len().div_ceil(size);
    for (at, piece) in body.as_bytes().chunks(size).enumerate() {
        proxy.host.response_body(x, piece, at + 1 == count).unwrap();
    }
    let client = proxy.host.client(x);
    assert!(client.ended, "the response hangs; log: {:?}", proxy.host.logs());
    let text = String::from_utf8(client.body).unwrap();
    proxy.host.end(x).unwrap();
    text
}

/// The status, the code of the violation and the body of an answer that is the filter's own.
fn denied(proxy: &mut Proxy, x: ExchangeId, mode: Mode) -> (String, String, Value) {
    let (client, upstream) = (proxy.host.client(x), proxy.host.upstream(x));
    assert!(
        client.ended && upstream.body.is_empty(),
        "{mode:?}: {:?}",
        proxy.host.logs()
    );
    assert!(mode == Mode::Single || !upstream.started, "{mode:?}");
    let status = client.header(":status").unwrap_or_default();
    let code = client.header("x-policy-violation").unwrap_or_default();
    let body = serde_json::from_slice(&client.body).unwrap_or_default();
    proxy.host.end(x).unwrap();
    (status, code, body)
}

#[test]
fn resources_are_governed_by_their_head_and_by_their_body() {
    let record = json!({"ssn": SSN, "list": [{"ssn": SSN}], "n": 1.50}).to_string();
    for mode in ALL {
        let mut proxy = proxy(mode);
        for pieces in [1, 7, record.len()] {
            let x = proxy.ask(&head("GET", "/api/employees/7?x=1"), true);
            let text = respond(&mut proxy, x, "200", "application/json", &record, pieces);
            assert_eq!(text, record.replace(SSN, "[REDACTED]"), "{mode:?}");
            let x = send(&mut proxy, mode, "/api/employees/7", &json!({"ssn": "none"}));
            let text = respond(&mut proxy, x, "200", "application/json", &record, pieces);
            assert!(!text.contains(SSN), "{mode:?}: {text}");
        }
        let x = proxy.ask(&head("GET", "/api/employees/13"), true);
        let (status, code, problem) = denied(&mut proxy, x, mode);
        assert_eq!(
            (status.as_str(), code.as_str()),
            ("403", "api.closed"),
            "{mode:?}"
        );
        assert_eq!(problem["detail"], "not her");
        let x = send(&mut proxy, mode, "/api/employees/7", &json!({ "ssn": SSN }));
        let (status, code, _) = denied(&mut proxy, x, mode);
        assert_eq!((status.as_str(), code.as_str()), ("403", "api.body"), "{mode:?}");
        for (path, wanted) in [
            ("/api/other", "route.unmatched"),
            ("/api/%65mployees/13", "protocol.ambiguous_path"),
            ("/api/files/..%2femployees/13", "protocol.ambiguous_path"),
        ] {
            let x = proxy.ask(&head("GET", path), true);
            assert_eq!(denied(&mut proxy, x, mode).1, wanted, "{mode:?} {path}");
        }
    }
}

#[test]
fn a_body_without_a_say_passes_as_it_comes_and_larger_than_any_limit() {
    for mode in ALL {
        let mut proxy = proxy(mode);
        let x = proxy.ask(&head("PUT", "/api/files/a"), false);
        for at in 1..=8 {
            proxy.host.request_body(x, &[7; 4096], at == 8).unwrap();
            assert_eq!(proxy.host.upstream(x).body.len(), at * 4096, "{mode:?}: held");
        }
        let text = respond(&mut proxy, x, "200", "text/plain", "fine", 2);
        assert_eq!(text, "fine");
    }
}

#[test]
fn a_verdict_on_the_status_needs_no_body() {
    for mode in ALL {
        let mut proxy = proxy(mode);
        for (status, body, passes) in [
            ("200", "fine", true),
            ("204", "", true),
            ("500", "oops", false),
            ("503", "", false),
        ] {
            let x = proxy.ask(&head("GET", "/api/late/1"), true);
            let text = respond(&mut proxy, x, status, "text/plain", body, 1);
            assert_eq!(text == body, passes, "{mode:?} {status}: {text}");
            assert!(
                passes || (text.contains("api.failed") && !text.contains("oops")),
                "{mode:?} {status}: {text}"
            );
        }
    }
}

#[test]
fn every_answer_of_an_agent_is_governed() {
    let message = |method: &str, params: Value| json!({"jsonrpc": "2.0", "id": "r1", "method": method, "params": params});
    let update =
        json!({"jsonrpc": "2.0", "id": "r1", "result": {"artifact": {"parts": [{"data": {"ssn": SSN}}]}}})
            .to_string();
    let stream = format!("data: {update}\n\n").repeat(3);
    for mode in ALL {
        let mut proxy = proxy(mode);
        for pieces in [1, 5, stream.len()] {
            let x = send(
                &mut proxy,
                mode,
                "/agent",
                &message("SendStreamingMessage", json!({})),
            );
            let text = respond(&mut proxy, x, "200", "text/event-stream", &stream, pieces);
            assert_eq!(text, stream.replace(SSN, "[REDACTED]"), "{mode:?}");
            let x = send(&mut proxy, mode, "/agent", &message("message/send", json!({})));
            let text = respond(&mut proxy, x, "200", "application/json", &update, pieces);
            assert_eq!(text, update.replace(SSN, "[REDACTED]"), "{mode:?}");
        }
        let push = json!({"configuration": {"pushNotificationConfig": {"url": "https://x"}}});
        for (method, params, number, wanted) in [
            ("SendMessage", push, -32000, "agent.push"),
            ("tasks/get", json!({"id": "t"}), -32000, "route.unmatched"),
            ("tools/call", json!({}), -32601, "protocol.unknown_method"),
        ] {
            let x = send(&mut proxy, mode, "/agent", &message(method, params));
            let (_, code, error) = denied(&mut proxy, x, mode);
            assert_eq!(
                (code.as_str(), &error["error"]["code"]),
                (wanted, &json!(number)),
                "{mode:?} {method}"
            );
            assert_eq!(error["id"], "r1");
        }
    }
}

#[test]
fn what_a_model_says_is_governed_whole_and_streamed() {
    let chat = |stream: bool, most: u32| {
        json!({"model": "gpt-5", "max_tokens": most, "stream": stream,
            "messages": [{"role": "user", "content": "hi"}]})
    };
    let whole =
        json!({"choices": [{"index": 0, "message": {"role": "assistant", "content": SSN}}]}).to_string();
    let chunk = |text: &str| json!({"id": "c", "choices": [{"index": 0, "delta": {"content": text}}]});
    let mut stream: String = ["It is 12", "3-45", "-6789."]
        .map(|text| format!("data: {}\n\n", chunk(text)))
        .concat();
    stream.push_str("data: [DONE]\n\n");
    for mode in ALL {
        let mut proxy = proxy(mode);
        for pieces in [1, 4, stream.len()] {
            let x = send(&mut proxy, mode, "/v1/chat/completions", &chat(false, 10));
            let text = respond(&mut proxy, x, "200", "application/json", &whole, pieces);
            assert_eq!(text, whole.replace(SSN, "[REDACTED]"), "{mode:?}");
            let x = send(&mut proxy, mode, "/v1/chat/completions", &chat(true, 10));
            let text = respond(&mut proxy, x, "200", "text/event-stream", &stream, pieces);
            assert!(
                text.contains("[REDACTED]") && text.ends_with("data: [DONE]\n\n"),
                "{mode:?}: {text}"
            );
            assert!(
                !["It is", "3-45", "6789"].iter().any(|part| text.contains(part)),
                "{mode:?}: {text}"
            );
        }
        for (body, wanted) in [
            (chat(true, 500), "model.tokens"),
            (json!({"model": "other"}), "route.unmatched"),
        ] {
            let x = send(&mut proxy, mode, "/v1/chat/completions", &body);
            let (status, code, error) = denied(&mut proxy, x, mode);
            assert_eq!((status.as_str(), code.as_str()), ("403", wanted), "{mode:?}");
            assert_eq!(error["error"]["code"], wanted);
        }
    }
}

#[test]
fn what_needs_held_headers_is_refused_in_mode_single_with_the_route_and_the_reason() {
    let policy = editing();
    assert_ne!(policy, POLICY);
    let refused = |policy: &str| {
        let text = configuration(policy, &json!({"mode": "single"})).to_string();
        match Host::start(&[]).unwrap().configure(&text).unwrap() {
            Configured::Refused(why) => Some(why),
            Configured::Accepted(_) => None,
        }
    };
    assert_eq!(refused(POLICY), None);
    let why = refused(&policy).expect("arguments are edited");
    assert!(
        why.contains("install.mode: single")
            && why.contains("/api/employees/{id}")
            && why.contains("content-length"),
        "{why}"
    );
    for mode in [Mode::Full, Mode::Paired] {
        Proxy::with(mode, |install| configuration(&policy, &install));
    }
}
