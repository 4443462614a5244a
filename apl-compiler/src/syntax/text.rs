//! A scalar's text together with where each of its bytes was written.
//!
//! Rules stand inside YAML strings, so an offset in a rule is not an offset in the file: quotes, escapes and folded lines
//! lie between. [`Text`] keeps the way back, and [`Slice`] is a piece of it that the parsers pass around.

use crate::source::{Span, to_u32};
use crate::yaml::Style;

/// A scalar's value and the way back to the file.
#[derive(Debug, Clone)]
pub(crate) struct Text {
    value: String,
    file: u16,
    whole: Span,
    map: Map,
}

#[derive(Debug, Clone)]
enum Map {
    /// The value stands in the file byte for byte, from this offset on.
    Linear(u32),
    /// For each byte of the value, where the character that it belongs to begins and ends; and once more for the value's end.
    Bytes(Vec<(u32, u32)>),
}

impl Text {
    /// Aligns `value` with the scalar at `span` of `source`.
    pub(crate) fn new(value: &str, style: Style, span: Span, source: &str) -> Self {
        let raw = source.get(span.start as usize..span.end as usize).unwrap_or("");
        let lead = match style {
            Style::Plain | Style::Block => 0,
            Style::Quoted => 1,
        };
        let map = match raw.get(lead..) {
            Some(inner) if inner.starts_with(value) && style != Style::Block => {
                Map::Linear(span.start + to_u32(lead))
            }
            _ => Map::Bytes(align(value, style, raw, span)),
        };
        Self {
            value: value.to_owned(),
            file: span.file,
            whole: span,
            map,
        }
    }

    /// All of it.
    pub(crate) fn all(&self) -> Slice<'_> {
        Slice {
            text: self,
            start: 0,
            end: self.value.len(),
        }
    }

    fn span(&self, start: usize, end: usize) -> Span {
        let (first, last) = match &self.map {
            Map::Linear(from) => (from + to_u32(start), from + to_u32(end)),
            Map::Bytes(at) => {
                let first = at.get(start).map_or(self.whole.start, |place| place.0);
                // The end is where the last character ends, not where the next one stands: a fold may lie between.
                let last = match end.checked_sub(1).filter(|last| *last >= start) {
                    Some(last) => at.get(last).map_or(self.whole.end, |place| place.1),
                    None => first,
                };
                (first, last.max(first))
            }
        };
        Span {
            file: self.file,
            start: first,
            end: last,
        }
    }
}

/// Walks the written form and the value side by side. What does not line up is given the last place that did.
fn align(value: &str, style: Style, raw: &str, span: Span) -> Vec<(u32, u32)> {
    let mut map = Vec::with_capacity(value.len() + 1);
    let bytes = raw.as_bytes();
    let mut at = usize::from(style == Style::Quoted);
    for ch in value.chars() {
        let rest = raw.get(at..).unwrap_or("");
        let mut place = at;
        if style == Style::Quoted && rest.starts_with('\\') && bytes.first() == Some(&b'"') {
            let length = match bytes.get(at + 1) {
                Some(b'x') => 4,
                Some(b'u') => 6,
                Some(b'U') => 10,
                _ => 2,
            };
            at = raw.ceil_char_boundary(at + length);
        } else if rest.starts_with("''") && ch == '\'' && bytes.first() == Some(&b'\'') {
            at += 2;
        } else if let Some(found) = rest.find(ch) {
            // Only white space may be skipped (indentation, folds); anything else means the two are out of step.
            if rest
                .get(..found)
                .is_some_and(|skipped| skipped.chars().all(|c| c.is_whitespace() || ">|-+".contains(c)))
            {
                place = at + found;
                at = place + ch.len_utf8();
            }
        }
        for _ in 0..ch.len_utf8() {
            map.push((span.start + to_u32(place), span.start + to_u32(at)));
        }
    }
    let end = span.start + to_u32(at);
    map.push((end, end));
    map
}

/// A piece of a [`Text`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slice<'a> {
    text: &'a Text,
    start: usize,
    end: usize,
}

impl<'a> Slice<'a> {
    /// The characters.
    pub(crate) fn as_str(self) -> &'a str {
        self.text.value.get(self.start..self.end).unwrap_or("")
    }

    /// Where it was written.
    pub(crate) fn span(self) -> Span {
        self.text.span(self.start, self.end)
    }

    /// The piece between two byte offsets of this piece. Who marks one character need not know how long it is: an offset
    /// inside a character takes all of it.
    pub(crate) fn sub(self, start: usize, end: usize) -> Self {
        let text = self.as_str();
        let (start, end) = (text.floor_char_boundary(start), text.ceil_char_boundary(end));
        Self {
            text: self.text,
            start: self.start + start,
            end: self.start + end.max(start),
        }
    }

    /// From a byte offset to the end.
    pub(crate) fn from(self, start: usize) -> Self {
        self.sub(start, self.end - self.start)
    }

    /// Without white space at either end.
    pub(crate) fn trim(self) -> Self {
        let text = self.as_str();
        let lead = text.len() - text.trim_start().len();
        self.sub(lead, lead + text.trim().len())
    }

    /// Whether there is nothing in it.
    pub(crate) fn is_empty(self) -> bool {
        self.as_str().is_empty()
    }
}
