//! Prompts, resources and completions: which route governs them, and what of their results is looked at.

use serde_json::{Value, json};

use crate::{
    host::{Backend, Seen, Worker},
    jwt::{es256, jwks, token},
    program::ISSUER,
    streams::SSN,
};

const ROUTES: &str = r#"
routes:
  - prompt: brief
    pre_invocation: ["require(role.hr)"]
    args: { name: "required | len(1..8)" }
    result: { ssn: redact }
  - prompt: open
    result: { "**.ssn": redact }
  - resource: "mem://staff/*"
    pre_invocation: ["require(role.hr)"]
    result: { ssn: redact }
  - resource: "mem://open"
"#;

fn worker() -> Worker {
    let keys: Value = serde_json::from_str(&jwks(&[&es256()])).expect("JSON");
    let plugins = json!([{"name": "user", "kind": "identity/jwt", "config": {"role": "user", "header": "authorization",
        "trusted_issuers": [{"issuer": ISSUER, "audiences": ["gateway"], "algorithms": ["ES256"],
            "decoding_key": {"kind": "jwk", "jwk": keys["keys"][0]}}]}}]);
    let text = format!("plugins: {plugins}\nglobal: {{ authentication: [user] }}\n{ROUTES}");
    let compilation = apl_compiler::compile("policy.yaml", &text);
    let output = compilation
        .output
        .unwrap_or_else(|| panic!("{:?}", compilation.diagnostics));
    Worker::with(&apl_bytecode::encode(output.program.program()), |_| {})
}

fn ask(worker: &mut Worker, user: &str, method: &str, params: &Value, backend: Option<&Backend>) -> Seen {
    let bearer = format!("Bearer {}", token(user));
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
    worker.post(&[("authorization", &bearer)], &body.to_string(), backend)
}

fn reference(kind: &str, key: &str, name: &str) -> Value {
    json!({"ref": {"type": kind, key: name}, "argument": {"name": "name", "value": "A"}})
}

#[test]
fn each_method_is_judged_by_the_route_of_what_it_is_about() {
    let mut worker = worker();
    let brief = json!({"name": "brief", "arguments": {"name": "Ada"}});
    let staff = json!({"uri": "mem://staff/7"});
    for (method, params) in [
        ("prompts/get", brief),
        ("resources/read", staff.clone()),
        ("resources/subscribe", staff.clone()),
        ("resources/unsubscribe", staff),
        ("completion/complete", reference("ref/prompt", "name", "brief")),
        (
            "completion/complete",
            reference("ref/resource", "uri", "mem://staff/{id}"),
        ),
    ] {
        // Completions have no arguments, and this prompt's are required.
        let fine = ask(&mut worker, "bob", method, &params, None);
        let completes = method == "completion/complete" && params["ref"]["name"] == "brief";
        assert!(fine.forwarded() || completes, "{method} {params}: {fine:?}");
        let denied = ask(&mut worker, "alice", method, &params, None);
        assert!(!denied.forwarded(), "{method} {params}");
        assert!(
            denied.code().starts_with("routes."),
            "{method}: {}",
            denied.code()
        );
    }
    for (method, params, code) in [
        ("prompts/get", json!({"name": "nowhere"}), "route.unmatched"),
        (
            "prompts/get",
            json!({"name": "get_compensation"}),
            "route.unmatched",
        ),
        ("resources/read", json!({"uri": "mem://other"}), "route.unmatched"),
        ("resources/read", json!({"uri": "mem://staff/7/../8"}), ""),
        (
            "resources/read",
            json!({"name": "mem://open"}),
            "protocol.invalid_params",
        ),
        (
            "resources/read",
            json!({"uri": "mem://open", "Uri": "mem://staff/1"}),
            "protocol.case_variant",
        ),
        (
            "prompts/get",
            json!({"name": "open", "Name": "brief"}),
            "protocol.case_variant",
        ),
        ("completion/complete", json!({}), "protocol.invalid_params"),
        (
            "completion/complete",
            reference("ref/tool", "name", "brief"),
            "protocol.invalid_params",
        ),
        (
            "completion/complete",
            reference("ref/prompt", "uri", "mem://open"),
            "protocol.invalid_params",
        ),
        (
            "completion/complete",
            json!({"ref": {"type": "ref/prompt", "name": "open", "uri": "mem://staff/1"}}),
            "protocol.invalid_params",
        ),
        (
            "completion/complete",
            json!({"ref": {"type": "ref/prompt", "name": "open"}, "Ref": {"type": "ref/prompt", "name": "brief"}}),
            "protocol.case_variant",
        ),
    ] {
        let seen = ask(&mut worker, "alice", method, &params, None);
        assert!(!seen.forwarded(), "{method} {params}");
        if !code.is_empty() {
            assert_eq!(seen.code(), code, "{method} {params}");
        }
    }
}

