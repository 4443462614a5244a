//! Valkey: the primary dies and its replica takes over; the network parts companion and store.

use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use companion_protocol::Effect;
use serde_json::json;

use super::relay::{Relay, Way};
use super::{ask_one, code, labels, missing, must_refuse, row, times};
use crate::client::{DIGEST, append, load};
use crate::durability::Process;
use crate::patience::eventually;
use crate::real::{free_port, program};

/// A server with its data; killed when it is dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) port: u16,
    _directory: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    pub(crate) async fn start(primary: Option<u16>) -> Option<Self> {
        Self::of("valkey-server", primary).await
    }

    /// Of this program: Redis takes the same options.
    pub(crate) async fn of(name: &str, primary: Option<u16>) -> Option<Self> {
        let program = program(name)?;
        let (port, directory) = (free_port(), tempfile::tempdir().expect("a directory"));
        let mut command = Command::new(program);
        command.args([
            "--port",
            &port.to_string(),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--repl-diskless-sync-delay",
            "0",
        ]);
        command
            .args(["--appendonly", "yes", "--appendfsync", "always", "--dir"])
            .arg(directory.path());
        if let Some(primary) = primary {
            command.args(["--replicaof", &format!("127.0.0.1 {primary}")]);
        }
        let child = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("starts");
        eventually(name, async || {
            std::net::TcpStream::connect(("127.0.0.1", port)).ok()
        })
        .await;
        Some(Self {
            child,
            port,
            _directory: directory,
        })
    }

    pub(crate) async fn command(&self, words: &[&str]) -> String {
        let client = redis::Client::open(format!("redis://127.0.0.1:{}", self.port)).expect("an address");
        let mut connection = client.get_multiplexed_async_connection().await.expect("connects");
        let (name, arguments) = words.split_first().expect("a command");
        let answer: redis::Value = redis::cmd(name)
            .arg(arguments)
            .query_async(&mut connection)
            .await
            .expect("performs");
        format!("{answer:?}")
    }

    /// Product and version.
    async fn about(&self) -> String {
        let told = self.command(&["INFO", "server"]).await;
        let field = |name: &str| {
            let (_, rest) = told.split_once(name)?;
            rest.split(|c: char| !c.is_ascii_digit() && c != '.').next()
        };
        match (field("valkey_version:"), field("redis_version:")) {
            (Some(version), _) => format!("Valkey {version}"),
            (None, Some(version)) => format!("Redis {version}"),
            (None, None) => panic!("no version: {told}"),
        }
    }

    async fn synced(&self) {
        eventually("the replica", async || {
            let told = self.command(&["INFO", "replication"]).await;
            told.contains("master_link_status:up").then_some(())
        })
        .await;
    }
}

/// Whether it was performed.
async fn done(address: std::net::SocketAddr, effect: Effect) -> bool {
    code(&ask_one(address, effect).await.expect("an answer")) == "done"
}

async fn epoch(process: &Process) -> String {
    let response = crate::client::perform(process.address, DIGEST, Vec::new()).await;
    response.epoch
}

/// What was acknowledged to the writers.
type Acknowledged = Arc<Mutex<Vec<String>>>;

