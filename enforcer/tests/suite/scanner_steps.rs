//! Scanners as steps: over all arguments and over the whole result, whatever their shape.

use serde_json::{Value, json};

use crate::{
    host::{Backend, Seen, Worker},
    streams::SSN,
};

const FOUND_NOWHERE: &str = "[REDACTED]";

fn worker(route: &str) -> Worker {
    let text = format!(
        "plugins:\n  - {{name: hide, kind: validator/pii-scan, config: {{detect: [{{kind: ssn}}], mode: redact}}}}\n\
         engine_settings: {{unmatched: deny}}\nroutes:\n  - tool: mail\n{route}"
    );
    let compilation = apl_compiler::compile("policy.yaml", &text);
    let output = compilation
        .output
        .unwrap_or_else(|| panic!("{:?}", compilation.diagnostics));
    Worker::with(&apl_bytecode::encode(output.program.program()), |_| {})
}

fn call(worker: &mut Worker, arguments: &Value, backend: &Backend) -> Seen {
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "mail", "arguments": arguments}});
    worker.post(&[], &body.to_string(), Some(backend))
}

/// The request's body as it went on.
fn sent(seen: &Seen) -> String {
    let (_, body) = seen.upstream.as_ref().expect("forwarded");
    String::from_utf8(body.clone()).expect("UTF-8")
}

fn answer(result: &Value) -> Backend {
    Backend::json(&json!({"jsonrpc": "2.0", "id": 1, "result": result}).to_string())
}

#[test]
fn a_step_that_redacts_hides_finds_in_all_arguments() {
    let mut worker = worker("    pre_invocation: [\"run(hide)\"]\n");
    let nothing = answer(&json!({"content": [], "structuredContent": {}}));
    for (given, goes) in [
        (
            json!({"to": "a", "body": format!("it is {SSN}.")}),
            json!({"to": "a", "body": format!("it is {FOUND_NOWHERE}.")}),
        ),
        (
            json!({"deep": [{"er": [SSN, 7]}]}),
            json!({"deep": [{"er": [FOUND_NOWHERE, 7]}]}),
        ),
        (json!({"to": "a"}), json!({"to": "a"})),
        (json!({}), json!({})),
    ] {
        let seen = call(&mut worker, &given, &nothing);
        let request: Value = serde_json::from_str(&sent(&seen)).expect("JSON");
        assert_eq!(request["params"]["arguments"], goes, "{seen:?}");
    }
    // A key cannot be taken out of an object without changing what the object says.
    let seen = call(&mut worker, &json!({SSN: 1}), &nothing);
    assert!(!seen.forwarded() || !sent(&seen).contains(SSN), "{seen:?}");
}

#[test]
fn a_listed_plugin_redacts_what_goes_and_what_comes() {
    let mut worker = worker("    plugins: [hide]\n");
    let record = json!({"staff": [{"note": format!("ssn {SSN}")}]});
    for result in [
        json!({"content": [{"type": "text", "text": record.to_string()}], "structuredContent": record}),
        json!({"content": [{"type": "text", "text": record.to_string()}]}),
        // A failure in prose has nothing that could not be looked at.
        json!({"content": [{"type": "text", "text": format!("no {SSN}")}], "isError": true}),
    ] {
        let seen = call(&mut worker, &json!({"body": SSN}), &answer(&result));
        assert!(!sent(&seen).contains(SSN), "{seen:?}");
        let body = seen.client_body();
        assert!(!body.contains(SSN) && body.contains(FOUND_NOWHERE), "{body}");
        assert!(serde_json::from_str::<Value>(&body).is_ok(), "{body}");
    }
}
