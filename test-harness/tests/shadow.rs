//! Shadow in a real Envoy: what a policy would deny passes untouched, and everything that should know of it does.

use aplomb_test_harness::backend::{Replies, Role};
use aplomb_test_harness::envoy::wasm::InstallMode;
use aplomb_test_harness::patience::eventually;
use aplomb_test_harness::scenario::seed;
use aplomb_test_harness::stack::{Options, Stack, Tokens};
use companion_protocol::{AuditRecord, VerdictKind, WouldKind};
use serde_json::{Value, json};

const SALARY: &str = "get_compensation";
const PROBE: &str = "search_repos";
/// With spaces and numbers that a re-serialisation would not keep.
const CALL: &str = r#"{"jsonrpc": "2.0", "id":7,"method":"tools/call", "params":{"name":"get_compensation","arguments":{ "employee_id":"EMP-001234","weight":1.50e1}}}"#;

async fn start(options: &Options) -> Stack {
    Stack::start(options, |what| println!("==> {what}"))
        .await
        .expect("everything starts")
}

/// The record of the one call, once it was shipped.
async fn record(stack: &Stack) -> AuditRecord {
    eventually("a record", async || {
        let mut found = stack.companion.audit().expect("records").into_iter();
        found.find(|record| record.entity_name == SALARY && record.verdict.is_some())
    })
    .await
}

/// A number that Envoy shows to Prometheus.
async fn shown(stack: &Stack, name: &str) -> Option<u64> {
    let all = stack
        .envoy
        .admin_get("/stats/prometheus")
        .await
        .expect("statistics");
    let line = all
        .lines()
        .find(|line| line.starts_with(name) && line[name.len()..].starts_with(['{', ' ']))?;
    line.rsplit(' ').next()?.parse().ok()
}

/// Waits until it is shown, because gauges are set on ticks.
async fn shows(stack: &Stack, name: &str, wanted: u64) {
    eventually(&format!("{name} {wanted}"), async || {
        (shown(stack, name).await == Some(wanted)).then_some(())
    })
    .await;
}

/// Waits until the proxy has the keys by which it knows callers: in shadow no request waits for them.
async fn knows(stack: &Stack, tokens: &Tokens) {
    let client = stack.client(Role::Repos, tokens, "probe").expect("headers");
    let arguments = json!({ "repo_name": "web-app", "visibility": "internal" });
    eventually("a record with a subject", async || {
        client.call(&json!(0), PROBE, &arguments).await.expect("a reply");
        let found = stack.companion.audit().expect("records");
        found
            .iter()
            .any(|record| record.entity_name == PROBE && record.subject.is_some())
            .then_some(())
    })
    .await;
}

async fn a_denial_passes_untouched(mode: InstallMode, replies: Replies) {
    let dir = tempfile::tempdir().expect("a directory");
    let mut options = Options::new(seed::scenario().policy, mode, dir.path());
    options.replies = replies;
    options
        .filter_config
        .insert("enforcement".to_owned(), json!("shadow"));
    let text = std::fs::read_to_string(&options.policy).expect("the policy");
    let routes = text.lines().filter(|line| line.starts_with("  - tool:")).count();
    let stack = start(&options).await;
    // Each route, and what no route governs.
    shows(&stack, "aplomb_shadow", routes as u64 + 1).await;
    let alice = stack.idp.log_in("alice").await.expect("a login");
    knows(&stack, &alice).await;
    let denied_before = shown(&stack, "aplomb_would_deny").await.unwrap_or(0);
    let client = stack.client(Role::Hr, &alice, "s").expect("headers");
    let reply = client
        .send_bytes(CALL.as_bytes().to_vec())
        .await
        .expect("a reply");
    let calls = stack.backends.calls(Role::Hr).await.expect("the log");
    assert_eq!(calls.len(), 1, "{}\n{}", reply.summary(), stack.envoy.log());
    let call = &calls[0];
    assert_eq!(call.body, CALL, "the backend got every byte as it was sent");
    assert_eq!(
        call.authorization.as_deref(),
        Some(format!("Bearer {}", alice.client).as_str())
    );
    assert_eq!(call.x_user_token.as_deref(), Some(alice.user.as_str()));
    stack.backends.forget().await.expect("forgotten");
    let direct = stack.backends.direct(Role::Hr).expect("a client");
    let direct = direct
        .send_bytes(CALL.as_bytes().to_vec())
        .await
        .expect("a reply");
    assert_eq!(reply.status, direct.status);
    assert_eq!(
        reply.payload, direct.payload,
        "the client got what the backend said"
    );
    assert_eq!(reply.header("x-policy-violation"), None);

    let record = record(&stack).await;
    assert_eq!(record.verdict, Some(VerdictKind::Allow));
    assert!(
        record.subject.is_some(),
        "who she is is known, though nothing asks for it"
    );
    let [shadow] = record.shadow.as_slice() else {
        panic!("{record:?}");
    };
    assert_eq!(shadow.verdict, WouldKind::WouldDeny, "{shadow:?}");
    assert_eq!(
        shadow.rule.as_deref(),
        Some("routes.tool:get_compensation.pre_invocation[0]")
    );
    assert_eq!(shown(&stack, "aplomb_would_deny").await, Some(denied_before + 1));
    assert_eq!(shown(&stack, "aplomb_denied").await.unwrap_or(0), 0);
}

