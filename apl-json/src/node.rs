//! Reading values.

use std::borrow::Cow;

use super::{
    Key,
    document::{Change, Document, NodeId, Slot},
    text::{self, Unescaped},
};

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are RFC 8259's own")]
pub enum Kind {
    Null,
    Bool,
    Number,
    String,
    Array,
    Object,
}

impl Kind {
    /// The word for reasons and diagnostics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool => "bool",
            Self::Number => "number",
            Self::String => "string",
            Self::Array => "array",
            Self::Object => "object",
        }
    }
}

/// One value of a document: a handle, as cheap to copy as a reference.
#[derive(Debug, Clone, Copy)]
pub struct Node<'a> {
    document: &'a Document,
    id: u32,
    /// Edits are not seen.
    received: bool,
}

impl<'a> Node<'a> {
    pub(super) fn current(document: &'a Document, id: u32) -> Self {
        match document.change_of(id) {
            Some(Change::Replaced(by)) => Self {
                document,
                id: by,
                received: false,
            },
            Some(Change::Removed) | None => Self {
                document,
                id,
                received: false,
            },
        }
    }

    pub(super) fn received(document: &'a Document, id: u32) -> Self {
        Self {
            document,
            id,
            received: true,
        }
    }

    fn slot(self) -> Option<&'a Slot> {
        self.document.slot(self.id)
    }

    /// Its id. Of a replacement: the replacement's.
    #[must_use]
    pub fn id(self) -> NodeId {
        NodeId(self.id)
    }

    /// What it is.
    #[must_use]
    pub fn kind(self) -> Kind {
        self.slot().map_or(Kind::Null, |slot| slot.kind)
    }

    /// Its bytes, edits inside it not applied.
    #[must_use]
    pub fn raw(self) -> &'a [u8] {
        self.text().as_bytes()
    }

    fn text(self) -> &'a str {
        self.slot().map_or("null", |slot| self.document.slice(slot))
    }

    /// Of a string: the text between the quotes, and whether it has escapes.
    fn inner(self) -> Option<(&'a str, bool)> {
        let slot = self.slot()?;
        if slot.kind != Kind::String {
            return None;
        }
        let quoted = self.document.slice(slot);
        Some((
            quoted.get(1..quoted.len().saturating_sub(1))?,
            slot.has(Slot::ESCAPED),
        ))
    }

    /// The text of a string, unescaped; borrowed when it has no escapes.
    #[must_use]
    pub fn as_str(self) -> Option<Cow<'a, str>> {
        self.inner().map(|(raw, escaped)| text::unescape(raw, escaped))
    }

    /// Whether it is this string. Allocates nothing.
    #[must_use]
    pub fn is_str(self, other: &str) -> bool {
        self.inner()
            .is_some_and(|text| text::compare(text, (other, false)).is_eq())
    }

    /// The boolean.
    #[must_use]
    pub fn as_bool(self) -> Option<bool> {
        (self.kind() == Kind::Bool).then(|| self.text() == "true")
    }

    /// The number.
    #[must_use]
    pub fn number(self) -> Option<Number<'a>> {
        (self.kind() == Kind::Number).then(|| Number { lexeme: self.text() })
    }

    /// An object's member of this key. A scan over the members; keys are compared unescaped.
    #[must_use]
    pub fn get(self, key: &str) -> Option<Node<'a>> {
        let key = Key::new(key);
        self.like(key)
            .find(|(name, _)| key.is(*name))
            .map(|(_, value)| value)
    }

    /// The members whose key may be this one or a twin of it in another case, and few others: the caller compares
    /// ([`Key::is`], [`Key::is_folded`]). A scan over the members that looks at hardly any text.
    #[must_use]
    pub fn like(self, key: Key<'_>) -> Like<'a, '_> {
        Like {
            entries: self.entries(),
            key,
        }
    }

    /// Another key than `key` itself that a careless parser would take for it: same letters in another case
    /// ([`fold`](super::fold)).
    #[must_use]
    pub fn folded_twin(self, key: &str) -> Option<Cow<'a, str>> {
        let key = Key::new(key);
        self.like(key)
            .find(|(name, _)| !key.is(*name) && key.is_folded(*name))
            .and_then(|(name, _)| name.as_str())
    }

    /// Whether it is this string but for case ([`fold`](super::fold)). Allocates nothing.
    #[must_use]
    pub fn is_folded(self, other: &str) -> bool {
        match self.inner() {
            Some((raw, false)) => text::same_folded(raw, other),
            Some((raw, true)) => Unescaped::new(raw)
                .map(text::fold)
                .eq(other.chars().map(text::fold)),
            None => false,
        }
    }

    /// An object's members in document order; none of anything else.
    #[must_use]
    pub fn members(self) -> Members<'a> {
        Members {
            entries: self.entries(),
        }
    }

    /// Members with their keys as nodes.
    pub fn entries(self) -> Entries<'a> {
        let (at, end) = self.inside(Kind::Object);
        Entries {
            document: self.document,
            received: self.received,
            at,
            end,
        }
    }

    /// An array's elements in order; none of anything else.
    #[must_use]
    pub fn elements(self) -> Elements<'a> {
        let (at, end) = self.inside(Kind::Array);
        Elements {
            document: self.document,
            received: self.received,
            at,
            end,
        }
    }

    /// How many members or elements; 0 for anything else. Counts them.
    #[must_use]
    pub fn len(self) -> usize {
        self.entries().count().saturating_add(self.elements().count())
    }

    /// Whether there are no members or elements.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.entries().next().is_none() && self.elements().next().is_none()
    }

    fn inside(self, kind: Kind) -> (u32, u32) {
        match self.slot() {
            Some(slot) if slot.kind == kind => (self.id.saturating_add(1), slot.next),
            Some(_) | None => (0, 0),
        }
    }
}

