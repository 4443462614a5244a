//! Resolved policy to program.

mod assertions;
mod cel;
mod decide;
mod delegate;
mod elicit;
mod expression;
mod identities;
mod labels;
mod limit;
mod phase;
mod pipeline;
mod policy;
mod regex;
mod routes;
mod shadow;
mod steps;
mod tables;

pub(crate) use policy::lower;
pub(crate) use shadow::ended;
