mod cluster;
mod server;
mod tls;

use std::sync::atomic::{AtomicU16, Ordering};

use companion_protocol::SessionKey;
use companion_protocol::config::ValkeyConfig;
use tokio::net::{TcpListener, TcpStream};

use super::super::suite::{append, key, labels};
use super::*;
use crate::config::Secret;
use server::{DURABLE, Kind, Server};

fn config(port: u16) -> ValkeyConfig {
    ValkeyConfig {
        replicas: 0,
        // All the time that a busy disk may take.
        connect_timeout_ms: 60_000,
        command_timeout_ms: 60_000,
        ..ValkeyConfig::at(format!("127.0.0.1:{port}"))
    }
}

async fn open(config: &ValkeyConfig) -> Result<ValkeyStore, ValkeyError> {
    ValkeyStore::open(Address::new(config, None, None).expect("an address")).await
}

async fn fixture(kind: Kind) -> Option<(Arc<dyn SessionStore>, Server)> {
    let server = Server::start(kind, &DURABLE).await?;
    let store = open(&config(server.port)).await.expect("is fit");
    Some((Arc::new(store), server))
}

mod on_redis {
    use super::*;

    async fn fixture() -> Option<(Arc<dyn SessionStore>, Server)> {
        super::fixture(Kind::Redis).await
    }
    crate::store::suite::suite!(fixture);
}

mod on_valkey {
    use super::*;

    async fn fixture() -> Option<(Arc<dyn SessionStore>, Server)> {
        super::fixture(Kind::Valkey).await
    }
    crate::store::suite::suite!(fixture);
}

#[tokio::test]
async fn documents_keep_the_laws_on_both_servers() {
    for kind in [Kind::Redis, Kind::Valkey] {
        let Some(server) = Server::start(kind, &DURABLE).await else {
            continue;
        };
        let store = open(&config(server.port)).await.expect("is fit");
        crate::store::cases::suite::laws(Arc::new(store)).await;
    }
}

fn secret() -> Append {
    append(key('a', '1'), &["secret"], &[], None)
}

/// A replica begins its own append-only file some time after it has everything.
async fn once_durable(store: &dyn SessionStore) -> Held {
    server::eventually("the replica's disk", async || store.append(secret()).await.ok()).await
}

/// Another epoch, once the store has noticed; the first load after a broken connection may fail, and that is a denial.
async fn next_epoch(store: &dyn SessionStore) -> Arc<str> {
    let held = server::eventually("the store", async || store.load(&key('a', '1')).await.ok()).await;
    held.epoch
}

#[tokio::test]
async fn a_flush_changes_the_epoch() {
    let Some((store, server)) = fixture(Kind::Valkey).await else {
        return;
    };
    let before = store.append(secret()).await.expect("appends").epoch;
    server.command(&["FLUSHALL"]).await;
    let held = store.load(&key('a', '1')).await.expect("loads");
    assert!(held.labels.session.is_empty());
    assert_ne!(held.epoch, before);
    server.command(&["FLUSHALL"]).await;
    let appended = store.append(secret()).await.expect("appends");
    assert_ne!(appended.epoch, held.epoch);
    assert_eq!(
        appended.epoch,
        store.load(&key('a', '1')).await.expect("loads").epoch
    );
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_kill_of_the_server_and_the_epoch_changes() {
    for kind in [Kind::Redis, Kind::Valkey] {
        let Some((store, mut server)) = fixture(kind).await else {
            return;
        };
        let before = store.append(secret()).await.expect("appends").epoch;
        server.kill();
        assert_eq!(store.load(&key('a', '1')).await, Err(StoreError::Unavailable));
        assert!(!store.healthy());
        server.restart().await;
        assert_ne!(next_epoch(&*store).await, before);
        assert_eq!(labels(&*store, key('a', '1')).await.session, ["secret"]);
        store.append(secret()).await.expect("appends again");
        assert!(store.healthy());
    }
}

#[tokio::test]
async fn a_server_that_goes_or_comes_back_is_noticed_where_nobody_asks() {
    let Some((store, mut server)) = fixture(Kind::Valkey).await else {
        return;
    };
    assert!(store.healthy());
    server.kill();
    server::eventually("its absence", async || (!store.healthy()).then_some(())).await;
    server.restart().await;
    server::eventually("its return", async || store.healthy().then_some(())).await;
}

#[tokio::test]
async fn two_companions_read_each_others_writes_and_agree_on_the_epoch() {
    let Some((one, server)) = fixture(Kind::Valkey).await else {
        return;
    };
    let two = open(&config(server.port)).await.expect("is fit");
    let epoch = one.append(secret()).await.expect("appends").epoch;
    let held = two.load(&key('a', '1')).await.expect("loads");
    assert_eq!(
        (held.labels.session.as_slice(), &held.epoch),
        (["secret".to_owned()].as_slice(), &epoch)
    );
    let whole = super::super::suite::all_of('a');
    two.clear(&whole).await.expect("clears");
    let held = one.load(&key('a', '1')).await.expect("loads");
    assert!(held.labels.session.is_empty());
    assert_ne!(held.epoch, epoch);
}

#[tokio::test]
async fn an_append_is_not_acknowledged_unless_the_replica_has_it_on_disk() {
    let Some(primary) = Server::start(Kind::Valkey, &DURABLE).await else {
        return;
    };
    let mut config = config(primary.port);
    (config.replicas, config.command_timeout_ms) = (1, 800);
    let store = open(&config).await.expect("is fit");
    assert_eq!(store.append(secret()).await, Err(StoreError::Unavailable));
    assert!(!store.healthy());
    let port = primary.port.to_string();
    let mut arguments = DURABLE.to_vec();
    arguments.extend(["--replicaof", "127.0.0.1", &port]);
    let replica = Server::start(Kind::Valkey, &arguments).await.expect("installed");
    replica.synced().await;
    assert_eq!(once_durable(&store).await.labels.session, ["secret"]);
    drop(replica);
    assert_eq!(store.append(secret()).await, Err(StoreError::Unavailable));
}

/// Forwards connections to whatever port is current, as a service name does.
async fn forwarder(target: Arc<AtomicU16>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let target = target.load(Ordering::Relaxed);
            tokio::spawn(async move {
                if let Ok(mut server) = TcpStream::connect(("127.0.0.1", target)).await {
                    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                }
            });
        }
    });
    port
}

