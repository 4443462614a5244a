//! Keys of one object must differ.

use apl_bytecode::{order_by_key, sort_by};

use super::Parser;
use crate::{document::Slot, error::JsonError, text::compare};

impl Parser<'_> {
    /// Checks that the keys from `base` on differ, and forgets them. Ordering by hash brings equal keys together; where
    /// hashes are equal the keys themselves are sorted, so that no choice of keys costs more than n log n comparisons.
    pub(super) fn distinct(&mut self, base: usize) -> Result<(), JsonError> {
        let mut keys = std::mem::take(&mut self.keys);
        let verdict = self.first_duplicate(keys.get(base..).unwrap_or_default());
        keys.truncate(base);
        self.keys = keys;
        match verdict {
            Some(at) => Err(JsonError::DuplicateKey { at }),
            None => Ok(()),
        }
    }

    fn first_duplicate(&self, keys: &[u64]) -> Option<u32> {
        const FEW: usize = 24;
        if keys.len() <= FEW {
            for (i, a) in keys.iter().enumerate() {
                for b in keys.get(i.wrapping_add(1)..).unwrap_or_default() {
                    if a >> 32 == b >> 32 && compare(self.key_text(*a).1, self.key_text(*b).1).is_eq() {
                        return Some(self.key_text(*b).0);
                    }
                }
            }
            return None;
        }
        let hashes: Vec<u32> = keys.iter().map(|key| (key >> 32) as u32).collect();
        let order = order_by_key(&hashes);
        let keys: Vec<u64> = order
            .iter()
            .filter_map(|at| keys.get(*at as usize).copied())
            .collect();
        for same in keys.chunk_by(|a, b| a >> 32 == b >> 32) {
            if same.len() > 1 {
                let mut same = same.to_vec();
                sort_by(&mut same, |a, b| {
                    compare(self.key_text(*a).1, self.key_text(*b).1)
                });
                for pair in same.windows(2) {
                    let [a, b] = pair else { continue };
                    if compare(self.key_text(*a).1, self.key_text(*b).1).is_eq() {
                        return Some(self.key_text(*b).0);
                    }
                }
            }
        }
        None
    }

    /// Position and text of a key in [`Self::keys`].
    fn key_text(&self, key: u64) -> (u32, (&str, bool)) {
        let local = (key & u64::from(u32::MAX)) as usize;
        let Some(slot) = self.slots.get(self.first.wrapping_add(local)) else {
            return (0, ("", false));
        };
        let start = slot.start.wrapping_sub(self.base) as usize;
        let end = slot.end.wrapping_sub(self.base) as usize;
        let raw = self
            .text
            .get(start.wrapping_add(1)..end.wrapping_sub(1))
            .unwrap_or_default();
        (slot.start, (raw, slot.has(Slot::ESCAPED)))
    }
}
