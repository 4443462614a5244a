//! Sealed ids: what the filter must find again on another exchange, carried by the client and readable by nobody else
//! (`execution.md` rule 17).
//!
//! A deterministic AEAD in the SIV composition (Rogaway and Shrimpton 2006, the shape of RFC 5297) with HMAC-SHA-256 as
//! its pseudorandom function, because that is linked anyway and a cipher would cost the module 20 to 30 KB:
//!
//! ```text
//! iv     = HMAC(mac key, length-prefixed associated data and plaintext), first 16 bytes
//! stream = HMAC(enc key, iv, 0) HMAC(enc key, iv, 1) ...
//! sealed = base64url(iv, plaintext xor stream)
//! ```
//!
//! Deterministic on purpose: the same id under the same subject is sealed alike by every worker and at every time, so a
//! client sees one session id, and no nonce can be misused. Equal plaintexts are equal ids; they are the backend's, which
//! are unique where they matter. Forging means guessing 128 bits.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac as _};
use sha2::Sha256;

/// Bytes of the synthetic IV, which is the tag too.
const IV: usize = 16;

/// Longest sealed text that is opened, in bytes.
pub(crate) const MAX_SEALED: usize = 8 * 1024;

/// Seals under the current key, opens under the current and the previous one.
pub(crate) struct Sealer {
    current: Keys,
    previous: Option<Keys>,
}

/// HMAC states with the key already taken in.
struct Keys {
    mac: Hmac<Sha256>,
    enc: Hmac<Sha256>,
}

impl Sealer {
    /// `previous`: the key before the last rotation. `None`: a key that HMAC does not take, which is none of any length.
    pub(crate) fn new(current: &[u8], previous: Option<&[u8]>) -> Option<Self> {
        Some(Self {
            current: Keys::of(current)?,
            previous: match previous {
                Some(key) => Some(Keys::of(key)?),
                None => None,
            },
        })
    }

    /// The sealed text: visible ASCII, bound to `bound`, which is not in it.
    pub(crate) fn seal(&self, bound: &[&[u8]], plain: &[u8]) -> String {
        let iv = self.current.iv(bound, plain);
        let mut sealed = iv.to_vec();
        sealed.extend(self.current.masked(&iv, plain));
        URL_SAFE_NO_PAD.encode(sealed)
    }

    /// What was sealed, if it was sealed by this deployment and bound to the same.
    pub(crate) fn open(&self, bound: &[&[u8]], sealed: &str) -> Option<Vec<u8>> {
        if sealed.len() > MAX_SEALED {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(sealed).ok()?;
        let (iv, masked) = bytes.split_first_chunk::<IV>()?;
        [Some(&self.current), self.previous.as_ref()]
            .into_iter()
            .flatten()
            .find_map(|keys| {
                let plain = keys.masked(iv, masked);
                // In constant time.
                keys.authenticator(bound, &plain)
                    .verify_truncated_left(iv)
                    .ok()
                    .map(|()| plain)
            })
    }
}

impl Keys {
    fn of(key: &[u8]) -> Option<Self> {
        let root = Hmac::<Sha256>::new_from_slice(key).ok()?;
        let derived = |label: &[u8]| {
            let key = with(&root, &[b"aplomb seal 1", label]).finalize().into_bytes();
            Hmac::<Sha256>::new_from_slice(&key).ok()
        };
        Some(Self {
            mac: derived(b"mac")?,
            enc: derived(b"enc")?,
        })
    }

    fn authenticator(&self, bound: &[&[u8]], plain: &[u8]) -> Hmac<Sha256> {
        let parts: Vec<&[u8]> = bound.iter().copied().chain([plain]).collect();
        with(&self.mac, &parts)
    }

    fn iv(&self, bound: &[&[u8]], plain: &[u8]) -> [u8; IV] {
        let tag = self.authenticator(bound, plain).finalize().into_bytes();
        let mut iv = [0; IV];
        iv.iter_mut().zip(tag).for_each(|(to, from)| *to = from);
        iv
    }

    fn masked(&self, iv: &[u8; IV], bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(bytes.len());
        for (block, counter) in bytes.chunks(32).zip(0_u32..) {
            let key = with(&self.enc, &[iv, &counter.to_be_bytes()])
                .finalize()
                .into_bytes();
            out.extend(block.iter().zip(key).map(|(byte, key)| byte ^ key));
        }
        out
    }
}

/// A MAC over parts, each with its length, so that no choice of parts can look like another.
fn with(keyed: &Hmac<Sha256>, parts: &[&[u8]]) -> Hmac<Sha256> {
    let mut mac = keyed.clone();
    for part in parts {
        mac.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        mac.update(part);
    }
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &[u8] = b"0123456789abcdef0123456789abcdef";

    fn sealer(current: &[u8], previous: Option<&[u8]>) -> Sealer {
        Sealer::new(current, previous).expect("any key will do")
    }

    #[test]
    fn opens_what_it_sealed_for_the_same_and_for_nobody_else() {
        let seal = sealer(KEY, None);
        for length in [0, 1, 31, 32, 33, 500] {
            let plain: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
            let sealed = seal.seal(&[b"session", b"alice"], &plain);
            assert!(sealed.bytes().all(|byte| byte.is_ascii_graphic()));
            assert_eq!(seal.open(&[b"session", b"alice"], &sealed), Some(plain));
            for foreign in [
                &[b"session".as_slice(), b"bob"] as &[&[u8]],
                &[b"event", b"alice"],
                &[b"session", b"ali", b"ce"],
                &[b"sessionalice"],
            ] {
                assert_eq!(seal.open(foreign, &sealed), None);
            }
        }
    }

    #[test]
    fn no_changed_bit_opens() {
        let seal = sealer(KEY, None);
        let sealed = URL_SAFE_NO_PAD
            .decode(seal.seal(&[b"a"], b"a backend's id"))
            .unwrap();
        for at in 0..sealed.len() * 8 {
            let mut forged = sealed.clone();
            forged[at / 8] ^= 1 << (at % 8);
            assert_eq!(seal.open(&[b"a"], &URL_SAFE_NO_PAD.encode(forged)), None);
        }
        for short in ["", "a", "AAAA", "not base64 !"] {
            assert_eq!(seal.open(&[b"a"], short), None);
        }
        assert_eq!(seal.open(&[b"a"], &"A".repeat(MAX_SEALED + 1)), None);
    }

    #[test]
    fn a_rotated_key_opens_for_one_rotation() {
        let old = sealer(KEY, None).seal(&[b"a"], b"id");
        assert!(sealer(b"new", Some(KEY)).open(&[b"a"], &old).is_some());
        assert!(sealer(b"newer", Some(b"new")).open(&[b"a"], &old).is_none());
    }

    #[test]
    fn does_not_show_what_it_carries() {
        let sealed = URL_SAFE_NO_PAD
            .decode(sealer(KEY, None).seal(&[b"a"], b"tool get_compensation"))
            .unwrap();
        assert!(
            !sealed
                .windows(4)
                .any(|part| b"get_compensation".windows(4).any(|four| four == part))
        );
    }
}
