//! Labels of one bucket in a redb table: a row a label, `(bucket, label) → when it ends`.

use redb::{ReadableTable, Table, TableDefinition};

use super::{MAX_LABELS, StoreError};

/// Rows of one kind of bucket. The value is milliseconds since the Unix epoch, or [`NEVER`].
pub(super) type Definition = TableDefinition<'static, Row<'static>, u64>;

/// `(bucket, label)`.
pub(super) type Row<'a> = (&'a [u8], &'a str);

/// The expiry of a label that does not end.
pub(super) const NEVER: u64 = 0;

/// A label and when it ends.
pub(super) type Entry = (String, u64);

/// The labels of a bucket that have not ended, sorted.
pub(super) fn live<'a>(
    table: &impl ReadableTable<Row<'static>, u64>,
    bucket: &'a [u8],
    now_ms: u64,
) -> Result<Vec<Entry>, redb::StorageError> {
    let mut entries = Vec::new();
    for row in table.range::<Row<'a>>((bucket, "")..)? {
        let (key, ends) = row?;
        let (owner, label) = key.value();
        if owner != bucket {
            break;
        }
        if is_live(ends.value(), now_ms) {
            entries.push((label.to_owned(), ends.value()));
        }
    }
    Ok(entries)
}

/// The union of what a bucket holds and what is added, and which rows have to be written for it.
pub(super) struct Union {
    /// Everything, sorted.
    pub(super) entries: Vec<Entry>,
    /// What differs from what was held.
    pub(super) changed: Vec<Entry>,
}

/// Adds labels to what is held. A label that is there already keeps the later end.
pub(super) fn union(held: Vec<Entry>, labels: &[String], ends: u64) -> Result<Union, StoreError> {
    let mut entries = held;
    let mut changed: Vec<Entry> = Vec::new();
    for label in labels {
        match entries.binary_search_by(|(known, _)| known.as_str().cmp(label)) {
            Ok(at) => {
                if let Some((_, known_ends)) = entries.get_mut(at)
                    && *known_ends != later(*known_ends, ends)
                {
                    *known_ends = later(*known_ends, ends);
                    changed.push((label.clone(), *known_ends));
                }
            }
            Err(at) => {
                entries.insert(at, (label.clone(), ends));
                changed.push((label.clone(), ends));
            }
        }
    }
    if entries.len() > MAX_LABELS {
        return Err(StoreError::BucketFull);
    }
    Ok(Union { entries, changed })
}

/// Writes the changed rows.
pub(super) fn write(
    table: &mut Table<'_, Row<'static>, u64>,
    bucket: &[u8],
    changed: &[Entry],
) -> Result<(), redb::StorageError> {
    for (label, ends) in changed {
        table.insert((bucket, label.as_str()), *ends)?;
    }
    Ok(())
}

/// Removes the rows of a bucket that have ended, so that a bucket which is written to does not grow with the dead.
pub(super) fn sweep(
    table: &mut Table<'_, Row<'static>, u64>,
    bucket: &[u8],
    now_ms: u64,
) -> Result<(), redb::StorageError> {
    let mut dead = Vec::new();
    for row in table.range::<Row<'_>>((bucket, "")..)? {
        let (key, ends) = row?;
        let (owner, label) = key.value();
        if owner != bucket {
            break;
        }
        if !is_live(ends.value(), now_ms) {
            dead.push(label.to_owned());
        }
    }
    for label in dead {
        table.remove((bucket, label.as_str()))?;
    }
    Ok(())
}

fn is_live(ends: u64, now_ms: u64) -> bool {
    ends == NEVER || ends > now_ms
}

fn later(a: u64, b: u64) -> u64 {
    if a == NEVER || b == NEVER { NEVER } else { a.max(b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(list: &[(&str, u64)]) -> Vec<Entry> {
        list.iter().map(|(l, e)| ((*l).to_owned(), *e)).collect()
    }

    #[test]
    fn union_keeps_the_later_end_and_never_wins() {
        let held = entries(&[("a", 10), ("b", NEVER), ("c", 99)]);
        let labels: Vec<String> = ["a", "b", "c", "d"].map(str::to_owned).to_vec();
        let union = union(held, &labels, 50).expect("fits");
        assert_eq!(
            union.entries,
            entries(&[("a", 50), ("b", NEVER), ("c", 99), ("d", 50)])
        );
        assert_eq!(union.changed, entries(&[("a", 50), ("d", 50)]));
    }

    #[test]
    fn union_refuses_more_than_the_bucket_holds() {
        let labels: Vec<String> = (0..=MAX_LABELS).map(|n| format!("l{n}")).collect();
        assert!(matches!(
            union(Vec::new(), &labels, NEVER),
            Err(StoreError::BucketFull)
        ));
    }
}
