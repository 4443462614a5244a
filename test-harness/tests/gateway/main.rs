//! The filter at work on gateways of other people, in a real Envoy: traffic that is none of its own, policies that change
//! under load, parts of different versions, tools that change their definitions, endpoints that policy chooses among.

mod biscuits;
mod emitted;
mod evidence;
mod grpc;
mod pins;
mod probe;
mod restrict;
mod rig;
mod secrets;
mod shared;
mod skew;
mod swap;
mod tracing;
