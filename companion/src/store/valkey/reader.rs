//! Loads in batches: everything that waits goes to the server in one transaction, which asks for role, time and epoch once,
//! and a few transactions are under way at a time.
//!
//! A batch fails as one when its connection does; it is then tried once more on a new one. A load that cannot be read (a
//! row of somebody else's) fails alone.

use std::sync::Arc;

use redis::{ErrorKind, FromRedisValue, RedisError, Value};
use tokio::sync::{Mutex, mpsc, oneshot};

use super::super::{StoreError, epoch};
use super::appender::SendError;
use super::layout;
use super::link::Link;
use super::shared::{Known, Shared, Slot, millis, own_error};

/// Loads that wait; more callers than that wait before queueing.
const QUEUE: usize = 4096;

/// The most that one transaction carries: what stands behind it on the server waits for it.
const MAX_BATCH: usize = 128;

/// Transactions under way: while the server performs one, the next is written and the last is read.
pub(super) const FLIGHTS: usize = 3;

/// Names of a session's and its subject's bucket.
pub(super) type Buckets = [String; 2];

type Answer = Result<Known, StoreError>;

struct Asked {
    buckets: Buckets,
    answer: oneshot::Sender<Answer>,
}

/// The callers' end. The tasks end when it is dropped.
pub(super) struct Reader(mpsc::Sender<Asked>);

impl Reader {
    pub(super) fn spawn(shared: &Arc<Shared>) -> Self {
        let (sender, receiver) = mpsc::channel::<Asked>(QUEUE);
        let (receiver, slot) = (Arc::new(Mutex::new(receiver)), Arc::new(Slot::default()));
        for _ in 0..FLIGHTS {
            let (shared, receiver) = (Arc::clone(shared), Arc::clone(&receiver));
            tokio::spawn(fly(shared, receiver, Arc::clone(&slot)));
        }
        Self(sender)
    }

    pub(super) async fn load(&self, buckets: Buckets) -> Answer {
        let (answer, answered) = oneshot::channel();
        self.0
            .send(Asked { buckets, answer })
            .await
            .map_err(|_| StoreError::Unavailable)?;
        answered.await.map_err(|_| StoreError::Unavailable)?
    }
}

/// One batch after the other.
async fn fly(shared: Arc<Shared>, receiver: Arc<Mutex<mpsc::Receiver<Asked>>>, slot: Arc<Slot>) {
    let mut batch = Vec::with_capacity(MAX_BATCH);
    loop {
        // Whoever waits for work holds the lock, and the others wait for it.
        if receiver.lock().await.recv_many(&mut batch, MAX_BATCH).await == 0 {
            return;
        }
        let (buckets, waiting): (Vec<Buckets>, Vec<_>) =
            batch.drain(..).map(|asked| (asked.buckets, asked.answer)).unzip();
        match perform(&shared, &slot, &buckets).await {
            Ok(answers) => {
                for (done, answer) in waiting.into_iter().zip(answers) {
                    // A caller that gave up needs no answer.
                    let _ = done.send(answer);
                }
            }
            Err(error) => {
                for done in waiting {
                    let _ = done.send(Err(error.clone()));
                }
            }
        }
    }
}

async fn perform(shared: &Shared, slot: &Slot, batch: &[Buckets]) -> Result<Vec<Answer>, StoreError> {
    let (mut link, is_new) = shared.link(slot).await?;
    let mut outcome = load(shared, &link, batch.iter()).await;
    if shared.is_stale(slot, &link, is_new, &outcome).await {
        (link, _) = shared.link(slot).await?;
        outcome = load(shared, &link, batch.iter()).await;
    }
    let mut answers = shared.noted(slot, &link, outcome).await?;
    let used = |answer: &Answer| matches!(answer, Ok(known) if known.entries.wants_touch(known.now_ms));
    let (mut touched, mut places) = (Vec::new(), Vec::new());
    for (buckets, answer) in batch.iter().zip(answers.iter_mut()) {
        if used(answer) {
            touched.push(buckets);
            places.push(answer);
        }
    }
    if !touched.is_empty() {
        let outcome = touch(&link, &touched).await;
        shared.noted(slot, &link, outcome).await?;
        let outcome = load(shared, &link, touched.iter().copied()).await;
        let again = shared.noted(slot, &link, outcome).await?;
        for (place, answer) in places.into_iter().zip(again) {
            *place = answer;
        }
    }
    Ok(answers)
}

