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
//! is one. Whether replicas still follow it is asked every second, see [`lease`].
//!
//! **Epoch**: the server's run id and the epoch key. The key is gone after a flush and is drawn anew; the run id changes
//! with a restart and with a failover. A primary whose *data* are put back while it runs keeps both: stop it for that.
//!
//! **Several primaries** of a cluster: see [`cluster`].
//!
//! **Time** is the server's wall clock, for all companions alike; a step ahead of it ends labels early, as it ends every
//! key of the server.
//!
//! **Rights** that the ACL user needs: `+info +script|load +evalsha +hgetall +hset +hdel +get +set +time +role +persist
//! +pexpireat +multi +exec +waitaof +wait +scan +unlink +config|get +hmget +zadd +zcard +zscore +zrem
//! +zremrangebyscore +zrevrange +zrangebyscore` on
//! `~<prefix>:*` (a server before Redis 7.2 does not know `+waitaof`), and in a cluster `+cluster|info +cluster|slots`.
//! Scripts use keys of several slots of one server, which Redis and Valkey allow; a service that forbids it does not fit.

mod address;
mod appender;
mod cluster;
mod foreign;
mod layout;
mod lease;
mod link;
mod node;
mod reader;
mod resp;
mod servers;
mod settings;
mod shared;
mod slots;
#[cfg(test)]
mod tests;
mod wire;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use redis::Value;

use super::epoch::Epoch;
use super::{Append, Bucket, Cleared, Held, Selection, SessionStore, StoreError, StoreFuture};
use address::Where;
use cluster::Cluster;
use layout::Names;
use node::Node;
use settings::Settings;
use shared::{Known, on_wall};

pub use address::{Address, AddressError};
pub(super) use appender::SendError;
pub use foreign::Foreign;
pub(super) use link::Link;
pub use link::LinkError;

/// How many servers of a cluster are tried one after the other.
const TRIES: usize = 3;

/// Labels on a server, or on several.
pub struct ValkeyStore {
    settings: Arc<Settings>,
    /// Of buckets, wherever they lie.
    names: Names,
    place: Place,
}

enum Place {
    /// One server, or whoever is the primary.
    Lone(Arc<Node>),
    /// One of these, by slot.
    Cluster(Arc<Cluster>),
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
        let settings = Arc::new(address.settings);
        let endpoint = address.endpoint;
        let misfit = |source| ValkeyError::Misfit { endpoint, source };
        let place = match address.place {
            Where::Servers(servers) => {
                let names = Names::lone(&settings.prefix);
                let epoch = Epoch::draw().map_err(ValkeyError::Random)?;
                let node = Node::new(&settings, servers, names, epoch);
                node.try_out().await.map_err(misfit)?;
                let node = Arc::new(node);
                tokio::spawn(Node::watch(Arc::downgrade(&node)));
                Place::Lone(node)
            }
            Where::Cluster(seeds) => {
                let cluster = Cluster::open(seeds, Arc::clone(&settings)).await;
                Place::Cluster(cluster.map_err(misfit)?)
            }
        };
        let names = Names::lone(&settings.prefix);
        Ok(Self {
            settings,
            names,
            place,
        })
    }

    /// What stands before every key.
    pub(super) fn prefix(&self) -> &str {
        &self.settings.prefix
    }

    /// Adds the command that waits for the disks.
    pub(super) fn wait_command(&self, link: &Link, pipe: &mut redis::Pipeline) {
        self.settings.wait_command(link, pipe);
    }

    /// Whether enough disks have it.
    pub(super) fn is_durable(&self, link: &Link, waited: &Value) -> bool {
        self.settings.is_durable(link, waited)
    }

    /// Performs one step on a connection for documents to the server that has this key.
    pub(super) async fn on_case_link<'a, T>(
        &self,
        key: &str,
        step: impl Fn(Link) -> LinkFuture<'a, T> + Sync,
    ) -> Result<T, StoreError> {
        let mut route = self.route(key);
        loop {
            let node = route.next().await?;
            match node.on_case_link(&step).await {
                Err(StoreError::Unavailable) => route.failed(node),
                outcome => return outcome,
            }
        }
    }

    fn route<'a>(&'a self, key: &'a str) -> Route<'a> {
        Route {
            place: &self.place,
            key,
            failed: None,
            left: TRIES,
        }
    }

    /// The whole epoch when this was seen there.
    fn held(&self, known: Known, node: &Node) -> Held {
        let epoch = self.whole_epoch(known.epoch, node);
        let labels = known.entries.into_labels(on_wall(known.now_ms));
        Held { labels, epoch }
    }

    fn whole_epoch(&self, epoch: Arc<str>, node: &Node) -> Arc<str> {
        match &self.place {
            Place::Lone(_) => epoch,
            Place::Cluster(cluster) => cluster.epoch(Some((node, &epoch))),
        }
    }
}

