//! The scenarios, each in a real Envoy, in each way of installing the filter that holds headers.
//!
//! The two modes meet both kinds of replies: server-sent events, which is what the official servers send, and JSON.

use aplomb_test_harness::backend::Replies;
use aplomb_test_harness::envoy::wasm::InstallMode;
use aplomb_test_harness::scenario::{self, Scenario, cpex_demo, seed};
use aplomb_test_harness::stack::{Options, Stack};

async fn agrees(scenario: &Scenario, mode: InstallMode, replies: Replies) {
    let dir = tempfile::tempdir().expect("a directory");
    let mut options = Options::new(scenario.policy.clone(), mode, dir.path());
    options.replies = replies;
    let mut stack = Stack::start(&options, |what| println!("==> {what}"))
        .await
        .expect("everything starts");
    let report = scenario::run(stack.scene(), scenario, |step| println!("{step}"))
        .await
        .expect("plays");
    assert!(report.agrees(), "{report}\n---- Envoy\n{}", stack.envoy.log());
}

async fn cpex_demo_agrees(mode: InstallMode, replies: Replies) {
    match cpex_demo::scenario() {
        Some(scenario) => agrees(&scenario, mode, replies).await,
        // A person's clone has no such file beside it; the project's own checks have.
        None if std::env::var_os("CI").is_some() => panic!("the CPEX demo's policy is missing"),
        None => println!("skipped: the CPEX demo's policy is not here (APLOMB_CPEX_DEMO names it)"),
    }
}

#[tokio::test]
async fn the_seed_scenario_agrees_in_full_mode() {
    agrees(&seed::scenario(), InstallMode::Full, Replies::Sse).await;
}

#[tokio::test]
async fn the_seed_scenario_agrees_in_paired_mode() {
    agrees(&seed::scenario(), InstallMode::Paired, Replies::Json).await;
}

#[tokio::test]
async fn the_cpex_demo_agrees_in_full_mode() {
    cpex_demo_agrees(InstallMode::Full, Replies::Json).await;
}

#[tokio::test]
async fn the_cpex_demo_agrees_in_paired_mode() {
    cpex_demo_agrees(InstallMode::Paired, Replies::Sse).await;
}
