//! JSON that must be an object. `serde` reads a struct from an array too, by position; nobody who sends that means it.

use serde::Deserialize;

/// Parses an object; an array where one is expected is an error like any other.
pub(crate) fn parse<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, serde_json::Error> {
    match bytes.iter().find(|b| !b.is_ascii_whitespace()) {
        Some(b'[') => Err(serde::de::Error::custom("an object is expected")),
        Some(_) | None => serde_json::from_slice(bytes),
    }
}
