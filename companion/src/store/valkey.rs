//! Labels on a Valkey or Redis server, for companions that share them.
//!
//! **Durable when acknowledged**: an append goes to the server in a batch and is acknowledged when `WAITAOF 1 n` says that
//! the server's append-only file and those of `n` replicas (`replicas`, 1 unless configured) are synced; fewer mean that
//! the append fails. With `appendfsync everysec` that takes up to a second; `always` is made for this. A server without
//! `WAITAOF` (before Redis 7.2) must run `appendfsync always`, and replicas are then waited for with `WAIT`, which is
//! their memory and not their disk: a primary that is lost together with its disk while the replica crashes too loses
//! what was acknowledged last.
//!
//! **Read your writes**: loads go to the primary in batches too, and every batch is a transaction that asks whether it still
//! is one.
//!
//! **Epoch**: the server's run id and the epoch key. The key is gone after a flush and is drawn anew; the run id changes
//! with a restart and with a failover. A primary whose *data* are put back while it runs keeps both: stop it for that.
//!
//! **Time** is the server's wall clock, for all companions alike; a step ahead of it ends labels early, as it ends every
//! key of the server.
//!
//! **Rights** that the ACL user needs: `+info +script|load +evalsha +hgetall +hset +hdel +get +set +time +role +persist
//! +pexpireat +multi +exec +waitaof +wait +scan +unlink +config|get +hmget +zadd +zcard +zscore +zrem
//! +zremrangebyscore +zrevrange +zrangebyscore` on
//! `~<prefix>:*` (a server before Redis 7.2 does not know `+waitaof`).

mod address;
mod appender;
mod layout;
mod link;
mod reader;
mod servers;
mod shared;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use companion_protocol::SessionKey;
use redis::Value;

use super::bucket::listed;
use super::epoch::{self, Epoch};
use super::{Append, Bucket, Cleared, Held, MAX_LISTED, Selection, SessionStore, StoreError, StoreFuture};
use crate::clock::now_ms;
use appender::Appender;
use layout::{Names, Rows};
use reader::Reader;
use shared::{Known, Shared, Slot, millis};

pub use address::{Address, AddressError};
pub(super) use appender::SendError;
pub(super) use link::Link;
pub use link::LinkError;

/// Keys that one step of a scan looks at.
const SCAN_COUNT: usize = 1000;

/// Labels on a server.
pub struct ValkeyStore {
    shared: Arc<Shared>,
    reader: Reader,
    appender: Appender,
    /// A connection of their own: a change waits for the disks, and loads must not wait behind it.
    cases: Slot,
}

/// Why the store is not used.
#[derive(Debug, thiserror::Error)]
pub enum ValkeyError {
    /// The server is not fit to hold labels, and waiting does not change that.
    #[error("the Valkey server at `{endpoint}` cannot hold labels")]
    Misfit {
        /// Which server.
        endpoint: String,
        /// Why.
        source: LinkError,
    },
    /// The system has no randomness.
    #[error("cannot draw a store epoch")]
    Random(#[source] getrandom::Error),
}

/// What one step on a connection comes to.
pub(super) type LinkFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, SendError>> + Send + 'a>>;

impl ValkeyStore {
    /// Connects. A server that does not answer is no error: loads and appends fail until it does. One that answers and
    /// is not fit to hold labels is. Must be called inside a runtime.
    pub async fn open(address: Address) -> Result<Self, ValkeyError> {
        let shared = Arc::new(Shared {
            servers: address.servers,
            names: Names {
                prefix: address.prefix,
            },
            replicas: address.replicas,
            connect_timeout: address.connect_timeout,
            command_timeout: address.command_timeout,
            epoch: Epoch::draw().map_err(ValkeyError::Random)?,
            healthy: AtomicBool::new(true),
        });
        if let Err(source) = shared.open().await {
            if source.is_misfit() {
                let endpoint = address.endpoint;
                return Err(ValkeyError::Misfit { endpoint, source });
            }
            tracing::error!(error = %source, endpoint = address.endpoint, "the Valkey server does not answer yet");
            shared.healthy.store(false, Ordering::Relaxed);
        }
        Ok(Self {
            appender: Appender::spawn(Arc::clone(&shared)),
            reader: Reader::spawn(&shared),
            shared,
            cases: Slot::default(),
        })
    }

    /// What stands before every key.
    pub(super) fn prefix(&self) -> &str {
        &self.shared.names.prefix
    }

    /// Adds the command that waits for the disks.
    pub(super) fn wait_command(&self, link: &Link, pipe: &mut redis::Pipeline) {
        self.shared.wait_command(link, pipe);
    }

    /// Whether enough disks have it.
    pub(super) fn is_durable(&self, link: &Link, waited: &Value) -> bool {
        self.shared.is_durable(link, waited)
    }

    /// Performs one step on the connection for documents; once more on a new one when the old one had broken. A change
    /// that was performed and not seen then finds its own version, a conflict that the caller looks into.
    pub(super) async fn on_case_link<'a, T>(
        &self,
        step: impl Fn(Link) -> LinkFuture<'a, T>,
    ) -> Result<T, StoreError> {
        let (mut link, is_new) = self.shared.link(&self.cases).await?;
        let mut outcome = step(link.clone()).await;
        if self.shared.is_stale(&self.cases, &link, is_new, &outcome).await {
            (link, _) = self.shared.link(&self.cases).await?;
            outcome = step(link.clone()).await;
        }
        self.shared.noted(&self.cases, &link, outcome).await
    }

