//! Which records are in the log already.

use std::collections::{HashSet, VecDeque};

use companion_protocol::AuditRecord;
use sha2::{Digest, Sha256};

/// What makes two records one: the worker's numbering and what the record stands for. The idempotency key of the call
/// is not part of it: a proxy that retries after a restart of its own has new keys for records with the old numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct RecordId([u8; 16]);

impl RecordId {
    pub(super) fn of(record: &AuditRecord) -> Self {
        let mut hash = Sha256::new();
        let mut part = |text: &str| {
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text.as_bytes());
        };
        part(&record.stream);
        part(&record.seq.to_string());
        part(&record.decision_id);
        match &record.step {
            Some(step) => {
                part(&step.plugin);
                part(&step.source);
            }
            None => part("verdict"),
        }
        let digest = hash.finalize();
        let mut id = [0; 16];
        for (to, from) in id.iter_mut().zip(digest.iter()) {
            *to = *from;
        }
        Self(id)
    }
}

/// The last so many ids, the oldest forgotten first.
pub(super) struct Recent {
    capacity: usize,
    order: VecDeque<RecordId>,
    known: HashSet<RecordId>,
}

impl Recent {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            order: VecDeque::new(),
            known: HashSet::new(),
        }
    }

    pub(super) fn contains(&self, id: &RecordId) -> bool {
        self.known.contains(id)
    }

    pub(super) fn insert(&mut self, id: RecordId) {
        if !self.known.insert(id) {
            return;
        }
        self.order.push_back(id);
        if self.order.len() > self.capacity
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forgets_the_oldest_first() {
        let id = |n: u8| RecordId([n; 16]);
        let mut recent = Recent::new(2);
        for n in [1, 2, 2, 3] {
            recent.insert(id(n));
        }
        assert!(!recent.contains(&id(1)));
        assert!(recent.contains(&id(2)) && recent.contains(&id(3)));
    }
}