/// A replica of a replica, so that the first has one when it is promoted.
async fn follower(replica: &Server) -> Server {
    let port = replica.port.to_string();
    let mut arguments = DURABLE.to_vec();
    arguments.extend(["--replicaof", "127.0.0.1", &port]);
    let second = Server::start(Kind::Valkey, &arguments).await.expect("installed");
    second.synced().await;
    second
}

#[tokio::test]
async fn labels_are_read_only_from_a_server_that_enough_replicas_follow() {
    let Some(primary) = Server::start(Kind::Valkey, &DURABLE).await else {
        return;
    };
    let replica = follower(&primary).await;
    let mut config = config(primary.port);
    (config.replicas, config.command_timeout_ms) = (1, 800);
    let store = open(&config).await.expect("is fit");
    once_durable(&store).await;
    assert_eq!(labels(&store, key('a', '1')).await.session, ["secret"]);
    drop(replica);
    let refused = async || store.load(&key('a', '1')).await.err();
    let error = server::eventually("the refusal", refused).await;
    assert_eq!(error, StoreError::Unavailable);
    let _again = follower(&primary).await;
    next_epoch(&store).await;
    assert_eq!(labels(&store, key('a', '1')).await.session, ["secret"]);
    assert!(store.healthy());
}

#[tokio::test]
async fn a_failover_keeps_what_was_acknowledged_and_changes_the_epoch() {
    let Some(mut primary) = Server::start(Kind::Valkey, &DURABLE).await else {
        return;
    };
    let port = primary.port.to_string();
    let mut arguments = DURABLE.to_vec();
    arguments.extend(["--replicaof", "127.0.0.1", &port]);
    let replica = Server::start(Kind::Valkey, &arguments).await.expect("installed");
    replica.synced().await;
    let _second = follower(&replica).await;
    let target = Arc::new(AtomicU16::new(primary.port));
    let mut config = config(forwarder(Arc::clone(&target)).await);
    config.replicas = 1;
    let store = open(&config).await.expect("is fit");
    let before = once_durable(&store).await.epoch;
    primary.kill();
    target.store(replica.port, Ordering::Relaxed);
    // Not promoted yet: nothing may be read from it.
    for _ in 0..3 {
        assert_eq!(store.load(&key('a', '1')).await, Err(StoreError::Unavailable));
    }
    replica.command(&["REPLICAOF", "NO", "ONE"]).await;
    assert_ne!(next_epoch(&store).await, before);
    assert_eq!(labels(&store, key('a', '1')).await.session, ["secret"]);
}

/// A sentinel that watches the primary at `port`, alone, so that it decides alone.
async fn sentinel(port: u16) -> Option<Server> {
    let watched = format!("sentinel monitor main 127.0.0.1 {port} 1");
    let lines = [
        watched.as_str(),
        "sentinel down-after-milliseconds main 500",
        "sentinel failover-timeout main 3000",
    ];
    Server::sentinel(Kind::Redis, &lines).await
}

