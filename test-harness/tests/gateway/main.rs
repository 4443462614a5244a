//! The filter at work on gateways of other people, in a real Envoy: traffic that is none of its own, policies that change
//! under load, tools that change their definitions.

mod pins;
mod probe;
mod rig;
mod shared;
mod swap;
