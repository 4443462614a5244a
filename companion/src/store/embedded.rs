//! The default store: one redb file in the data directory, one process.
//!
//! Writers queue up behind one thread that commits everything that waits in one durable transaction
//! ([`crate::group_commit`]). Readers take a snapshot of the last commit and block nobody.
//!
//! **Epoch.** It is drawn anew whenever the store is opened: a file that was restored from a copy cannot be told from
//! the one that was there before, and a restart that makes every worker append its labels once more costs little. A
//! clear draws it anew as well.
//!
//! **Time.** See [`store_clock`]: labels end by a clock of the store's own that no setting of the system's clock moves.

mod layout;
mod rows;
mod store_clock;
#[cfg(test)]
mod tests;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use companion_protocol::SessionKey;
use redb::backends::FileBackend;
use redb::{Database, ReadableDatabase};

use super::bucket::{Entries, listed};
use super::epoch::Epoch;
use super::keys::{BucketKeys, hex};
use super::{Append, Bucket, Cleared, Held, MAX_LISTED, Selection, SessionStore, StoreError, StoreFuture};
use crate::clock::{SystemClock, TimeSource};
use crate::group_commit::GroupCommitter;
use layout::FORMAT;
pub(super) use layout::create;
use rows::Definition;
use store_clock::StoreClock;
use writer::{Pending, Write, Writer, Written};

/// The file in the data directory.
const FILE: &str = "sessions.redb";

/// Pages that redb keeps in memory, in bytes. The working set of labels is small; the rest is the system's page cache.
const CACHE_BYTES: usize = 16 << 20;

const SESSION: Definition = Definition::new("session_labels");
const SUBJECT: Definition = Definition::new("subject_labels");

/// Labels on local disk.
pub struct EmbeddedStore {
    // Before `database`: the writer ends, then the file is closed in order.
    writer: GroupCommitter<Writer>,
    database: Arc<Database>,
    clock: Arc<StoreClock>,
    epoch: Arc<Epoch>,
    healthy: Arc<AtomicBool>,
}

