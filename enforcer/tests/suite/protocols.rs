//! Traffic other than MCP, under policies as people write them.

use serde_json::json;

use crate::{
    host::{Backend, Seen, Worker},
    jwt,
};

/// Declarations that every policy of these tests begins with: users of the test's issuer.
const USER: &str = r#"
plugins:
  - name: user
    kind: identity/jwt
    config:
      trusted_issuers:
        - issuer: "https://idp.example"
          audiences: ["gateway"]
          algorithms: ["ES256"]
          decoding_key: { kind: jwks_url, url: "https://idp.example/keys" }
  - name: cards
    kind: validator/pii-scan
    config: { detect: [{ kind: credit_card }], mode: deny }
global:
  authentication: [user]
  session_store: { kind: embedded }
"#;

/// A worker with these routes; everything under `/` speaks `speaks`.
pub(crate) fn worker(speaks: &str, routes: &str) -> Worker {
    worker_in(speaks, "full", routes)
}

/// The same in a mode of installation.
pub(crate) fn worker_in(speaks: &str, mode: &str, routes: &str) -> Worker {
    let compilation = apl_compiler::compile("policy.yaml", &format!("{USER}{routes}"));
    let output = compilation
        .output
        .unwrap_or_else(|| panic!("{:?}", compilation.diagnostics));
    let policy = apl_bytecode::encode(output.program.program());
    Worker::with(&policy, |config| {
        config["protocols"] = json!([{ "path_prefix": "/", "speaks": speaks }]);
        config["install"] = json!({ "mode": mode });
    })
}

/// A request of a user; a body makes it JSON.
pub(crate) fn ask(
    worker: &mut Worker,
    user: &str,
    request: &str,
    body: &str,
    backend: Option<&Backend>,
) -> Seen {
    let media = if body.is_empty() { "" } else { "application/json" };
    send(worker, user, request, &[("content-type", media)], body, backend)
}

/// A request with more headers; an empty value takes one away.
pub(crate) fn send(
    worker: &mut Worker,
    user: &str,
    request: &str,
    headers: &[(&str, &str)],
    body: &str,
    backend: Option<&Backend>,
) -> Seen {
    let (method, path) = request.split_once(' ').expect("a method and a path");
    let bearer = format!("Bearer {}", jwt::token(user));
    let mut all = vec![
        (":method", method),
        (":path", path),
        (
            "authorization",
            if user.is_empty() { "" } else { bearer.as_str() },
        ),
    ];
    if body.is_empty() {
        all.push(("content-length", ""));
    }
    all.extend_from_slice(headers);
    worker.post(&all, body, backend)
}