    /// The names of a subject's session buckets.
    async fn session_keys(&self, link: &Link, selection: &Selection) -> Result<Vec<String>, SendError> {
        let start = self.shared.names.sessions(selection)?;
        if let Some(session) = &selection.session {
            return Ok(vec![format!("{start}{session}")]);
        }
        let mut connection = link.connection();
        let (mut keys, mut cursor) = (Vec::new(), 0_u64);
        loop {
            let mut scan = redis::cmd("SCAN");
            scan.arg(cursor)
                .arg("MATCH")
                .arg(format!("{start}*"))
                .arg("COUNT")
                .arg(SCAN_COUNT);
            let (next, found): (u64, Vec<String>) = scan.query_async(&mut connection).await?;
            keys.extend(found);
            cursor = next;
            if cursor == 0 {
                break;
            }
        }
        keys.sort_unstable();
        keys.dedup();
        Ok(keys)
    }

    async fn buckets(&self, link: &Link, selection: &Selection) -> Result<Vec<Bucket>, SendError> {
        let mut keys = self.session_keys(link, selection).await?;
        if selection.session.is_none() {
            keys.insert(0, self.shared.names.subject(&selection.subject));
        }
        keys.truncate(MAX_LISTED);
        let start = self.shared.names.sessions(selection)?;
        let mut connection = link.connection();
        let mut found = Vec::new();
        for key in keys {
            let mut pipe = redis::pipe();
            pipe.cmd("TIME").cmd("HGETALL").arg(&key);
            let (time, rows): ((u64, u64), Rows) = pipe.query_async(&mut connection).await?;
            let now = millis(time);
            let labels = listed(layout::live(rows, now)?, on_wall(now));
            if !labels.is_empty() {
                found.push(Bucket {
                    subject: selection.subject.clone(),
                    session: key.strip_prefix(&start).map(str::to_owned),
                    labels,
                });
            }
        }
        Ok(found)
    }

    async fn remove(&self, link: &Link, selection: &Selection) -> Result<Cleared, SendError> {
        let held = self.buckets(link, selection).await?;
        let labels = held.iter().map(|bucket| bucket.labels.len() as u64).sum();
        let mut keys = self.session_keys(link, selection).await?;
        if selection.session.is_none() {
            keys.push(self.shared.names.subject(&selection.subject));
        }
        let fresh = epoch::random()?;
        let mut pipe = redis::pipe();
        // In one step: labels that are gone under an epoch that is still in force would not be appended again.
        pipe.atomic();
        for key in keys {
            pipe.cmd("UNLINK").arg(key);
        }
        pipe.cmd("SET").arg(self.shared.names.epoch()).arg(&fresh);
        let mut connection = link.connection();
        let _: Value = pipe.query_async(&mut connection).await?;
        let mut wait = redis::pipe();
        self.shared.wait_command(link, &mut wait);
        let (waited,): (Value,) = wait.query_async(&mut connection).await?;
        if !self.shared.is_durable(link, &waited) {
            return Err(SendError::NotDurable);
        }
        Ok(Cleared {
            labels,
            epoch: self.shared.epoch_of(link, &fresh).to_string(),
        })
    }

    /// A connection for an operator's wish, which may wait and must not make loads wait behind it.
    async fn aside(&self) -> Result<(Slot, Link), StoreError> {
        let slot = Slot::default();
        let (link, _) = self.shared.link(&slot).await?;
        Ok((slot, link))
    }
}

/// From the server's clock to ours, which the proxy is nearer to.
fn on_wall(server_now_ms: u64) -> impl Fn(u64) -> u64 {
    let ours = now_ms();
    move |at| ours.saturating_add(at.saturating_sub(server_now_ms))
}

fn held(known: Known) -> Held {
    Held {
        labels: known.entries.into_labels(on_wall(known.now_ms)),
        epoch: known.epoch,
    }
}

impl SessionStore for ValkeyStore {
    fn epoch(&self) -> Arc<str> {
        self.shared.epoch.get()
    }

    fn load<'a>(&'a self, key: &'a SessionKey) -> StoreFuture<'a, Held> {
        Box::pin(async move {
            let buckets = self.shared.names.buckets(key)?;
            Ok(held(self.reader.load(buckets).await?))
        })
    }

    fn append(&self, append: Append) -> StoreFuture<'_, Held> {
        Box::pin(async move {
            append.check()?;
            // Only for its key's sake: a batch must not fail for one caller's bad key.
            self.shared.names.buckets(&append.key)?;
            Ok(held(self.appender.append(append).await?))
        })
    }

    fn list<'a>(&'a self, selection: &'a Selection) -> StoreFuture<'a, Vec<Bucket>> {
        Box::pin(async move {
            self.shared.names.sessions(selection)?;
            let (slot, link) = self.aside().await?;
            let outcome = self.buckets(&link, selection).await;
            self.shared.noted(&slot, &link, outcome).await
        })
    }

    fn clear<'a>(&'a self, selection: &'a Selection) -> StoreFuture<'a, Cleared> {
        Box::pin(async move {
            self.shared.names.sessions(selection)?;
            let (slot, link) = self.aside().await?;
            let outcome = self.remove(&link, selection).await;
            self.shared.noted(&slot, &link, outcome).await
        })
    }

    fn healthy(&self) -> bool {
        self.shared.healthy.load(Ordering::Relaxed)
    }
}