#[tokio::test]
async fn sentinels_lead_to_the_primary_and_after_a_failover_to_the_next() {
    let Some(mut primary) = Server::start(Kind::Redis, &DURABLE).await else {
        return;
    };
    let port = primary.port.to_string();
    let mut arguments = DURABLE.to_vec();
    arguments.extend(["--replicaof", "127.0.0.1", &port]);
    let replica = Server::start(Kind::Redis, &arguments).await.expect("installed");
    replica.synced().await;
    let _second = follower(&replica).await;
    let watching = sentinel(primary.port).await.expect("installed");
    // The first of the two is not there.
    let endpoint = format!("redis+sentinel://127.0.0.1:1,127.0.0.1:{}/main", watching.port);
    let store = open(&ValkeyConfig::at(endpoint))
        .await
        .expect("is led to the primary");
    let before = once_durable(&store).await.epoch;
    watching.knows_a_replica("main").await;
    replica.synced().await;
    primary.kill();
    assert_ne!(next_epoch(&store).await, before);
    assert_eq!(labels(&store, key('a', '1')).await.session, ["secret"]);
}

#[tokio::test]
async fn a_name_that_no_sentinel_knows_leads_nowhere() {
    let Some(primary) = Server::start(Kind::Redis, &DURABLE).await else {
        return;
    };
    let watching = sentinel(primary.port).await.expect("installed");
    let endpoint = format!("redis+sentinel://127.0.0.1:{}/other", watching.port);
    // As with a server that is not there yet: it may come.
    let store = open(&ValkeyConfig::at(endpoint)).await.expect("opens");
    assert_eq!(store.append(secret()).await, Err(StoreError::Unavailable));
    assert!(!store.healthy());
}

#[tokio::test]
async fn a_primary_that_was_demoted_is_not_read_from() {
    let Some((store, server)) = fixture(Kind::Valkey).await else {
        return;
    };
    store.append(secret()).await.expect("appends");
    server.command(&["REPLICAOF", "127.0.0.1", "1"]).await;
    assert_eq!(store.load(&key('a', '1')).await, Err(StoreError::Unavailable));
    assert_eq!(store.append(secret()).await, Err(StoreError::Unavailable));
}

#[tokio::test]
async fn a_server_that_could_lose_labels_is_refused_with_what_to_set() {
    let cases: [(Kind, &[&str], &str); 3] = [
        (Kind::Valkey, &[], "appendonly yes"),
        (Kind::Redis, &["--appendonly", "yes"], "appendfsync always"),
        (
            Kind::Valkey,
            &[
                "--appendonly",
                "yes",
                "--maxmemory",
                "100mb",
                "--maxmemory-policy",
                "allkeys-lru",
            ],
            "noeviction",
        ),
    ];
    for (kind, arguments, expected) in cases {
        let Some(server) = Server::start(kind, arguments).await else {
            return;
        };
        let Err(ValkeyError::Misfit { source, .. }) = open(&config(server.port)).await else {
            panic!("`{expected}` is missing and nobody minds")
        };
        assert!(source.to_string().contains(expected), "{source}");
    }
}

#[tokio::test]
async fn a_foreign_row_fails_the_load_and_the_append() {
    let Some((store, server)) = fixture(Kind::Valkey).await else {
        return;
    };
    let name = format!("aplomb:v1:{{{}}}:s:{}", "a".repeat(64), "1".repeat(64));
    server.command(&["HSET", &name, "secret", "yes"]).await;
    assert_eq!(store.load(&key('a', '1')).await, Err(StoreError::Unavailable));
    assert!(store.append(secret()).await.is_err());
}

/// Loads of sessions 0 to `count` - 1 of one subject, all asked for while the server is held. On one thread: when this has
/// yielded once to each task, all of them wait.
async fn loads_that_wait(
    store: &Arc<ValkeyStore>,
    server: &Server,
    count: u64,
) -> Vec<Result<Held, StoreError>> {
    server.hold(true);
    let tasks: Vec<_> = (0..count)
        .map(|number| {
            let store = Arc::clone(store);
            tokio::spawn(async move { store.load(&numbered(number)).await })
        })
        .collect();
    tokio::task::yield_now().await;
    server.hold(false);
    let mut held = Vec::new();
    for task in tasks {
        held.push(task.await.expect("joins"));
    }
    held
}

fn numbered(session: u64) -> SessionKey {
    SessionKey {
        session: format!("{session:064x}"),
        ..key('a', '1')
    }
}

