//! Two companions on one Valkey behind a real Envoy: each is replaced under load, and no call fails.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use companion_protocol::{EffectResult, EffectsResponse, OnFail};
use serde_json::{Value, json};

use super::client::{DIGEST, append, call, get, load, post, request};
use super::faults::valkey::Server;
use super::real::{free_port, program};
use crate::patience::eventually;

/// Longer than the test, which ends the companion itself when Envoy has turned away from it.
const DRAIN_S: &str = "3600";

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Fleet {
    directory: tempfile::TempDir,
    store: String,
}

impl Fleet {
    fn start(&self, port: u16) -> Running {
        let data = self.directory.path().join(format!("data-{port}"));
        let child = Command::new(env!("CARGO_BIN_EXE_aplomb-companion"))
            .args([
                "serve",
                "--listen",
                &format!("127.0.0.1:{port}"),
                "--drain",
                DRAIN_S,
            ])
            .args(["--store", &self.store, "--store-replicas", "0"])
            .arg("--config")
            .arg(self.directory.path().join("companion.json"))
            .arg("--data")
            .arg(data)
            .stdout(Stdio::null())
            .spawn()
            .expect("starts");
        Running(child)
    }

    fn envoy(&self, listen: u16, admin: u16, companions: [u16; 2]) -> Option<Running> {
        let program = program("envoy")?;
        let file = self.directory.path().join("envoy.json");
        std::fs::write(&file, bootstrap(listen, admin, companions).to_string()).expect("writes");
        let child = Command::new(program)
            .args([
                "--use-dynamic-base-id",
                "--log-level",
                "error",
                "--concurrency",
                "1",
                "-c",
            ])
            .arg(file)
            .spawn()
            .expect("starts");
        Some(Running(child))
    }
}

fn address(port: u16) -> Value {
    json!({"socket_address": {"address": "127.0.0.1", "port_value": port}})
}

fn bootstrap(listen: u16, admin: u16, companions: [u16; 2]) -> Value {
    let endpoints = companions.map(|port| json!({"endpoint": {"address": address(port)}}));
    let manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "callers",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [
            // No retries: a proxy's call for effects has none.
            {"match": {"prefix": "/"}, "route": {"cluster": "companions", "timeout": "60s"}}]}]},
        "http_filters": [{"name": "router", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}],
    });
    json!({
        "admin": {"address": address(admin)},
        "static_resources": {
            "listeners": [{"name": "in", "address": address(listen), "filter_chains": [{"filters": [
                {"name": "http", "typed_config": manager}]}]}],
            "clusters": [{
                "name": "companions", "type": "STATIC", "connect_timeout": "10s",
                "common_lb_config": {"healthy_panic_threshold": {"value": 0}, "update_merge_window": "0s"},
                "health_checks": [{
                    "timeout": "10s", "interval": "0.2s", "no_traffic_interval": "0.2s",
                    "unhealthy_threshold": 1, "healthy_threshold": 1, "http_health_check": {"path": "/readyz"}}],
                "load_assignment": {"cluster_name": "companions", "endpoints": [{"lb_endpoints": endpoints}]},
            }],
        },
    })
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// Waits until Envoy says this of the companion at `port`.
async fn envoy_says(admin: u16, port: u16, said: &[&str]) {
    eventually("Envoy's opinion", async || {
        let text = String::from_utf8(get(local(admin), "/clusters").await.body.to_vec()).ok()?;
        let start = format!("companions::127.0.0.1:{port}::");
        // Several flags stand behind each other: a check that fails, and the companion's own word that it leaves.
        let says = |what: &&str| {
            let said = |line: &str| {
                line.strip_prefix(&start)
                    .is_some_and(|said| said.starts_with(what))
            };
            text.lines().any(said)
        };
        said.iter().all(says).then_some(())
    })
    .await;
}

/// Appends and loads until it is told to stop; counts calls that were not answered with what they asked for.
async fn callers(envoy: u16, stop: Arc<AtomicBool>, calls: Arc<AtomicU64>) -> Vec<String> {
    let mut failures = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let effects = vec![
            call(append('a', "secret"), OnFail::Stop),
            call(load('a'), OnFail::Stop),
        ];
        let answer = post(local(envoy), request(DIGEST, effects)).await;
        let parsed: Option<EffectsResponse> = serde_json::from_slice(&answer.body).ok();
        let has_label = |result: &EffectResult| matches!(result, EffectResult::Labels(labels) if labels.session == ["secret"]);
        let done = parsed.is_some_and(|response| response.results.iter().all(has_label));
        if !done {
            failures.push(format!("{} {:?}", answer.status, answer.body));
        }
        calls.fetch_add(1, Ordering::Relaxed);
    }
    failures
}

async fn more(calls: &AtomicU64) {
    let before = calls.load(Ordering::Relaxed);
    eventually("more calls", async || {
        (calls.load(Ordering::Relaxed) > before + 100).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_behind_envoy_fails_no_call() {
    let Some(valkey) = Server::start(None).await else {
        return;
    };
    let directory = tempfile::tempdir().expect("a directory");
    let config = json!({"version": 1, "policy_digest": DIGEST});
    std::fs::write(directory.path().join("companion.json"), config.to_string()).expect("writes");
    let store = format!("127.0.0.1:{}", valkey.port);
    let fleet = Fleet { directory, store };
    let (listen, admin, ports) = (free_port(), free_port(), [free_port(), free_port()]);
    let mut companions = ports.map(|port| fleet.start(port));
    let Some(_envoy) = fleet.envoy(listen, admin, ports) else {
        return;
    };
    eventually("Envoy", async || {
        tokio::net::TcpStream::connect(local(admin)).await.ok()
    })
    .await;
    for port in ports {
        envoy_says(admin, port, &["health_flags::healthy"]).await;
    }
    eventually("the listener", async || {
        tokio::net::TcpStream::connect(local(listen)).await.ok()
    })
    .await;
    let (stop, calls) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let crowd: Vec<_> = (0..4)
        .map(|_| tokio::spawn(callers(listen, Arc::clone(&stop), Arc::clone(&calls))))
        .collect();
    for (companion, port) in companions.iter_mut().zip(ports) {
        let id = companion.0.id().to_string();
        assert!(Command::new("kill").arg(&id).status().expect("kill").success());
        envoy_says(admin, port, &["health_flags::/failed_active_hc"]).await;
        // What Envoy's main thread says now, its worker has heard when it has served calls since.
        more(&calls).await;
        envoy_says(admin, port, &["rq_active::0"]).await;
        // Nothing is sent there any more, so the rest of the drain time is not waited for.
        companion.0.kill().expect("runs");
        companion.0.wait().expect("ends");
        *companion = fleet.start(port);
        envoy_says(admin, port, &["health_flags::healthy"]).await;
        more(&calls).await;
    }
    stop.store(true, Ordering::Relaxed);
    for caller in crowd {
        let failures = caller.await.expect("joins");
        assert!(failures.is_empty(), "{failures:?}");
    }
    println!("{} calls, none failed", calls.load(Ordering::Relaxed));
}
