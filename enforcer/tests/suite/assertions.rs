//! Headers that the proxy asserts, of policies as the compiler compiles them.

use aplomb_enforcer::{ConfigError, Engine, PluginConfig};
use serde_json::json;

use crate::{
    host::{Backend, Seen, Worker, call, config, secrets},
    jwt::{claims, jwks, rs256},
};

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
secrets:
  values:
    upstream: { provider: env, ref: UPSTREAM_KEY }
global:
  authentication: [user]
  assertions:
    request:
      headers:
        - { name: X-User, from: subject.id, on_missing: deny }
        - { name: x-key, from: secret.upstream }
      strip: ["x-internal-*"]
    response:
      headers: [{ name: x-for, from: subject.id }]
      strip: [x-powered-by]
defaults: {}
routes:
  - tool: plain
  - tool: rich
    assertions:
      request:
        headers:
          - { name: x-roles, from: subject.roles, encode: csv }
          - { name: x-all, members: { who: subject.id, roles: subject.roles, tier: 'claim["https://x/tier"]' }, encode: json }
          - { name: x-key, from: claim.key }
  - tool: bare
    assertions:
      request: { replace_inherited: true, headers: [{ name: x-tier, from: claim.tier }] }
      response: { replace_inherited: true }
  - tool: needs
    assertions: { request: { headers: [{ name: x-desk, from: claim.desk, on_missing: deny }] } }
  - tool: governed
    result: { ssn: "redact" }
"#;

fn compiled(policy: &str) -> Vec<u8> {
    let compilation = apl_compiler::compile("policy.yaml", &policy.replace("defaults: {}\n", ""));
    let output = compilation
        .output
        .unwrap_or_else(|| panic!("{:?}", compilation.diagnostics));
    apl_bytecode::encode(output.program.program())
}

fn worker() -> Worker {
    let mut worker = Worker::cold(&compiled(POLICY), |_| {});
    worker.companion.jwks = Some(jwks(&[&rs256()]));
    worker.tick();
    worker
}

fn ask(worker: &mut Worker, tool: &str, more: serde_json::Value) -> Seen {
    let mut all = claims("alice");
    all["iss"] = json!("https://idp.example");
    all["aud"] = json!(["gateway"]);
    for (key, value) in more.as_object().expect("an object") {
        all[key] = value.clone();
    }
    let bearer = format!("Bearer {}", rs256().sign(&all));
    let mut backend = Backend::json(
        r#"{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"{\"ssn\":\"1\"}"}]}}"#,
    );
    backend.headers.push(("x-powered-by".into(), "somebody".into()));
    backend.headers.push(("x_for".into(), "mallory".into()));
    let headers = [
        ("authorization", bearer.as_str()),
        ("x-user", "mallory"),
        ("x_user", "mallory"),
        ("x-internal-debug", "1"),
        ("x-roles", "admin"),
        ("x-other", "kept"),
    ];
    worker.post(&headers, &call(tool, "{}"), Some(&backend))
}

fn client_header(seen: &Seen, name: &str) -> Option<String> {
    let (_, headers, _) = seen.client.as_ref().expect("a response");
    headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone())
}

#[test]
fn what_the_client_says_is_removed_and_what_the_proxy_knows_is_said() {
    let seen = ask(&mut worker(), "plain", json!({}));
    assert_eq!(seen.upstream_header("x-user").as_deref(), Some("alice"));
    assert_eq!(
        seen.upstream_header("x_user"),
        None,
        "some backends take it for the same"
    );
    assert_eq!(seen.upstream_header("x-internal-debug"), None);
    assert_eq!(seen.upstream_header("x-key").as_deref(), Some("s3cret"));
    assert_eq!(
        seen.upstream_header("x-roles").as_deref(),
        Some("admin"),
        "another route's contract"
    );
    assert_eq!(seen.upstream_header("x-other").as_deref(), Some("kept"));
}

