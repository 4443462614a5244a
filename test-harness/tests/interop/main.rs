//! Official programs that know nothing of the filter, through a real Envoy with it: the conformance suite, and the clients of the
//! Python, TypeScript and Rust SDKs. `make interop` prints both tables.

mod clients;
mod conformance;
mod fixture;
mod rust_client;
