//! The contract between the compiler and the proxy.
//!
//! A *program* is one policy after compilation. It lives in three shapes:
//!
//! | shape | type | made by |
//! |---|---|---|
//! | model | [`Program`] | the compiler, field by field; or [`decode`] |
//! | bytes | `Vec<u8>`, a `.aplb` file | [`encode`]; the same model gives the same bytes |
//! | verified | [`VerifiedProgram`] | [`verify`] and [`load`] only |
//!
//! Only a [`VerifiedProgram`] can be run. Verification checks, once, everything that running then relies on: every
//! index is in bounds, jumps go forward inside their block, the value stack never underflows and has a known greatest
//! depth, expressions leave one value, steps leave none, nesting is bounded. A program that does not verify is not
//! loaded.
//!
//! `docs/bytecode.md` specifies the file so precisely that somebody could write a second reader.

#![no_std]
#![forbid(unsafe_code)]
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

extern crate alloc;

mod file;
pub mod limits;
mod listing;
mod lookup;
pub mod model;
mod needs;
mod order;
mod signature;
mod verify;
mod wire;

pub use file::{DecodeError, FIRST_ANCILLARY, FORMAT, MAGIC, PREVIOUS_FORMAT, decode, encode};
pub use listing::{listing, spell_code, spell_effect, spell_position};
pub use lookup::{A2A_METHODS, HttpRank, Routes, a2a_operation, captured, glob_matches, http_rank};
pub use model::*;
pub use needs::{Needs, PhaseNeeds};
pub use order::{order_by_key, sort_by};
pub use signature::{SIGNED_PREFIX, Section, sections, signature, signed_text, with_signature};
pub use verify::{
    BoundIssuer, LoadError, Place, VerifiedProgram, VerifyError, load, load_to_run, push_key_segment, verify,
};
