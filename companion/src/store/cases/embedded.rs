//! A redb file of its own beside the labels', `cases.redb`.

use std::path::Path;
use std::sync::{Arc, Mutex};

use redb::backends::FileBackend;
use redb::{Database, ReadableDatabase, ReadableTable, Table, TableDefinition};

use super::super::embedded::{OpenError, boxed, create};
use super::{CaseStore, Change, Changed, MAX_MEMBERS, Stored};
use crate::store::{StoreError, StoreFuture};

/// The file in the data directory.
const FILE: &str = "cases.redb";

/// Pages that redb keeps in memory, in bytes.
const CACHE_BYTES: usize = 4 << 20;

/// Ended documents that one change removes.
const SWEPT_A_CHANGE: usize = 64;

/// key → (version, end, document, groups with a line feed between)
type Cases<'t> = Table<'t, &'static str, (u64, u64, &'static str, &'static str)>;
const CASES: TableDefinition<'static, &str, (u64, u64, &str, &str)> = TableDefinition::new("cases");

/// (group, key) → end
type Groups<'t> = Table<'t, (&'static str, &'static str), u64>;
const GROUPS: TableDefinition<'static, (&str, &str), u64> = TableDefinition::new("groups");

/// (end, key): what to remove first.
type Ends<'t> = Table<'t, (u64, &'static str), ()>;
const ENDS: TableDefinition<'static, (u64, &str), ()> = TableDefinition::new("ends");

/// Documents on local disk.
#[derive(Clone)]
pub struct EmbeddedCases {
    database: Arc<Database>,
    /// redb lets one write at a time and would block others in its own lock; a thread of the pool waits here instead.
    writing: Arc<Mutex<()>>,
}

impl EmbeddedCases {
    /// Opens or creates the file in `directory`.
    pub fn open(directory: &Path) -> Result<Self, OpenError> {
        let path = directory.join(FILE);
        let refused = |source| OpenError::Database {
            path: path.clone(),
            source,
        };
        let file = create(directory, &path).map_err(|source| refused(Box::new(redb::Error::Io(source))))?;
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
        make_tables(&database).map_err(refused)?;
        Ok(Self {
            database: Arc::new(database),
            writing: Arc::default(),
        })
    }

    fn read(&self, key: &str, now_ms: u64) -> Result<Option<Stored>, Box<redb::Error>> {
        let transaction = self.database.begin_read().map_err(boxed)?;
        let cases = transaction.open_table(CASES).map_err(boxed)?;
        let found = cases.get(key).map_err(boxed)?;
        Ok(found.and_then(|guard| {
            let (version, ends_ms, text, _) = guard.value();
            let text = text.to_owned();
            (ends_ms > now_ms).then_some(Stored { version, text })
        }))
    }

    fn list(&self, group: &str, now_ms: u64) -> Result<Vec<String>, Box<redb::Error>> {
        let transaction = self.database.begin_read().map_err(boxed)?;
        let groups = transaction.open_table(GROUPS).map_err(boxed)?;
        live_members(&groups, group, now_ms).map_err(boxed)
    }

    fn write(&self, change: &Change, now_ms: u64) -> Result<Changed, Box<redb::Error>> {
        let _writing = self
            .writing
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        let transaction = self.database.begin_write().map_err(boxed)?;
        let outcome = {
            let mut tables = Tables {
                cases: transaction.open_table(CASES).map_err(boxed)?,
                groups: transaction.open_table(GROUPS).map_err(boxed)?,
                ends: transaction.open_table(ENDS).map_err(boxed)?,
            };
            tables.sweep(now_ms).map_err(boxed)?;
            tables.change(change, now_ms).map_err(boxed)?
        };
        match outcome {
            Changed::Done => transaction.commit().map_err(boxed)?,
            Changed::Conflict | Changed::Full => transaction.abort().map_err(boxed)?,
        }
        Ok(outcome)
    }
}

fn make_tables(database: &Database) -> Result<(), Box<redb::Error>> {
    let transaction = database.begin_write().map_err(boxed)?;
    transaction.open_table(CASES).map_err(boxed)?;
    transaction.open_table(GROUPS).map_err(boxed)?;
    transaction.open_table(ENDS).map_err(boxed)?;
    transaction.commit().map_err(boxed)
}

struct Tables<'t> {
    cases: Cases<'t>,
    groups: Groups<'t>,
    ends: Ends<'t>,
}