#[tokio::test]
async fn a_denial_in_shadow_passes_untouched_in_full_mode() {
    a_denial_passes_untouched(InstallMode::Full, Replies::Json).await;
}

#[tokio::test]
async fn a_denial_in_shadow_passes_untouched_in_paired_mode() {
    a_denial_passes_untouched(InstallMode::Paired, Replies::Sse).await;
}

#[tokio::test]
async fn a_second_policy_is_recorded_beside_the_one_that_is_enforced() {
    let dir = tempfile::tempdir().expect("a directory");
    let policy = seed::scenario().policy;
    let text = std::fs::read_to_string(&policy).expect("the policy");
    let stricter = text.replace("require(role.hr)", "require(role.nobody)");
    assert_ne!(text, stricter);
    let next = dir.path().join("next.yaml");
    std::fs::write(&next, stricter).expect("written");
    let mut options = Options::new(policy, InstallMode::Full, dir.path());
    options.replies = Replies::Json;
    options.shadow = Some(next);
    let stack = start(&options).await;
    shows(&stack, "aplomb_shadow_policy", 1).await;
    shows(&stack, "aplomb_shadow", 0).await;
    let bob = stack.idp.log_in("bob").await.expect("a login");
    knows(&stack, &bob).await;
    let client = stack.client(Role::Hr, &bob, "s").expect("headers");
    let arguments = json!({ "employee_id": "EMP-001234" });
    let reply = client.call(&json!(1), SALARY, &arguments).await.expect("a reply");
    assert!(
        reply.tool_json().is_some(),
        "{}\n{}",
        reply.summary(),
        stack.envoy.log()
    );
    let calls = stack.backends.calls(Role::Hr).await.expect("the log");
    let authorization = calls[0].authorization.as_deref().expect("a minted token");
    assert_ne!(
        authorization,
        format!("Bearer {}", bob.client),
        "the live policy delegated"
    );

    let record = record(&stack).await;
    assert_eq!(record.verdict, Some(VerdictKind::Allow));
    let live: Value = stack.artefacts.filter_configuration();
    assert_eq!(json!(record.policy_digest), live["policy_digest"]);
    let [shadow] = record.shadow.as_slice() else {
        panic!("{record:?}");
    };
    assert_eq!(shadow.verdict, WouldKind::WouldDeny, "{shadow:?}");
    assert_ne!(shadow.policy_digest, record.policy_digest);

    // Labels are read for both, each in the name of its own policy, and the live one denies by them.
    let email = stack.client(Role::Email, &bob, "s").expect("headers");
    let mail = json!({ "to": "partner@example.com", "subject": "FYI", "body": "hello" });
    let reply = email.call(&json!(2), "send_email", &mail).await.expect("a reply");
    assert_eq!(
        reply.header("x-policy-violation"),
        Some("session_tainted"),
        "{}",
        reply.summary()
    );
}
