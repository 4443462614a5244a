//! One HTTP exchange as a state machine: events in, commands out.
//!
//! The enforcer holds no host handle, does no I/O and reads no clock. A host (the proxy-wasm filter, a test) creates one
//! [`Engine`] per worker and configuration and one [`Exchange`] per HTTP stream, tells them what happens ([`Event`], with
//! the time of day) and does what they say ([`Command`]). The same events give the same commands.
//!
//! | what | where |
//! |---|---|
//! | filter configuration, checked | [`config`] |
//! | events and commands | [`Event`], [`Command`], [`Reaction`] |
//! | what lives as long as a worker: program, keys, caches, audit queue | [`Engine`] |
//! | one exchange | [`Exchange`] |

#![forbid(unsafe_code)]
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]
#![cfg_attr(
    test,
    allow(
        clippy::expect_used,
        clippy::unwrap_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        reason = "a test may panic"
    )
)]

mod assertions;
mod audit;
mod cache;
mod check;
mod codec;
mod command;
pub mod config;
mod effects;
mod engine;
mod event;
mod exchange;
mod http;
mod identity;
mod json_text;
mod llm;
mod mcp;
mod metrics;
mod named_keys;
mod pins;
mod refusal;
pub mod replay;
mod restrict;
mod seal;
mod session;
mod sse;

pub use command::{Callout, Command, Flow, LogLevel, Reaction, Reply};
pub use config::{Config, ConfigError, Install, PluginConfig, Secrets};
pub use engine::Engine;
pub use event::{CallToken, Event, ExchangeId, HeaderList};
pub use exchange::Exchange;
pub use metrics::{Counter, Gauge};
pub use pins::PinMark;
pub use session::Owner;

/// How often a host should call [`Engine::on_tick`], in milliseconds.
pub const TICK_MS: u64 = 250;
