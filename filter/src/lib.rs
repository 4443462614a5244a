//! The proxy-wasm module that Envoy loads: callbacks of the host become events for the enforcer, and its commands become
//! calls to the host. What is allowed and what is not is decided in `aplomb-enforcer`; here it is only carried out.
//!
//! | what | where |
//! |---|---|
//! | the boundary: calls out, calls in, memory, the only `unsafe` code | [`host`] |
//! | what lives in one VM: plugins, streams, callouts in flight | [`vm`] |
//! | one plugin and its configuration | [`plugin`] |
//! | the few replies that are the filter's own | [`refusal`] |
//!
//! The three ways to hold request headers until the verdict (`install.mode`) differ only in where headers are edited and
//! what is resumed; [`vm`] says how.
//!
//! A trap would end every stream of the worker, so nothing here can panic: see `docs/panics.md`.

#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unreachable
)]
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        reason = "a panic in a test is a failed test"
    )
)]
// Natively nobody calls the exports; the crate is checked and its pure parts are tested there.
#![cfg_attr(
    not(target_arch = "wasm32"),
    allow(dead_code, reason = "the host that calls this is a wasm32 host")
)]

mod host;
mod plugin;
mod refusal;
mod vm;
