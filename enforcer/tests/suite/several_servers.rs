//! Several servers behind one proxy, with tools of one name.

use serde_json::{Value, json};

use crate::{
    host::{Backend, Worker, call},
    jwt::{es256, jwks, token},
    program::ISSUER,
};

const ROUTES: &str = r#"
routes:
  - tool: search
    meta: { scope: hr }
    pre_invocation: ["require(role.hr)"]
    result: { ssn: redact }
  - tool: search
    meta: { scope: repos }
    pre_invocation: ["require(role.engineer)"]
  - tool: search
    pre_invocation: ["deny('not on this server', 'other.server')"]
  - tool: "s*"
    meta: { scope: mail }
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
    Worker::with(&apl_bytecode::encode(output.program.program()), |config| {
        config["protocols"] = json!([
            {"path_prefix": "/hr", "speaks": "mcp", "scope": "hr"},
            {"path_prefix": "/repos", "speaks": "mcp", "scope": "repos"},
            {"path_prefix": "/mail", "speaks": "mcp", "scope": "mail"},
            {"path_prefix": "/other", "speaks": "mcp"},
            {"path_prefix": "/hr/old", "authority": "old.example", "speaks": "mcp", "scope": "repos"},
        ]);
    })
}

#[test]
fn the_scope_of_the_entry_selects_the_route() {
    let mut worker = worker();
    for (path, authority, bob, alice) in [
        ("/hr/mcp", "x", "", "routes."),
        ("/repos/mcp", "x", "routes.", ""),
        // A route of the scope goes before one without, also by pattern.
        ("/mail/mcp", "x", "", ""),
        ("/other/mcp", "x", "other.server", "other.server"),
        ("/hr/old", "x", "", "routes."),
        ("/hr/old", "old.example", "routes.", ""),
    ] {
        for (user, wanted) in [("bob", bob), ("alice", alice)] {
            let bearer = format!("Bearer {}", token(user));
            let headers = [
                ("authorization", bearer.as_str()),
                (":path", path),
                (":authority", authority),
            ];
            let seen = worker.post(&headers, &call("search", "{}"), None);
            assert_eq!(
                seen.forwarded(),
                wanted.is_empty(),
                "{user} {authority}{path}: {seen:?}"
            );
            if !wanted.is_empty() {
                assert!(seen.code().starts_with(wanted), "{user} {path}: {}", seen.code());
            }
        }
    }
}

#[test]
fn lists_and_results_are_those_of_the_server_that_was_asked() {
    let mut worker = worker();
    let bearer = format!("Bearer {}", token("bob"));
    let list = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
    let tools = r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"search"}]}}"#;
    for (path, shown) in [
        ("/hr", true),
        ("/repos", false),
        ("/mail", true),
        ("/other", false),
    ] {
        let headers = [("authorization", bearer.as_str()), (":path", path)];
        let seen = worker.post(&headers, list, Some(&Backend::json(tools)));
        assert_eq!(seen.client_body().contains("search"), shown, "{path}");
    }
    let record = json!({"ssn": "123-45-6789"}).to_string();
    let result =
        json!({"jsonrpc": "2.0", "id": 1, "result": {"content": [{"type": "text", "text": record}]}})
            .to_string();
    for (path, redacted) in [("/hr", true), ("/mail", false)] {
        let headers = [("authorization", bearer.as_str()), (":path", path)];
        let seen = worker.post(&headers, &call("search", "{}"), Some(&Backend::json(&result)));
        assert_eq!(seen.client_body().contains("[REDACTED]"), redacted, "{path}");
    }
}
