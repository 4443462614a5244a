//! The parser: one pass, no recursion, no allocation for a value.

mod keys;
mod lexeme;

use super::{
    document::{Limits, Slot},
    error::JsonError,
    key,
    node::Kind,
};

/// Appends the index of one JSON text to `slots`. `flags` is set in each of them. Positions are offsets into `text`
/// plus `base`.
pub(super) fn index(
    text: &str,
    base: u32,
    flags: u8,
    slots: &mut Vec<Slot>,
    limits: &Limits,
) -> Result<(), JsonError> {
    let first = slots.len();
    let mut parser = Parser {
        text,
        bytes: text.as_bytes(),
        pos: 0,
        base,
        flags,
        slots,
        first,
        limits,
        open: Vec::new(),
        keys: Vec::new(),
        values: 0,
    };
    parser.document()
}

/// An object or array that is not closed yet.
struct Open {
    slot: usize,
    /// Where its keys start in [`Parser::keys`]; `None` for an array.
    keys: Option<usize>,
}

struct Parser<'t> {
    text: &'t str,
    bytes: &'t [u8],
    pos: usize,
    base: u32,
    flags: u8,
    slots: &'t mut Vec<Slot>,
    first: usize,
    limits: &'t Limits,
    open: Vec<Open>,
    /// Hash (high half) and slot (low half, from `first`) of the keys of all open objects.
    keys: Vec<u64>,
    values: u32,
}

impl Parser<'_> {
    fn document(&mut self) -> Result<(), JsonError> {
        loop {
            self.space();
            if !self.value()? {
                continue;
            }
            if !self.after_value()? {
                break;
            }
        }
        self.space();
        if self.pos < self.bytes.len() {
            return Err(JsonError::Trailing { at: self.at() });
        }
        Ok(())
    }

    /// Reads a scalar, an empty container (`true`), or opens a container (`false`: its first value follows).
    fn value(&mut self) -> Result<bool, JsonError> {
        let Some(byte) = self.peek() else {
            return Err(JsonError::End { at: self.at() });
        };
        match byte {
            b'"' => {
                let start = self.pos;
                let escaped = self.string()?;
                self.push(Kind::String, start, if escaped { Slot::ESCAPED } else { 0 })?;
            }
            b'{' => {
                self.push_open(Kind::Object, Some(self.keys.len()))?;
                self.space();
                if self.peek() == Some(b'}') {
                    self.close();
                } else {
                    self.key()?;
                    return Ok(false);
                }
            }
            b'[' => {
                self.push_open(Kind::Array, None)?;
                self.space();
                if self.peek() == Some(b']') {
                    self.close();
                } else {
                    return Ok(false);
                }
            }
            b'-' | b'0'..=b'9' => {
                let start = self.pos;
                self.number()?;
                self.push(Kind::Number, start, 0)?;
            }
            b't' => self.word(b"true", Kind::Bool)?,
            b'f' => self.word(b"false", Kind::Bool)?,
            b'n' => self.word(b"null", Kind::Null)?,
            _ => return Err(JsonError::Syntax { at: self.at() }),
        }
        Ok(true)
    }

    /// Closes what ends here. `true`: another value follows; `false`: the document is complete.
    fn after_value(&mut self) -> Result<bool, JsonError> {
        loop {
            let Some(open) = self.open.last() else {
                return Ok(false);
            };
            let keys = open.keys;
            self.space();
            match (self.peek(), keys) {
                (Some(b','), Some(_)) => {
                    self.skip();
                    self.space();
                    self.key()?;
                    return Ok(true);
                }
                (Some(b','), None) => {
                    self.skip();
                    return Ok(true);
                }
                (Some(b'}'), Some(base)) => {
                    self.distinct(base)?;
                    self.close();
                }
                (Some(b']'), None) => self.close(),
                (Some(_), _) => return Err(JsonError::Syntax { at: self.at() }),
                (None, _) => return Err(JsonError::End { at: self.at() }),
            }
        }
    }

    fn key(&mut self) -> Result<(), JsonError> {
        match self.peek() {
            Some(b'"') => {}
            Some(_) => return Err(JsonError::Syntax { at: self.at() }),
            None => return Err(JsonError::End { at: self.at() }),
        }
        let start = self.pos;
        let escaped = self.string()?;
        let slot = self.slots.len();
        let flags = Slot::KEY | if escaped { Slot::ESCAPED } else { 0 };
        let raw = self
            .text
            .get(start.wrapping_add(1)..self.pos.wrapping_sub(1))
            .unwrap_or_default();
        let (hash, tag) = key::hash(raw, escaped);
        self.slots.push(Slot {
            tag,
            ..self.slot(Kind::String, start, flags)
        });
        let local = slot.wrapping_sub(self.first) as u64;
        self.keys.push((u64::from(hash) << 32) | local);
        self.space();
        match self.peek() {
            Some(b':') => self.skip(),
            Some(_) => return Err(JsonError::Syntax { at: self.at() }),
            None => return Err(JsonError::End { at: self.at() }),
        }
        Ok(())
    }

    fn word(&mut self, word: &'static [u8], kind: Kind) -> Result<(), JsonError> {
        let start = self.pos;
        for expected in word {
            match self.peek() {
                Some(byte) if byte == *expected => self.skip(),
                Some(_) => return Err(JsonError::Syntax { at: self.at() }),
                None => return Err(JsonError::End { at: self.at() }),
            }
        }
        self.push(kind, start, 0)
    }

    fn push(&mut self, kind: Kind, start: usize, flags: u8) -> Result<(), JsonError> {
        if self.values >= self.limits.max_nodes {
            return Err(JsonError::Nodes {
                at: self.at(),
                limit: self.limits.max_nodes,
            });
        }
        self.values = self.values.wrapping_add(1);
        self.slots.push(self.slot(kind, start, flags));
        Ok(())
    }

    fn push_open(&mut self, kind: Kind, keys: Option<usize>) -> Result<(), JsonError> {
        if self.open.len() >= usize::from(self.limits.max_depth) {
            return Err(JsonError::Depth {
                at: self.at(),
                limit: self.limits.max_depth,
            });
        }
        let slot = self.slots.len();
        let start = self.pos;
        self.skip();
        self.push(kind, start, 0)?;
        self.open.push(Open { slot, keys });
        Ok(())
    }

    /// A slot that ends here and has nothing in it.
    fn slot(&self, kind: Kind, start: usize, flags: u8) -> Slot {
        Slot {
            start: self.base.wrapping_add(start as u32),
            end: self.at(),
            next: self.slots.len().wrapping_add(1) as u32,
            kind,
            flags: flags | self.flags,
            tag: 0,
        }
    }

    /// Steps over the closing bracket and completes the innermost container.
    fn close(&mut self) {
        self.skip();
        let (end, next) = (self.at(), self.slots.len() as u32);
        if let Some(slot) = self.open.pop().and_then(|open| self.slots.get_mut(open.slot)) {
            slot.end = end;
            slot.next = next;
        }
    }

    #[inline(always)]
    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.skip();
        }
    }

    #[inline(always)]
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.pos).copied()
    }

    /// One byte on. The position never exceeds the length by more than nothing: callers have peeked.
    #[inline(always)]
    fn skip(&mut self) {
        self.pos = self.pos.wrapping_add(1);
    }

    #[inline(always)]
    fn at(&self) -> u32 {
        self.base.wrapping_add(self.pos as u32)
    }
}
