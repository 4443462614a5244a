//! What readers and the appender have in common.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use redis::{Pipeline, Value};
use tokio::sync::Mutex;

use super::super::StoreError;
use super::super::bucket::Entries;
use super::super::epoch::Epoch;
use super::appender::SendError;
use super::layout::Names;
use super::link::{Link, LinkError};
use super::servers::Servers;

/// After a failed connection others are refused at once for so long, or callers would queue up behind one another's
/// timeouts.
const PAUSE: Duration = Duration::from_millis(200);

pub(super) struct Shared {
    pub(super) servers: Servers,
    pub(super) names: Names,
    pub(super) replicas: u32,
    pub(super) connect_timeout: Duration,
    pub(super) command_timeout: Duration,
    pub(super) epoch: Epoch,
    pub(super) healthy: AtomicBool,
}

/// A place for one connection.
#[derive(Default)]
pub(super) struct Slot(Mutex<Seat>);

#[derive(Default)]
struct Seat {
    link: Option<Link>,
    failed: Option<Instant>,
}

/// What an answer of the server's says: labels of both buckets, its time, the epoch.
pub(super) struct Known {
    pub(super) entries: Entries,
    pub(super) now_ms: u64,
    pub(super) epoch: Arc<str>,
}

impl Slot {
    /// Forgets this connection, and no other one that has taken its place since.
    async fn give_up(&self, link: &Link) {
        let mut seat = self.0.lock().await;
        if seat.link.as_ref().is_some_and(|held| held.is_same(link)) {
            seat.link = None;
        }
    }
}

impl Shared {
    /// A new connection.
    pub(super) async fn open(&self) -> Result<Link, LinkError> {
        self.servers
            .open(self.connect_timeout, self.command_timeout)
            .await
    }

    /// The slot's connection, or a new one; and whether it is new.
    pub(super) async fn link(&self, slot: &Slot) -> Result<(Link, bool), StoreError> {
        let mut seat = slot.0.lock().await;
        if let Some(link) = &seat.link {
            return Ok((link.clone(), false));
        }
        if seat.failed.is_some_and(|at| at.elapsed() < PAUSE) {
            return Err(StoreError::Unavailable);
        }
        match self.open().await {
            Ok(link) => {
                seat.failed = None;
                seat.link = Some(link.clone());
                Ok((link, true))
            }
            Err(error) => {
                seat.failed = Some(Instant::now());
                self.alarm(&error);
                Err(StoreError::Unavailable)
            }
        }
    }

    /// Whether the outcome may only mean that an old connection broke since it was last used. Then one more attempt on a
    /// new one is due; repeating is harmless, because an append is a union.
    pub(super) async fn is_stale<T>(
        &self,
        slot: &Slot,
        link: &Link,
        is_new: bool,
        outcome: &Result<T, SendError>,
    ) -> bool {
        let broke = matches!(outcome, Err(SendError::Server(error)) if !error.is_timeout());
        if is_new || !broke {
            return false;
        }
        slot.give_up(link).await;
        true
    }

    /// Takes note of an outcome: after a failure the connection is given up, because what stands behind it may be
    /// another server by now.
    pub(super) async fn noted<T>(
        &self,
        slot: &Slot,
        link: &Link,
        outcome: Result<T, SendError>,
    ) -> Result<T, StoreError> {
        match outcome {
            Ok(value) => {
                self.healthy.store(true, Ordering::Relaxed);
                Ok(value)
            }
            Err(error) => {
                slot.give_up(link).await;
                self.alarm(&error);
                Err(StoreError::Unavailable)
            }
        }
    }

    fn alarm(&self, error: &dyn std::error::Error) {
        let because = error.source().map(ToString::to_string);
        tracing::error!(%error, because, "the Valkey session store failed");
        self.healthy.store(false, Ordering::Relaxed);
    }

    /// Changes when the server's life or its epoch key does.
    pub(super) fn epoch_of(&self, link: &Link, epoch: &str) -> Arc<str> {
        let epoch: Arc<str> = format!("{}.{epoch}", link.run_id).into();
        if *self.epoch.get() != *epoch {
            self.epoch.set(Arc::clone(&epoch));
        }
        epoch
    }

    /// Adds the command that waits until what went before is where it must be.
    pub(super) fn wait_command(&self, link: &Link, pipe: &mut Pipeline) {
        // Shorter than the client's own timeout, so that the answer is a number and not a broken connection.
        let wait_ms = self.command_timeout.as_millis() as u64 * 3 / 4;
        if link.has_waitaof {
            pipe.cmd("WAITAOF").arg(1).arg(self.replicas).arg(wait_ms);
        } else {
            // `appendfsync always`: the local file was synced before any of the replies left. Replicas can only be asked
            // whether they have it in memory.
            pipe.cmd("WAIT").arg(self.replicas).arg(wait_ms);
        }
    }

    /// Whether enough disks have it.
    pub(super) fn is_durable(&self, link: &Link, waited: &Value) -> bool {
        let wanted = i64::from(self.replicas);
        match waited {
            Value::Array(counts) if link.has_waitaof => {
                matches!(counts.as_slice(), [Value::Int(local), Value::Int(replicas)]
                    if *local >= 1 && *replicas >= wanted)
            }
            Value::Int(replicas) if !link.has_waitaof => *replicas >= wanted,
            _ => false,
        }
    }
}

/// What `TIME` says.
pub(super) const fn millis((seconds, micros): (u64, u64)) -> u64 {
    seconds.saturating_mul(1000).saturating_add(micros / 1000)
}
