//! Companions that leave and companions that die, under calls that need them.

use aplomb_test_harness::envoy::wasm::InstallMode;
use aplomb_test_harness::patience::eventually;
use aplomb_test_harness::stack::{Fleet, Server, Store};

use crate::load::{Agent, Load, fleet, nothing_is_lost};

/// As the book says.
const DRAIN: [&str; 2] = ["--drain", "10"];

async fn companions_are_replaced_in_turn(mode: InstallMode, server: Server) {
    let dir = tempfile::tempdir().expect("a directory");
    let Some(store) = Store::start(server, dir.path()).await.expect("a store") else {
        return;
    };
    let mut fleet = fleet(mode, &store, &DRAIN, dir.path()).await;
    let agents = Agent::all(&fleet).await;
    let load = Load::begin(&agents);
    load.more(100).await;
    for number in 0..fleet.companions.len() {
        fleet.companions[number].replace().await.expect("comes back");
        load.more(100).await;
    }
    let tally = load.end().await;
    println!(
        "{}: both companions replaced in turn: {} calls, {} wrongly allowed, denied: {:?}, broken: {}",
        mode.name(),
        tally.calls,
        tally.wrong,
        tally.denied,
        tally.broken.len()
    );
    assert_eq!(tally.wrong, 0);
    assert!(tally.denied.is_empty(), "{:?}\n{}", tally.denied, fleet.logs());
    assert!(tally.broken.is_empty(), "{:?}\n{}", tally.broken, fleet.logs());
    nothing_is_lost(&fleet, &agents, &tally).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn companions_that_are_replaced_in_turn_deny_nothing_in_full_mode() {
    companions_are_replaced_in_turn(InstallMode::Full, Server::Redis).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn companions_that_are_replaced_in_turn_deny_nothing_in_paired_mode() {
    companions_are_replaced_in_turn(InstallMode::Paired, Server::Valkey).await;
}

/// Waits until every gateway calls every companion.
async fn all_are_called(fleet: &Fleet) {
    for gateway in &fleet.gateways {
        eventually("healthy companions", async || {
            let clusters = gateway.admin_get("/clusters").await.ok()?;
            let healthy = fleet.companions.iter().all(|companion| {
                let line = format!("aplomb-companion::{}::health_flags::healthy", companion.address);
                clusters.lines().any(|each| each == line)
            });
            healthy.then_some(())
        })
        .await;
    }
}

async fn a_companion_is_killed(mode: InstallMode, server: Server) {
    let dir = tempfile::tempdir().expect("a directory");
    let Some(store) = Store::start(server, dir.path()).await.expect("a store") else {
        return;
    };
    let mut fleet = fleet(mode, &store, &[], dir.path()).await;
    let agents = Agent::all(&fleet).await;
    let load = Load::begin(&agents);
    for number in 0..fleet.companions.len() {
        all_are_called(&fleet).await;
        load.more(100).await;
        let before = load.tally();
        fleet.companions[number].kill().await.expect("killed");
        // The other one serves all of them.
        load.more(100).await;
        let after = load.tally();
        let denied = |code: &String| after.denied[code] - before.denied.get(code).copied().unwrap_or(0);
        let denied: Vec<String> = after
            .denied
            .keys()
            .map(|code| format!("{} {code}", denied(code)))
            .collect();
        println!(
            "{}: companion {number} killed: of {} calls were denied: {denied:?}, broken: {}, wrongly allowed: {}",
            mode.name(),
            after.calls - before.calls,
            after.broken.len() - before.broken.len(),
            after.wrong
        );
        fleet.companions[number].restart().await.expect("comes back");
    }
    let tally = load.end().await;
    assert_eq!(tally.wrong, 0);
    assert!(tally.broken.is_empty(), "{:?}\n{}", tally.broken, fleet.logs());
    nothing_is_lost(&fleet, &agents, &tally).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_companion_loses_nothing_and_opens_nothing_in_full_mode() {
    a_companion_is_killed(InstallMode::Full, Server::Valkey).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_companion_loses_nothing_and_opens_nothing_in_paired_mode() {
    a_companion_is_killed(InstallMode::Paired, Server::Redis).await;
}