#[test]
fn arguments_of_a_prompt_are_checked() {
    let mut worker = worker();
    for (arguments, passes) in [
        (json!({"name": "Ada"}), true),
        (json!({"name": "far too long a name"}), false),
        (json!({}), false),
    ] {
        let params = json!({"name": "brief", "arguments": arguments});
        let seen = ask(&mut worker, "bob", "prompts/get", &params, None);
        assert_eq!(seen.forwarded(), passes, "{arguments}");
    }
}

/// A result of this method with the record in every place where one can stand, and one that cannot be looked into.
fn results(method: &str) -> (Vec<Value>, Value) {
    let record = json!({"ssn": SSN, "kept": 1}).to_string();
    let text = json!({"type": "text", "text": record});
    let embedded = json!({"type": "resource", "resource": {"uri": "mem://x", "text": record}});
    match method {
        "prompts/get" => (
            vec![
                json!({"messages": [{"role": "user", "content": text}]}),
                json!({"messages": [{"role": "user", "content": embedded}, {"role": "assistant", "content": text}]}),
                json!({"messages": [{"role": "user", "content": [text, embedded]}]}),
            ],
            json!({"messages": [{"role": "user", "content": {"type": "image", "data": "AA==", "mimeType": "image/png"}}]}),
        ),
        _ => (
            vec![
                json!({"contents": [{"uri": "mem://staff/7", "mimeType": "application/json", "text": record}]}),
                json!({"contents": [{"uri": "a", "text": record}, {"uri": "b", "text": record}]}),
            ],
            json!({"contents": [{"uri": "mem://staff/7", "blob": "MTIzLTQ1LTY3ODk="}]}),
        ),
    }
}

#[test]
fn results_of_prompts_and_resources_are_redacted_wherever_the_field_stands() {
    let brief = json!({"name": "brief", "arguments": {"name": "Ada"}});
    for (method, params) in [
        ("prompts/get", brief),
        ("resources/read", json!({"uri": "mem://staff/7"})),
    ] {
        let (readable, opaque) = results(method);
        for result in readable {
            let sent = json!({"jsonrpc": "2.0", "id": 1, "result": result}).to_string();
            for chunk in [0, 1, 11] {
                let mut worker = worker();
                worker.chunk = chunk;
                for backend in [
                    Backend::json(&sent),
                    Backend::events(&format!("data: {sent}\n\n")),
                ] {
                    let said = ask(&mut worker, "bob", method, &params, Some(&backend)).client_body();
                    assert!(
                        !said.contains(SSN) && said.contains("[REDACTED]"),
                        "{method}: {said}"
                    );
                    assert!(said.contains("kept"), "the rest stays: {said}");
                }
            }
        }
        let sent = json!({"jsonrpc": "2.0", "id": 1, "result": opaque}).to_string();
        let seen = ask(&mut worker(), "bob", method, &params, Some(&Backend::json(&sent)));
        assert_eq!(seen.code(), "result.unparseable", "{method}");
        assert!(!seen.client_body().contains("MTIz"));
    }
}

#[test]
fn suggested_values_are_the_result_of_a_completion() {
    let staff = reference("ref/resource", "uri", "mem://staff/{id}");
    let record = json!({"ssn": SSN}).to_string();
    let sent = |values: Value| {
        json!({"jsonrpc": "2.0", "id": 1, "result": {"completion": {"values": values, "total": 1}}})
            .to_string()
    };
    let mut worker = worker();
    let mut said = |body: &str| {
        let seen = ask(
            &mut worker,
            "bob",
            "completion/complete",
            &staff,
            Some(&Backend::json(body)),
        );
        (seen.code(), seen.client_body())
    };
    let (code, body) = said(&sent(json!([record])));
    assert!(
        code.is_empty() && !body.contains(SSN) && body.contains("[REDACTED]"),
        "{body}"
    );
    let empty = sent(json!([]));
    assert_eq!(said(&empty), (String::new(), empty.clone()));
    // Fields are governed, and a plain value is none: nobody can say what it is.
    let (code, body) = said(&sent(json!([SSN])));
    assert!(code == "result.unparseable" && !body.contains(SSN), "{body}");
}

#[test]
fn what_a_subscription_is_answered_with_is_empty_or_cannot_be_read() {
    let mut worker = worker();
    let staff = json!({"uri": "mem://staff/7"});
    for (result, passes) in [
        (json!({}), true),
        (json!({"_meta": {}}), true),
        (json!({"contents": [{"text": SSN}]}), false),
    ] {
        let sent = json!({"jsonrpc": "2.0", "id": 1, "result": result}).to_string();
        let seen = ask(
            &mut worker,
            "bob",
            "resources/subscribe",
            &staff,
            Some(&Backend::json(&sent)),
        );
        assert_eq!(seen.client_body() == sent, passes, "{result}");
        assert!(!seen.client_body().contains(SSN));
    }
}
