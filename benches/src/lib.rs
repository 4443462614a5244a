//! Benchmarks: what the project costs, beside what else could stand in its place.
//!
//! * [`load`]: requests per second and latency of one URL, with `wrk`;
//! * [`rivals`]: the chains that are compared, as listeners of one Envoy;
//! * [`figures`]: the project's five figures and their bounds;
//! * [`table`]: medians and their presentation.
//!
//! `aplomb-bench` and `aplomb-figures` print them. Rounds are interleaved, so that whatever else the machine does
//! falls on all alike; what counts is the ratio within one run.

pub mod figures;
pub mod load;
pub mod rivals;
pub mod table;
