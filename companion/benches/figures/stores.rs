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

/// Sessions of one subject, numbered as `redis-benchmark` numbers keys.
fn key(number: u64) -> SessionKey {
    SessionKey {
        subject: "0".repeat(64),
        session: format!("{number:064}"),
    }
}

fn append(number: u64) -> Append {
    Append {
        key: key(number),
        labels: vec!["secret".to_owned()],
        subject_labels: vec!["watched".to_owned()],
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

/// Turns that the store and `redis-benchmark` take one after the other, because the machine's other work comes and goes; the
/// one in the middle counts.
const TURNS: usize = 5;

/// On a server, beside the server's own benchmark: the same commands on the same keys, over one connection, with as many
/// commands under way.
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
    // Every session is there before anything is measured.
    appends(&store, CALLERS, SESSIONS).await;
    let (mut written, mut read) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        let ours = appends(&store, CALLERS, 20_000).await.rate;
        written.push((
            ours,
            server.benchmark(CALLERS, 20_000, SESSIONS, &server.append()?)?,
        ));
        // A load is two commands: 64 callers have 128 under way.
        let ours = 2.0 * loads(&store, CALLERS, 200_000).await.rate;
        read.push((
            ours,
            server.benchmark(2 * CALLERS, 400_000, SESSIONS, &Server::load())?,
        ));
    }
    Ok(vec![
        beside(
            &format!(
                "{}: session.append, appendfsync always, beside the same EVALSHA, 64 under way",
                server.name
            ),
            written,
        ),
        beside(
            &format!(
                "{}: the HGETALLs of session.load, two each, beside HGETALL, 128 under way",
                server.name
            ),
            read,
        ),
    ])
}

fn beside(what: &str, mut turns: Vec<(f64, f64)>) -> Figure {
    turns.sort_by(|(a, b), (c, d)| (a / b).total_cmp(&(c / d)));
    let (ours, theirs) = turns.get(turns.len() / 2).copied().unwrap_or((0.0, 1.0));
    let ratio = ours / theirs;
    Figure::new(
        what,
        "≥ 0.8 × redis-benchmark",
        format!("{ratio:.2} ({ours:.0}/s of {theirs:.0}/s)"),
        ratio >= 0.8,
    )
}
