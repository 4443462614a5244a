//! The store is gone for a while: what needs it is denied by its cause, the rest is served, and all is well again by itself.

use aplomb_test_harness::backend::Role;
use aplomb_test_harness::envoy::wasm::InstallMode;
use aplomb_test_harness::patience::eventually;
use aplomb_test_harness::stack::{Fleet, Server, Store};
use serde_json::json;

use crate::load::{Agent, Fate, TAINTED, fleet};

/// A call that needs a token and a record, and no label.
async fn searches(fleet: &Fleet, gateway: usize) -> String {
    let tokens = fleet.idp.log_in("alice").await.expect("logs in");
    let mut client = tokens
        .client(&fleet.gateways[gateway], Role::Repos, "search")
        .expect("a client");
    client.connect().await.expect("a handshake");
    let arguments = json!({"repo_name": "web-app", "visibility": "internal"});
    let reply = client.call(&json!(1), "search_repos", &arguments).await;
    reply.expect("an answer").summary()
}

/// Waits until every gateway says this of every companion.
async fn companions_are(fleet: &Fleet, ready: bool) {
    for gateway in &fleet.gateways {
        eventually("the companions' health", async || {
            let clusters = gateway.admin_get("/clusters").await.ok()?;
            let all = fleet.companions.iter().all(|companion| {
                let of = format!("aplomb-companion::{}::health_flags::", companion.address);
                let flags = clusters.lines().find_map(|line| line.strip_prefix(&of));
                flags.is_some_and(|flags| ready == (flags == "healthy"))
            });
            all.then_some(())
        })
        .await;
    }
}

async fn the_store_goes_and_comes_back(mode: InstallMode, server: Server) {
    let dir = tempfile::tempdir().expect("a directory");
    let Some(mut store) = Store::start(server, dir.path()).await.expect("a store") else {
        return;
    };
    let fleet = fleet(mode, &store, &[], dir.path()).await;
    let agents = Agent::all(&fleet).await;
    let trace = format!("{:032x}", 1);
    assert_eq!(agents[0].read("before", &trace).await, Fate::Allowed);
    store.kill().await.expect("killed");
    companions_are(&fleet, false).await;
    for (number, agent) in agents.iter().enumerate() {
        let read = agent.read("meanwhile", &trace).await;
        let because =
            |fate: &Fate, cause: &str| matches!(fate, Fate::Denied(code) if code.starts_with(cause));
        assert!(because(&read, "session."), "{read:?}\n{}", fleet.logs());
        let mail = agent.mail("before", &trace).await;
        assert!(because(&mail, "session."), "{mail:?}\n{}", fleet.logs());
        println!("the store is gone: reading {read:?}, mail {mail:?}");
        let found = searches(&fleet, number).await;
        assert!(
            found.contains("TypeScript"),
            "what needs no label: {found}\n{}",
            fleet.logs()
        );
    }
    store.restart().await.expect("comes back");
    companions_are(&fleet, true).await;
    for agent in &agents {
        eventually("a label", async || {
            (agent.read("after", &trace).await == Fate::Allowed).then_some(())
        })
        .await;
    }
    for agent in &agents {
        for session in ["before", "after"] {
            let mail = agent.mail(session, &trace).await;
            assert_eq!(mail, Fate::Denied(TAINTED.to_owned()), "{session}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_away_denies_by_its_cause_and_only_what_needs_it_in_full_mode() {
    the_store_goes_and_comes_back(InstallMode::Full, Server::Valkey).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_away_denies_by_its_cause_and_only_what_needs_it_in_paired_mode() {
    the_store_goes_and_comes_back(InstallMode::Paired, Server::Redis).await;
}