impl Tables<'_> {
    fn change(&mut self, change: &Change, now_ms: u64) -> Result<Changed, redb::StorageError> {
        let held = self.cases.get(&*change.key)?.map(|guard| {
            let (version, ends_ms, _, _) = guard.value();
            (version, ends_ms)
        });
        let live = held.filter(|(_, ends_ms)| *ends_ms > now_ms);
        if live.map_or(0, |(version, _)| version) != change.expected {
            return Ok(Changed::Conflict);
        }
        if let Some((group, most)) = &change.room {
            let members = live_members(&self.groups, group, now_ms)?;
            if members.iter().filter(|key| **key != change.key).count() >= *most {
                return Ok(Changed::Full);
            }
        }
        self.remove(&change.key)?;
        for group in &change.groups {
            self.groups.insert((&**group, &*change.key), change.ends_ms)?;
        }
        self.ends.insert((change.ends_ms, &*change.key), ())?;
        let row = (
            change.expected + 1,
            change.ends_ms,
            &*change.text,
            &*change.groups.join("\n"),
        );
        self.cases.insert(&*change.key, row)?;
        Ok(Changed::Done)
    }

    fn remove(&mut self, key: &str) -> Result<(), redb::StorageError> {
        let held = self.cases.remove(key)?.map(|guard| {
            let (_, ends_ms, _, groups) = guard.value();
            (ends_ms, groups.to_owned())
        });
        let Some((ends_ms, groups)) = held else {
            return Ok(());
        };
        for group in groups.split('\n').filter(|group| !group.is_empty()) {
            self.groups.remove((group, key))?;
        }
        self.ends.remove((ends_ms, key))?;
        Ok(())
    }

    fn sweep(&mut self, now_ms: u64) -> Result<(), redb::StorageError> {
        let mut ended = Vec::new();
        for entry in self.ends.range((0, "")..=(now_ms, ""))?.take(SWEPT_A_CHANGE) {
            ended.push(entry?.0.value().1.to_owned());
        }
        for key in ended {
            self.remove(&key)?;
        }
        Ok(())
    }
}

fn live_members(
    groups: &impl ReadableTable<(&'static str, &'static str), u64>,
    group: &str,
    now_ms: u64,
) -> Result<Vec<String>, redb::StorageError> {
    let mut members = Vec::new();
    for entry in groups.range((group, "")..)? {
        let (key, ends_ms) = entry?;
        let (of, member) = key.value();
        if of != group || members.len() == MAX_MEMBERS {
            break;
        }
        if ends_ms.value() > now_ms {
            members.push(member.to_owned());
        }
    }
    Ok(members)
}

fn unavailable(error: &redb::Error) -> StoreError {
    tracing::error!(%error, "the store of approvals failed");
    StoreError::Unavailable
}

impl CaseStore for EmbeddedCases {
    fn get<'a>(&'a self, key: &'a str, now_ms: u64) -> StoreFuture<'a, Option<Stored>> {
        Box::pin(async move { self.read(key, now_ms).map_err(|error| unavailable(&error)) })
    }

    fn change(&self, change: Change, now_ms: u64) -> StoreFuture<'_, Changed> {
        Box::pin(async move {
            change.check()?;
            let this = self.clone();
            let done = tokio::task::spawn_blocking(move || this.write(&change, now_ms));
            let outcome = done.await.map_err(|_| StoreError::Unavailable)?;
            outcome.map_err(|error| unavailable(&error))
        })
    }

    fn members<'a>(&'a self, group: &'a str, now_ms: u64) -> StoreFuture<'a, Vec<String>> {
        Box::pin(async move { self.list(group, now_ms).map_err(|error| unavailable(&error)) })
    }
}

#[cfg(test)]
mod tests {
    use super::super::suite::{self, change};
    use super::*;

    async fn fixture() -> (Arc<dyn CaseStore>, tempfile::TempDir) {
        let directory = tempfile::tempdir().expect("a directory");
        (
            Arc::new(EmbeddedCases::open(directory.path()).expect("opens")),
            directory,
        )
    }

    #[tokio::test]
    async fn keeps_the_laws() {
        let (store, _directory) = fixture().await;
        suite::laws(store).await;
    }

    #[tokio::test]
    async fn a_change_outlives_the_process_and_a_second_process_stays_out() {
        let (store, directory) = fixture().await;
        assert_eq!(store.change(change("k", 0, "a", 100), 0).await, Ok(Changed::Done));
        assert!(matches!(
            EmbeddedCases::open(directory.path()),
            Err(OpenError::InUse(_))
        ));
        drop(store);
        let again = EmbeddedCases::open(directory.path()).expect("opens");
        assert_eq!(
            again.get("k", 0).await.expect("reads").map(|held| held.version),
            Some(1)
        );
    }

    #[tokio::test]
    async fn what_has_ended_is_removed_from_the_file() {
        let directory = tempfile::tempdir().expect("a directory");
        let store = EmbeddedCases::open(directory.path()).expect("opens");
        for at in 0..10 {
            let key = format!("k{at}");
            store.change(change(&key, 0, "a", 10), 0).await.expect("writes");
        }
        store
            .change(change("new", 0, "a", 100), 20)
            .await
            .expect("writes");
        let read = store.database.begin_read().expect("reads");
        let rows = read.open_table(CASES).expect("a table");
        assert_eq!(rows.iter().expect("rows").count(), 1);
        assert_eq!(
            read.open_table(GROUPS)
                .expect("a table")
                .iter()
                .expect("rows")
                .count(),
            1
        );
    }
}
