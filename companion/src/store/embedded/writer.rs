//! The one thread that writes: everything that waits goes into one durable transaction.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use redb::Database;

use super::super::admin::SelectedKeys;
use super::super::bucket::{self, Entries, Union};
use super::super::epoch::{self, Epoch};
use super::super::keys::BucketKeys;
use super::super::lifetime::Life;
use super::super::{Cleared, Lifetimes, StoreError};
use super::rows;
use super::store_clock::StoreClock;
use super::{SESSION, SUBJECT, boxed, layout};
use crate::group_commit::Commit;

/// Rows that one tick looks at for buckets that nobody comes back to.
const SWEPT_A_TICK: usize = 4096;

/// What is written.
pub(super) enum Write {
    /// Labels on their way to the disk.
    Append(Pending),
    /// A session was used.
    Touch(BucketKeys),
    /// An operator removes labels.
    Clear(SelectedKeys),
    /// A minute has gone.
    Tick,
}

/// What came of it.
pub(super) enum Written {
    /// The union.
    Entries(Entries),
    /// Labels that are gone, and the epoch from now on.
    Cleared(Cleared),
    /// Nothing to say.
    Done,
}

/// An append.
pub(super) struct Pending {
    pub(super) keys: BucketKeys,
    pub(super) labels: Vec<String>,
    pub(super) subject_labels: Vec<String>,
    pub(super) ttl_s: Option<u64>,
    pub(super) lifetimes: Lifetimes,
}

pub(super) struct Unions {
    session: Union,
    subject: Union,
}

impl Pending {
    pub(super) fn union(&self, held: Entries, now_ms: u64) -> Result<Unions, StoreError> {
        let session = Life::of_session(now_ms, &self.lifetimes);
        let subject = Life::of_subject(now_ms, &self.lifetimes, self.ttl_s);
        Ok(Unions {
            session: bucket::union(held.session, &self.labels, session, now_ms)?,
            subject: bucket::union(held.subject, &self.subject_labels, subject, now_ms)?,
        })
    }
}

impl Unions {
    pub(super) fn is_unchanged(&self) -> bool {
        self.session.changed.is_empty() && self.subject.changed.is_empty()
    }

    pub(super) fn into_entries(self) -> Entries {
        Entries {
            session: self.session.entries,
            subject: self.subject.entries,
        }
    }
}

pub(super) struct Writer {
    pub(super) database: Arc<Database>,
    pub(super) clock: Arc<StoreClock>,
    pub(super) epoch: Arc<Epoch>,
    pub(super) healthy: Arc<AtomicBool>,
    /// Where the next sweep goes on, per table.
    pub(super) swept: [Vec<u8>; 2],
}

impl Commit for Writer {
    type Item = Write;
    type Ack = Result<Written, StoreError>;

    fn commit(&mut self, items: Vec<Write>) -> Vec<Self::Ack> {
        match self.write(&items) {
            Ok(acks) => {
                self.healthy.store(true, Ordering::Relaxed);
                // Only now: whoever read the old epoch saw no more than what was there before.
                for cleared in acks.iter().filter_map(|ack| match ack {
                    Ok(Written::Cleared(cleared)) => Some(cleared),
                    Ok(Written::Entries(_) | Written::Done) | Err(_) => None,
                }) {
                    self.epoch.set(cleared.epoch.as_str().into());
                }
                acks
            }
            Err(error) => {
                tracing::error!(%error, writes = items.len(), "the session store cannot be written");
                self.healthy.store(false, Ordering::Relaxed);
                items.iter().map(|_| Err(StoreError::Unavailable)).collect()
            }
        }
    }
}

impl Writer {
    /// One durable transaction. A refusal of one append (a full bucket) leaves the others alone; a fault of the
    /// database fails them all.
    fn write(&mut self, items: &[Write]) -> Result<Vec<<Self as Commit>::Ack>, Box<redb::Error>> {
        let transaction = self.database.begin_write().map_err(boxed)?;
        let mut acks = Vec::with_capacity(items.len());
        {
            let mut session = transaction.open_table(SESSION).map_err(boxed)?;
            let mut subject = transaction.open_table(SUBJECT).map_err(boxed)?;
            let mark = self.clock.mark();
            for item in items {
                let mut tables = Tables {
                    session: &mut session,
                    subject: &mut subject,
                    now_ms: mark.store_ms,
                };
                acks.push(match item {
                    Write::Append(pending) => tables.append(pending).map_err(boxed)?,
                    Write::Touch(keys) => tables.touch(keys).map_err(boxed)?,
                    Write::Clear(selected) => tables.clear(selected).map_err(boxed)?,
                    Write::Tick => tables.sweep(&mut self.swept).map_err(boxed)?,
                });
            }
            layout::write_mark(&transaction, mark)?;
        }
        transaction.commit().map_err(boxed)?;
        Ok(acks)
    }
}

/// Both tables at one instant.
struct Tables<'t, 'db> {
    session: &'t mut rows::Rows<'db>,
    subject: &'t mut rows::Rows<'db>,
    now_ms: u64,
}

type Outcome = Result<Result<Written, StoreError>, redb::StorageError>;

impl Tables<'_, '_> {
    fn append(&mut self, pending: &Pending) -> Outcome {
        let keys = &pending.keys;
        let held = Entries {
            session: rows::live(self.session, &keys.session, self.now_ms)?,
            subject: rows::live(self.subject, &keys.subject, self.now_ms)?,
        };
        let unions = match pending.union(held, self.now_ms) {
            Ok(unions) => unions,
            Err(refused) => return Ok(Err(refused)),
        };
        rows::sweep_bucket(self.session, &keys.session, self.now_ms)?;
        rows::sweep_bucket(self.subject, &keys.subject, self.now_ms)?;
        rows::write(self.session, &keys.session, &unions.session.changed)?;
        rows::write(self.subject, &keys.subject, &unions.subject.changed)?;
        Ok(Ok(Written::Entries(unions.into_entries())))
    }

    fn touch(&mut self, keys: &BucketKeys) -> Outcome {
        let mut held = rows::live(self.session, &keys.session, self.now_ms)?;
        for (_, life) in &mut held {
            *life = life.touched(self.now_ms);
        }
        rows::write(self.session, &keys.session, &held)?;
        Ok(Ok(Written::Done))
    }

    fn clear(&mut self, selected: &SelectedKeys) -> Outcome {
        let labels = match &selected.session {
            Some(session) => rows::remove(self.session, session, self.now_ms)?,
            None => {
                rows::remove(self.session, &selected.subject, self.now_ms)?
                    + rows::remove(self.subject, &selected.subject, self.now_ms)?
            }
        };
        // Without randomness there is no new epoch, and a clear that workers do not notice must not happen.
        let epoch = epoch::random().map_err(|error| redb::StorageError::Io(std::io::Error::other(error)))?;
        Ok(Ok(Written::Cleared(Cleared { labels, epoch })))
    }

    fn sweep(&mut self, swept: &mut [Vec<u8>; 2]) -> Outcome {
        let [in_session, in_subject] = swept;
        *in_session = rows::sweep_some(self.session, in_session, self.now_ms, SWEPT_A_TICK)?;
        *in_subject = rows::sweep_some(self.subject, in_subject, self.now_ms, SWEPT_A_TICK)?;
        Ok(Ok(Written::Done))
    }
}
