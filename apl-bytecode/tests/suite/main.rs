//! What the format and the verifier promise, on a corpus of programs.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod corpus;
mod listing;
mod mutation;
mod needs;
mod page;
mod round_trip;
mod routing;
mod verifier;
