//! Runs one verified program against one operation, without I/O, clock or host.
//!
//! The host (the enforcer, `aplc test`, a differential test) gives a [`Machine`] the facts of the exchange and the JSON
//! documents of the operation. The machine runs a block until it ends, denies, or needs an answer from outside; then it
//! returns [`Outcome::Await`] and is resumed with the answers. A suspended machine holds plain indices and no borrow.

#![forbid(unsafe_code)]
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

mod attribute;
mod data;
mod expr;
mod facts;
mod fuel;
mod machine;
mod namespace;
mod outcome;
mod pin;
mod pipeline;
mod predicate;
mod prepared;
mod restrict;
mod scan;
#[cfg(feature = "trace")]
pub mod trace;
#[cfg(not(feature = "trace"))]
mod trace;
mod tree;
mod value;

pub use apl_json::{
    Document, Elements, JsonError, Key, Kind, Limits, Members, Node, NodeId, NotCanonical, Number, Numbers,
    Part, View, canonical, canonical_members, fold, has_twin, quote, same_folded,
};
pub use expr::rfc3339_seconds;
pub use facts::{Fact, FactMap, Facts, LabelState, Told, set_of};
pub use machine::{Env, Machine};
pub use outcome::{
    Answer, Approval, Batch, Bound, CountCall, DecideCall, DelegateCall, DenialInfo, Edit, ElicitCall, Mode,
    Origin, Outcome, Pending, Unmet, Verdict,
};
pub use pin::{PINNED_MEMBERS, pin_digest};
pub use pipeline::{PipelineCx, PipelineOutcome, run_pipeline};
pub use prepared::{PrepareError, Prepared, find_route};
pub use restrict::{Constraint, model_matches};
pub use scan::{Finding, REDACTED, Running, scan};
pub use tree::{MAX_TREE_DEPTH, Tree};
pub use value::Truth;
