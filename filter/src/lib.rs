//! The proxy-wasm module that Envoy loads.
