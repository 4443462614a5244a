//! What readers and the appender have in common.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use redis::{ErrorKind, RedisError, ServerErrorKind, Value};
use tokio::sync::{Mutex, mpsc};

use super::super::StoreError;
use super::super::bucket::Entries;
use super::super::epoch::Epoch;
use super::appender::SendError;
use super::layout::Names;
use super::lease::Lease;
use super::link::{Link, LinkError};
use super::servers::Servers;
use super::settings::Settings;
use crate::clock::now_ms;

/// After a failed connection others are refused at once for so long, or callers would queue up behind one another's
/// timeouts.
const PAUSE: Duration = Duration::from_millis(200);

pub(super) struct Shared {
    pub(super) servers: Servers,
    pub(super) names: Names,
    /// One of a cluster: commands of one transaction must not touch different slots.
    pub(super) in_cluster: bool,
    pub(super) settings: Arc<Settings>,
    pub(super) epoch: Epoch,
    pub(super) lease: Lease,
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
        self.servers.open(&self.settings).await
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
        let broke = match outcome {
            Err(SendError::Server(error)) => !error.is_timeout(),
            Err(SendError::Refused(_)) => true,
            Ok(_) | Err(_) => false,
        };
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
}

/// What `TIME` says.
pub(super) const fn millis((seconds, micros): (u64, u64)) -> u64 {
    seconds.saturating_mul(1000).saturating_add(micros / 1000)
}

/// Those whom the last answers woke ask again one after the other: whoever takes the first of them only has a batch of one.
pub(super) async fn gather<T>(receiver: &mut mpsc::Receiver<T>, batch: &mut Vec<T>, most: usize) {
    loop {
        let before = batch.len();
        tokio::task::yield_now().await;
        while batch.len() < most
            && let Ok(asked) = receiver.try_recv()
        {
            batch.push(asked);
        }
        if batch.len() == before || batch.len() >= most {
            return;
        }
    }
}

/// The same of an error line.
pub(super) fn own_line(line: &[u8]) -> Result<StoreError, SendError> {
    let line = String::from_utf8_lossy(line);
    let code = line.split(' ').next().unwrap_or_default();
    match code {
        "MOVED" | "ASK" | "TRYAGAIN" | "WRONGTYPE" => {
            tracing::error!(error = %line, "a bucket of the session store cannot be used");
            Ok(StoreError::Unavailable)
        }
        _ => Err(SendError::Refused(line.into_owned())),
    }
}

/// Tells errors of single keys from those of the server: the slot is on its way to another server or has gone there, or the
/// key is somebody else's. The log says so, and whoever asked for others in the same batch does not suffer.
pub(super) fn own_error(reply: Value) -> Result<Result<Value, StoreError>, SendError> {
    let Value::ServerError(error) = reply else {
        return Ok(Ok(reply));
    };
    let error = RedisError::from(error);
    let of_key = matches!(
        error.kind(),
        ErrorKind::Server(ServerErrorKind::Moved | ServerErrorKind::Ask | ServerErrorKind::TryAgain)
    ) || error.code() == Some("WRONGTYPE");
    if !of_key {
        return Err(SendError::Server(error));
    }
    tracing::error!(%error, "a bucket of the session store cannot be used");
    Ok(Err(StoreError::Unavailable))
}

/// From the server's clock to ours, which the proxy is nearer to.
pub(super) fn on_wall(server_now_ms: u64) -> impl Fn(u64) -> u64 {
    let ours = now_ms();
    move |at| ours.saturating_add(at.saturating_sub(server_now_ms))
}
