//! How a client is told of a denial.

use apl_bytecode::{Algorithm, TokenRole};
use serde_json::{Value, json};

use crate::{
    host::{Backend, Worker, call},
    jwt::token,
    program::{Builder, seed},
};

fn worker(change: impl FnOnce(&mut Value)) -> Worker {
    Worker::with(&seed(&[Algorithm::Es256], None).bytes(), change)
}

fn tool_result(config: &mut Value) {
    config["denial_shape"] = json!("tool_result");
}

#[test]
fn a_denied_call_can_be_a_failed_tool() {
    let mut worker = worker(tool_result);
    let seen = worker.call("alice", "get_compensation", "{}", None);
    assert!(!seen.forwarded());
    let body = seen.reply_json();
    let decision = &body["result"]["structuredContent"]["decision_id"];
    assert_eq!(
        body,
        json!({"jsonrpc": "2.0", "id": 1, "result": {"isError": true,
            "content": [{"type": "text", "text": "access denied"}],
            "structuredContent": {"violation": "routes.tool:get_compensation.pre_invocation[0]", "decision_id": decision}}})
    );
    assert_eq!(seen.reply.as_ref().map(|reply| reply.status), Some(200));
    assert_eq!(seen.code(), "routes.tool:get_compensation.pre_invocation[0]");
}

#[test]
fn a_denial_after_the_call_says_that_it_was_executed_in_either_shape() {
    for (shape, place) in [
        ("error", "/error/data"),
        ("tool_result", "/result/structuredContent"),
    ] {
        let mut worker = worker(|config| config["denial_shape"] = json!(shape));
        let seen = worker.call("eve", "get_compensation", "{}", Some(&Backend::json("not JSON")));
        let body: Value = serde_json::from_str(&seen.client_body()).expect("JSON");
        assert_eq!(
            body.pointer(place).map(|data| &data["executed"]),
            Some(&json!(true)),
            "{body}"
        );
        assert_eq!(body["id"], json!(1));
    }
}

#[test]
fn results_of_the_stateless_revision_say_that_they_are_complete() {
    let mut worker = worker(tool_result);
    let bearer = format!("Bearer {}", token("alice"));
    let headers = [
        ("authorization", bearer.as_str()),
        ("mcp-protocol-version", "2026-07-28"),
        ("mcp-method", "tools/call"),
        ("mcp-name", "get_compensation"),
    ];
    let seen = worker.post(&headers, &call("get_compensation", "{}"), None);
    assert_eq!(seen.reply_json()["result"]["resultType"], json!("complete"));
}

#[test]
fn only_calls_of_tools_have_results_of_tools() {
    let mut worker = worker(tool_result);
    let bearer = format!("Bearer {}", token("alice"));
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"prompts/get","params":{"name":"p"}}"#;
    let seen = worker.post(&[("authorization", &bearer)], body, None);
    assert_eq!(seen.reply_json()["error"]["code"], json!(-32001));
    let batch = format!(
        "[{},{}]",
        call("get_compensation", "{}"),
        body.replace("\"id\":1", "\"id\":2")
    );
    let seen = worker.post(&[("authorization", &bearer)], &batch, None);
    let body = seen.reply_json();
    assert_eq!(
        (&body[0]["result"]["isError"], &body[1]["error"]["code"]),
        (&json!(true), &json!(-32001))
    );
}

#[test]
fn a_tool_that_is_nothing_for_its_caller_can_be_unknown() {
    let mut worker = worker(|config| config["cloak"] = json!(true));
    for tool in ["get_compensation", "ghost"] {
        let seen = worker.call("alice", tool, "{}", None);
        assert_eq!(
            seen.reply_json(),
            json!({"jsonrpc": "2.0", "id": 1, "error": {"code": -32602, "message": format!("Unknown tool: {tool}")}})
        );
        let reply = seen.reply.expect("a reply");
        assert!(
            reply
                .headers
                .iter()
                .all(|(name, _)| !name.starts_with("x-policy")),
            "{reply:?}"
        );
    }
    worker.tick();
    let codes: Vec<_> = worker
        .companion
        .records
        .iter()
        .filter_map(|record| record.code.clone())
        .collect();
    assert_eq!(
        codes,
        [
            "routes.tool:get_compensation.pre_invocation[0]",
            "route.unmatched"
        ],
        "the audit tells the truth"
    );
}

#[test]
fn a_tool_that_its_caller_sees_in_lists_is_never_unknown() {
    let mut b = Builder::default();
    let user = b.identity("authorization", TokenRole::User, &[Algorithm::Es256], None);
    let mut rules = b.require("args.sure", "be_sure");
    rules.extend(b.deny_if_label("secret", "tainted"));
    b.route("ask", rules, None, &[user]);
    let taint = vec![b.taint("secret")];
    b.route("taint", taint, None, &[user]);
    b.housekeeping(&[user]);
    let mut worker = Worker::with(&b.bytes(), |config| config["cloak"] = json!(true));
    assert_eq!(worker.call("bob", "ask", "{}", None).code(), "be_sure");
    let done = Backend::json(r#"{"jsonrpc":"2.0","id":1,"result":{"content":[]}}"#);
    assert!(worker.call("bob", "taint", "{}", Some(&done)).forwarded());
    assert_eq!(
        worker.call("bob", "ask", r#"{"sure":true}"#, None).code(),
        "tainted"
    );
}
