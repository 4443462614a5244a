//! The hash chain through a log's records.
//!
//! A line is the record's JSON object with one more member at its end, `"chain":{"n":7,"hash":"…"}`: the record's number,
//! and SHA-256 over the hash before it, the number, and the bytes of the line in front of that member. Whoever reads
//! records and does not know the member ignores it. The first record's predecessor is 32 zero bytes. The chain goes on
//! through rotation and restarts.

use sha2::{Digest, Sha256};

use crate::store::hex;

/// Keeps these hashes apart from all others.
const DOMAIN: &[u8] = b"aplomb audit record 1\0";

const MEMBER: &str = ",\"chain\":{\"n\":";

/// A SHA-256.
pub(super) type Hash = [u8; 32];

/// The newest record's number and hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Chain {
    /// 0: no record yet.
    pub(super) n: u64,
    pub(super) hash: Hash,
}

impl Chain {
    /// In front of the first record.
    pub(super) const START: Self = Self { n: 0, hash: [0; 32] };

    /// Adds a record, a JSON object, and returns its line with the line feed.
    pub(super) fn add(&mut self, record: &[u8]) -> Vec<u8> {
        // An object's text ends with its brace.
        let body = record.strip_suffix(b"}").unwrap_or(record);
        let n = self.n + 1;
        *self = Self {
            n,
            hash: next(&self.hash, n, body),
        };
        let mut line = body.to_vec();
        line.extend_from_slice(format!("{MEMBER}{n},\"hash\":\"{}\"}}}}\n", hex(&self.hash)).as_bytes());
        line
    }
}

/// A line with its place in the chain.
pub(super) struct Linked<'a> {
    body: &'a str,
    pub(super) place: Chain,
}

impl<'a> Linked<'a> {
    /// `None`: the line has no place in a chain, or not in the one form that is written.
    pub(super) fn parse(line: &'a str) -> Option<Self> {
        let (body, rest) = line.rsplit_once(MEMBER)?;
        let (n, rest) = rest.split_once(",\"hash\":\"")?;
        let hash = unhex(rest.strip_suffix("\"}}")?)?;
        let number: u64 = n.parse().ok()?;
        let place = Chain { n: number, hash };
        (n == number.to_string()).then_some(Self { body, place })
    }

    /// Whether it is what stood behind `before` when it was written.
    pub(super) fn follows(&self, before: &Hash) -> bool {
        next(before, self.place.n, self.body.as_bytes()) == self.place.hash
    }
}

fn next(before: &Hash, n: u64, body: &[u8]) -> Hash {
    Sha256::new()
        .chain_update(DOMAIN)
        .chain_update(before)
        .chain_update(n.to_be_bytes())
        .chain_update(body)
        .finalize()
        .into()
}

/// 64 lower-case hex digits.
pub(super) fn unhex(text: &str) -> Option<Hash> {
    let mut hash = [0; 32];
    for (at, byte) in hash.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    (hex(&hash) == text).then_some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_reads_back_and_follows_only_its_own_predecessor() {
        let mut chain = Chain::START;
        let one = String::from_utf8(chain.add(br#"{"a":1}"#)).expect("text");
        let first = chain;
        let two = String::from_utf8(chain.add(br#"{"a":",\"chain\":{"}"#)).expect("text");
        let one = Linked::parse(one.trim_end()).expect("linked");
        let linked = Linked::parse(two.trim_end()).expect("linked");
        assert_eq!((one.place, linked.place), (first, chain));
        assert!(one.follows(&Chain::START.hash) && linked.follows(&first.hash));
        assert!(!linked.follows(&Chain::START.hash));
        serde_json::from_str::<serde_json::Value>(&two).expect("still JSON");
    }

    #[test]
    fn other_forms_are_no_links() {
        let mut chain = Chain::START;
        let line = String::from_utf8(chain.add(b"{}")).expect("text");
        let line = line.trim_end();
        assert!(Linked::parse(line).is_some());
        for other in [
            line.replace("\"n\":1", "\"n\":01"),
            line.replace("\"n\":1", "\"n\":+1"),
            line.to_uppercase(),
            format!("{line} "),
            "{}".to_owned(),
        ] {
            assert!(Linked::parse(&other).is_none(), "{other}");
        }
    }
}
