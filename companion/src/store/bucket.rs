//! What one bucket holds, wherever it is kept.

use companion_protocol::Labels;

use super::lifetime::Life;
use super::{HeldLabel, MAX_LABELS, StoreError};

/// A label and how long it lives.
pub(super) type Entry = (String, Life);

/// The live labels of a session's bucket and of its subject's, each sorted.
#[derive(Debug)]
pub(super) struct Entries {
    pub(super) session: Vec<Entry>,
    pub(super) subject: Vec<Entry>,
}

impl Entries {
    /// As the proxy sees them. `on_wall_ms` turns the store's time into the wall clock's.
    pub(super) fn into_labels(self, on_wall_ms: impl Fn(u64) -> u64) -> Labels {
        let ends = self.session.iter().chain(&self.subject);
        let expires_at_ms = ends.filter_map(|(_, life)| life.end()).min().map(on_wall_ms);
        let names = |entries: Vec<Entry>| entries.into_iter().map(|(label, _)| label).collect();
        Labels {
            session: names(self.session),
            subject: names(self.subject),
            expires_at_ms,
        }
    }

    /// Whether this use of the session has to be written down.
    pub(super) fn wants_touch(&self, now_ms: u64) -> bool {
        self.session.iter().any(|(_, life)| life.wants_touch(now_ms))
    }
}

/// As an operator sees them.
pub(super) fn listed(entries: Vec<Entry>, on_wall_ms: impl Fn(u64) -> u64) -> Vec<HeldLabel> {
    entries
        .into_iter()
        .map(|(label, life)| HeldLabel {
            label,
            ends_at_ms: life.end().map(&on_wall_ms),
        })
        .collect()
}

/// The union of what a bucket holds and what is added, and which rows have to be written for it.
pub(super) struct Union {
    /// Everything, sorted.
    pub(super) entries: Vec<Entry>,
    /// What differs from what was held.
    pub(super) changed: Vec<Entry>,
}

/// Adds labels to what is held. A label that is there already keeps the longer life.
pub(super) fn union(
    held: Vec<Entry>,
    labels: &[String],
    life: Life,
    now_ms: u64,
) -> Result<Union, StoreError> {
    let mut entries = held;
    let mut changed: Vec<Entry> = Vec::new();
    for label in labels {
        match entries.binary_search_by(|(known, _)| known.as_str().cmp(label)) {
            Ok(at) => {
                if let Some((_, known)) = entries.get_mut(at)
                    && !known.covers(life, now_ms)
                {
                    *known = known.longer(life);
                    changed.push((label.clone(), *known));
                }
            }
            Err(at) => {
                entries.insert(at, (label.clone(), life));
                changed.push((label.clone(), life));
            }
        }
    }
    if entries.len() > MAX_LABELS {
        return Err(StoreError::BucketFull);
    }
    Ok(Union { entries, changed })
}

#[cfg(test)]
mod tests {
    use super::super::lifetime::NEVER;
    use super::*;

    fn entries(list: &[(&str, u64)]) -> Vec<Entry> {
        list.iter().map(|(l, e)| ((*l).to_owned(), until(*e))).collect()
    }

    fn until(ends_ms: u64) -> Life {
        Life {
            touched_ms: 0,
            idle_ms: NEVER,
            ends_ms,
        }
    }

    #[test]
    fn union_keeps_the_later_end_and_never_wins() {
        let held = entries(&[("a", 10), ("b", NEVER), ("c", 99)]);
        let labels: Vec<String> = ["a", "b", "c", "d"].map(str::to_owned).to_vec();
        let union = union(held, &labels, until(50), 1).expect("fits");
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
            union(Vec::new(), &labels, until(NEVER), 1),
            Err(StoreError::BucketFull)
        ));
    }
}