#[test]
fn the_client_gets_the_proxys_word_and_not_the_backends() {
    for tool in ["plain", "governed"] {
        let seen = ask(&mut worker(), tool, json!({}));
        assert_eq!(client_header(&seen, "x-for").as_deref(), Some("alice"), "{tool}");
        assert_eq!(client_header(&seen, "x-powered-by"), None, "{tool}");
        assert_eq!(client_header(&seen, "x_for"), None, "{tool}");
        assert_eq!(
            client_header(&seen, "content-type").as_deref(),
            Some("application/json")
        );
    }
    let seen = ask(&mut worker(), "bare", json!({}));
    assert_eq!(client_header(&seen, "x-powered-by").as_deref(), Some("somebody"));
}

#[test]
fn a_narrower_layer_adds_to_the_outer_ones_and_wins_for_the_same_header() {
    let more = json!({"roles": ["b", "a,admin"], "https://x/tier": "g\u{e9}", "key": "own"});
    let seen = ask(&mut worker(), "rich", more);
    assert_eq!(seen.upstream_header("x-user").as_deref(), Some("alice"));
    assert_eq!(seen.upstream_header("x-roles").as_deref(), Some("\"a,admin\",b"));
    assert_eq!(seen.upstream_header("x-key").as_deref(), Some("own"));
    assert_eq!(
        seen.upstream_header("x-all").as_deref(),
        Some(r#"{"who":"alice","roles":["a,admin","b"],"tier":"g\u00e9"}"#)
    );
    let seen = ask(&mut worker(), "bare", json!({"tier": "gold"}));
    assert_eq!(seen.upstream_header("x-tier").as_deref(), Some("gold"));
    assert_eq!(
        seen.upstream_header("x-user").as_deref(),
        Some("mallory"),
        "the inherited contract was replaced"
    );
}

#[test]
fn a_value_that_no_header_can_hold_is_missing() {
    for value in [
        json!("a\r\nx-admin: 1"),
        json!("a\u{0}b"),
        json!(""),
        json!(["a", "b"]),
        json!({"a": 1}),
    ] {
        let seen = ask(&mut worker(), "bare", json!({"tier": value}));
        assert!(seen.forwarded());
        assert_eq!(seen.upstream_header("x-tier"), None, "{value}");
    }
    for value in [json!("line\nbreak"), json!(null)] {
        let seen = ask(&mut worker(), "needs", json!({"desk": value}));
        assert_eq!(
            (seen.forwarded(), seen.code().as_str()),
            (false, "auth.assertion_missing"),
            "{value}"
        );
        assert_eq!(seen.reply.as_ref().expect("a reply").status, 403);
    }
    let seen = ask(&mut worker(), "needs", json!({"desk": 7}));
    assert_eq!(seen.upstream_header("x-desk").as_deref(), Some("7"));
}

#[test]
fn a_request_without_identity_carries_no_asserted_header_either() {
    let mut worker = worker();
    let mut stream = worker.open(&[
        (":method", "GET"),
        (":path", "/mcp/../.well-known/agent-card.json"),
        ("x-user", "mallory"),
    ]);
    stream.head(&mut worker, true);
    let public = worker.post(&[("x-user", "mallory")], &call("plain", "{}"), None);
    assert!(!public.forwarded(), "nobody is identified: {public:?}");
}

#[test]
fn a_configuration_that_cannot_assert_is_refused() {
    let policy = compiled(POLICY);
    let parse = |mode: &str| {
        let text = config(&policy, |config| config["install"] = json!({"mode": mode})).to_string();
        match PluginConfig::parse(text.as_bytes()).expect("a configuration") {
            PluginConfig::Decide(config) => *config,
            PluginConfig::Hold(_) => panic!("a holder"),
        }
    };
    let single = Engine::new(parse("single"), secrets(), [1; 32]);
    assert!(
        matches!(single, Err(ConfigError::NeedsHeldHeaders { .. })),
        "{single:?}"
    );
    let mut without = secrets();
    without.variable = |_| None;
    let unset = Engine::new(parse("full"), without, [1; 32]);
    assert!(
        matches!(&unset, Err(ConfigError::MissingVariable(name, _)) if name == "UPSTREAM_KEY"),
        "{unset:?}"
    );
}
