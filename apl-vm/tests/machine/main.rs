//! The machine, on programs written in a small assembler ([`assembler`]) and on random ones.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod assembler;
mod documents;
mod effects;
mod expressions;
mod limits;
mod mutation;
mod probe;
mod property;
mod traces;
mod truth;
