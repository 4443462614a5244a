//! Randomness from the host, fetched in blocks: one call serves many exchanges.

use crate::host;

const BLOCK: usize = 1024;

/// A pool of random bytes.
#[derive(Debug, Default)]
pub(super) struct Entropy {
    block: Vec<u8>,
}

impl Entropy {
    /// Takes `N` bytes out of the pool, never the same ones twice. `None`: the host gives none.
    pub(super) fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        if self.block.len() < N {
            self.block.resize(BLOCK.max(N), 0);
            if host::random(&mut self.block).is_err() {
                self.block.clear();
                return None;
            }
        }
        let start = self.block.len().checked_sub(N)?;
        let bytes = self
            .block
            .get(start..)
            .and_then(|tail| tail.first_chunk::<N>())
            .copied();
        self.block.truncate(start);
        bytes
    }
}
