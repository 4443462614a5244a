//! What is wrong is refused with a clear error, in a real Envoy: bodies, credentials, a companion that is gone, an identity
//! provider that is down, slow or lies. Each time the backend hears nothing.

use aplomb_test_harness::backend::Role;
use aplomb_test_harness::envoy::wasm::InstallMode;
use aplomb_test_harness::mcp::{McpClient, Reply};
use aplomb_test_harness::patience::PATIENCE;
use aplomb_test_harness::scenario::seed;
use aplomb_test_harness::stack::{Options, Stack, Tokens};
use serde_json::{Value, json};
use tempfile::TempDir;

async fn start(mode: InstallMode) -> (Stack, TempDir) {
    let dir = tempfile::tempdir().expect("a directory");
    let mut options = Options::new(seed::scenario().policy, mode, dir.path());
    options
        .filter_config
        .insert("limits".to_owned(), json!({ "max_body_bytes": 65_536 }));
    let stack = Stack::start(&options, |what| println!("==> {what}"))
        .await
        .expect("everything starts");
    (stack, dir)
}

async fn connected(stack: &Stack, role: Role, tokens: &Tokens, session: &str) -> McpClient {
    let mut client = stack.client(role, tokens, session).expect("headers");
    client.connect().await.expect("handshake");
    client
}

fn record() -> Value {
    json!({ "employee_id": "EMP-001234" })
}

fn violation(reply: &Reply) -> Option<&str> {
    reply.header("x-policy-violation")
}

async fn heard_nothing(stack: &Stack) {
    for role in Role::ALL {
        let calls = stack.backends.calls(role).await.expect("the log");
        assert!(calls.is_empty(), "{role:?} received {calls:?}");
    }
}

fn message_of(size: usize) -> Vec<u8> {
    let arguments = json!({ "employee_id": "EMP-001234", "padding": "x".repeat(size) });
    let params = json!({ "name": "get_compensation", "arguments": arguments });
    json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params })
        .to_string()
        .into_bytes()
}