/// A number as it was written. Nothing is converted until asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Number<'a> {
    /// As received: `1.50`, `-0`, `1e999`.
    pub lexeme: &'a str,
}

impl Number<'_> {
    /// Written without point and exponent, and within range. `5.0` is not an integer.
    #[must_use]
    pub fn as_i64(self) -> Option<i64> {
        self.lexeme.parse().ok()
    }

    /// As [`Number::as_i64`], for the other range.
    #[must_use]
    pub fn as_u64(self) -> Option<u64> {
        self.lexeme.parse().ok()
    }

    /// The nearest double; `None` when it is too large for one.
    #[must_use]
    pub fn as_f64(self) -> Option<f64> {
        self.lexeme.parse().ok().filter(|value: &f64| value.is_finite())
    }
}

/// The members of an object: unescaped key and value.
#[derive(Debug, Clone)]
pub struct Members<'a> {
    entries: Entries<'a>,
}

impl<'a> Iterator for Members<'a> {
    type Item = (Cow<'a, str>, Node<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let (key, value) = self.entries.next()?;
        Some((key.as_str()?, value))
    }
}

/// The members of an object: key and value as values.
#[derive(Debug, Clone)]
pub struct Entries<'a> {
    document: &'a Document,
    received: bool,
    at: u32,
    end: u32,
}

impl<'a> Iterator for Entries<'a> {
    type Item = (Node<'a>, Node<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        while self.at < self.end {
            let key = self.at;
            let value = key.saturating_add(1);
            self.at = self.document.slot(value)?.next;
            if let Some(node) = child(self.document, self.received, value) {
                // A redacted key is a replaced one; it keeps its member.
                let key =
                    child(self.document, self.received, key).unwrap_or(Node::received(self.document, key));
                return Some((key, node));
            }
        }
        None
    }
}

/// Members that may have a key: see [`Node::like`].
#[derive(Debug, Clone)]
pub struct Like<'a, 'k> {
    entries: Entries<'a>,
    key: Key<'k>,
}

impl<'a> Iterator for Like<'a, '_> {
    type Item = (Node<'a>, Node<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let Entries {
            document,
            received,
            at,
            end,
        } = &mut self.entries;
        while *at < *end {
            let key = document.slot(*at)?;
            let edited = key.has(Slot::EDITED) && !*received;
            if edited || self.key.may_be(key) {
                break;
            }
            *at = document.slot(at.wrapping_add(1))?.next;
        }
        self.entries.next()
    }
}

/// The elements of an array.
#[derive(Debug, Clone)]
pub struct Elements<'a> {
    document: &'a Document,
    received: bool,
    at: u32,
    end: u32,
}

impl<'a> Iterator for Elements<'a> {
    type Item = Node<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.at < self.end {
            let id = self.at;
            self.at = self.document.slot(id)?.next;
            if let Some(node) = child(self.document, self.received, id) {
                return Some(node);
            }
        }
        None
    }
}

/// The value as the reader should see it; `None` when it was removed.
fn child(document: &Document, received: bool, id: u32) -> Option<Node<'_>> {
    if received {
        return Some(Node::received(document, id));
    }
    match document.change_of(id) {
        Some(Change::Removed) => None,
        Some(Change::Replaced(_)) | None => Some(Node::current(document, id)),
    }
}
