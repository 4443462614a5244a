//! What the tests and the demo run on.
//!
//! * [`abi`]: a small proxy-wasm host that runs the compiled filter in wasmtime;
//! * [`backend`]: three MCP servers on the official SDK that record what they received;
//! * [`control_plane`]: delivers extension configuration to Envoy over gRPC, as istiod does;
//! * [`envoy`]: a real Envoy with the filter in it, in each way of installing it;
//! * [`ground`]: one policy in a real Envoy in front of a test's own backends;
//! * [`idp`]: the development identity provider, a Keycloak realm's worth of tokens;
//! * [`image`]: the module as an OCI image layout;
//! * [`mcp`]: a client that speaks MCP Streamable HTTP by hand, so that every byte can be looked at;
//! * [`patience`]: waiting for what takes an unknown time;
//! * [`stack`]: all of it together for one policy, identity provider and companion included;
//! * [`tools`]: other people's programs that tests use, and what happens where they are missing;
//! * [`scenario`]: steps as data, who calls what and what must come of it, and the runner that plays them.

pub mod abi;
pub mod backend;
pub mod control_plane;
pub mod demo;
pub mod envoy;
pub mod ground;
pub mod idp;
pub mod image;
pub mod mcp;
pub mod patience;
pub mod ports;
pub mod process;
pub mod programs;
pub mod scenario;
pub mod stack;
pub mod tools;
