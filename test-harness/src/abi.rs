//! A small proxy-wasm host: it runs the compiled filter, the very file that Envoy loads, in wasmtime.
//!
//! It is not Envoy, and what it imitates are the rules of Envoy that a filter can get wrong: which headers and bytes are in
//! reach in which callback, what Pause and Continue do with and without `allow_on_headers_stop_iteration`, in which order
//! the contexts of a chain are called, that continuing and answering happen only after the running callback has returned,
//! and that a local reply passes the response callbacks of the filters that are there. Everything else is in the test's
//! hand: bytes arrive when it says so, callouts are answered, fail or cannot be made, time passes, streams end.
//!
//! A trap of the module is an error of whatever call to [`Host`] led to it.
//!
//! * [`Host`]: one VM with its plugins and exchanges;
//! * [`Message`]: what reached the backend or the client;
//! * [`Callout`]: a call of the filter that waits for its answer.

mod chain;
mod guest;
mod host;
mod imports;
mod state;

pub use host::{Configured, ExchangeId, Host};
pub use state::{Callout, Dispatch, Headers, Message, Reply};
