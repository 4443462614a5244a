//! Resolved policy to program.

mod assertions;
mod cel;
mod expression;
mod identities;
mod labels;
mod phase;
mod pipeline;
mod policy;
mod regex;
mod routes;
mod steps;
mod tables;

pub(crate) use policy::lower;
