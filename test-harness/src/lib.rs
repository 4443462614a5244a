//! Hosts, identity provider, backends and scenarios for the tests.

pub mod backend;
pub mod flags;
