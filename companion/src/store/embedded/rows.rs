//! Labels in redb tables: a row a label, `(bucket, label) → (last use, idle lifetime, end)` in milliseconds of store time.

use redb::{ReadableTable, StorageError, Table, TableDefinition};

use super::super::bucket::Entry;
use super::super::lifetime::Life;

/// Rows of one kind of bucket.
pub(super) type Definition = TableDefinition<'static, Row<'static>, Value>;

/// A table that is written to.
pub(super) type Rows<'a> = Table<'a, Row<'static>, Value>;

/// `(bucket, label)`.
pub(super) type Row<'a> = (&'a [u8], &'a str);

/// A [`Life`]: last use, idle lifetime, end.
pub(super) type Value = (u64, u64, u64);

/// A bucket's name and its live labels.
pub(super) type NamedBucket = (Vec<u8>, Vec<Entry>);

const fn life((touched_ms, idle_ms, ends_ms): Value) -> Life {
    Life {
        touched_ms,
        idle_ms,
        ends_ms,
    }
}

/// The labels of a bucket that have not ended, sorted.
pub(super) fn live(
    table: &impl ReadableTable<Row<'static>, Value>,
    bucket: &[u8],
    now_ms: u64,
) -> Result<Vec<Entry>, StorageError> {
    let mut entries = Vec::new();
    for row in table.range::<Row<'_>>((bucket, "")..)? {
        let (key, value) = row?;
        let (owner, label) = key.value();
        if owner != bucket {
            break;
        }
        let life = life(value.value());
        if life.is_live(now_ms) {
            entries.push((label.to_owned(), life));
        }
    }
    Ok(entries)
}

/// The buckets whose name starts with `prefix`, at most `limit`, with their live labels.
pub(super) fn buckets(
    table: &impl ReadableTable<Row<'static>, Value>,
    prefix: &[u8],
    now_ms: u64,
    limit: usize,
) -> Result<Vec<NamedBucket>, StorageError> {
    let mut found: Vec<NamedBucket> = Vec::new();
    for row in table.range::<Row<'_>>((prefix, "")..)? {
        let (key, value) = row?;
        let (owner, label) = key.value();
        if !owner.starts_with(prefix) {
            break;
        }
        let life = life(value.value());
        if !life.is_live(now_ms) {
            continue;
        }
        let full = found.len() == limit;
        match found.last_mut() {
            Some((last, entries)) if last == owner => entries.push((label.to_owned(), life)),
            _ if full => break,
            _ => found.push((owner.to_vec(), vec![(label.to_owned(), life)])),
        }
    }
    Ok(found)
}

/// Writes the changed rows.
pub(super) fn write(table: &mut Rows<'_>, bucket: &[u8], changed: &[Entry]) -> Result<(), StorageError> {
    for (label, life) in changed {
        let value = (life.touched_ms, life.idle_ms, life.ends_ms);
        table.insert((bucket, label.as_str()), value)?;
    }
    Ok(())
}

/// Removes every row whose bucket starts with `prefix`; returns how many labels were alive.
pub(super) fn remove(table: &mut Rows<'_>, prefix: &[u8], now_ms: u64) -> Result<u64, StorageError> {
    let mut gone = Vec::new();
    let mut alive = 0;
    for row in table.range::<Row<'_>>((prefix, "")..)? {
        let (key, value) = row?;
        let (owner, label) = key.value();
        if !owner.starts_with(prefix) {
            break;
        }
        alive += u64::from(life(value.value()).is_live(now_ms));
        gone.push((owner.to_vec(), label.to_owned()));
    }
    for (owner, label) in gone {
        table.remove((owner.as_slice(), label.as_str()))?;
    }
    Ok(alive)
}

/// Removes the rows of a bucket that have ended, so that a bucket which is written to does not grow with the dead.
pub(super) fn sweep_bucket(table: &mut Rows<'_>, bucket: &[u8], now_ms: u64) -> Result<(), StorageError> {
    let mut dead = Vec::new();
    for row in table.range::<Row<'_>>((bucket, "")..)? {
        let (key, value) = row?;
        let (owner, label) = key.value();
        if owner != bucket {
            break;
        }
        if !life(value.value()).is_live(now_ms) {
            dead.push(label.to_owned());
        }
    }
    for label in dead {
        table.remove((bucket, label.as_str()))?;
    }
    Ok(())
}

/// Looks at `most` rows from `from` on and removes those that have ended: buckets that nobody comes back to. Returns
/// where to go on; empty at the end of the table.
pub(super) fn sweep_some(
    table: &mut Rows<'_>,
    from: &[u8],
    now_ms: u64,
    most: usize,
) -> Result<Vec<u8>, StorageError> {
    let mut dead = Vec::new();
    let mut next = Vec::new();
    for (seen, row) in table.range::<Row<'_>>((from, "")..)?.enumerate() {
        let (key, value) = row?;
        let (owner, label) = key.value();
        // Whole buckets only, so that going on at a bucket's name loses nothing and always gets further.
        if seen >= most && owner != from {
            next = owner.to_vec();
            break;
        }
        if !life(value.value()).is_live(now_ms) {
            dead.push((owner.to_vec(), label.to_owned()));
        }
    }
    for (owner, label) in dead {
        table.remove((owner.as_slice(), label.as_str()))?;
    }
    Ok(next)
}
