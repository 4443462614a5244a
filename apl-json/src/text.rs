//! What a JSON string says: unescaping, comparing and quoting.
//!
//! All functions here take the text *between* the quotes of a string that was parsed already, so no escape in it can be
//! malformed; if one were, they would skip it.

use std::{borrow::Cow, cmp::Ordering};

/// Iterates over the characters that an escaped text stands for.
#[derive(Debug, Clone)]
pub(crate) struct Unescaped<'a> {
    rest: std::str::Chars<'a>,
}

impl<'a> Unescaped<'a> {
    pub(crate) fn new(raw: &'a str) -> Self {
        Self { rest: raw.chars() }
    }

    fn hex4(&mut self) -> Option<u32> {
        let mut value = 0_u32;
        for _ in 0..4 {
            value = value.wrapping_shl(4) | self.rest.next()?.to_digit(16)?;
        }
        Some(value)
    }

    fn escape(&mut self) -> Option<char> {
        Some(match self.rest.next()? {
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'u' => {
                let unit = self.hex4()?;
                match unit {
                    0xD800..0xDC00 => {
                        self.rest.next();
                        self.rest.next();
                        let low = self.hex4()?;
                        let code = (unit & 0x3FF).wrapping_shl(10) | (low & 0x3FF);
                        char::from_u32(code.wrapping_add(0x1_0000))?
                    }
                    _ => char::from_u32(unit)?,
                }
            }
            itself => itself,
        })
    }
}

impl Iterator for Unescaped<'_> {
    type Item = char;

    fn next(&mut self) -> Option<char> {
        match self.rest.next()? {
            '\\' => self.escape(),
            plain => Some(plain),
        }
    }
}

/// The text that `raw` stands for; borrowed when there is nothing to unescape.
pub(crate) fn unescape(raw: &str, escaped: bool) -> Cow<'_, str> {
    if escaped {
        let mut text = String::with_capacity(raw.len());
        text.extend(Unescaped::new(raw));
        Cow::Owned(text)
    } else {
        Cow::Borrowed(raw)
    }
}

/// Orders two texts, each of which may be escaped, by their characters.
pub(crate) fn compare((a, a_escaped): (&str, bool), (b, b_escaped): (&str, bool)) -> Ordering {
    match (a_escaped, b_escaped) {
        (false, false) => a.cmp(b),
        (true, false) => Unescaped::new(a).cmp(b.chars()),
        (false, true) => a.chars().cmp(Unescaped::new(b)),
        (true, true) => Unescaped::new(a).cmp(Unescaped::new(b)),
    }
}

/// Folds the case of one character: ASCII, the simple lower-case mappings of Unicode, and the few letters that other
/// parsers fold to a letter which they are not the upper case of (`ſ` to `s`, `K` to `k`, `ς` to `σ`, `İ` and `ı` to
/// `i`). Made for comparing keys, where too much folding is the safe side.
#[must_use]
pub fn fold(c: char) -> char {
    match c {
        '\0'..='\u{7f}' => c.to_ascii_lowercase(),
        'ſ' => 's',
        'ς' => 'σ',
        'İ' | 'ı' => 'i',
        'µ' => 'μ',
        _ => c.to_lowercase().next().unwrap_or(c),
    }
}

/// Whether two texts are the same once [`fold`]ed.
#[must_use]
pub fn same_folded(a: &str, b: &str) -> bool {
    for (a, b) in a.bytes().zip(b.bytes()) {
        if !a.is_ascii() || !b.is_ascii() {
            break;
        }
        if !a.eq_ignore_ascii_case(&b) {
            return false;
        }
    }
    a.chars().map(fold).eq(b.chars().map(fold))
}

/// Appends `text` as a JSON string, quotes included. Escapes only what RFC 8259 requires, and as RFC 8785
/// section 3.2.2.2 does: the short form where there is one.
pub fn quote(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x0C => out.extend_from_slice(b"\\f"),
            0..0x20 => {
                out.extend_from_slice(b"\\u00");
                out.push(if byte >= 0x10 { b'1' } else { b'0' });
                out.push(*b"0123456789abcdef".get(usize::from(byte & 15)).unwrap_or(&b'0'));
            }
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}