/// Tries again when the epoch changed while labels were read, which a clear does and hardly twice.
async fn load(
    shared: &Shared,
    link: &Link,
    batch: impl ExactSizeIterator<Item = &Buckets> + Clone,
) -> Result<Vec<Answer>, SendError> {
    shared.lease.confirm(shared, link).await?;
    for _ in 0..3 {
        if let Some(answers) = read(shared, link, batch.clone()).await? {
            return Ok(answers);
        }
    }
    Err(SendError::Reply)
}

/// The reply: role, time, epoch, then both buckets of every load, and then the epoch again.
///
/// In a transaction both epochs are the same. In a cluster there is none for different slots; if the epoch is the same
/// before and after, it was in force while the labels were read, because no epoch comes back.
async fn read(
    shared: &Shared,
    link: &Link,
    batch: impl ExactSizeIterator<Item = &Buckets>,
) -> Result<Option<Vec<Answer>>, SendError> {
    let asked = batch.len();
    let mut pipe = redis::Pipeline::with_capacity(4 + 2 * asked);
    if !shared.in_cluster {
        pipe.atomic();
    }
    pipe.ignore_errors().cmd("ROLE").cmd("TIME");
    pipe.cmd("GET").arg(shared.names.epoch());
    for [session, subject] in batch {
        pipe.cmd("HGETALL").arg(session).cmd("HGETALL").arg(subject);
    }
    pipe.cmd("GET").arg(shared.names.epoch());
    let replies: Vec<Value> = pipe.query_async(&mut link.connection()).await?;
    // An answer for every load, or none for any.
    if replies.len() != 4 + 2 * asked {
        return Err(SendError::Reply);
    }
    let mut replies = replies.into_iter();
    let is_primary = match whole(replies.next())? {
        Value::Array(role) => matches!(role.first(), Some(Value::BulkString(role)) if role == b"master"),
        _ => false,
    };
    if !is_primary {
        let what = "the server is no primary any more";
        return Err(SendError::Server(RedisError::from((ErrorKind::Io, what))));
    }
    let now_ms = millis(form(whole(replies.next())?)?);
    let before: Option<String> = form(whole(replies.next())?)?;
    let after: Option<String> = form(whole(replies.next_back())?)?;
    let epoch = match (before, after) {
        (Some(before), Some(after)) if before == after => before,
        (None, None) => drawn(shared, link).await?,
        (Some(_) | None, Some(_) | None) => return Ok(None),
    };
    let epoch = shared.epoch_of(link, &epoch);
    let mut answers = Vec::with_capacity(asked);
    while let (Some(session), Some(subject)) = (replies.next(), replies.next()) {
        let rows = match (own_error(session)?, own_error(subject)?) {
            (Ok(session), Ok(subject)) => Ok((form(session)?, form(subject)?)),
            (Err(error), _) | (_, Err(error)) => Err(error),
        };
        let entries = rows.and_then(|(session, subject)| layout::entries(session, subject, now_ms));
        let epoch = Arc::clone(&epoch);
        answers.push(entries.map(|entries| Known {
            entries,
            now_ms,
            epoch,
        }));
    }
    Ok(Some(answers))
}

/// A reply that concerns the whole batch.
fn whole(reply: Option<Value>) -> Result<Value, SendError> {
    Ok(reply.ok_or(SendError::Reply)?.extract_error()?)
}

fn form<T: FromRedisValue>(value: Value) -> Result<T, SendError> {
    redis::from_redis_value(value).map_err(|_| SendError::Reply)
}

/// On a new server or a flushed one, whoever is first draws; all take what is there then.
async fn drawn(shared: &Shared, link: &Link) -> Result<String, SendError> {
    let mut draw = redis::pipe();
    draw.cmd("SET")
        .arg(shared.names.epoch())
        .arg(epoch::random()?)
        .arg("NX")
        .ignore();
    draw.cmd("GET").arg(shared.names.epoch());
    let (drawn,): (String,) = draw.query_async(&mut link.connection()).await?;
    Ok(drawn)
}

/// Notes that the sessions are used.
async fn touch(link: &Link, batch: &[&Buckets]) -> Result<(), SendError> {
    let [_, script, ..] = &link.scripts;
    let mut pipe = redis::pipe();
    for [session, _] in batch {
        pipe.cmd("EVALSHA").arg(&**script).arg(1).arg(session).ignore();
    }
    let () = pipe.query_async(&mut link.connection()).await?;
    Ok(())
}