/// Why the store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("`{0}` is in use by another companion")]
    InUse(PathBuf),
    /// Written by another generation of this program.
    #[error("`{path}` has layout {found}, this build reads layout {FORMAT}")]
    Format {
        /// The file.
        path: PathBuf,
        /// Its layout.
        found: String,
    },
    /// The database refused.
    #[error("cannot open session store `{path}`")]
    Database {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<redb::Error>,
    },
    /// The system has no randomness.
    #[error("cannot draw a store epoch")]
    Random(#[source] getrandom::Error),
    /// The writer thread cannot be started.
    #[error("cannot start the store's writer")]
    Thread(#[source] std::io::Error),
}

impl EmbeddedStore {
    /// Opens the store in `directory`, creating it if it is not there. The directory must exist.
    pub fn open(directory: &Path) -> Result<Self, OpenError> {
        Self::open_with(directory, Arc::new(SystemClock::default()))
    }

    /// The same, by another clock.
    pub fn open_with(directory: &Path, time: Arc<dyn TimeSource>) -> Result<Self, OpenError> {
        let path = directory.join(FILE);
        let refused = |source| OpenError::Database {
            path: path.clone(),
            source,
        };
        let file =
            layout::create(directory, &path).map_err(|source| refused(Box::new(redb::Error::Io(source))))?;
        // The backend's lock is what keeps a second process out.
        let database = FileBackend::new(file)
            .and_then(|backend| {
                Database::builder()
                    .set_cache_size(CACHE_BYTES)
                    .create_with_backend(backend)
            })
            .map_err(|error| match error {
                redb::DatabaseError::DatabaseAlreadyOpen => OpenError::InUse(path.clone()),
                error => refused(boxed(error)),
            })?;
        let opened = layout::initialise(&database).map_err(refused)?;
        if opened.format != FORMAT {
            let found = opened.format;
            return Err(OpenError::Format { path, found });
        }
        let clock = Arc::new(StoreClock::resume(time, opened.mark));
        let epoch = Arc::new(Epoch::draw().map_err(OpenError::Random)?);
        let (database, healthy) = (Arc::new(database), Arc::new(AtomicBool::new(true)));
        let writer = Writer {
            database: Arc::clone(&database),
            clock: Arc::clone(&clock),
            epoch: Arc::clone(&epoch),
            healthy: Arc::clone(&healthy),
            swept: [Vec::new(), Vec::new()],
        };
        Ok(Self {
            writer: GroupCommitter::spawn("session-writer", writer).map_err(OpenError::Thread)?,
            database,
            clock,
            epoch,
            healthy,
        })
    }

    /// To be called once a minute: keeps the clock's mark fresh and removes some of what has ended.
    pub async fn tick(&self) -> Result<(), StoreError> {
        self.submit(Write::Tick).await.map(|_| ())
    }

    fn read(&self, key: &BucketKeys, now_ms: u64) -> Result<Entries, Box<redb::Error>> {
        let transaction = self.database.begin_read().map_err(boxed)?;
        let session = transaction.open_table(SESSION).map_err(boxed)?;
        let subject = transaction.open_table(SUBJECT).map_err(boxed)?;
        Ok(Entries {
            session: rows::live(&session, &key.session, now_ms).map_err(boxed)?,
            subject: rows::live(&subject, &key.subject, now_ms).map_err(boxed)?,
        })
    }

    fn read_selected(
        &self,
        selection: &Selection,
    ) -> Result<Result<Vec<Bucket>, Box<redb::Error>>, StoreError> {
        let keys = selection.keys()?;
        let now_ms = self.clock.now_ms();
        let read = || {
            let transaction = self.database.begin_read().map_err(boxed)?;
            let session = transaction.open_table(SESSION).map_err(boxed)?;
            let subject = transaction.open_table(SUBJECT).map_err(boxed)?;
            let mut found = match &keys.session {
                Some(key) => rows::buckets(&session, key, now_ms, 1).map_err(boxed)?,
                None => {
                    let mut found = rows::buckets(&subject, &keys.subject, now_ms, 1).map_err(boxed)?;
                    let most = MAX_LISTED - found.len();
                    found.extend(rows::buckets(&session, &keys.subject, now_ms, most).map_err(boxed)?);
                    found
                }
            };
            Ok(found
                .drain(..)
                .map(|(key, entries)| Bucket {
                    subject: selection.subject.clone(),
                    session: key.get(32..).filter(|rest| !rest.is_empty()).map(hex),
                    labels: listed(entries, |at| self.clock.on_wall_ms(at)),
                })
                .collect())
        };
        Ok(read())
    }

    fn alarmed(&self, error: &redb::Error) -> StoreError {
        tracing::error!(%error, "the session store cannot be read");
        self.healthy.store(false, Ordering::Relaxed);
        StoreError::Unavailable
    }

    async fn submit(&self, write: Write) -> Result<Written, StoreError> {
        self.writer
            .submit(write)
            .await
            .map_err(|_| StoreError::Unavailable)?
    }

    fn held(&self, entries: Entries, epoch: Arc<str>) -> Held {
        Held {
            labels: entries.into_labels(|at| self.clock.on_wall_ms(at)),
            epoch,
        }
    }
}

impl SessionStore for EmbeddedStore {
    fn epoch(&self) -> Arc<str> {
        self.epoch.get()
    }

    // A read is some microseconds on pages that are in memory, less than handing it to a blocking pool costs.
    fn load<'a>(&'a self, key: &'a SessionKey) -> StoreFuture<'a, Held> {
        Box::pin(async move {
            let keys = BucketKeys::of(key)?;
            // Before the labels are read, see `Held`.
            let (epoch, now_ms) = (self.epoch(), self.clock.now_ms());
            let mut entries = self.read(&keys, now_ms).map_err(|error| self.alarmed(&error))?;
            if entries.wants_touch(now_ms) {
                // A use that is not written down would let the label end early, so this fails the load.
                self.submit(Write::Touch(keys)).await?;
                for (_, life) in &mut entries.session {
                    *life = life.touched(now_ms);
                }
            }
            Ok(self.held(entries, epoch))
        })
    }

    fn append(&self, append: Append) -> StoreFuture<'_, Held> {
        Box::pin(async move {
            append.check()?;
            let (epoch, now_ms) = (self.epoch(), self.clock.now_ms());
            let pending = Pending {
                keys: BucketKeys::of(&append.key)?,
                labels: append.labels,
                subject_labels: append.subject_labels,
                ttl_s: append.ttl_s,
                lifetimes: append.lifetimes,
            };
            // What a snapshot shows is durable, so a union that changes nothing needs no commit. Every call of a tainted
            // session repeats its append; only the first pays for the disk.
            let held = self
                .read(&pending.keys, now_ms)
                .map_err(|error| self.alarmed(&error))?;
            let used = held.wants_touch(now_ms);
            let union = pending.union(held, now_ms)?;
            if union.is_unchanged() && !used {
                return Ok(self.held(union.into_entries(), epoch));
            }
            if union.is_unchanged() {
                self.submit(Write::Touch(pending.keys)).await?;
                return Ok(self.held(union.into_entries(), epoch));
            }
            match self.submit(Write::Append(pending)).await? {
                Written::Entries(entries) => Ok(self.held(entries, epoch)),
                Written::Cleared(_) | Written::Done => Err(StoreError::Unavailable),
            }
        })
    }

    fn list<'a>(&'a self, selection: &'a Selection) -> StoreFuture<'a, Vec<Bucket>> {
        Box::pin(async move {
            self.read_selected(selection)?
                .map_err(|error| self.alarmed(&error))
        })
    }

    fn clear<'a>(&'a self, selection: &'a Selection) -> StoreFuture<'a, Cleared> {
        Box::pin(async move {
            match self.submit(Write::Clear(selection.keys()?)).await? {
                Written::Cleared(cleared) => Ok(cleared),
                Written::Entries(_) | Written::Done => Err(StoreError::Unavailable),
            }
        })
    }

    fn healthy(&self) -> bool {
        self.healthy.load(Ordering::Relaxed)
    }
}

pub(super) fn boxed(error: impl Into<redb::Error>) -> Box<redb::Error> {
    Box::new(error.into())
}
