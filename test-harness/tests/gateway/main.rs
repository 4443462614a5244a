//! The filter at work on gateways of other people, in a real Envoy: traffic that is none of its own, policies that change
//! under load, tools that change their definitions.

mod grpc;
mod pins;
mod restrict;
mod rig;
mod shared;
mod swap;
