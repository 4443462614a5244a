//! The default store: one redb file in the data directory, one process.
//!
//! Writers queue up behind one thread that commits everything that waits in one durable transaction
//! ([`crate::group_commit`]). Readers take a snapshot of the last commit and block nobody.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use companion_protocol::{Labels, SessionKey};
use redb::backends::FileBackend;
use redb::{Database, ReadableDatabase, TableDefinition};

use super::bucket::{self, Definition, Entry, NEVER};
use super::keys::BucketKeys;
use super::{Append, MAX_LABEL_BYTES, SessionStore, StoreError, StoreFuture};
use crate::clock::now_ms;
use crate::group_commit::{Commit, GroupCommitter};

/// The file in the data directory.
const FILE: &str = "sessions.redb";

/// The layout below; another one is refused rather than misread.
const FORMAT: &str = "1";

/// Pages that redb keeps in memory, in bytes. The working set of labels is small; the rest is the system's page cache.
const CACHE_BYTES: usize = 16 << 20;

const META: TableDefinition<'static, &str, &str> = TableDefinition::new("meta");
const SESSION: Definition = TableDefinition::new("session_labels");
const SUBJECT: Definition = TableDefinition::new("subject_labels");

/// Labels on local disk.
pub struct EmbeddedStore {
    // Before `database`: the writer ends, then the file is closed in order.
    writer: GroupCommitter<Writer>,
    database: Arc<Database>,
    epoch: String,
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
        let path = directory.join(FILE);
        let file = create(directory, &path).map_err(|source| OpenError::Database {
            path: path.clone(),
            source: Box::new(redb::Error::Io(source)),
        })?;
        // The backend's lock is what keeps a second process out.
        let database = FileBackend::new(file)
            .and_then(|backend| {
                Database::builder()
                    .set_cache_size(CACHE_BYTES)
                    .create_with_backend(backend)
            })
            .map_err(|error| match error {
                redb::DatabaseError::DatabaseAlreadyOpen => OpenError::InUse(path.clone()),
                error => OpenError::Database {
                    path: path.clone(),
                    source: Box::new(error.into()),
                },
            })?;
        let (format, epoch) = initialise(&database).map_err(|error| match error {
            InitialiseError::Database(source) => OpenError::Database {
                path: path.clone(),
                source,
            },
            InitialiseError::Random(source) => OpenError::Random(source),
        })?;
        if format != FORMAT {
            return Err(OpenError::Format { path, found: format });
        }
        let (database, healthy) = (Arc::new(database), Arc::new(AtomicBool::new(true)));
        let writer = Writer {
            database: Arc::clone(&database),
            healthy: Arc::clone(&healthy),
        };
        Ok(Self {
            writer: GroupCommitter::spawn("session-writer", writer).map_err(OpenError::Thread)?,
            database,
            epoch,
            healthy,
        })
    }

    fn read(&self, key: &BucketKeys) -> Result<Held, Box<redb::Error>> {
        let transaction = self.database.begin_read().map_err(boxed)?;
        let session = transaction.open_table(SESSION).map_err(boxed)?;
        let subject = transaction.open_table(SUBJECT).map_err(boxed)?;
        let now = now_ms();
        Ok(Held {
            session: bucket::live(&session, &key.session, now).map_err(boxed)?,
            subject: bucket::live(&subject, &key.subject, now).map_err(boxed)?,
        })
    }

    fn read_or_alarm(&self, key: &BucketKeys) -> Result<Held, StoreError> {
        self.read(key).map_err(|error| {
            tracing::error!(%error, "the session store cannot be read");
            self.healthy.store(false, Ordering::Relaxed);
            StoreError::Unavailable
        })
    }
}

impl SessionStore for EmbeddedStore {
    fn epoch(&self) -> &str {
        &self.epoch
    }

    // A read is some microseconds on pages that are in memory, less than handing it to a blocking pool costs.
    fn load<'a>(&'a self, key: &'a SessionKey) -> StoreFuture<'a, Labels> {
        Box::pin(async move {
            let keys = BucketKeys::of(key)?;
            Ok(self.read_or_alarm(&keys)?.into_labels())
        })
    }

    fn append(&self, append: Append) -> StoreFuture<'_, Labels> {
        Box::pin(async move {
            let keys = BucketKeys::of(&append.key)?;
            let labels = append.labels.iter().chain(&append.subject_labels);
            for label in labels {
                if label.is_empty() || label.len() > MAX_LABEL_BYTES {
                    return Err(StoreError::InvalidLabel);
                }
            }
            // What a snapshot shows is durable, so a union that changes nothing needs no commit. Every call of a tainted
            // session repeats its append; only the first pays for the disk.
            let held = self.read_or_alarm(&keys)?;
            let pending = Pending {
                keys,
                labels: append.labels,
                subject_labels: append.subject_labels,
                subject_ends: append
                    .ttl_s
                    .map_or(NEVER, |ttl_s| now_ms().saturating_add(ttl_s.saturating_mul(1000))),
            };
            let union = pending.union(held)?;
            if union.is_unchanged() {
                return Ok(union.into_labels());
            }
            self.writer
                .submit(pending)
                .await
                .map_err(|_| StoreError::Unavailable)?
        })
    }

    fn healthy(&self) -> bool {
        self.healthy.load(Ordering::Relaxed)
    }
}

/// What two buckets hold.
struct Held {
    session: Vec<Entry>,
    subject: Vec<Entry>,
}

