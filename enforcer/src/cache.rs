//! A bounded map whose entries end.

use std::collections::{HashMap, VecDeque};

/// SHA-256 of whatever an entry stands for.
pub(crate) type Key = [u8; 32];

/// Entries with an end each, at most `capacity` of them; when full, the one that was put first goes.
pub(crate) struct Cache<V> {
    entries: HashMap<Key, (V, u64)>,
    order: VecDeque<Key>,
    capacity: usize,
}

impl<V> Cache<V> {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            entries: HashMap::new(),
            order: VecDeque::new(),
            capacity,
        }
    }

    /// What was put under the key, unless it has ended.
    pub(crate) fn get(&self, key: &Key, now_ms: u64) -> Option<&V> {
        self.entries
            .get(key)
            .filter(|(_, until_ms)| now_ms < *until_ms)
            .map(|(value, _)| value)
    }

    /// Keeps a value until `until_ms`; not at all if that is over.
    pub(crate) fn put(&mut self, key: Key, value: V, until_ms: u64, now_ms: u64) {
        if until_ms <= now_ms {
            return;
        }
        if self.entries.insert(key, (value, until_ms)).is_none() {
            self.order.push_back(key);
        }
        while self.entries.len() > self.capacity {
            match self.order.pop_front() {
                Some(oldest) => self.entries.remove(&oldest),
                None => break,
            };
        }
    }

    pub(crate) fn clear(&mut self) {
        self.entries.clear();
        self.order.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forgets_what_has_ended_and_what_is_too_much() {
        let mut cache = Cache::new(2);
        cache.put([1; 32], 1, 100, 0);
        cache.put([2; 32], 2, 100, 0);
        cache.put([3; 32], 3, 50, 0);
        assert_eq!(cache.get(&[1; 32], 1), None);
        assert_eq!(cache.get(&[2; 32], 99), Some(&2));
        assert_eq!(cache.get(&[3; 32], 50), None);
    }
}
