//! The ways in which a text is read.
//!
//! A payload must not get past a detector by spelling a digit differently. So besides the text itself there are: the
//! text with Unicode look-alikes folded (full-width forms, dashes, spaces, invisible characters), and, where it has
//! backslashes, the text with one and two layers of JSON escapes removed, because strings often hold JSON. Each reading
//! knows where its bytes came from, so that a find can be cut out of the text itself.

use std::borrow::Cow;

/// One way to read a text.
pub(super) struct Reading<'a> {
    pub(super) bytes: Cow<'a, [u8]>,
    /// For each byte and for the end: where it stands in the text. `None`: at the same place.
    pub(super) origins: Option<Vec<u32>>,
}

impl Reading<'_> {
    /// The place in the text of a place in this reading.
    pub(super) fn origin(&self, at: usize) -> usize {
        self.origins.as_ref().map_or(at, |origins| {
            origins
                .get(at)
                .or(origins.last())
                .map_or(at, |origin| *origin as usize)
        })
    }
}

/// All readings of a text that differ; the first is the folded text, which for most texts is the text itself.
pub(super) fn readings(text: &str) -> impl Iterator<Item = Reading<'_>> {
    const LAYERS: u8 = 2;
    let first = folded(text);
    // Only a text with backslashes has more readings, so for most nothing is built.
    let mut unescaped = if first.bytes.contains(&b'\\') {
        unescape(&first)
    } else {
        None
    };
    let mut left = LAYERS;
    let more = std::iter::from_fn(move || {
        let reading = unescaped.take()?;
        left = left.saturating_sub(1);
        if left > 0 {
            unescaped = unescape(&reading);
        }
        Some(reading)
    });
    std::iter::once(first).chain(more)
}

fn folded(text: &str) -> Reading<'_> {
    if text.is_ascii() || text.chars().all(|c| plain(c) == Some(c)) {
        return Reading {
            bytes: Cow::Borrowed(text.as_bytes()),
            origins: None,
        };
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut origins = Vec::with_capacity(text.len());
    for (at, c) in text.char_indices() {
        if let Some(c) = plain(c) {
            bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            origins.resize(bytes.len(), at as u32);
        }
    }
    origins.push(text.len() as u32);
    Reading {
        bytes: Cow::Owned(bytes),
        origins: Some(origins),
    }
}

/// The ASCII character that one looks like, itself if there is none, `None` if it is invisible.
fn plain(c: char) -> Option<char> {
    match c {
        '\u{00AD}'
        | '\u{200B}'..='\u{200F}'
        | '\u{2060}'..='\u{2064}'
        | '\u{FE00}'..='\u{FE0F}'
        | '\u{FEFF}' => None,
        '\u{00A0}' | '\u{2000}'..='\u{200A}' | '\u{202F}' | '\u{205F}' | '\u{3000}' => Some(' '),
        '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{FE58}' | '\u{FE63}' => Some('-'),
        '\u{2024}' | '\u{3002}' => Some('.'),
        // Full-width forms stand in the order of ASCII.
        '\u{FF01}'..='\u{FF5E}' => char::from_u32(u32::from(c).wrapping_sub(0xFEE0)),
        _ => Some(c),
    }
}

/// One layer of JSON escapes removed; `None` when there is none. What is no escape stays.
fn unescape<'a>(from: &Reading<'_>) -> Option<Reading<'a>> {
    let mut rest: &[u8] = &from.bytes;
    let mut bytes = Vec::with_capacity(rest.len());
    let mut origins = Vec::with_capacity(rest.len());
    let mut changed = false;
    while let Some((first, behind)) = rest.split_first() {
        let at = from.origin(from.bytes.len().saturating_sub(rest.len())) as u32;
        let escape = if *first == b'\\' { escape(behind) } else { None };
        match escape {
            Some((c, length)) => {
                changed = true;
                if let Some(c) = plain(c) {
                    bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                }
                rest = behind.get(length..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = behind;
            }
        }
        origins.resize(bytes.len(), at);
    }
    origins.push(from.origin(from.bytes.len()) as u32);
    changed.then_some(Reading {
        bytes: Cow::Owned(bytes),
        origins: Some(origins),
    })
}

/// The character of the escape behind a backslash, and its length without the backslash.
fn escape(behind: &[u8]) -> Option<(char, usize)> {
    Some(match behind {
        [b'n', ..] => ('\n', 1),
        [b't', ..] => ('\t', 1),
        [b'r', ..] => ('\r', 1),
        [c @ (b'"' | b'\\' | b'/'), ..] => (char::from(*c), 1),
        [b'u', digits @ ..] => {
            let digits = digits
                .get(..4)
                .and_then(|digits| std::str::from_utf8(digits).ok())?;
            (char::from_u32(u32::from_str_radix(digits, 16).ok()?)?, 5)
        }
        _ => return None,
    })
}
