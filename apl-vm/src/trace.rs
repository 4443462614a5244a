//! What a run did, step by step: for `aplc test --coverage` and `aplc explain --request`.
//!
//! Only with the feature `trace`, which the filter does not have: there every call below is an empty function. The record
//! is kept per thread rather than in [`Env`](crate::Env), so that whoever drives the machine (the enforcer) need not know
//! that somebody watches.

#[cfg(not(feature = "trace"))]
mod off;
#[cfg(feature = "trace")]
mod on;

#[cfg(not(feature = "trace"))]
pub(crate) use off::*;
#[cfg(feature = "trace")]
pub use on::{Seen, TraceEvent, Went, start, take};
#[cfg(feature = "trace")]
pub(crate) use on::{
    absent, answered, began, condition, ended, entered, evaluated, left, pipeline, probed, resumed, stage,
    stepped,
};
