//! The database file: who may read it, which layout it has, what its clock last said.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use redb::{Database, ReadableTable, TableDefinition, WriteTransaction};

use super::store_clock::Mark;
use super::{SESSION, SUBJECT, boxed};

/// The layout; another one is refused rather than misread.
pub(super) const FORMAT: &str = "2";

const META: TableDefinition<'static, &str, &str> = TableDefinition::new("meta");

/// `"clock" → (store time, wall time)`.
const CLOCK: TableDefinition<'static, &str, (u64, u64)> = TableDefinition::new("clock");

/// Opens the file, for nobody else to read. A new name is synced too, or a crash of the machine could take it with the
/// labels in it.
pub(in crate::store) fn create(directory: &Path, path: &Path) -> std::io::Result<File> {
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

/// What an opened file says of itself.
pub(super) struct Opened {
    pub(super) format: String,
    pub(super) mark: Option<Mark>,
}

/// Reads layout and clock; writes the layout, and makes the tables, in a new database.
pub(super) fn initialise(database: &Database) -> Result<Opened, Box<redb::Error>> {
    let transaction = database.begin_write().map_err(boxed)?;
    let (format, mark);
    {
        let mut meta = transaction.open_table(META).map_err(boxed)?;
        let known = meta
            .get("format")
            .map_err(boxed)?
            .map(|guard| guard.value().to_owned());
        format = match known {
            Some(known) => known,
            None => {
                meta.insert("format", FORMAT).map_err(boxed)?;
                FORMAT.to_owned()
            }
        };
        // The tables of another layout have other types; touching them would be an error of its own.
        if format == FORMAT {
            let clock = transaction.open_table(CLOCK).map_err(boxed)?;
            mark = clock.get("clock").map_err(boxed)?.map(|guard| {
                let (store_ms, wall_ms) = guard.value();
                Mark { store_ms, wall_ms }
            });
            transaction.open_table(SESSION).map_err(boxed)?;
            transaction.open_table(SUBJECT).map_err(boxed)?;
        } else {
            mark = None;
        }
    }
    transaction.commit().map_err(boxed)?;
    Ok(Opened { format, mark })
}

/// Keeps what the clock says now.
pub(super) fn write_mark(transaction: &WriteTransaction, mark: Mark) -> Result<(), Box<redb::Error>> {
    let mut clock = transaction.open_table(CLOCK).map_err(boxed)?;
    clock
        .insert("clock", (mark.store_ms, mark.wall_ms))
        .map_err(boxed)?;
    Ok(())
}
