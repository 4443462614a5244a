//! One server of the store: its readers, its appender and its connection for documents.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use redis::Value;

use super::super::bucket::listed;
use super::super::epoch::{self, Epoch};
use super::super::{Append, Bucket, Cleared, MAX_LISTED, Selection, StoreError};
use super::LinkFuture;
use super::appender::{Appender, SendError};
use super::layout::{self, Names, Rows};
use super::lease::Lease;
use super::link::{Link, LinkError};
use super::reader::{Buckets, Reader};
use super::servers::Servers;
use super::settings::Settings;
use super::shared::{Known, Shared, Slot, millis, on_wall};

/// Keys that one step of a scan looks at.
const SCAN_COUNT: usize = 1000;

/// How often a server is looked at when nobody asks for anything.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A server.
pub(super) struct Node {
    shared: Arc<Shared>,
    reader: Reader,
    appender: Appender,
    /// A connection of their own: a change waits for the disks, and loads must not wait behind it.
    cases: Slot,
}

impl Node {
    /// Must be called inside a runtime.
    pub(super) fn new(settings: &Arc<Settings>, servers: Servers, names: Names, epoch: Epoch) -> Self {
        let shared = Arc::new(Shared {
            in_cluster: matches!(servers, Servers::Member(_)),
            servers,
            names,
            settings: Arc::clone(settings),
            epoch,
            lease: Lease::default(),
            healthy: AtomicBool::new(true),
        });
        Self {
            reader: Reader::spawn(&shared),
            appender: Appender::spawn(Arc::clone(&shared)),
            shared,
            cases: Slot::default(),
        }
    }

    /// Whether the server is fit. One that does not answer may be.
    pub(super) async fn try_out(&self) -> Result<(), LinkError> {
        match self.shared.open().await {
            Ok(_) => Ok(()),
            Err(error) if error.is_misfit() => Err(error),
            Err(error) => {
                tracing::error!(%error, "a Valkey server does not answer yet");
                self.shared.healthy.store(false, Ordering::Relaxed);
                Ok(())
            }
        }
    }

    /// As of the last answer.
    pub(super) fn epoch(&self) -> Arc<str> {
        self.shared.epoch.get()
    }

    pub(super) fn healthy(&self) -> bool {
        self.shared.healthy.load(Ordering::Relaxed)
    }

    pub(super) async fn load(&self, buckets: Buckets) -> Result<Known, StoreError> {
        self.reader.load(buckets).await
    }

    /// Asks for nothing but how the server is and which epoch it has.
    pub(super) async fn look(&self) -> Result<Known, StoreError> {
        let nothing = format!("{}:-", self.shared.names.epoch());
        self.load(Arc::new([nothing.clone(), nothing])).await
    }

    /// Looks every second until nobody has it any more. A proxy asks nothing of a companion that once had no server: so it
    /// would not hear of it when there is one again.
    pub(super) async fn watch(node: Weak<Self>) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let Some(node) = node.upgrade() else { return };
            // What fails is in the log and in `healthy` already.
            let _ = node.look().await;
        }
    }

    pub(super) async fn append(&self, append: Append) -> Result<Known, StoreError> {
        self.appender.append(append).await
    }

    /// Performs one step on the connection for documents; once more on a new one when the old one had broken. A change
    /// that was performed and not seen then finds its own version, a conflict that the caller looks into.
    pub(super) async fn on_case_link<'a, T>(
        &self,
        step: &(impl Fn(Link) -> LinkFuture<'a, T> + Sync),
    ) -> Result<T, StoreError> {
        let (mut link, is_new) = self.shared.link(&self.cases).await?;
        let mut outcome = step(link.clone()).await;
        if self.shared.is_stale(&self.cases, &link, is_new, &outcome).await {
            (link, _) = self.shared.link(&self.cases).await?;
            outcome = step(link.clone()).await;
        }
        self.shared.noted(&self.cases, &link, outcome).await
    }

    pub(super) async fn list(&self, selection: &Selection) -> Result<Vec<Bucket>, StoreError> {
        let (slot, link) = self.aside().await?;
        let outcome = self.buckets(&link, selection).await;
        self.shared.noted(&slot, &link, outcome).await
    }

    pub(super) async fn clear(&self, selection: &Selection) -> Result<Cleared, StoreError> {
        let (slot, link) = self.aside().await?;
        let outcome = self.remove(&link, selection).await;
        self.shared.noted(&slot, &link, outcome).await
    }

    /// A connection for an operator's wish, which may wait and must not make loads wait behind it.
    async fn aside(&self) -> Result<(Slot, Link), StoreError> {
        let slot = Slot::default();
        let (link, _) = self.shared.link(&slot).await?;
        Ok((slot, link))
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
        let [.., script] = &link.scripts;
        let mut pipe = redis::pipe();
        pipe.cmd("EVALSHA").arg(&**script).arg(keys.len()).arg(&keys);
        pipe.arg(&fresh).arg(self.shared.names.epochs());
        self.shared.settings.wait_command(link, &mut pipe);
        let (_, waited): (i64, Value) = pipe.query_async(&mut link.connection()).await?;
        if !self.shared.settings.is_durable(link, &waited) {
            return Err(SendError::NotDurable);
        }
        Ok(Cleared {
            labels,
            epoch: self.shared.epoch_of(link, &fresh).to_string(),
        })
    }
}
