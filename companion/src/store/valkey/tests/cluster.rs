//! A cluster of real servers.

use super::super::super::suite::all_of;
use super::super::slots;
use super::*;

/// Three primaries with a third of the slots each, and a replica of the first if wanted.
struct Servers {
    primaries: Vec<Server>,
    replica: Option<Server>,
}

const THIRDS: [[u16; 2]; 3] = [[0, 5460], [5461, 10922], [10923, 16383]];

async fn member(kind: Kind, arguments: &[&str]) -> Option<Server> {
    let mut all = DURABLE.to_vec();
    all.extend(["--cluster-enabled", "yes", "--cluster-node-timeout", "1000"]);
    all.extend(arguments);
    let tls = server::free_port().to_string();
    if arguments.contains(&"--tls-cluster") {
        all.extend(["--tls-port", &tls]);
    }
    Server::start_in_cluster(kind, &all).await
}

async fn id(server: &Server) -> String {
    redis::from_redis_value(server.command(&["CLUSTER", "MYID"]).await).expect("an id")
}

async fn in_order(server: &Server, nodes: usize) {
    let known = format!("cluster_known_nodes:{nodes}");
    server::eventually("the cluster", async || {
        let info = format!("{:?}", server.command(&["CLUSTER", "INFO"]).await);
        (info.contains("cluster_state:ok") && info.contains(&known)).then_some(())
    })
    .await;
}

/// `None`: the program is not installed.
async fn servers(kind: Kind, with_replica: bool, arguments: &[&str]) -> Option<Servers> {
    let mut primaries = Vec::new();
    for (number, [from, to]) in THIRDS.iter().enumerate() {
        let server = member(kind, arguments).await?;
        let (from, to) = (from.to_string(), to.to_string());
        server.command(&["CLUSTER", "ADDSLOTSRANGE", &from, &to]).await;
        server
            .command(&["CLUSTER", "SET-CONFIG-EPOCH", &(number + 1).to_string()])
            .await;
        primaries.push(server);
    }
    let replica = match with_replica {
        true => member(kind, arguments).await,
        false => None,
    };
    let [first, others @ ..] = primaries.as_slice() else {
        panic!("three are started")
    };
    for other in others.iter().chain(&replica) {
        let port = other.port.to_string();
        let bus = other.bus.expect("in a cluster").to_string();
        first
            .command(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus])
            .await;
    }
    let nodes = primaries.len() + usize::from(with_replica);
    for server in primaries.iter().chain(&replica) {
        in_order(server, nodes).await;
    }
    if let Some(replica) = &replica {
        replica.command(&["CLUSTER", "REPLICATE", &id(first).await]).await;
        replica.synced().await;
    }
    Some(Servers { primaries, replica })
}

impl Servers {
    /// Two are named, of which one is not there: the others follow from it.
    fn config(&self) -> ValkeyConfig {
        let [.., last] = self.primaries.as_slice() else {
            panic!("three are started")
        };
        ValkeyConfig {
            endpoint: format!("redis+cluster://127.0.0.1:1,127.0.0.1:{}", last.port),
            ..config(0)
        }
    }

    fn server(&self, number: usize) -> &Server {
        self.primaries.get(number).expect("three are started")
    }
}

/// The first subject whose buckets lie on this primary.
fn key_on(number: usize) -> SessionKey {
    let [from, to] = THIRDS.get(number).expect("three");
    let subject = (0_u64..)
        .map(|number| format!("{number:064x}"))
        .find(|subject| (*from..=*to).contains(&slots::of(subject)))
        .expect("there is one");
    SessionKey {
        subject,
        ..key('a', '1')
    }
}

fn secret_of(key: SessionKey) -> Append {
    append(key, &["secret"], &["watched"], None)
}

async fn fixture() -> Option<(Arc<dyn SessionStore>, Servers)> {
    let servers = servers(Kind::Valkey, false, &[]).await?;
    let store = open(&servers.config()).await.expect("is fit");
    assert!(store.healthy());
    Some((Arc::new(store), servers))
}
crate::store::suite::suite!(fixture);

