//! Why a body is refused.

/// Why bytes are not a JSON document that everybody reads alike. `at` is a byte offset; no variant holds content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum JsonError {
    /// More bytes than a position can count.
    #[error("body of 4 GiB or more")]
    TooLarge,
    /// A UTF-8 byte order mark (RFC 8259, section 8.1 forbids sending it).
    #[error("byte order mark")]
    Bom,
    /// Not UTF-8: a stray or overlong sequence, an encoded surrogate, another encoding.
    #[error("not UTF-8 at byte {at}")]
    BadUtf8 {
        /// Where.
        at: u32,
    },
    /// A byte that the grammar does not allow there.
    #[error("unexpected byte at {at}")]
    Syntax {
        /// Where.
        at: u32,
    },
    /// The text ends inside a value.
    #[error("unexpected end at byte {at}")]
    End {
        /// Where.
        at: u32,
    },
    /// An unescaped control character in a string.
    #[error("control character in a string at byte {at}")]
    Control {
        /// Where.
        at: u32,
    },
    /// An unknown escape, or `\u` without four hex digits.
    #[error("invalid escape at byte {at}")]
    Escape {
        /// Where.
        at: u32,
    },
    /// `\uD800` to `\uDFFF` that is not half of a pair.
    #[error("lone surrogate at byte {at}")]
    LoneSurrogate {
        /// Where.
        at: u32,
    },
    /// Not a JSON number: a leading zero or plus, a bare point, an empty exponent.
    #[error("invalid number at byte {at}")]
    Number {
        /// Where.
        at: u32,
    },
    /// Two members of one object have the same key once unescaped.
    #[error("duplicate key at byte {at}")]
    DuplicateKey {
        /// Where the later of them stands.
        at: u32,
    },
    /// Nested deeper than [`Limits::max_depth`](super::Limits::max_depth).
    #[error("nested deeper than {limit} at byte {at}")]
    Depth {
        /// Where.
        at: u32,
        /// The limit.
        limit: u16,
    },
    /// More values than [`Limits::max_nodes`](super::Limits::max_nodes).
    #[error("more than {limit} values at byte {at}")]
    Nodes {
        /// Where.
        at: u32,
        /// The limit.
        limit: u32,
    },
    /// Something other than white space after the document.
    #[error("trailing bytes at {at}")]
    Trailing {
        /// Where.
        at: u32,
    },
}

impl JsonError {
    /// A stable word for metrics and records.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::Bom => "bom",
            Self::BadUtf8 { .. } => "bad_utf8",
            Self::Syntax { .. } => "syntax",
            Self::End { .. } => "end",
            Self::Control { .. } => "control",
            Self::Escape { .. } => "escape",
            Self::LoneSurrogate { .. } => "lone_surrogate",
            Self::Number { .. } => "number",
            Self::DuplicateKey { .. } => "duplicate_key",
            Self::Depth { .. } => "depth",
            Self::Nodes { .. } => "nodes",
            Self::Trailing { .. } => "trailing",
        }
    }

    /// Whether it is a limit of ours, not a fault of the text.
    #[must_use]
    pub const fn is_limit(&self) -> bool {
        matches!(self, Self::TooLarge | Self::Depth { .. } | Self::Nodes { .. })
    }

    /// The byte offset.
    #[must_use]
    pub const fn at(&self) -> u32 {
        match self {
            Self::TooLarge | Self::Bom => 0,
            Self::BadUtf8 { at }
            | Self::Syntax { at }
            | Self::End { at }
            | Self::Control { at }
            | Self::Escape { at }
            | Self::LoneSurrogate { at }
            | Self::Number { at }
            | Self::DuplicateKey { at }
            | Self::Depth { at, .. }
            | Self::Nodes { at, .. }
            | Self::Trailing { at } => *at,
        }
    }
}
