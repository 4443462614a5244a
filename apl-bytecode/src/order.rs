//! Order and look-up. `core`'s sorts and maps cost some 5 KB of the module for every type that they are used with; these
//! sort indices, so that one of each serves all types.

use alloc::{vec, vec::Vec};
use core::cmp::Ordering;

/// Puts things in order; equal ones stay in the order in which they are. A merge sort: n log n comparisons at most.
pub fn sort_by<T>(things: &mut Vec<T>, compare: impl Fn(&T, &T) -> Ordering) {
    let order = order_by(things.len(), &|a, b| match (things.get(a), things.get(b)) {
        (Some(a), Some(b)) => compare(a, b),
        _ => Ordering::Equal,
    });
    let mut taken: Vec<Option<T>> = things.drain(..).map(Some).collect();
    things.extend(order.into_iter().filter_map(|at| taken.get_mut(at)?.take()));
}

fn order_by(count: usize, compare: &dyn Fn(usize, usize) -> Ordering) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    let mut next = Vec::with_capacity(count);
    let mut run = 1_usize;
    while run < count {
        next.clear();
        for pair in order.chunks(run.saturating_mul(2)) {
            let (mut left, mut right) = pair.split_at(run.min(pair.len()));
            while let (Some((a, others)), Some((b, more))) = (left.split_first(), right.split_first()) {
                if compare(*b, *a) == Ordering::Less {
                    next.push(*b);
                    right = more;
                } else {
                    next.push(*a);
                    left = others;
                }
            }
            next.extend_from_slice(left);
            next.extend_from_slice(right);
        }
        core::mem::swap(&mut order, &mut next);
        run = run.saturating_mul(2);
    }
    order
}

/// The indices of `keys`, lowest key first; of equal keys the first one first. A radix sort, a byte at a time.
#[must_use]
pub fn order_by_key(keys: &[u32]) -> Vec<u32> {
    let count = u32::try_from(keys.len()).unwrap_or(u32::MAX);
    let mut order: Vec<u32> = (0..count).collect();
    let mut next = order.clone();
    for shift in [0, 8, 16, 24] {
        let digit = |index: &u32| {
            let key = keys.get(*index as usize).copied().unwrap_or_default();
            (key >> shift) as usize & 0xff
        };
        // Where the indices of each digit begin.
        let mut begins = vec![0_usize; 257];
        for index in &order {
            if let Some(slot) = begins.get_mut(digit(index).wrapping_add(1)) {
                *slot = slot.wrapping_add(1);
            }
        }
        let mut sum = 0_usize;
        for slot in &mut begins {
            sum = sum.wrapping_add(*slot);
            *slot = sum;
        }
        for index in &order {
            if let Some(begin) = begins.get_mut(digit(index)) {
                if let Some(slot) = next.get_mut(*begin) {
                    *slot = *index;
                }
                *begin = begin.wrapping_add(1);
            }
        }
        core::mem::swap(&mut order, &mut next);
    }
    order
}

/// Numbers found by a hash of what they stand for.
#[derive(Debug, Clone, Default)]
pub(crate) struct ByHash {
    /// Ascending.
    hashes: Vec<u32>,
    /// What was at the hash's place.
    values: Vec<u32>,
}

impl ByHash {
    /// Each pair is a hash and a number.
    pub(crate) fn new(pairs: &[(u32, u32)]) -> Self {
        let keys: Vec<u32> = pairs.iter().map(|(hash, _)| *hash).collect();
        let sorted = order_by_key(&keys);
        let pairs = sorted.iter().filter_map(|at| pairs.get(*at as usize).copied());
        let (hashes, values) = pairs.unzip();
        Self { hashes, values }
    }

    /// The numbers of this hash, in the order in which they were given. Others may be among them: hashes collide.
    pub(crate) fn candidates(&self, hash: u32) -> &[u32] {
        let begin = self.hashes.partition_point(|known| *known < hash);
        let rest = self.hashes.get(begin..).unwrap_or_default();
        let count = rest.iter().take_while(|known| **known == hash).count();
        let values = self.values.get(begin..).unwrap_or_default();
        values.get(..count).unwrap_or_default()
    }
}

/// FNV-1a.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hash(u32);

impl Hash {
    pub(crate) const NEW: Self = Self(0x811C_9DC5);

    pub(crate) fn bytes(self, bytes: &[u8]) -> Self {
        let step = |hash: u32, byte: &u8| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
        Self(bytes.iter().fold(self.0, step))
    }

    pub(crate) fn byte(self, byte: u8) -> Self {
        self.bytes(&[byte])
    }

    pub(crate) const fn get(self) -> u32 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "tests")]

    use alloc::vec::Vec;

    use super::{order_by_key, sort_by};

    #[test]
    fn orders_as_a_stable_sort_does() {
        let mut seed = 7_u32;
        for length in [0_u32, 1, 2, 3, 100, 1_000] {
            for mask in [0, 1, 0xff, 0xff00, u32::MAX] {
                let keys: Vec<u32> = (0..length)
                    .map(|_| {
                        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                        seed.rotate_left(9) & mask
                    })
                    .collect();
                let mut wanted: Vec<u32> = (0..length).collect();
                wanted.sort_by_key(|at| keys[*at as usize]);
                assert_eq!(order_by_key(&keys), wanted);
                let mut merged: Vec<u32> = (0..length).collect();
                sort_by(&mut merged, |a, b| keys[*a as usize].cmp(&keys[*b as usize]));
                assert_eq!(merged, wanted);
            }
        }
    }
}
