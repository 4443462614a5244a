//! Appends in batches: everything that waits goes to the server in one pipeline, with one wait for the disk behind it.
//!
//! On a connection of its own, because a server serves nothing else of a connection while it waits.

use std::sync::Arc;

use redis::Value;
use tokio::sync::{mpsc, oneshot};

use super::super::{Append, MAX_LABELS, StoreError, epoch};
use super::layout::{self, Rows};
use super::link::{Link, LinkError};
use super::resp::Malformed;
use super::shared::{Known, Shared, Slot, gather, own_error};

/// Appends that wait; more callers than that wait before queueing.
const QUEUE: usize = 4096;

/// The most that one pipeline carries.
const MAX_BATCH: usize = 256;

type Ack = Result<Known, StoreError>;

/// The reply of `append.lua`.
type Reply = (u8, String, u64, Rows, Rows);

/// The callers' end. The task ends when it is dropped.
pub(super) struct Appender(mpsc::Sender<(Append, oneshot::Sender<Ack>)>);

impl Appender {
    pub(super) fn spawn(shared: Arc<Shared>) -> Self {
        let (sender, mut receiver) = mpsc::channel::<(Append, oneshot::Sender<Ack>)>(QUEUE);
        tokio::spawn(async move {
            let slot = Slot::default();
            let mut batch = Vec::new();
            while receiver.recv_many(&mut batch, MAX_BATCH).await > 0 {
                gather(&mut receiver, &mut batch, MAX_BATCH).await;
                let (appends, waiting): (Vec<_>, Vec<_>) = batch.drain(..).unzip();
                let acks = perform(&shared, &slot, &appends).await;
                for (done, ack) in waiting.into_iter().zip(acks) {
                    // A caller that gave up needs no answer.
                    let _ = done.send(ack);
                }
            }
        });
        Self(sender)
    }

    pub(super) async fn append(&self, append: Append) -> Ack {
        let (done, acknowledged) = oneshot::channel();
        self.0
            .send((append, done))
            .await
            .map_err(|_| StoreError::Unavailable)?;
        acknowledged.await.map_err(|_| StoreError::Unavailable)?
    }
}

async fn perform(shared: &Shared, slot: &Slot, appends: &[Append]) -> Vec<Ack> {
    let outcome = async {
        let (mut link, is_new) = shared.link(slot).await?;
        let mut replies = send(shared, &link, appends).await;
        if shared.is_stale(slot, &link, is_new, &replies).await {
            (link, _) = shared.link(slot).await?;
            replies = send(shared, &link, appends).await;
        }
        let replies = shared.noted(slot, &link, replies).await?;
        Ok::<_, StoreError>((link, replies))
    };
    match outcome.await {
        Ok::<_, StoreError>((link, replies)) => replies
            .into_iter()
            .map(|reply| read(shared, &link, reply?))
            .collect(),
        Err(error) => appends.iter().map(|_| Err(error.clone())).collect(),
    }
}

async fn send(
    shared: &Shared,
    link: &Link,
    appends: &[Append],
) -> Result<Vec<Result<Reply, StoreError>>, SendError> {
    let fresh = epoch::random()?;
    let [script, ..] = &link.scripts;
    let mut pipe = redis::pipe();
    pipe.ignore_errors();
    for append in appends {
        let [session, subject] = shared.names.buckets(&append.key)?;
        let subject_ms = match append.ttl_s {
            Some(0) => -1,
            Some(ttl_s) => signed(ttl_s.saturating_mul(1000)),
            None => signed(append.lifetimes.subject_ms),
        };
        pipe.cmd("EVALSHA")
            .arg(&**script)
            .arg(2)
            .arg(session)
            .arg(subject)
            .arg(&fresh)
            .arg(MAX_LABELS)
            .arg(signed(append.lifetimes.session_idle_ms))
            .arg(signed(append.lifetimes.session_max_ms))
            .arg(subject_ms)
            .arg(shared.names.epoch())
            .arg(append.labels.len())
            .arg(&append.labels)
            .arg(&append.subject_labels);
    }
    shared.settings.wait_command(link, &mut pipe);
    let mut values: Vec<Value> = pipe.query_async(&mut link.connection()).await?;
    let waited = values.pop().ok_or(SendError::NotDurable)?;
    let replies = values.into_iter().map(one).collect::<Result<Vec<_>, _>>()?;
    if replies.len() != appends.len() {
        return Err(SendError::Reply);
    }
    if !shared.settings.is_durable(link, &waited) {
        return Err(SendError::NotDurable);
    }
    Ok(replies)
}

/// One append's reply, or the error that is of its keys only.
fn one(value: Value) -> Result<Result<Reply, StoreError>, SendError> {
    match own_error(value)? {
        Ok(value) => redis::from_redis_value(value)
            .map(Ok)
            .map_err(|_| SendError::Reply),
        Err(error) => Ok(Err(error)),
    }
}

/// A hundred years in milliseconds: what Lua's numbers and the server's expiry hold without loss.
fn signed(ms: u64) -> i64 {
    const CENTURY_MS: u64 = 100 * 365 * 24 * 60 * 60 * 1000;
    ms.min(CENTURY_MS).cast_signed()
}

fn read(shared: &Shared, link: &Link, (performed, epoch, now_ms, session, subject): Reply) -> Ack {
    if performed != 1 {
        return Err(StoreError::BucketFull);
    }
    Ok(Known {
        entries: layout::entries(session, subject, now_ms)?,
        now_ms,
        epoch: shared.epoch_of(link, &epoch),
    })
}

impl From<Malformed> for SendError {
    fn from(_: Malformed) -> Self {
        Self::Reply
    }
}

/// Why a batch is not acknowledged.
#[derive(Debug, thiserror::Error)]
pub(in crate::store) enum SendError {
    #[error("the server failed")]
    Server(#[from] redis::RedisError),
    #[error("fewer disks than configured have the append")]
    NotDurable,
    #[error(
        "fewer replicas than configured follow the server, so another one may be the primary by now and labels are not read here"
    )]
    NotFollowed,
    #[error("there is no connection for loads")]
    Wire(#[from] LinkError),
    #[error("the server refuses: {0}")]
    Refused(String),
    #[error("the server's reply has another form")]
    Reply,
    #[error("the system has no randomness")]
    Random(#[from] getrandom::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
}