#[tokio::test]
async fn documents_keep_the_laws_on_a_cluster() {
    for kind in [Kind::Redis, Kind::Valkey] {
        let Some(servers) = servers(kind, false, &[]).await else {
            continue;
        };
        let store = open(&servers.config()).await.expect("is fit");
        crate::store::cases::suite::laws(Arc::new(store)).await;
    }
}

#[tokio::test]
async fn labels_lie_on_every_primary_and_two_companions_agree_on_the_epoch() {
    for kind in [Kind::Redis, Kind::Valkey] {
        let Some(servers) = servers(kind, false, &[]).await else {
            continue;
        };
        let one = open(&servers.config()).await.expect("is fit");
        let two = open(&servers.config()).await.expect("is fit");
        for number in 0..3 {
            let appended = one.append(secret_of(key_on(number))).await.expect("appends");
            let held = two.load(&key_on(number)).await.expect("loads");
            assert_eq!(held.labels.session, ["secret"]);
            assert_eq!(held.epoch, appended.epoch);
            let there = servers.server(number).command(&["KEYS", "aplomb:v1:{0*"]).await;
            assert!(format!("{there:?}").contains(&key_on(number).subject));
        }
        assert_eq!(one.epoch(), two.epoch());
    }
}

#[tokio::test]
async fn a_flush_of_any_primary_and_a_clear_on_any_change_the_epoch_for_all() {
    let Some((one, servers)) = fixture().await else {
        return;
    };
    let two = open(&servers.config()).await.expect("is fit");
    for number in 0..3 {
        let before = one
            .append(secret_of(key_on(number)))
            .await
            .expect("appends")
            .epoch;
        servers.server(number).command(&["FLUSHALL"]).await;
        let held = two.load(&key_on(number)).await.expect("loads");
        assert!(held.labels.session.is_empty());
        assert_ne!(held.epoch, before);

        let before = two
            .append(secret_of(key_on(number)))
            .await
            .expect("appends")
            .epoch;
        let whole = Selection {
            subject: key_on(number).subject,
            ..all_of('a')
        };
        assert_eq!(one.clear(&whole).await.expect("clears").labels, 2);
        let held = two.load(&key_on(number)).await.expect("loads");
        assert!(held.labels.session.is_empty() && held.labels.subject.is_empty());
        assert_ne!(held.epoch, before);
    }
}