async fn refuses_bad_bodies(mode: InstallMode) {
    let (stack, _dir) = start(mode).await;
    let bob = stack.idp.log_in("bob").await.expect("a login");
    let client = connected(&stack, Role::Hr, &bob, "bodies").await;
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get_compensation","arguments":{}}}"#;
    let twice = call.replace(r#""id":1,"#, r#""id":1,"method":"ping","#);
    for (what, body, status) in [
        ("no JSON", b"employee_id=EMP-001234".to_vec(), 400),
        ("half a document", call.as_bytes()[..40].to_vec(), 400),
        ("a key twice", twice.into_bytes(), 400),
        (
            "bytes behind the document",
            format!("{call} {call}").into_bytes(),
            400,
        ),
        (
            "bytes that are no UTF-8",
            b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\xff\"}".to_vec(),
            400,
        ),
        ("too large", message_of(100_000), 413),
    ] {
        let reply = client.send_bytes(body).await.expect("a reply");
        assert_eq!(reply.status.as_u16(), status, "{what}: {}", reply.summary());
        assert!(violation(&reply).is_some(), "{what}: {}", reply.summary());
    }
    for (what, header, value) in [
        ("a compressed body", "content-encoding", "gzip"),
        ("another media type", "content-type", "text/plain"),
    ] {
        let client = client
            .clone()
            .moved_to(stack.envoy.url("/hr/mcp"), &[(header, value.to_owned())]);
        let reply = client
            .expect("headers")
            .send_bytes(message_of(1))
            .await
            .expect("a reply");
        assert_eq!(reply.status.as_u16(), 415, "{what}: {}", reply.summary());
    }
    heard_nothing(&stack).await;
}

#[tokio::test]
async fn refuses_bodies_that_it_cannot_read_in_full_mode() {
    refuses_bad_bodies(InstallMode::Full).await;
}

#[tokio::test]
async fn refuses_bodies_that_it_cannot_read_in_paired_mode() {
    refuses_bad_bodies(InstallMode::Paired).await;
}

#[tokio::test]
async fn answers_401_to_credentials_that_are_none() {
    let (stack, _dir) = start(InstallMode::Full).await;
    let good = stack.idp.log_in("bob").await.expect("a login");
    let other = stack.idp.log_in("eve").await.expect("a login");
    let (head, signature) = good.user.rsplit_once('.').expect("a JWT");
    let foreign = other.user.rsplit_once('.').expect("a JWT").1;
    let url = stack.envoy.url("/hr/mcp");
    let agent = ("authorization", format!("Bearer {}", good.client));
    for (what, headers, code) in [
        ("no credential", vec![], Some("auth.malformed_header")),
        (
            "no user token",
            vec![agent.clone()],
            Some("auth.malformed_header"),
        ),
        (
            "a user token that is none",
            vec![agent.clone(), ("x-user-token", "bob".to_owned())],
            None,
        ),
        (
            "another token's signature",
            vec![agent.clone(), ("x-user-token", format!("{head}.{foreign}"))],
            Some("auth.signature_invalid"),
        ),
        (
            "no algorithm",
            // {"alg":"none"}
            vec![
                agent.clone(),
                (
                    "x-user-token",
                    format!("eyJhbGciOiJub25lIn0.{}.{signature}", claims(head)),
                ),
            ],
            None,
        ),
    ] {
        let client = McpClient::new(url.clone(), &headers).expect("headers");
        let reply = client.send_bytes(message_of(1)).await.expect("a reply");
        assert_eq!(reply.status.as_u16(), 401, "{what}: {}", reply.summary());
        assert!(
            reply
                .header("www-authenticate")
                .is_some_and(|value| value.starts_with("Bearer")),
            "{what}"
        );
        let got = violation(&reply).unwrap_or_default();
        assert!(
            got.starts_with("auth.") && code.is_none_or(|code| code == got),
            "{what}: {got}"
        );
    }
    heard_nothing(&stack).await;
}

fn claims(head: &str) -> &str {
    head.split('.').nth(1).expect("a JWT")
}

#[tokio::test]
async fn denies_when_the_companion_is_gone() {
    let (mut stack, _dir) = start(InstallMode::Full).await;
    let bob = stack.idp.log_in("bob").await.expect("a login");
    // The handshake loads the key sets.
    let hr = connected(&stack, Role::Hr, &bob, "gone").await;
    let email = connected(&stack, Role::Email, &bob, "gone").await;
    stack.companion.kill().await.expect("kills");
    let mail = json!({ "to": "partner@example.com", "subject": "FYI", "body": "noon" });
    for (client, tool, arguments) in [(&hr, "get_compensation", record()), (&email, "send_email", mail)] {
        let id = json!("gone");
        let reply = tokio::time::timeout(PATIENCE, client.call(&id, tool, &arguments)).await;
        let reply = reply.expect("it does not hang").expect("a reply");
        assert!(violation(&reply).is_some(), "{tool}: {}", reply.summary());
        assert_eq!(
            reply.message.as_ref().and_then(|message| message.get("id")),
            Some(&json!("gone")),
            "{tool}"
        );
    }
    heard_nothing(&stack).await;
}

#[tokio::test]
async fn denies_with_the_reason_when_the_identity_provider_lies() {
    let (stack, _dir) = start(InstallMode::Full).await;
    for (lie, code) in [
        ("subject", "delegation.subject_mismatch"),
        ("audience", "delegation.audience_mismatch"),
        ("scope", "delegation.scope_overgrant"),
        ("issued_type", "delegation.issued_token_type_mismatch"),
        ("html", "delegation.bad_response"),
        ("huge", "delegation.bad_response"),
    ] {
        stack.idp.control(&json!({ "lie": lie })).await.expect("control");
        denies_delegation(&stack, lie, Some(code)).await;
    }
    heard_nothing(&stack).await;
}

#[tokio::test]
async fn denies_with_the_reason_when_the_identity_provider_is_down_or_slow() {
    let (stack, _dir) = start(InstallMode::Full).await;
    let bob = stack.idp.log_in("bob").await.expect("a login");
    let client = connected(&stack, Role::Hr, &bob, "down").await;
    for (change, code) in [
        (json!({ "down": true }), None),
        (
            json!({ "down": false, "delay_ms": 3_600_000 }),
            Some("delegation.idp_timeout"),
        ),
    ] {
        stack.idp.control(&change).await.expect("control");
        denies(&client, &change.to_string(), code).await;
    }
    heard_nothing(&stack).await;
}

/// One call with fresh tokens, so that no cached one answers.
async fn denies_delegation(stack: &Stack, what: &str, code: Option<&str>) {
    let bob = stack.idp.log_in("bob").await.expect("a login");
    let client = connected(stack, Role::Hr, &bob, what).await;
    denies(&client, what, code).await;
}

async fn denies(client: &McpClient, what: &str, code: Option<&str>) {
    let (id, arguments) = (json!(1), record());
    let reply = tokio::time::timeout(PATIENCE, client.call(&id, "get_compensation", &arguments)).await;
    let reply = reply.expect("it does not hang").expect("a reply");
    let got = violation(&reply).unwrap_or_default();
    assert!(got.starts_with("delegation."), "{what}: {}", reply.summary());
    assert!(
        code.is_none_or(|code| code == got),
        "{what}: {got} instead of {code:?}"
    );
}
