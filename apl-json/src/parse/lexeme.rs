//! Strings and numbers.

use super::Parser;
use crate::error::JsonError;

impl Parser<'_> {
    /// Steps over a string, both quotes included. `true` when it has escapes.
    pub(super) fn string(&mut self) -> Result<bool, JsonError> {
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
                // A control character: a run ends at nothing else.
                Some(_) => return Err(JsonError::Control { at: self.at() }),
                None => return Err(JsonError::End { at: self.at() }),
            }
        }
    }

    /// Steps to the next quote, backslash or control character.
    #[inline(always)]
    fn plain_run(&mut self) {
        const ONES: u64 = 0x0101_0101_0101_0101;
        const HIGH: u64 = 0x8080_8080_8080_8080;
        while let Some(group) = self.bytes.get(self.pos..).and_then(<[u8]>::first_chunk::<8>) {
            let word = u64::from_le_bytes(*group);
            // A byte of each term is 0x80 where the byte was zero (or less than 0x20). The borrow may report bytes above
            // such a one too, never below it: the lowest is right.
            let quote = word ^ ONES.wrapping_mul(0x22);
            let slash = word ^ ONES.wrapping_mul(0x5C);
            let found = (quote.wrapping_sub(ONES) & !quote)
                | (slash.wrapping_sub(ONES) & !slash)
                | (word.wrapping_sub(ONES.wrapping_mul(0x20)) & !word);
            if found & HIGH != 0 {
                self.pos = self
                    .pos
                    .wrapping_add(((found & HIGH).trailing_zeros() / 8) as usize);
                return;
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

    pub(super) fn number(&mut self) -> Result<(), JsonError> {
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
}
