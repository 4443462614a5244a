//! How much a run may do.

/// What is left. An instruction costs 1, and so does each element that a comprehension visits; work on texts and arrays
/// costs 1 for each 32 bytes or 8 elements besides, and a pipeline or scan 1 for each 256 bytes of the document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fuel(u64);

/// There is none left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exhausted;

impl Fuel {
    pub(crate) const fn new(amount: u64) -> Self {
        Self(amount)
    }

    pub(crate) const fn left(self) -> u64 {
        self.0
    }

    pub(crate) fn spend(&mut self, amount: u64) -> Result<(), Exhausted> {
        let left = self.0.checked_sub(amount);
        self.0 = left.unwrap_or(0);
        left.map(|_| ()).ok_or(Exhausted)
    }

    pub(crate) fn text(&mut self, bytes: usize) -> Result<(), Exhausted> {
        self.spend((bytes as u64) >> 5)
    }

    pub(crate) fn elements(&mut self, count: usize) -> Result<(), Exhausted> {
        self.spend((count as u64) >> 3)
    }
}
