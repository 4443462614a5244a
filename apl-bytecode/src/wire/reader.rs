//! Reading bytes. Every read is checked; nothing is allocated before the bytes are known to be there.

use crate::DecodeError;

/// The unread rest of a part of the file.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    /// The offset behind the last byte.
    end: usize,
}

impl<'a> Reader<'a> {
    /// Reads `bytes`, which begin at offset `at` of the file.
    pub(crate) const fn new(bytes: &'a [u8], at: usize) -> Self {
        Self {
            rest: bytes,
            end: at.saturating_add(bytes.len()),
        }
    }

    /// The offset of the next byte in the file, for errors.
    pub(crate) const fn at(&self) -> usize {
        self.end.saturating_sub(self.rest.len())
    }

    /// Whether everything was read.
    pub(crate) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn byte(&mut self) -> Result<u8, DecodeError> {
        match self.rest.split_first() {
            Some((byte, rest)) => {
                self.rest = rest;
                Ok(*byte)
            }
            None => Err(DecodeError::Truncated { at: self.at() }),
        }
    }

    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        match self.rest.split_at_checked(count) {
            Some((head, rest)) => {
                self.rest = rest;
                Ok(head)
            }
            None => Err(DecodeError::Truncated { at: self.at() }),
        }
    }

    /// LEB128 in its shortest form.
    pub(crate) fn varint(&mut self) -> Result<u64, DecodeError> {
        let at = self.at();
        let mut value = 0_u64;
        for group in 0..10_u32 {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            // The tenth byte has room for one bit; a last byte of zero would be a longer form of the same number.
            if (group == 9 && byte > 1) || (group > 0 && byte == 0) {
                return Err(DecodeError::Varint { at });
            }
            value |= bits.checked_shl(group.saturating_mul(7)).unwrap_or(0);
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(DecodeError::Varint { at })
    }

    pub(crate) fn varint32(&mut self) -> Result<u32, DecodeError> {
        let at = self.at();
        u32::try_from(self.varint()?).map_err(|_| DecodeError::Varint { at })
    }

    /// A number of things of at least one byte each that follow.
    pub(crate) fn count(&mut self) -> Result<usize, DecodeError> {
        let at = self.at();
        let count = self.varint32()? as usize;
        if count > self.rest.len() {
            Err(DecodeError::Count { count, at })
        } else {
            Ok(count)
        }
    }
}