/// From server to server, as long as another one may do what one did not.
struct Route<'a> {
    place: &'a Place,
    key: &'a str,
    failed: Option<Arc<Node>>,
    left: usize,
}

impl Route<'_> {
    async fn next(&mut self) -> Result<Arc<Node>, StoreError> {
        self.left = self.left.checked_sub(1).ok_or(StoreError::Unavailable)?;
        match (self.place, &self.failed) {
            (Place::Lone(node), None) => Ok(Arc::clone(node)),
            (Place::Lone(_), Some(_)) => Err(StoreError::Unavailable),
            (Place::Cluster(cluster), failed) => cluster.node(slots::of(self.key), failed.as_ref()).await,
        }
    }

    fn failed(&mut self, node: Arc<Node>) {
        self.failed = Some(node);
    }
}

impl SessionStore for ValkeyStore {
    fn epoch(&self) -> Arc<str> {
        match &self.place {
            Place::Lone(node) => node.epoch(),
            Place::Cluster(cluster) => cluster.epoch(None),
        }
    }

    fn load<'a>(&'a self, key: &'a companion_protocol::SessionKey) -> StoreFuture<'a, Held> {
        Box::pin(async move {
            let buckets = self.names.buckets(key)?;
            let [session, _] = &buckets;
            let mut route = self.route(session);
            loop {
                let node = route.next().await?;
                match node.load(buckets.clone()).await {
                    Err(StoreError::Unavailable) => route.failed(node),
                    known => return Ok(self.held(known?, &node)),
                }
            }
        })
    }

    fn append(&self, append: Append) -> StoreFuture<'_, Held> {
        Box::pin(async move {
            append.check()?;
            // A bad key is refused here: a batch must not fail for it.
            let [session, _] = self.names.buckets(&append.key)?;
            let mut route = self.route(&session);
            loop {
                let node = route.next().await?;
                match node.append(append.clone()).await {
                    Err(StoreError::Unavailable) => route.failed(node),
                    known => return Ok(self.held(known?, &node)),
                }
            }
        })
    }

    fn list<'a>(&'a self, selection: &'a Selection) -> StoreFuture<'a, Vec<Bucket>> {
        Box::pin(async move {
            let start = self.names.sessions(selection)?;
            let mut route = self.route(&start);
            loop {
                let node = route.next().await?;
                match node.list(selection).await {
                    Err(StoreError::Unavailable) => route.failed(node),
                    listed => return listed,
                }
            }
        })
    }

    fn clear<'a>(&'a self, selection: &'a Selection) -> StoreFuture<'a, Cleared> {
        Box::pin(async move {
            let start = self.names.sessions(selection)?;
            let mut route = self.route(&start);
            loop {
                let node = route.next().await?;
                let Cleared { labels, epoch } = match node.clear(selection).await {
                    Err(StoreError::Unavailable) => {
                        route.failed(node);
                        continue;
                    }
                    cleared => cleared?,
                };
                let epoch = self.whole_epoch(epoch.into(), &node).to_string();
                return Ok(Cleared { labels, epoch });
            }
        })
    }

    fn healthy(&self) -> bool {
        match &self.place {
            Place::Lone(node) => node.healthy(),
            Place::Cluster(cluster) => cluster.healthy(),
        }
    }
}
