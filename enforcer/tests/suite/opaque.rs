//! What a denial gives away: the author's own words, and nothing else of what the policy looks at.

use serde_json::{Value, json};

use crate::{
    host::{Backend, Seen, Worker, call},
    jwt::{es256, jwks, token},
    program::ISSUER,
};

/// Stands for every name that only the policy knows: a role, a permission, a label, a field, a value, a pattern.
const SECRET: &str = "zebra";

/// Each tool is denied by something else, and none of the denials has words of the author's.
const ROUTES: &str = r#"
routes:
  - tool: role
    pre_invocation: ["require(role.zebra)"]
  - tool: permission
    pre_invocation: ["require(perm.zebra)"]
  - tool: team
    pre_invocation: ["require(team.zebra | role.zebra & perm.zebra)"]
  - tool: claim
    pre_invocation: ["claim.zebra != 'zebra': deny"]
  - tool: label
    pre_invocation: ["security.labels contains 'zebra': deny"]
  - tool: marks
    pre_invocation: ["taint(zebra, session)"]
  - tool: field
    args: { note: "required | str" }
  - tool: pattern
    args: { a: "regex(\"^zebra$\")" }
  - tool: list
    args: { a: "enum(zebra, other)" }
  - tool: broken
    pre_invocation: ["args.a > 3 & args.zebra > 3: deny"]
  - tool: after
    post_invocation: ["result.zebra != 'zebra': deny"]
  - tool: scanned
    post_invocation: ["run(pii-scan)"]
  - tool: limited
    pre_invocation: ["limit(1 per 1m)"]
  - tool: told
    pre_invocation: ["require(role.zebra): deny('ask the desk', 'desk.ask')"]
"#;

fn worker(shape: &str) -> Worker {
    let keys: Value = serde_json::from_str(&jwks(&[&es256()])).expect("JSON");
    let plugins = json!([
        {"name": "user", "kind": "identity/jwt", "config": {"role": "user", "header": "authorization",
            "trusted_issuers": [{"issuer": ISSUER, "audiences": ["gateway"], "algorithms": ["ES256"],
                "decoding_key": {"kind": "jwk", "jwk": keys["keys"][0]}}]}},
        {"name": "pii-scan", "kind": "validator/pii-scan", "config": {"detect": [{"kind": "ssn"}]}},
    ]);
    let text = format!(
        "plugins: {plugins}\nglobal: {{ authentication: [user], session_store: {{ kind: embedded }} }}\n{ROUTES}"
    );
    let compilation = apl_compiler::compile("policy.yaml", &text);
    let output = compilation
        .output
        .unwrap_or_else(|| panic!("{:?}", compilation.diagnostics));
    Worker::with(&apl_bytecode::encode(output.program.program()), |config| {
        config["denial_shape"] = json!(shape);
    })
}

fn result() -> Backend {
    let record = json!({"zebra": "zebra", "ssn": "123-45-6789", "a": "other"}).to_string();
    Backend::json(
        &json!({"jsonrpc": "2.0", "id": 1, "result": {"content": [{"type": "text", "text": record}]}})
            .to_string(),
    )
}

/// Everything that the client gets.
fn said(seen: &Seen) -> String {
    match (&seen.reply, &seen.client) {
        (Some(reply), _) => format!("{:?} {}", reply.headers, String::from_utf8_lossy(&reply.body)),
        (None, Some((_, headers, body))) => format!("{headers:?} {}", String::from_utf8_lossy(body)),
        (None, None) => panic!("nothing was answered: {seen:?}"),
    }
}

#[test]
fn no_denial_names_what_the_policy_looks_at() {
    let args = r#"{"a":"x"}"#;
    for shape in ["error", "tool_result"] {
        let mut worker = worker(shape);
        let bearer = format!("Bearer {}", token("alice"));
        let marked = worker.post(
            &[("authorization", &bearer)],
            &call("marks", "{}"),
            Some(&result()),
        );
        assert!(marked.forwarded(), "{marked:?}");
        let first = worker.post(
            &[("authorization", &bearer)],
            &call("limited", "{}"),
            Some(&result()),
        );
        assert!(first.forwarded(), "{first:?}");
        for tool in [
            "role",
            "permission",
            "team",
            "claim",
            "label",
            "field",
            "pattern",
            "list",
            "broken",
            "scanned",
            "limited",
            "ghost",
        ] {
            let seen = worker.post(&[("authorization", &bearer)], &call(tool, args), Some(&result()));
            assert_ne!(seen.code(), "", "{tool} is not denied: {seen:?}");
            let said = said(&seen).to_lowercase();
            assert!(!said.contains(SECRET), "{shape} {tool}: {said}");
            // Of an argument the client is told which one it is and what kind of value it must be, of a find which detector
            // found it where.
            let validates = ["field", "pattern", "list", "scanned"].contains(&tool);
            let words = ["role", "perm.", "team.", "label", "regex", "args.", "require"];
            for word in words.iter().filter(|_| !validates) {
                let known = said.replace(&format!("tool:{tool}."), "");
                assert!(!known.contains(word), "{shape} {tool}: `{word}` in {said}");
            }
        }
    }
}

#[test]
fn the_authors_own_words_are_told() {
    let mut worker = worker("error");
    let bearer = format!("Bearer {}", token("alice"));
    let seen = worker.post(&[("authorization", &bearer)], &call("told", "{}"), None);
    assert_eq!(seen.code(), "desk.ask");
    assert_eq!(seen.reply_json()["error"]["message"], "ask the desk");
}