/// Appends until told to stop.
async fn writer(
    address: std::net::SocketAddr,
    name: usize,
    stop: tokio::sync::watch::Receiver<bool>,
    acknowledged: Acknowledged,
) {
    for n in 0.. {
        if *stop.borrow() {
            break;
        }
        let label = format!("w{name}-{n}");
        if let Some(result) = ask_one(address, append('a', &label)).await
            && code(&result) == "done"
        {
            acknowledged.lock().expect("a lock").push(label);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_loses_nothing_that_two_disks_had() {
    let rounds = times(1, 10);
    for round in 0..rounds {
        // Redis 7.0 has no `WAITAOF`: its replica has what was acknowledged in memory.
        let product = ["valkey-server", "redis-server"][round % 2];
        let Some(primary) = Server::of(product, None).await else {
            return;
        };
        let Some(replica) = Server::of(product, Some(primary.port)).await else {
            return;
        };
        let about = primary.about().await;
        replica.synced().await;
        let relay = Relay::to(primary.port).await;
        let directory = tempfile::tempdir().expect("a directory");
        let config = json!({"version": 1, "policy_digest": DIGEST});
        let store = relay.address.to_string();
        let process = Process::start_with(
            directory.path(),
            &config,
            &[],
            &["--store", &store, "--store-replicas", "1"],
        );
        let before = epoch(&process).await;
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let acknowledged = Acknowledged::default();
        let writers: Vec<_> = (0..4)
            .map(|name| {
                let acknowledged = Arc::clone(&acknowledged);
                tokio::spawn(writer(process.address, name, stopped.clone(), acknowledged))
            })
            .collect();
        eventually("an acknowledgement", async || {
            (!acknowledged.lock().expect("a lock").is_empty()).then_some(())
        })
        .await;
        tokio::time::sleep(Duration::from_millis(300 + 37 * round as u64)).await;
        drop(primary);
        let dead = ask_one(process.address, append('a', "while-dead"))
            .await
            .expect("an answer");
        must_refuse(&dead, "session.persist_failed");
        let unread = ask_one(process.address, load('a')).await.expect("an answer");
        must_refuse(&unread, "session.load_failed");
        replica.command(&["REPLICAOF", "NO", "ONE"]).await;
        // Alone it has no second disk: an operator who knows that says so.
        relay.now(Way::To(replica.port));
        tokio::time::sleep(Duration::from_millis(300)).await;
        let alone = ask_one(process.address, append('a', "alone"))
            .await
            .expect("an answer");
        // One disk is not two.
        must_refuse(&alone, "session.persist_failed");
        let Some(second) = Server::of(product, Some(replica.port)).await else {
            return;
        };
        second.synced().await;
        eventually("a store with two disks", async || {
            done(process.address, append('a', "again")).await.then_some(())
        })
        .await;
        stop.send_replace(true);
        for writer in writers {
            writer.await.expect("joins");
        }
        let acknowledged = acknowledged.lock().expect("a lock").clone();
        let lost = missing(&acknowledged, &labels(process.address, 'a').await);
        assert_ne!(epoch(&process).await, before, "a failover is another epoch");
        row(
            &format!(
                "{about}, one replica, round {} of {rounds}: primary killed, replica promoted",
                round + 1
            ),
            "`session.persist_failed`, `session.load_failed` until two disks are there; new epoch",
            acknowledged.len(),
            lost,
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_refuses_in_time_and_loses_nothing() {
    let Some(server) = Server::start(None).await else {
        return;
    };
    let about = server.about().await;
    let relay = Relay::to(server.port).await;
    let directory = tempfile::tempdir().expect("a directory");
    let process = alone(&relay.address.to_string(), directory.path());
    let mut acknowledged = Vec::new();
    for (what, way) in [
        ("swallows bytes", Way::Nowhere),
        ("closes connections", Way::Closed),
    ] {
        for n in 0..20 {
            let label = format!("{what}{n}").replace(' ', "-");
            // A disk that is busy for longer than a command may take refuses one, and that is no fault.
            eventually(&label, async || {
                done(process.address, append('a', &label)).await.then_some(())
            })
            .await;
            acknowledged.push(label);
        }
        relay.now(way);
        let begun = Instant::now();
        for effect in [append('a', "parted"), load('a')] {
            let result = ask_one(process.address, effect).await.expect("an answer");
            must_refuse(&result, "session.");
        }
        // Each in the command's two seconds and the connection's one; the line below tells.
        let took = begun.elapsed();
        relay.now(Way::To(server.port));
        eventually("the store", async || {
            done(process.address, load('a')).await.then_some(())
        })
        .await;
        let lost = missing(&acknowledged, &labels(process.address, 'a').await);
        let answered = format!(
            "`session.persist_failed`, `session.load_failed` in {} ms; well again by itself",
            took.as_millis()
        );
        row(
            &format!("{about}, alone: the network to it {what}"),
            &answered,
            acknowledged.len(),
            lost,
        );
    }
}

/// A companion of its own at this server, one replica asked for.
fn companion_at(address: &str, directory: &std::path::Path) -> Process {
    let config = json!({"version": 1, "policy_digest": DIGEST});
    let arguments = ["--store", address, "--store-replicas", "1"];
    Process::start_with(directory, &config, &[], &arguments)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_its_replicas_have_left_shows_no_labels() {
    for (what, way) in [
        ("swallows bytes", Way::Nowhere),
        ("closes connections", Way::Closed),
    ] {
        let Some(primary) = Server::start(None).await else {
            return;
        };
        let about = primary.about().await;
        // Replication goes by the relay, and the companion's own connection does not: only the replica is cut off.
        let relay = Relay::to(primary.port).await;
        let Some(replica) = Server::start(Some(relay.address.port())).await else {
            return;
        };
        let Some(next_replica) = Server::start(Some(replica.port)).await else {
            return;
        };
        replica.synced().await;
        next_replica.synced().await;
        let (here, there) = (
            tempfile::tempdir().expect("a directory"),
            tempfile::tempdir().expect("a directory"),
        );
        let left_behind = companion_at(&format!("127.0.0.1:{}", primary.port), here.path());
        // Until the replica is promoted it says of itself that it is none to read from.
        let elsewhere = companion_at(&format!("127.0.0.1:{}", replica.port), there.path());
        eventually("the first two disks", async || {
            done(left_behind.address, append('a', "before"))
                .await
                .then_some(())
        })
        .await;
        assert_eq!(labels(left_behind.address, 'a').await, ["before"]);

        relay.now(way);
        replica.command(&["REPLICAOF", "NO", "ONE"]).await;
        eventually("the other two disks", async || {
            done(elsewhere.address, append('a', "secret")).await.then_some(())
        })
        .await;
        let since = Instant::now();
        // What is answered here now lacks the label; the confirmation that it rests on ends, and stays away.
        let (mut late, mut last) = (0_u32, None);
        eventually("the old primary's refusal", async || {
            match ask_one(left_behind.address, load('a')).await.expect("an answer") {
                companion_protocol::EffectResult::Labels(_) => {
                    late += 1;
                    last = Some(since.elapsed());
                    None
                }
                refused => (code(&refused) == "session.load_failed").then_some(()),
            }
        })
        .await;
        let refused = ask_one(left_behind.address, append('a', "parted"))
            .await
            .expect("an answer");
        must_refuse(&refused, "session.persist_failed");
        for _ in 0..20 {
            let refused = ask_one(left_behind.address, load('a')).await.expect("an answer");
            // It must not believe itself again.
            must_refuse(&refused, "session.load_failed");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let held = labels(elsewhere.address, 'a').await;
        let both = ["before".to_owned(), "secret".to_owned()];
        let window = last.map_or(0, |last: Duration| last.as_millis());
        row(
            &format!(
                "{about}, a replica of a replica: primary cut off from its replica, which is promoted (the network {what})"
            ),
            &format!(
                "there `session.persist_failed` at once, and `session.load_failed` {window} ms after the first append elsewhere ({late} loads late)"
            ),
            both.len(),
            missing(&both, &held),
        );
    }
}

/// A companion on a server without replicas.
fn alone(store: &str, directory: &std::path::Path) -> Process {
    let config = json!({"version": 1, "policy_digest": DIGEST});
    let arguments = ["--store", store, "--store-replicas", "0"];
    Process::start_with(directory, &config, &[], &arguments)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_takes_no_writes_refuses_appends_and_shows_labels_or_refuses_that_too() {
    let full = "is full (`maxmemory`)";
    for (product, what, setting, reads) in [
        ("valkey-server", full, "maxmemory", true),
        // A full Redis 7.0 takes no transaction, and loads are one.
        ("redis-server", full, "maxmemory", false),
        (
            "valkey-server",
            "takes no writes (`min-replicas-to-write`)",
            "min-replicas-to-write",
            true,
        ),
    ] {
        let Some(server) = Server::of(product, None).await else {
            continue;
        };
        let about = server.about().await;
        let directory = tempfile::tempdir().expect("a directory");
        let process = alone(&format!("127.0.0.1:{}", server.port), directory.path());
        eventually("an append", async || {
            done(process.address, append('a', "before")).await.then_some(())
        })
        .await;
        server.command(&["CONFIG", "SET", setting, "1"]).await;
        for n in 0..10 {
            let refused = ask_one(process.address, append('a', &format!("full{n}"))).await;
            must_refuse(&refused.expect("an answer"), "session.persist_failed");
            let seen = ask_one(process.address, load('a')).await.expect("an answer");
            match reads {
                true => assert_eq!(code(&seen), "done"),
                false => must_refuse(&seen, "session.load_failed"),
            }
        }
        server.command(&["CONFIG", "SET", setting, "0"]).await;
        eventually("an append", async || {
            done(process.address, append('a', "after")).await.then_some(())
        })
        .await;
        let both = ["before".to_owned(), "after".to_owned()];
        row(
            &format!("{about}, alone: it {what}"),
            match reads {
                true => "`session.persist_failed`, labels are still read; well again by itself",
                false => "`session.persist_failed`, `session.load_failed`; well again by itself",
            },
            both.len(),
            missing(&both, &labels(process.address, 'a').await),
        );
    }
}
