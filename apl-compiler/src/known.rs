//! Values that are stored once: a set over a table that stands elsewhere, so that no value is kept twice.

use std::hash::{BuildHasher as _, Hash};

use hashbrown::HashTable;
use rustc_hash::FxBuildHasher;

use crate::source::to_u32;

/// Where in a table a value stands, found by its hash.
#[derive(Debug, Default)]
pub(crate) struct Known(HashTable<(u64, u32)>);

/// The hash of a value, for [`Known`].
pub(crate) fn hash<T: Hash + ?Sized>(value: &T) -> u64 {
    FxBuildHasher.hash_one(value)
}

impl Known {
    /// The place of a value with this hash for which `is` holds.
    pub(crate) fn find(&self, hash: u64, is: impl Fn(usize) -> bool) -> Option<u32> {
        let found = self
            .0
            .find(hash, |(known, at)| *known == hash && is(*at as usize));
        found.map(|(_, at)| *at)
    }

    /// Notes that a value with this hash, which is not known, stands at this place.
    pub(crate) fn insert(&mut self, hash: u64, at: usize) -> u32 {
        let at = to_u32(at);
        self.0.insert_unique(hash, (hash, at), |(hash, _)| *hash);
        at
    }

    /// The place of a value in a table, where it is put if it is not there.
    pub(crate) fn intern<T: Hash + Eq>(&mut self, table: &mut Vec<T>, value: T) -> u32 {
        let hash = hash(&value);
        let found = self.find(hash, |at| table.get(at) == Some(&value));
        found.unwrap_or_else(|| {
            table.push(value);
            self.insert(hash, table.len() - 1)
        })
    }
}
