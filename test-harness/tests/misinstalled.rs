//! A wrong installation is found out: an error that names what to fix, never a request forwarded, never one that hangs.

use aplomb_test_harness::backend::Role;
use aplomb_test_harness::envoy::wasm::{InstallMode, PairRole, Plugin};
use aplomb_test_harness::mcp::McpClient;
use aplomb_test_harness::patience::PATIENCE;
use aplomb_test_harness::scenario::seed;
use aplomb_test_harness::stack::{Options, Stack};
use serde_json::{Value, json};

async fn start(plugins: Vec<Plugin>, filter_config: Value) -> anyhow::Result<(Stack, tempfile::TempDir)> {
    let dir = tempfile::tempdir()?;
    let mut options = Options::new(seed::scenario().policy, InstallMode::Full, dir.path());
    options.plugins = plugins;
    options.filter_config = filter_config.as_object().cloned().unwrap_or_default();
    let stack = Stack::start(&options, |what| println!("==> {what}")).await?;
    Ok((stack, dir))
}

async fn answers_with(plugins: Vec<Plugin>, code: &str) {
    let (stack, _dir) = start(plugins, json!({})).await.expect("everything starts");
    let bob = stack.idp.log_in("bob").await.expect("a login");
    let client: McpClient = stack.client(Role::Hr, &bob, "wrong").expect("headers");
    let arguments = json!({ "employee_id": "EMP-001234" });
    let id = json!(1);
    let reply = tokio::time::timeout(PATIENCE, client.call(&id, "get_compensation", &arguments)).await;
    let reply = reply.expect("it does not hang").expect("a reply");
    assert_eq!(
        reply.header("x-policy-violation"),
        Some(code),
        "{}\n{}",
        reply.summary(),
        stack.envoy.log()
    );
    let calls = stack.backends.calls(Role::Hr).await.expect("the log");
    assert!(calls.is_empty(), "the backend received {calls:?}");
}

fn half(role: PairRole) -> Plugin {
    Plugin {
        mode: InstallMode::Paired,
        role: Some(role),
        stop_iteration: false,
    }
}

#[tokio::test]
async fn a_missing_stop_iteration_flag_is_named() {
    let plugin = Plugin {
        mode: InstallMode::Full,
        role: None,
        stop_iteration: false,
    };
    answers_with(vec![plugin], "config.stop_iteration_missing").await;
}

#[tokio::test]
async fn a_decider_without_its_holder_says_so() {
    answers_with(vec![half(PairRole::Decider)], "config.pair_incomplete").await;
}

#[tokio::test]
async fn a_holder_without_its_decider_says_so() {
    answers_with(vec![half(PairRole::Holder)], "config.pair_incomplete").await;
}

#[tokio::test]
async fn halves_in_the_wrong_order_say_so() {
    answers_with(
        vec![half(PairRole::Holder), half(PairRole::Decider)],
        "config.pair_incomplete",
    )
    .await;
}

async fn refused(plugins: Vec<Plugin>, filter_config: Value, named: &str) {
    let error = match start(plugins, filter_config).await {
        Ok(_) => panic!("Envoy took the configuration"),
        Err(error) => format!("{error:#}"),
    };
    assert!(
        error.contains(named),
        "the error does not name `{named}`: {error}"
    );
}

#[tokio::test]
async fn single_mode_refuses_a_policy_that_needs_held_headers() {
    refused(InstallMode::Single.plugins(), json!({}), "single").await;
}

#[tokio::test]
async fn a_truncated_program_is_refused() {
    refused(
        InstallMode::Full.plugins(),
        json!({ "policy": "QVBMQgE=" }),
        "policy",
    )
    .await;
}

#[tokio::test]
async fn a_program_that_is_none_is_refused() {
    refused(
        InstallMode::Full.plugins(),
        json!({ "policy": "aGVsbG8gd29ybGQ=" }),
        "policy",
    )
    .await;
}

#[tokio::test]
async fn an_unknown_key_is_refused() {
    refused(InstallMode::Full.plugins(), json!({ "protocol": [] }), "protocol").await;
}

#[tokio::test]
async fn a_policy_that_needs_a_companion_is_refused_without_one() {
    refused(
        InstallMode::Full.plugins(),
        json!({ "companion": null }),
        "companion",
    )
    .await;
}