#[tokio::test(flavor = "current_thread")]
async fn loads_that_wait_share_a_transaction_and_each_gets_its_own_labels() {
    const LOADS: u64 = 100;
    let Some(server) = Server::start(Kind::Redis, &DURABLE).await else {
        return;
    };
    let store = Arc::new(open(&config(server.port)).await.expect("is fit"));
    for number in 0..LOADS {
        let label = format!("l{number}");
        let asked = append(numbered(number), &[&label], &["watched"], None);
        store.append(asked).await.expect("appends");
    }
    store.load(&numbered(0)).await.expect("loads");
    let before = server.calls("exec").await;
    let answers = loads_that_wait(&store, &server, LOADS).await;
    for (number, held) in answers.into_iter().enumerate() {
        let labels = held.expect("loads").labels;
        assert_eq!(labels.session, [format!("l{number}")]);
        assert_eq!(labels.subject, ["watched"]);
    }
    let transactions = server.calls("exec").await - before;
    // Those that found a free flight, and all others together.
    assert!(
        (1..=2 * reader::FLIGHTS as u64).contains(&transactions),
        "{transactions}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn loads_of_many_callers_are_under_way_at_once_and_each_gets_its_own_labels() {
    const CALLERS: u64 = 64;
    let Some(server) = Server::start(Kind::Redis, &DURABLE).await else {
        return;
    };
    let store = Arc::new(open(&config(server.port)).await.expect("is fit"));
    for number in 0..CALLERS {
        // Of different sizes, so that answers end anywhere in what is read at a time.
        let labels: Vec<String> = (0..=number).map(|n| format!("{number}-{n}")).collect();
        let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
        let asked = append(numbered(number), &labels, &[], None);
        store.append(asked).await.expect("appends");
    }
    let tasks: Vec<_> = (0..CALLERS)
        .map(|number| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                for _ in 0..100 {
                    let held = store.load(&numbered(number)).await.expect("loads").labels.session;
                    assert_eq!(held.len() as u64, number + 1);
                    assert!(held.contains(&format!("{number}-{number}")), "{held:?}");
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("joins");
    }
}

#[tokio::test(flavor = "current_thread")]
async fn a_foreign_row_fails_its_own_load_and_no_other_of_the_batch() {
    let Some(server) = Server::start(Kind::Valkey, &DURABLE).await else {
        return;
    };
    let store = Arc::new(open(&config(server.port)).await.expect("is fit"));
    store
        .append(append(numbered(1), &["secret"], &[], None))
        .await
        .expect("appends");
    let row = |number: u64| format!("aplomb:v1:{{{}}}:s:{number:064x}", "a".repeat(64));
    server.command(&["HSET", &row(2), "secret", "yes"]).await;
    server.command(&["SET", &row(3), "no bucket"]).await;
    let answers = loads_that_wait(&store, &server, 9).await;
    for (number, held) in answers.into_iter().enumerate() {
        match number {
            1 => assert_eq!(held.expect("loads").labels.session, ["secret"]),
            2 | 3 => assert_eq!(held, Err(StoreError::Unavailable)),
            _ => assert!(held.expect("loads").labels.session.is_empty()),
        }
    }
}

#[tokio::test]
async fn the_documented_rights_of_an_acl_user_suffice_over_tls() {
    let files = tls::files(&[]);
    let port = server::free_port().to_string();
    let mut arguments = DURABLE.to_vec();
    arguments.extend(["--port", "0", "--tls-port", &port]);
    arguments.extend(files.arguments.iter().map(String::as_str));
    let Some(_server) = Server::start_at(Kind::Redis, port.parse().expect("a port"), &arguments).await else {
        return;
    };
    let mut config = config(0);
    config.endpoint = format!("rediss://localhost:{port}");
    config.username = Some("aplomb".to_owned());
    let connect = async |password: &str, ca: Option<Vec<u8>>| {
        let password = Secret::new(password);
        let address = Address::new(&config, Some(&password), ca).expect("an address");
        ValkeyStore::open(address)
            .await
            .expect("is fit or does not answer")
    };
    let ca = files.ca.clone();
    let store = connect("hunter2", Some(ca.clone())).await;
    store.append(secret()).await.expect("appends");
    assert_eq!(labels(&store, key('a', '1')).await.session, ["secret"]);
    let whole = super::super::suite::all_of('a');
    assert_eq!(store.list(&whole).await.expect("lists").len(), 1);
    assert_eq!(store.clear(&whole).await.expect("clears").labels, 1);
    assert!(!connect("wrong", Some(ca)).await.healthy());
    // The system's roots have not signed it.
    assert!(!connect("hunter2", None).await.healthy());
}
