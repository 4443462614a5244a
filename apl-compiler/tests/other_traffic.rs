//! `aplc test` and `aplc explain` of traffic other than MCP.

use std::fs;
use std::process::Command;

const POLICY: &str = r#"
plugins:
  - name: user
    kind: identity/jwt
    config:
      trusted_issuers:
        - issuer: "https://idp.example"
          audiences: ["gateway"]
          algorithms: ["RS256"]
          decoding_key: { kind: jwks_url, url: "https://idp.example/keys" }
global: { authentication: [user] }
routes:
  - http: { path: "/employees/{id}", method: [GET, PUT] }
    args: { body.ssn: "mask(4)", path.id: "regex(\"^[0-9]+$\")" }
    pre_invocation: ["require(role.hr)"]
    result: { ssn: redact }
  - a2a: message/send
    args: { "message.parts.text": "pii.redact" }
    pre_invocation: ["require(role.hr)"]
    result: { "**.ssn": redact }
  - llm: "gpt-*"
    pre_invocation: ["require(role.hr)", "args.max_tokens > 100: deny('too many', 'model.tokens')"]
    result: { "choices.message.content": "pii.redact" }
"#;

const TESTS: &str = r#"
defaults: { identity: { subject: eve, roles: [hr] } }
tests:
  - name: a resource is read
    request: { http: "GET /employees/7?x=1" }
    result: { ssn: "123-45-6789", n: 1 }
    expect: { verdict: allow, result: { ssn: "[REDACTED]", n: 1 } }
  - name: a resource is written
    request: { http: "PUT /employees/7", args: { ssn: "123-45-6789" } }
    result: {}
    expect: { verdict: allow, args: { ssn: "*******6789" } }
  - name: a path is checked
    request: { http: "GET /employees/x" }
    expect: { verdict: deny, code: "routes.http:GET,PUT /employees/{id}.args.path.id" }
  - name: nothing else is there
    request: { http: "DELETE /employees/7" }
    expect: { verdict: deny, code: route.unmatched }
  - name: an agent is asked
    request: { a2a: SendMessage, args: { message: { parts: [{ text: "my card is 4111 1111 1111 1111" }] } } }
    result: { task: { artifacts: [{ parts: [{ data: { ssn: "123-45-6789" } }] }] } }
    expect:
      verdict: allow
      result: { task: { artifacts: [{ parts: [{ data: { ssn: "[REDACTED]" } }] }] } }
  - name: a model is asked
    request: { llm: gpt-5, args: { messages: [{ role: user, content: hi }], max_tokens: 5 } }
    result: { choices: [{ message: { content: "fine" } }] }
    expect: { verdict: allow, result: { choices: [{ message: { content: "fine" } }] } }
  - name: a model is asked for too much
    request: { llm: gpt-5, args: { messages: [], max_tokens: 500 } }
    expect: { verdict: deny, code: model.tokens, reason: too many }
"#;

fn aplc(arguments: &[&str], files: &[(&str, &str)]) -> (bool, String) {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in files {
        fs::write(folder.path().join(name), text).expect("written");
    }
    let output = Command::new(env!("CARGO_BIN_EXE_aplc"))
        .args(arguments)
        .current_dir(folder.path())
        .output()
        .expect("runs");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (
        output.status.success(),
        text(output.stdout) + &text(output.stderr),
    )
}

#[test]
fn tests_of_resources_agents_and_models_run() {
    let files = [("policy.yaml", POLICY), ("policy.test.yaml", TESTS)];
    let (fine, said) = aplc(&["test", "policy.yaml"], &files);
    assert!(fine && said.contains('7'), "{said}");
    let wrong = TESTS.replace("code: model.tokens", "code: model.other");
    let files = [("policy.yaml", POLICY), ("policy.test.yaml", wrong.as_str())];
    assert!(
        !aplc(&["test", "policy.yaml"], &files).0,
        "a wrong expectation fails"
    );
}

#[test]
fn a_request_is_explained() {
    let request = "identity: { subject: eve, roles: [hr] }\nrequest: { http: \"GET /employees/x\" }\n";
    let files = [("policy.yaml", POLICY), ("request", request)];
    let (_, said) = aplc(&["explain", "policy.yaml", "--request", "request"], &files);
    assert!(
        said.contains("http:GET /employees/x  (routes.http:GET,PUT /employees/{id})")
            && said.contains("verdict: deny"),
        "{said}"
    );
}
