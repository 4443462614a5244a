//! Numbers, texts, lists, options, indices.

use alloc::{string::String, vec::Vec};

use super::{Reader, Wire, Writer};
use crate::{
    DecodeError,
    model::{
        AssertionsId, AttrId, BlockId, ConstId, DenialId, EffectId, IdentityId, PipelineId, RegexId,
        ScannerId, StrId,
    },
};

impl Wire for u8 {
    fn put(&self, out: &mut Writer<'_>) {
        out.byte(*self);
    }

    fn get(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        input.byte()
    }

    fn put_list(list: &[Self], out: &mut Writer<'_>) {
        out.count(list.len());
        out.raw(list);
    }

    fn get_list(input: &mut Reader<'_>) -> Result<Vec<Self>, DecodeError> {
        let count = input.count()?;
        Ok(input.take(count)?.to_vec())
    }
}

/// A digest: its bytes, without a count.
impl Wire for [u8; 32] {
    fn put(&self, out: &mut Writer<'_>) {
        out.raw(self);
    }

    fn get(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let at = input.at();
        Self::try_from(input.take(32)?).map_err(|_| DecodeError::Truncated { at })
    }
}

impl Wire for u16 {
    fn put(&self, out: &mut Writer<'_>) {
        out.varint(u64::from(*self));
    }

    fn get(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let at = input.at();
        Self::try_from(input.varint()?).map_err(|_| DecodeError::Varint { at })
    }
}

impl Wire for u32 {
    fn put(&self, out: &mut Writer<'_>) {
        out.varint(u64::from(*self));
    }

    fn get(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        input.varint32()
    }
}

impl Wire for u64 {
    fn put(&self, out: &mut Writer<'_>) {
        out.varint(*self);
    }

    fn get(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        input.varint()
    }
}

/// Zigzag: 0, -1, 1, -2, ... become 0, 1, 2, 3, ...
impl Wire for i64 {
    fn put(&self, out: &mut Writer<'_>) {
        out.varint(((*self << 1) ^ (*self >> 63)).cast_unsigned());
    }

    fn get(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let coded = input.varint()?;
        let sign = if coded & 1 == 1 { u64::MAX } else { 0 };
        Ok(((coded >> 1) ^ sign).cast_signed())
    }
}

/// IEEE 754 binary64, little-endian.
impl Wire for f64 {
    fn put(&self, out: &mut Writer<'_>) {
        out.raw(&self.to_bits().to_le_bytes());
    }

    fn get(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let at = input.at();
        let bytes = <[u8; 8]>::try_from(input.take(8)?).map_err(|_| DecodeError::Truncated { at })?;
        Ok(Self::from_bits(u64::from_le_bytes(bytes)))
    }
}

impl Wire for bool {
    fn put(&self, out: &mut Writer<'_>) {
        out.byte(u8::from(*self));
    }

    fn get(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let at = input.at();
        match input.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            tag => Err(DecodeError::Tag {
                what: "boolean",
                tag,
                at,
            }),
        }
    }
}

impl Wire for String {
    fn put(&self, out: &mut Writer<'_>) {
        out.count(self.len());
        out.raw(self.as_bytes());
    }

    fn get(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let count = input.count()?;
        let at = input.at();
        let bytes = input.take(count)?;
        core::str::from_utf8(bytes)
            .map(Self::from)
            .map_err(|_| DecodeError::Utf8 { at })
    }
}

impl<T: Wire> Wire for Vec<T> {
    fn put(&self, out: &mut Writer<'_>) {
        T::put_list(self, out);
    }

    fn get(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        T::get_list(input)
    }
}

impl<T: Wire> Wire for Option<T> {
    fn put(&self, out: &mut Writer<'_>) {
        T::put_option(self.as_ref(), out);
    }

    fn get(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        T::get_option(input)
    }
}

impl<A: Wire, B: Wire> Wire for (A, B) {
    fn put(&self, out: &mut Writer<'_>) {
        self.0.put(out);
        self.1.put(out);
    }

    fn get(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok((A::get(input)?, B::get(input)?))
    }
}

/// An index is a varint; an optional index is 0 for none, else the index plus one.
macro_rules! index {
    ($($id:ident $table:ident $number:literal)*) => {$(
        impl Wire for $id {
            fn put(&self, out: &mut Writer<'_>) {
                match out.whole() {
                    None => self.0.put(out),
                    Some(program) => out.entry($number, self.0, |out| {
                        if let Some(entry) = program.$table.get(self.at()) {
                            entry.put(out);
                        }
                    }),
                }
            }

            fn get(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
                u32::get(input).map(Self)
            }

            fn put_option(option: Option<&Self>, out: &mut Writer<'_>) {
                match (option, out.whole()) {
                    (None, _) => out.byte(0),
                    (Some(id), None) => out.varint(u64::from(id.0).saturating_add(1)),
                    (Some(id), Some(_)) => id.put(out),
                }
            }

            fn get_option(input: &mut Reader<'_>) -> Result<Option<Self>, DecodeError> {
                let at = input.at();
                match input.varint()?.checked_sub(1) {
                    None => Ok(None),
                    Some(index) => {
                        u32::try_from(index).map(|index| Some(Self(index))).map_err(|_| DecodeError::Varint { at })
                    }
                }
            }
        }
    )*};
}

index! {
    StrId strings 0
    ConstId consts 1
    AttrId attrs 2
    BlockId blocks 3
    PipelineId pipelines 4
    EffectId effects 5
    DenialId denials 6
    RegexId regexes 7
    ScannerId scanners 8
    IdentityId identities 9
    AssertionsId assertions 10
}
