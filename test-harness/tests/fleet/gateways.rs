//! Gateways that are replaced while a load balancer leads around them.

use aplomb_test_harness::envoy::wasm::InstallMode;
use aplomb_test_harness::patience::eventually;
use aplomb_test_harness::stack::{Server, Store};

use crate::load::{Agent, Load, fleet, nothing_is_lost};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gateways_that_are_replaced_in_turn_deny_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let Some(store) = Store::start(Server::Valkey, dir.path()).await.expect("a store") else {
        return;
    };
    let mut fleet = fleet(InstallMode::Full, &store, &[], dir.path()).await;
    let agents = Agent::all(&fleet).await;
    let load = Load::begin(&agents);
    load.more(100).await;
    for number in 0..fleet.gateways.len() {
        load.take_out(Some(number));
        eventually("a gateway without requests", async || {
            let active = fleet.gateways[number].stat("http.agents.downstream_rq_active");
            (active.await.ok()? == Some(0)).then_some(())
        })
        .await;
        // Who has looked at the rotation just before may still be on the way.
        load.more(20).await;
        fleet.replace_gateway(number).await.expect("comes back");
        load.take_out(None);
        load.more(100).await;
    }
    let tally = load.end().await;
    println!(
        "both gateways replaced in turn: {} calls, {} wrongly allowed, denied: {:?}, broken: {}",
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