impl Held {
    fn into_labels(self) -> Labels {
        let ends = |entries: &[Entry]| {
            entries
                .iter()
                .map(|(_, ends)| *ends)
                .filter(|&e| e != NEVER)
                .min()
        };
        let expires_at_ms = [ends(&self.session), ends(&self.subject)]
            .into_iter()
            .flatten()
            .min();
        let names = |entries: Vec<Entry>| entries.into_iter().map(|(label, _)| label).collect();
        Labels {
            session: names(self.session),
            subject: names(self.subject),
            expires_at_ms,
        }
    }
}

/// An append on its way to the disk.
struct Pending {
    keys: BucketKeys,
    labels: Vec<String>,
    subject_labels: Vec<String>,
    subject_ends: u64,
}

struct Unions {
    session: bucket::Union,
    subject: bucket::Union,
}

impl Pending {
    fn union(&self, held: Held) -> Result<Unions, StoreError> {
        Ok(Unions {
            session: bucket::union(held.session, &self.labels, NEVER)?,
            subject: bucket::union(held.subject, &self.subject_labels, self.subject_ends)?,
        })
    }
}

impl Unions {
    fn is_unchanged(&self) -> bool {
        self.session.changed.is_empty() && self.subject.changed.is_empty()
    }

    fn into_labels(self) -> Labels {
        Held {
            session: self.session.entries,
            subject: self.subject.entries,
        }
        .into_labels()
    }
}

struct Writer {
    database: Arc<Database>,
    healthy: Arc<AtomicBool>,
}

impl Commit for Writer {
    type Item = Pending;
    type Ack = Result<Labels, StoreError>;

    fn commit(&mut self, items: Vec<Pending>) -> Vec<Self::Ack> {
        match self.write(&items) {
            Ok(acks) => {
                self.healthy.store(true, Ordering::Relaxed);
                acks
            }
            Err(error) => {
                tracing::error!(%error, appends = items.len(), "the session store cannot be written");
                self.healthy.store(false, Ordering::Relaxed);
                items.iter().map(|_| Err(StoreError::Unavailable)).collect()
            }
        }
    }
}

impl Writer {
    /// One durable transaction. A refusal of one append (a full bucket) leaves the others alone; a fault of the
    /// database fails them all.
    fn write(&self, items: &[Pending]) -> Result<Vec<Result<Labels, StoreError>>, Box<redb::Error>> {
        let transaction = self.database.begin_write().map_err(boxed)?;
        let mut acks = Vec::with_capacity(items.len());
        {
            let mut session = transaction.open_table(SESSION).map_err(boxed)?;
            let mut subject = transaction.open_table(SUBJECT).map_err(boxed)?;
            let now = now_ms();
            for item in items {
                let held = Held {
                    session: bucket::live(&session, &item.keys.session, now).map_err(boxed)?,
                    subject: bucket::live(&subject, &item.keys.subject, now).map_err(boxed)?,
                };
                let unions = match item.union(held) {
                    Ok(unions) => unions,
                    Err(refused) => {
                        acks.push(Err(refused));
                        continue;
                    }
                };
                bucket::sweep(&mut subject, &item.keys.subject, now).map_err(boxed)?;
                bucket::write(&mut session, &item.keys.session, &unions.session.changed).map_err(boxed)?;
                bucket::write(&mut subject, &item.keys.subject, &unions.subject.changed).map_err(boxed)?;
                acks.push(Ok(unions.into_labels()));
            }
        }
        transaction.commit().map_err(boxed)?;
        Ok(acks)
    }
}

/// Opens the file, for nobody else to read. A new name is synced too, or a crash of the machine could take it with the
/// labels in it.
fn create(directory: &Path, path: &Path) -> std::io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)?;
    File::open(directory)?.sync_all()?;
    Ok(file)
}

enum InitialiseError {
    Database(Box<redb::Error>),
    Random(getrandom::Error),
}

/// Reads layout and epoch; writes them, and makes the tables, in a new database.
fn initialise(database: &Database) -> Result<(String, String), InitialiseError> {
    fn fault(error: impl Into<redb::Error>) -> InitialiseError {
        InitialiseError::Database(boxed(error))
    }
    let transaction = database.begin_write().map_err(fault)?;
    let (format, epoch);
    {
        let mut meta = transaction.open_table(META).map_err(fault)?;
        let read = |name: &str, meta: &redb::Table<'_, &'static str, &'static str>| {
            use redb::ReadableTable;
            meta.get(name)
                .map(|value| value.map(|guard| guard.value().to_owned()))
                .map_err(fault)
        };
        match (read("format", &meta)?, read("epoch", &meta)?) {
            (Some(known_format), Some(known_epoch)) => {
                (format, epoch) = (known_format, known_epoch);
            }
            _ => {
                (format, epoch) = (FORMAT.to_owned(), random_epoch()?);
                meta.insert("format", format.as_str()).map_err(fault)?;
                meta.insert("epoch", epoch.as_str()).map_err(fault)?;
            }
        }
        transaction.open_table(SESSION).map_err(fault)?;
        transaction.open_table(SUBJECT).map_err(fault)?;
    }
    transaction.commit().map_err(fault)?;
    Ok((format, epoch))
}

fn random_epoch() -> Result<String, InitialiseError> {
    let mut bytes = [0; 16];
    getrandom::getrandom(&mut bytes).map_err(InitialiseError::Random)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn boxed(error: impl Into<redb::Error>) -> Box<redb::Error> {
    Box::new(error.into())
}

#[cfg(test)]
mod tests;
