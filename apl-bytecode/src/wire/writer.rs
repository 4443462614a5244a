//! Writing bytes.

use alloc::{collections::BTreeMap, vec::Vec};

use sha2::{Digest as _, Sha256};

use crate::model::Program;

/// Bytes under construction.
#[derive(Default)]
pub(crate) struct Writer<'p> {
    bytes: Vec<u8>,
    /// Set: an index is written as the digest of the entry that it stands for.
    whole: Option<&'p Program>,
    /// Where in `digests` that of an entry stands, by table (the high byte) and index.
    known: BTreeMap<u32, u32>,
    digests: Vec<[u8; 32]>,
}

impl<'p> Writer<'p> {
    /// A writer whose bytes say the same whatever else is in the program and wherever it stands.
    pub(crate) fn of_whole(program: &'p Program) -> Self {
        Self {
            whole: Some(program),
            ..Self::default()
        }
    }

    /// The program whose entries stand for their indices.
    pub(crate) const fn whole(&self) -> Option<&'p Program> {
        self.whole
    }

    /// Appends the digest of an entry, which `put` writes. An entry that leads back to itself is written as zeros there.
    ///
    /// No table has as many entries as its index has room for beside the number of the table
    /// ([`limits::MAX_TABLE`](crate::limits::MAX_TABLE)).
    pub(crate) fn entry(&mut self, table: u8, index: u32, put: impl FnOnce(&mut Self)) {
        let key = (u32::from(table) << 24) | index & 0x00ff_ffff;
        let digest = match self.known.get(&key) {
            Some(at) => self.digests.get(*at as usize).copied().unwrap_or_default(),
            None => {
                let at = self.digests.len();
                self.known.insert(key, u32::try_from(at).unwrap_or(u32::MAX));
                self.digests.push([0; 32]);
                let outer = core::mem::take(&mut self.bytes);
                put(self);
                let digest = Sha256::digest(&self.bytes).into();
                self.bytes = outer;
                if let Some(slot) = self.digests.get_mut(at) {
                    *slot = digest;
                }
                digest
            }
        };
        self.raw(&digest);
    }

    pub(crate) fn byte(&mut self, byte: u8) {
        self.bytes.push(byte);
    }

    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// LEB128 in its shortest form.
    pub(crate) fn varint(&mut self, mut value: u64) {
        loop {
            let low = (value & 0x7f) as u8;
            value >>= 7;
            if value == 0 {
                return self.byte(low);
            }
            self.byte(low | 0x80);
        }
    }

    /// A number of things. Tables have at most `u32::MAX` entries; one that has more is cut by no reader, but refused.
    pub(crate) fn count(&mut self, count: usize) {
        self.varint(count as u64);
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}
