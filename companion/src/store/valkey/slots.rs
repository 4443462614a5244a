//! Slots of a cluster (Redis Cluster specification, "Key distribution model" and "Hash tags").

use std::ops::RangeInclusive;
use std::sync::LazyLock;

/// How many slots there are.
pub(super) const SLOTS: u16 = 16384;

/// Every so many slots there is an anchor: a slot for which a hash tag is known.
const SPACING: u16 = 16;

/// For every anchor, in the order of their slots, a number that is hashed into it.
static ANCHORS: LazyLock<Vec<u32>> = LazyLock::new(|| {
    let mut found = vec![None; usize::from(SLOTS / SPACING)];
    let mut left = found.len();
    for number in 0..=u32::MAX {
        let slot = of(&number.to_string());
        let anchor = found.get_mut(usize::from(slot / SPACING));
        if let (0, Some(anchor @ None)) = (slot % SPACING, anchor) {
            *anchor = Some(number);
            left -= 1;
        }
        if left == 0 {
            break;
        }
    }
    found.into_iter().flatten().collect()
});

/// The slot of a key: CRC-16/XMODEM of its hash tag, or of all of it.
pub(super) fn of(key: &str) -> u16 {
    let tag = key
        .split_once('{')
        .and_then(|(_, rest)| rest.split_once('}'))
        .map(|(tag, _)| tag)
        .filter(|tag| !tag.is_empty());
    let sum = tag.unwrap_or(key).bytes().fold(0_u16, |sum, byte| {
        (0..8).fold(sum ^ u16::from(byte) << 8, |sum, _| {
            let next = sum << 1;
            if sum & 0x8000 == 0 { next } else { next ^ 0x1021 }
        })
    });
    sum % SLOTS
}

/// Hash tags of the anchors within the ranges.
pub(super) fn anchors(ranges: &[RangeInclusive<u16>]) -> impl Iterator<Item = u32> {
    let slots = (0..SLOTS).step_by(usize::from(SPACING));
    slots
        .zip(ANCHORS.iter().copied())
        .filter(|(slot, _)| ranges.iter().any(|range| range.contains(slot)))
        .map(|(_, tag)| tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_the_specification() {
        // Its example of the checksum is 0x31C3, which is below the number of slots.
        assert_eq!(of("123456789"), 0x31C3);
        assert_eq!(of("{user1000}.following"), of("{user1000}.followers"));
        // An empty tag is none.
        assert_ne!(of("foo{}{bar}"), of("bar"));
        assert_eq!(of("foo{{bar}}zap"), of("{bar"));
        assert_eq!(of("foo{bar}{zap}"), of("bar"));
    }

    #[test]
    fn every_sixteenth_slot_has_an_anchor() {
        let tags: Vec<u32> = anchors(&[0..=SLOTS - 1]).collect();
        assert_eq!(tags.len(), 1024);
        for (at, tag) in tags.iter().enumerate() {
            assert_eq!(usize::from(of(&format!("p:epoch:{{{tag}}}"))), at * 16);
        }
        assert_eq!(anchors(&[0..=16, 33..=47]).count(), 2);
    }
}
