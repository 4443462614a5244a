//! Loads in batches: everything that waits goes to the server in one transaction, which asks for role, time and epoch once,
//! and a few transactions are under way at a time.
//!
//! A batch fails as one when its connection does; it is then tried once more on a new one. A load that cannot be read (a
//! row of somebody else's) fails alone.

use std::sync::Arc;

use redis::{ErrorKind, RedisError};
use tokio::sync::{Mutex, mpsc, oneshot};

use super::super::bucket::{Entries, Entry};
use super::super::{StoreError, epoch as epochs};
use super::appender::SendError;
use super::layout;
use super::link::Link;
use super::resp::{Cursor, Item, command};
use super::shared::{Known, Shared, Slot, gather, millis, own_line};

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
        {
            let mut receiver = receiver.lock().await;
            if receiver.recv_many(&mut batch, MAX_BATCH).await == 0 {
                return;
            }
            gather(&mut receiver, &mut batch, MAX_BATCH).await;
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
    let mut commands = Vec::with_capacity(256 + 512 * asked);
    let mut ask = |words: &[&str]| command(&mut commands, words);
    if !shared.in_cluster {
        ask(&["MULTI"]);
    }
    ask(&["ROLE"]);
    ask(&["TIME"]);
    ask(&["GET", shared.names.epoch()]);
    for [session, subject] in batch {
        ask(&["HGETALL", session]);
        ask(&["HGETALL", subject]);
    }
    ask(&["GET", shared.names.epoch()]);
    let parts = 4 + 2 * asked;
    // A transaction answers when it begins and when it is told each part, and then with a list of all answers.
    let replies = match shared.in_cluster {
        true => parts,
        false => parts + 2,
    };
    if !shared.in_cluster {
        ask(&["EXEC"]);
    }
    let wire = link.wire(&shared.settings).await?;
    let answer = wire.exchange(&commands, replies).await?;
    let mut cursor = Cursor::new(&answer);
    if !shared.in_cluster {
        for _ in 0..=parts {
            item(&mut cursor)?;
        }
        if item(&mut cursor)? != Item::List(parts as u64) {
            return Err(SendError::Reply);
        }
    }
    if !is_primary(&mut cursor)? {
        let what = "the server is no primary any more";
        return Err(SendError::Server(RedisError::from((ErrorKind::Io, what))));
    }
    let now_ms = millis(time(&mut cursor)?);
    let before = epoch(&mut cursor)?;
    let mut found = Vec::with_capacity(asked);
    for _ in 0..asked {
        // Both are taken from the answer, whatever is wrong with one of them.
        let (session, subject) = (bucket(&mut cursor, now_ms)?, bucket(&mut cursor, now_ms)?);
        found.push(session.and_then(|session| {
            Ok(Entries {
                session,
                subject: subject?,
            })
        }));
    }
    let after = epoch(&mut cursor)?;
    let epoch = match (before, after) {
        (Some(before), Some(after)) if before == after => shared.epoch_of(link, before),
        (None, None) => shared.epoch_of(link, &drawn(shared, link).await?),
        (Some(_) | None, Some(_) | None) => return Ok(None),
    };
    let known = |entries| Known {
        entries,
        now_ms,
        epoch: Arc::clone(&epoch),
    };
    Ok(Some(
        found.into_iter().map(|entries| entries.map(known)).collect(),
    ))
}

/// The next element; an error is the batch's.
fn item<'a>(cursor: &mut Cursor<'a>) -> Result<Item<'a>, SendError> {
    match cursor.next()? {
        Item::Error(line) => Err(SendError::Refused(String::from_utf8_lossy(line).into_owned())),
        item => Ok(item),
    }
}

fn is_primary(cursor: &mut Cursor<'_>) -> Result<bool, SendError> {
    let Item::List(elements @ 1..) = item(cursor)? else {
        return Err(SendError::Reply);
    };
    let role = item(cursor)?;
    cursor.skip(elements - 1)?;
    Ok(role == Item::Text(b"master"))
}

fn time(cursor: &mut Cursor<'_>) -> Result<(u64, u64), SendError> {
    if item(cursor)? != Item::List(2) {
        return Err(SendError::Reply);
    }
    let mut number = || {
        let digits = text(item(cursor)?)?.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
        digits.ok_or(SendError::Reply)
    };
    Ok((number()?, number()?))
}

fn epoch<'a>(cursor: &mut Cursor<'a>) -> Result<Option<&'a str>, SendError> {
    match text(item(cursor)?)? {
        None => Ok(None),
        Some(text) => std::str::from_utf8(text).map(Some).map_err(|_| SendError::Reply),
    }
}

/// A bucket's live labels; an error of its own concerns its load only.
fn bucket(cursor: &mut Cursor<'_>, now_ms: u64) -> Result<Result<Vec<Entry>, StoreError>, SendError> {
    match cursor.next()? {
        Item::Error(line) => Ok(Err(own_line(line)?)),
        Item::List(elements) if elements % 2 == 0 => {
            layout::live_bytes(elements / 2, now_ms, || text(item(cursor)?))
        }
        _ => Err(SendError::Reply),
    }
}

fn text(item: Item<'_>) -> Result<Option<&[u8]>, SendError> {
    match item {
        Item::Text(text) => Ok(Some(text)),
        Item::Nil => Ok(None),
        _ => Err(SendError::Reply),
    }
}

/// On a new server or a flushed one, whoever is first draws; all take what is there then.
async fn drawn(shared: &Shared, link: &Link) -> Result<String, SendError> {
    let mut draw = redis::pipe();
    draw.cmd("SET")
        .arg(shared.names.epoch())
        .arg(epochs::random()?)
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
