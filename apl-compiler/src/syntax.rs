//! The rule language inside YAML strings: text to syntax trees.

mod ast;
mod attenuation;
mod decision;
mod effect;
mod elicit;
mod field_path;
mod lexer;
mod limit;
mod path;
mod pipeline;
mod predicate;
mod restrict;
mod rule;
mod scan;
mod step;
mod text;
mod value;

pub(crate) use ast::{
    CostDecl, DelegateCall, Effect, EffectKind, ElicitCall, Field, From, LimitCall, Literal, MembersDecl,
    Path, PathSeg as AttrSeg, Pdp, Predicate, RestrictCall, Stage, StageKind, Step, StepKind, TaintCall,
    Test,
};
pub(crate) use path::whole as parse_path;
pub(crate) use pipeline::parse_field;
pub(crate) use predicate::parse as parse_predicate;
pub(crate) use step::{Context, parse_steps};
pub(crate) use text::{Slice, Text};

/// The segments of a path whose keys may be anything.
pub(crate) fn field_segments(path: &str) -> Option<Vec<String>> {
    let segments = field_path::segments(path)?;
    Some(segments.into_iter().map(|(key, _)| key).collect())
}
