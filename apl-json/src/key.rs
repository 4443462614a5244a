//! What tells most keys apart without looking at their text.

use super::{document::Slot, node::Node, text::Unescaped};

/// A key that is looked for: the text, and a tag that says of most other keys that they are not it.
///
/// Make one for a search in many objects. Two ASCII texts that are the same but for case have the same tag, so one tag
/// serves exact and [folded](super::fold) comparisons. Other texts have none, and are compared.
#[derive(Debug, Clone, Copy)]
pub struct Key<'k> {
    text: &'k str,
    tag: u16,
}

impl<'k> Key<'k> {
    /// Of an unescaped text.
    #[must_use]
    pub fn new(text: &'k str) -> Self {
        let (_, tag) = hash(text, false);
        Self { text, tag }
    }

    /// The text.
    #[must_use]
    pub const fn text(&self) -> &'k str {
        self.text
    }

    /// Whether a received key has this text.
    #[must_use]
    pub fn is(&self, name: Node<'_>) -> bool {
        name.is_str(self.text)
    }

    /// Whether a received key has this text or a twin of it in another case.
    #[must_use]
    pub fn is_folded(&self, name: Node<'_>) -> bool {
        name.is_folded(self.text)
    }

    pub(super) const fn may_be(&self, slot: &Slot) -> bool {
        self.tag == slot.tag || self.tag == 0 || slot.tag == 0
    }
}

/// FNV-1a over the unescaped text in lower case (and some other characters taken for each other), and the tag of a key
/// with that text. Collisions cost a comparison, nothing else.
#[inline]
pub(super) fn hash(raw: &str, escaped: bool) -> (u32, u16) {
    const CASE: u8 = 0x20;
    const START: u32 = 0x811C_9DC5;
    const fn step(hash: u32, byte: u8) -> u32 {
        (hash ^ (byte | CASE) as u32).wrapping_mul(0x0100_0193)
    }
    if escaped {
        let mut buffer = [0_u8; 4];
        let hash = Unescaped::new(raw).fold(START, |hash, c| {
            c.encode_utf8(&mut buffer).bytes().fold(hash, step)
        });
        return (hash, 0);
    }
    let (mut hash, mut all) = (START, 0_u8);
    for byte in raw.bytes() {
        hash = step(hash, byte);
        all |= byte;
    }
    // A character beyond ASCII may be the twin of one within.
    let tag = if all.is_ascii() {
        (hash ^ (hash >> 16)) as u16 | 1
    } else {
        0
    };
    (hash, tag)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use crate::{Document, Key, Limits, fold, quote};

    fn found(key: &str, wanted: &str) -> (bool, bool) {
        let mut json = b"{\"a\":1,".to_vec();
        quote(key, &mut json);
        json.extend_from_slice(b":2}");
        let document = Document::parse(json, &Limits::default()).unwrap();
        let wanted = Key::new(wanted);
        let root = document.received(document.root());
        (
            root.like(wanted).any(|(name, _)| wanted.is(name)),
            root.like(wanted).any(|(name, _)| wanted.is_folded(name)),
        )
    }

    #[test]
    fn a_tag_hides_no_key_and_no_twin() {
        for c in '\u{20}'..='\u{ffff}' {
            let (key, other) = (format!("x{c}"), format!("x{}", fold(c)));
            assert_eq!(found(&key, &key), (true, true), "{c:?}");
            if key != other {
                assert_eq!(found(&key, &other), (false, true), "{c:?}");
                assert_eq!(found(&other, &key), (false, true), "{c:?}");
            }
        }
    }

    #[test]
    fn a_tag_tells_most_keys_apart() {
        let document =
            Document::parse(br#"{"id":1,"name":2,"City":3}"#.to_vec(), &Limits::default()).unwrap();
        let root = document.received(document.root());
        assert_eq!(root.like(Key::new("ssn")).count(), 0);
        assert_eq!(root.like(Key::new("city")).count(), 1);
    }
}