/// What happened to one primary is seen without asking anything of it: within the second that the servers are looked at.
#[tokio::test]
async fn a_loss_on_one_primary_is_seen_in_answers_of_another() {
    let Some((store, servers)) = fixture().await else {
        return;
    };
    store.append(secret_of(key_on(0))).await.expect("appends");
    let before = store.load(&key_on(2)).await.expect("loads").epoch;
    servers.server(0).command(&["FLUSHALL"]).await;
    server::eventually("another epoch", async || {
        let held = store.load(&key_on(2)).await.expect("loads");
        (held.epoch != before).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_failover_in_a_cluster_keeps_what_was_acknowledged_and_changes_the_epoch() {
    for kind in [Kind::Redis, Kind::Valkey] {
        let Some(mut servers) = servers(kind, true, &[]).await else {
            continue;
        };
        let mut config = servers.config();
        config.replicas = 1;
        let store = open(&config).await.expect("is fit");
        // Only the first primary has the replica that has to have it.
        config.command_timeout_ms = 800;
        let impatient = open(&config).await.expect("is fit");
        let refused = impatient.append(secret_of(key_on(1))).await;
        assert_eq!(refused, Err(StoreError::Unavailable));
        let appended = async || store.append(secret_of(key_on(0))).await.ok();
        let before = server::eventually("the replica's disk", appended).await.epoch;
        servers.replica.as_ref().expect("there is one").synced().await;
        servers.primaries.first_mut().expect("three").kill();
        config = ValkeyConfig {
            replicas: 0,
            command_timeout_ms: 60_000,
            ..config
        };
        let content = open(&config).await.expect("is fit");
        let loaded = async || content.load(&key_on(0)).await.ok();
        let held = server::eventually("the replica's promotion", loaded).await;
        assert_eq!(held.labels.session, ["secret"]);
        assert_ne!(held.epoch, before);
        // Nobody follows the new primary: whoever needs a replica does not read there.
        assert_eq!(impatient.load(&key_on(0)).await, Err(StoreError::Unavailable));
        // The others served all the time.
        content.load(&key_on(1)).await.expect("loads");
    }
}

#[tokio::test]
async fn slots_that_move_are_found_where_they_are_and_change_the_epoch() {
    let Some((store, servers)) = fixture().await else {
        return;
    };
    // Nothing lies in this slot, so it is moved by saying so.
    let slot = slots::of(&key_on(0).subject).to_string();
    let before = store.load(&key_on(0)).await.expect("loads").epoch;
    let target = id(servers.server(2)).await;
    for number in [2, 0, 1] {
        let words = ["CLUSTER", "SETSLOT", &slot, "NODE", &target];
        servers.server(number).command(&words).await;
    }
    let appended = async || store.append(secret_of(key_on(0))).await.ok();
    let held = server::eventually("the new place", appended).await;
    assert_ne!(held.epoch, before);
    let there = servers.server(2).command(&["KEYS", "*:u"]).await;
    assert!(format!("{there:?}").contains(&key_on(0).subject));
}

#[tokio::test]
async fn a_cluster_and_a_server_of_its_own_are_not_taken_for_each_other() {
    let Some(servers) = servers(Kind::Valkey, false, &[]).await else {
        return;
    };
    let Err(ValkeyError::Misfit { source, .. }) = open(&config(servers.server(0).port)).await else {
        panic!("two thirds of the labels would be missing")
    };
    assert!(source.to_string().contains("redis+cluster://"), "{source}");
    let lone = Server::start(Kind::Valkey, &DURABLE).await.expect("installed");
    let mut config = config(0);
    config.endpoint = format!("redis+cluster://127.0.0.1:{}", lone.port);
    let Err(ValkeyError::Misfit { source, .. }) = open(&config).await else {
        panic!("it is no cluster")
    };
    assert!(source.to_string().contains("no part of a cluster"), "{source}");
}

#[tokio::test]
async fn a_primary_of_a_cluster_that_could_lose_labels_is_refused() {
    let Some(servers) = servers(Kind::Valkey, false, &[]).await else {
        return;
    };
    servers
        .server(1)
        .command(&["CONFIG", "SET", "appendonly", "no"])
        .await;
    let Err(ValkeyError::Misfit { source, .. }) = open(&servers.config()).await else {
        panic!("it has no append-only file")
    };
    assert!(source.to_string().contains("appendonly yes"), "{source}");
}

#[tokio::test]
async fn the_documented_rights_suffice_on_a_cluster_over_tls() {
    let files = tls::files(&["+cluster|info", "+cluster|slots"]);
    let mut arguments: Vec<&str> = files.arguments.iter().map(String::as_str).collect();
    arguments.extend(["--tls-cluster", "yes"]);
    let Some(servers) = servers(Kind::Redis, false, &arguments).await else {
        return;
    };
    let seed = servers.server(0).tls.expect("speaks TLS");
    let mut config = config(0);
    config.endpoint = format!("rediss+cluster://127.0.0.1:{seed}");
    config.username = Some("aplomb".to_owned());
    let password = Secret::new("hunter2");
    let address = Address::new(&config, Some(&password), Some(files.ca.clone())).expect("an address");
    let store = ValkeyStore::open(address).await.expect("is fit");
    for number in 0..3 {
        store.append(secret_of(key_on(number))).await.expect("appends");
        let held = store.load(&key_on(number)).await.expect("loads");
        assert_eq!(held.labels.session, ["secret"]);
        let whole = Selection {
            subject: key_on(number).subject,
            session: None,
        };
        assert_eq!(store.clear(&whole).await.expect("clears").labels, 2);
    }
    // The system's roots have not signed it.
    let address = Address::new(&config, Some(&password), None).expect("an address");
    let stranger = ValkeyStore::open(address).await.expect("opens");
    assert!(!stranger.healthy());
    assert_eq!(stranger.load(&key_on(0)).await, Err(StoreError::Unavailable));
}
