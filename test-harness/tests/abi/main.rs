//! The compiled filter in the wasmtime host: what it links to, what it refuses, what holds on every interleaving.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "tests: a panic is a failed test"
)]

mod configuration;
mod exchange;
mod fixture;
mod module;
mod pair;
mod protocols;
mod work;
