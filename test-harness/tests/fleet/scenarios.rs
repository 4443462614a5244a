//! The whole scenarios, each step through the other gateway than the step before, approvals answered on the pages of the other
//! companion than the one that asks. What one gateway has written binds at the other at once.

use aplomb_test_harness::backend::Replies;
use aplomb_test_harness::envoy::wasm::InstallMode;
use aplomb_test_harness::scenario::{self, Scenario, cpex_demo, seed};
use aplomb_test_harness::stack::{Fleet, FleetOptions, Server, Store};

async fn agrees(scenario: &Scenario, mode: InstallMode, replies: Replies, server: Server) {
    let dir = tempfile::tempdir().expect("a directory");
    let Some(store) = Store::start(server, dir.path()).await.expect("a store") else {
        return;
    };
    let options = FleetOptions {
        policy: &scenario.policy,
        mode,
        replies,
        store: &store,
        serve: &[],
        dir: dir.path(),
    };
    let mut fleet = Fleet::start(&options).await.expect("everything starts");
    let report = scenario::run(fleet.scene(), scenario, |step| println!("{step}"))
        .await
        .expect("plays");
    assert!(report.agrees(), "{report}\n---- Envoy\n{}", fleet.logs());
    for (number, companion) in fleet.companions.iter().enumerate() {
        let records = companion.audit().expect("records").len();
        println!("companion {number} has {records} records");
        assert!(records > 0, "companion {number} was never asked");
    }
}

async fn cpex_demo_agrees(mode: InstallMode, replies: Replies, server: Server) {
    match cpex_demo::scenario() {
        Some(scenario) => agrees(&scenario, mode, replies, server).await,
        // A person's clone has no such file beside it; the project's own checks have.
        None if std::env::var_os("CI").is_some() => panic!("the CPEX demo's policy is missing"),
        None => println!("skipped: the CPEX demo's policy is not here (APLOMB_CPEX_DEMO names it)"),
    }
}

#[tokio::test]
async fn two_gateways_and_two_companions_play_the_seed_scenario_in_full_mode() {
    agrees(&seed::scenario(), InstallMode::Full, Replies::Sse, Server::Redis).await;
}

#[tokio::test]
async fn two_gateways_and_two_companions_play_the_seed_scenario_in_paired_mode() {
    agrees(
        &seed::scenario(),
        InstallMode::Paired,
        Replies::Json,
        Server::Valkey,
    )
    .await;
}

#[tokio::test]
async fn two_gateways_and_two_companions_play_the_cpex_demo_in_full_mode() {
    cpex_demo_agrees(InstallMode::Full, Replies::Json, Server::Valkey).await;
}

#[tokio::test]
async fn two_gateways_and_two_companions_play_the_cpex_demo_in_paired_mode() {
    cpex_demo_agrees(InstallMode::Paired, Replies::Sse, Server::Redis).await;
}
