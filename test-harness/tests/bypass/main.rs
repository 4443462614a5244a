//! A hundred ways around a filter that reads bodies, tried on the compiled module: `make bypass` prints what came of each.
//!
//! The cases are those that a filter of this kind must be asked about; `cases.rs` is the table. Each is a test of its own
//! (`case_017_…`), run once in a process whoever asks for it.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "tests: a panic is a failed test"
)]

mod backend;
mod cases;
mod configuration;
mod delivery;
mod envoy;
mod gate;
mod headers;
mod json;
mod messages;
mod operation;
mod policy;
mod proof;
mod responses;
mod sessions;
mod streams;
mod table;
mod transport;
