//! Source text and places in it.

/// A place in the source, as byte offsets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Span {
    /// Into the list of sources of one compilation.
    pub file: u16,
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Span {
    /// The smallest span that holds both.
    #[must_use]
    pub fn to(self, other: Self) -> Self {
        Self {
            file: self.file,
            start: self.start.min(other.start),
            end: self.end.max(other.end),
        }
    }
}

/// A line and column for people, both from 1, the column in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LineColumn {
    /// From 1.
    pub line: u32,
    /// From 1, in characters.
    pub column: u32,
}

/// One policy file.
#[derive(Debug, Clone)]
pub struct Source {
    /// The name that diagnostics and the debug section show.
    pub name: String,
    /// The text, without a leading byte order mark.
    pub text: String,
    /// Byte offsets at which lines begin.
    lines: Vec<u32>,
}

impl Source {
    /// Takes a text; a leading byte order mark is dropped.
    #[must_use]
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        let mut text: String = text.into();
        if text.starts_with('\u{feff}') {
            text.drain(..'\u{feff}'.len_utf8());
        }
        let lines = std::iter::once(0)
            .chain(
                text.bytes()
                    .enumerate()
                    .filter(|(_, byte)| *byte == b'\n')
                    .map(|(at, _)| to_u32(at + 1)),
            )
            .collect();
        Self {
            name: name.into(),
            text,
            lines,
        }
    }

    /// Where a byte offset is. Offsets beyond the end are taken as the end.
    #[must_use]
    pub fn position(&self, offset: u32) -> LineColumn {
        let line = self.lines.partition_point(|start| *start <= offset).max(1);
        let start = self.lines.get(line - 1).copied().unwrap_or(0) as usize;
        let end = (offset as usize).min(self.text.len());
        let column = self
            .text
            .get(start..end)
            .map_or(0, |before| before.chars().count());
        LineColumn {
            line: to_u32(line),
            column: to_u32(column + 1),
        }
    }

    /// Where a line, from 1, begins and ends, without its line end.
    pub(crate) fn line(&self, line: u32) -> Option<(usize, usize)> {
        let at = (line as usize).checked_sub(1)?;
        let start = *self.lines.get(at)? as usize;
        let end = self
            .lines
            .get(at + 1)
            .map_or(self.text.len(), |next| (*next as usize).saturating_sub(1));
        let bytes = self.text.as_bytes();
        let cut = end > start && bytes.get(end - 1) == Some(&b'\r');
        Some((start, if cut { end - 1 } else { end }))
    }

    /// Overwrites a span with stars, byte by byte, so that offsets and lines stay what they were.
    pub(crate) fn mask(&mut self, span: Span) {
        let (start, end) = (span.start as usize, span.end as usize);
        let masked = self.text.get(start..end).map(|text| {
            text.bytes()
                .map(|byte| if byte == b'\n' { '\n' } else { '*' })
                .collect::<String>()
        });
        if let Some(masked) = masked {
            self.text.replace_range(start..end, &masked);
        }
    }

    /// The text of a span.
    #[must_use]
    pub fn slice(&self, span: Span) -> &str {
        self.text
            .get(span.start as usize..span.end as usize)
            .unwrap_or("")
    }
}

/// Sources are at most 10 MiB, so offsets fit; anything larger is clamped rather than wrapped.
pub(crate) fn to_u32(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}
