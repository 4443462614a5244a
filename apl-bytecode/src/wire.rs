//! How the parts of the model stand in the file. One implementation of [`Wire`] holds both directions, so that they
//! cannot drift apart; `docs/bytecode.md` says the same in words.

mod ask;
mod code;
mod reader;
mod scalar;
mod tables;
mod writer;

pub(crate) use reader::Reader;
pub(crate) use writer::Writer;

use alloc::vec::Vec;

use crate::DecodeError;

/// Something that stands in the file in exactly one way: `get` refuses every byte sequence that `put` does not write.
pub(crate) trait Wire: Sized {
    /// Appends it. At least one byte, always: counts are checked against the bytes that are left.
    fn put(&self, out: &mut Writer<'_>);

    /// Reads it.
    fn get(input: &mut Reader<'_>) -> Result<Self, DecodeError>;

    /// Appends it or its absence. Indices have a shorter form of this.
    fn put_option(option: Option<&Self>, out: &mut Writer<'_>) {
        match option {
            None => out.byte(0),
            Some(value) => {
                out.byte(1);
                value.put(out);
            }
        }
    }

    /// Reads it or its absence.
    fn get_option(input: &mut Reader<'_>) -> Result<Option<Self>, DecodeError> {
        if bool::get(input)? {
            Ok(Some(Self::get(input)?))
        } else {
            Ok(None)
        }
    }

    /// Appends a list. Bytes have a faster form of this.
    fn put_list(list: &[Self], out: &mut Writer<'_>) {
        out.count(list.len());
        for item in list {
            item.put(out);
        }
    }

    /// Reads a list. Beyond the room for a few, memory grows with what was really read, never with the count that the file
    /// claims.
    fn get_list(input: &mut Reader<'_>) -> Result<Vec<Self>, DecodeError> {
        const FEW: usize = 32;
        let count = input.count()?;
        let mut list = Vec::with_capacity(count.min(FEW));
        for _ in 0..count {
            list.push(Self::get(input)?);
        }
        Ok(list)
    }
}

/// A struct is its fields, in order.
macro_rules! record {
    ($ty:ident { $($field:ident),* $(,)? }) => {
        impl $crate::wire::Wire for $ty {
            fn put(&self, out: &mut $crate::wire::Writer<'_>) {
                let Self { $($field),* } = self;
                $( $crate::wire::Wire::put($field, out); )*
            }

            fn get(input: &mut $crate::wire::Reader<'_>) -> Result<Self, $crate::DecodeError> {
                Ok(Self { $( $field: $crate::wire::Wire::get(input)? ),* })
            }
        }
    };
}

/// An enum is one byte and then the fields of the variant, in order.
macro_rules! choice {
    ($ty:ident, $what:literal { $( $tag:literal => $variant:ident $(( $($field:ident),* ))? $({ $($named:ident),* })? ),* $(,)? }) => {
        impl $crate::wire::Wire for $ty {
            fn put(&self, out: &mut $crate::wire::Writer<'_>) {
                match self {$(
                    Self::$variant $(( $($field),* ))? $({ $($named),* })? => {
                        out.byte($tag);
                        $($( $crate::wire::Wire::put($field, out); )*)?
                        $($( $crate::wire::Wire::put($named, out); )*)?
                    }
                )*}
            }

            fn get(input: &mut $crate::wire::Reader<'_>) -> Result<Self, $crate::DecodeError> {
                let at = input.at();
                match input.byte()? {
                    $(
                        $tag => Ok(Self::$variant
                            $(( $({ let $field = $crate::wire::Wire::get(input)?; $field }),* ))?
                            $({ $($named: $crate::wire::Wire::get(input)?),* })?
                        ),
                    )*
                    tag => Err($crate::DecodeError::Tag { what: $what, tag, at }),
                }
            }
        }
    };
}

pub(crate) use {choice, record};
