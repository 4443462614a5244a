//! The parser: one pass, no recursion, no allocation for a value.

use super::{
    document::{Limits, Slot},
    error::JsonError,
    node::Kind,
    text::{Unescaped, compare},
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
        self.slots.push(self.slot(Kind::String, start, flags));
        let raw = self
            .text
            .get(start.wrapping_add(1)..self.pos.wrapping_sub(1))
            .unwrap_or_default();
        let local = slot.wrapping_sub(self.first) as u64;
        self.keys.push((u64::from(hash(raw, escaped)) << 32) | local);
        self.space();
        match self.peek() {
            Some(b':') => self.skip(),
            Some(_) => return Err(JsonError::Syntax { at: self.at() }),
            None => return Err(JsonError::End { at: self.at() }),
        }
        Ok(())
    }

    /// Checks that the keys from `base` on differ, and forgets them. Sorting by hash brings equal keys together; where
    /// hashes are equal the keys themselves are sorted, so that no choice of keys costs more than n log n comparisons.
    fn distinct(&mut self, base: usize) -> Result<(), JsonError> {
        let mut keys = std::mem::take(&mut self.keys);
        let verdict = self.first_duplicate(keys.get_mut(base..).unwrap_or_default());
        keys.truncate(base);
        self.keys = keys;
        match verdict {
            Some(at) => Err(JsonError::DuplicateKey { at }),
            None => Ok(()),
        }
    }

    fn first_duplicate(&self, keys: &mut [u64]) -> Option<u32> {
        const FEW: usize = 8;
        if keys.len() <= FEW {
            for (i, a) in keys.iter().enumerate() {
                for b in keys.get(i.wrapping_add(1)..).unwrap_or_default() {
                    if a >> 32 == b >> 32 && compare(self.key_text(*a).1, self.key_text(*b).1).is_eq() {
                        return Some(self.key_text(*b).0);
                    }
                }
            }
            return None;
        }
        keys.sort_unstable();
        for same in keys.chunk_by_mut(|a, b| a >> 32 == b >> 32) {
            if same.len() > 1 {
                same.sort_by(|a, b| compare(self.key_text(*a).1, self.key_text(*b).1));
                for pair in same.windows(2) {
                    let [a, b] = pair else { continue };
                    if compare(self.key_text(*a).1, self.key_text(*b).1).is_eq() {
                        return Some(self.key_text(*b).0);
                    }
                }
            }
        }
        None
    }

    /// Position and text of a key in [`Self::keys`].
    fn key_text(&self, key: u64) -> (u32, (&str, bool)) {
        let local = (key & u64::from(u32::MAX)) as usize;
        let Some(slot) = self.slots.get(self.first.wrapping_add(local)) else {
            return (0, ("", false));
        };
        let start = slot.start.wrapping_sub(self.base) as usize;
        let end = slot.end.wrapping_sub(self.base) as usize;
        let raw = self
            .text
            .get(start.wrapping_add(1)..end.wrapping_sub(1))
            .unwrap_or_default();
        (slot.start, (raw, slot.has(Slot::ESCAPED)))
    }

    /// Steps over a string, both quotes included. `true` when it has escapes.
    fn string(&mut self) -> Result<bool, JsonError> {
        let mut escaped = false;
        self.skip();
        loop {
            self.plain_run();
            match self.peek() {
                Some(b'"') => {
                    self.skip();
                    return Ok(escaped);
                }
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                Some(0..0x20) => return Err(JsonError::Control { at: self.at() }),
                Some(_) => self.skip(),
                None => return Err(JsonError::End { at: self.at() }),
            }
        }
    }

    /// Steps over whole groups of eight bytes that hold no quote, backslash or control character.
    fn plain_run(&mut self) {
        const ONES: u64 = 0x0101_0101_0101_0101;
        const HIGH: u64 = 0x8080_8080_8080_8080;
        let rest = self.bytes.get(self.pos..).unwrap_or_default();
        let (groups, _) = rest.as_chunks::<8>();
        for group in groups {
            let word = u64::from_le_bytes(*group);
            // A byte of each term is 0x80 where the byte was zero (or less than 0x20); the borrow into higher bytes can
            // only report too much, and then the bytes are looked at one by one.
            let quote = word ^ ONES.wrapping_mul(0x22);
            let slash = word ^ ONES.wrapping_mul(0x5C);
            let found = (quote.wrapping_sub(ONES) & !quote)
                | (slash.wrapping_sub(ONES) & !slash)
                | (word.wrapping_sub(ONES.wrapping_mul(0x20)) & !word);
            if found & HIGH != 0 {
                break;
            }
            self.pos = self.pos.wrapping_add(8);
        }
        while self
            .peek()
            .is_some_and(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\')
        {
            self.skip();
        }
    }

    fn escape(&mut self) -> Result<(), JsonError> {
        let at = self.at();
        self.skip();
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.skip();
                Ok(())
            }
            Some(b'u') => {
                self.skip();
                match self.hex4(at)? {
                    0xD800..0xDC00 => {
                        if self.bytes.get(self.pos..self.pos.wrapping_add(2)) != Some(b"\\u") {
                            return Err(JsonError::LoneSurrogate { at });
                        }
                        self.pos = self.pos.wrapping_add(2);
                        match self.hex4(at)? {
                            0xDC00..0xE000 => Ok(()),
                            _ => Err(JsonError::LoneSurrogate { at }),
                        }
                    }
                    0xDC00..0xE000 => Err(JsonError::LoneSurrogate { at }),
                    _ => Ok(()),
                }
            }
            Some(_) => Err(JsonError::Escape { at }),
            None => Err(JsonError::End { at: self.at() }),
        }
    }

    fn hex4(&mut self, at: u32) -> Result<u32, JsonError> {
        let mut value = 0_u32;
        for _ in 0..4 {
            let Some(byte) = self.peek() else {
                return Err(JsonError::End { at: self.at() });
            };
            let Some(digit) = char::from(byte).to_digit(16) else {
                return Err(JsonError::Escape { at });
            };
            value = (value << 4) | digit;
            self.skip();
        }
        Ok(value)
    }

    fn number(&mut self) -> Result<(), JsonError> {
        let at = self.at();
        let bad = Err(JsonError::Number { at });
        if self.peek() == Some(b'-') {
            self.skip();
        }
        match self.peek() {
            Some(b'0') => self.skip(),
            Some(b'1'..=b'9') => {
                self.digits();
            }
            _ => return bad,
        }
        if self.peek() == Some(b'.') {
            self.skip();
            if !self.digits() {
                return bad;
            }
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.skip();
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.skip();
            }
            if !self.digits() {
                return bad;
            }
        }
        match self.peek() {
            // `01`, `1.2.3`, `1x`: say that the number is at fault, not the byte behind it.
            Some(b'0'..=b'9' | b'.' | b'+' | b'-' | b'a'..=b'z' | b'A'..=b'Z') => bad,
            _ => Ok(()),
        }
    }

    fn digits(&mut self) -> bool {
        let start = self.pos;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.skip();
        }
        self.pos > start
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

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.skip();
        }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.pos).copied()
    }

    /// One byte on. The position never exceeds the length by more than nothing: callers have peeked.
    fn skip(&mut self) {
        self.pos = self.pos.wrapping_add(1);
    }

    fn at(&self) -> u32 {
        self.base.wrapping_add(self.pos as u32)
    }
}

/// FNV-1a over the unescaped text. Collisions cost a comparison, nothing else.
fn hash(raw: &str, escaped: bool) -> u32 {
    const fn step(hash: u32, byte: u8) -> u32 {
        (hash ^ byte as u32).wrapping_mul(0x0100_0193)
    }
    const START: u32 = 0x811C_9DC5;
    if escaped {
        let mut buffer = [0_u8; 4];
        Unescaped::new(raw).fold(START, |hash, c| {
            c.encode_utf8(&mut buffer).bytes().fold(hash, step)
        })
    } else {
        raw.bytes().fold(START, step)
    }
}
