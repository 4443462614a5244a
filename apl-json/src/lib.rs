//! JSON documents: a strict index over the received bytes, and edits that leave every other byte alone.
//!
//! [`Document::parse`] walks the bytes once, without recursion, and writes one 16-byte entry for every value and every
//! key into a flat table, in document order. Nothing is copied or converted: a string stays escaped and a number stays
//! its lexeme until somebody asks. Edits ([`Document::replace`], [`Document::remove`]) are remembered beside the bytes
//! and spliced in by [`Document::render`], so that what policy did not touch reaches the backend byte for byte.
//!
//! What two parsers could read differently is refused: duplicate keys (compared unescaped), a byte order mark, bytes
//! that are not UTF-8, lone surrogates, trailing bytes. Everything else follows RFC 8259.
//!
//! | limit | default | where |
//! |---|---|---|
//! | bytes | 4 GiB - 1 | positions are 32 bits; the host's own limit is far lower |
//! | nesting | 64 | [`Limits::max_depth`] |
//! | values | 200,000 | [`Limits::max_nodes`]; keys are not counted, but cost 16 bytes too |

#![forbid(unsafe_code)]
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

mod canonical;
mod document;
mod error;
mod key;
mod node;
mod parse;
mod path;
mod splice;
mod text;
mod view;

pub use canonical::{NotCanonical, Numbers, canonical, canonical_members};
pub use document::{Document, Limits, NodeId};
pub use error::JsonError;
pub use key::Key;
pub use node::{Elements, Entries, Kind, Like, Members, Node, Number};
pub use path::{Found, Step, has_twin, resolve};
pub use text::{fold, quote, same_folded};
pub use view::{Part, View};

#[cfg(test)]
mod suite;
