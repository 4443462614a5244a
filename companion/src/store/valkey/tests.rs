mod server;

use std::sync::atomic::AtomicU16;

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

#[tokio::test]
async fn the_documented_rights_of_an_acl_user_suffice_over_tls() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = |name: &str| directory.path().join(name).display().to_string();
    let signed = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    std::fs::write(file("cert"), signed.cert.pem()).expect("writes");
    std::fs::write(file("key"), signed.signing_key.serialize_pem()).expect("writes");
    let rights = include_str!("../valkey.rs")
        .split("**Rights**")
        .nth(1)
        .and_then(|text| text.split('`').nth(1))
        .expect("the rights are documented")
        .replace("//!", " ");
    std::fs::write(
        file("acl"),
        format!(
            "user default off\nuser aplomb on >hunter2 ~aplomb:v1:* {}\n",
            rights
                .split_whitespace()
                // Redis 7.0 does not know it.
                .filter(|right| *right != "+waitaof")
                .collect::<Vec<_>>()
                .join(" ")
        ),
    )
    .expect("writes");
    let port = server::free_port().to_string();
    let (cert, key_file, acl) = (file("cert"), file("key"), file("acl"));
    let mut arguments = DURABLE.to_vec();
    arguments.extend([
        "--port",
        "0",
        "--tls-port",
        &port,
        "--tls-cert-file",
        &cert,
        "--tls-key-file",
        &key_file,
    ]);
    arguments.extend(["--tls-auth-clients", "no", "--aclfile", &acl]);
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
    let ca = signed.cert.pem().into_bytes();
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

/// Prints what the store does in a second beside `redis-benchmark`. Run alone, in release:
/// `cargo test --release -p aplomb-companion --lib valkey::tests::figures -- --ignored --nocapture`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement, and it wants the machine for itself"]
async fn figures() {
    const CALLERS: u64 = 64;
    const SECONDS: u64 = 3;
    let Some((store, server)) = fixture(Kind::Valkey).await else {
        return;
    };
    for appends in [true, false] {
        let end = std::time::Instant::now() + std::time::Duration::from_secs(SECONDS);
        let callers: Vec<_> = (0..CALLERS)
            .map(|caller| {
                let store = Arc::clone(&store);
                tokio::spawn(async move {
                    let mut done = 0;
                    while std::time::Instant::now() < end {
                        let mut asked = secret();
                        asked.key.session = format!("{:064x}", caller + done * CALLERS);
                        match appends {
                            true => store.append(asked).await.expect("appends"),
                            false => store.load(&asked.key).await.expect("loads"),
                        };
                        done += 1;
                    }
                    done
                })
            })
            .collect();
        let mut done = 0;
        for caller in callers {
            done += caller.await.expect("joins");
        }
        let what = if appends {
            "append, new session each"
        } else {
            "load"
        };
        println!("{what}: {}/s with {CALLERS} callers", done / SECONDS);
    }
    let port = server.port.to_string();
    let benchmark = std::process::Command::new("redis-benchmark")
        .args([
            "-p", &port, "-c", "1", "-P", "64", "-n", "100000", "-q", "-r", "100000", "-t", "hset,get",
        ])
        .output();
    if let Ok(output) = benchmark {
        println!(
            "redis-benchmark, 1 connection, 64 in a pipeline: {}",
            String::from_utf8_lossy(&output.stdout)
        );
    }
}
