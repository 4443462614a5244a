//! Official programs that know nothing of the filter, through a real Envoy with it: the conformance suite, and the clients of the
//! Python, TypeScript and Rust SDKs; and those of OpenAI, Anthropic and A2A. `make interop` prints the tables.

mod clients;
mod conformance;
mod fixture;
mod models;
mod rust_client;
