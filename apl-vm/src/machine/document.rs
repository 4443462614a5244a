//! What a run works on, and the steps that work on documents.

use apl_bytecode::{BlockId, DenialId, Phase, PipelineId, ScannerId};

use super::{bind, denial};
use crate::{
    attribute::{Assumed, Scope, Source},
    facts::Facts,
    fuel::{Exhausted, Fuel},
    json::View,
    outcome::{Bound, DenialInfo, Edit, Mode, Origin},
    prepared::Prepared,
};

/// What a run works on. The same when it is resumed, though the borrows are new.
#[derive(Debug)]
pub struct Env<'a> {
    /// What policy can read besides the documents. Answers and labels are written here.
    pub facts: &'a mut Facts,
    /// The arguments. `None`: there are none; in a probe: they are not known.
    pub args: Option<View<'a>>,
    /// The result, in the phase after the call. `None` as for `args`.
    pub result: Option<View<'a>>,
    /// The deployment's key for `hash`; without one the stage denies.
    pub hash_key: Option<&'a [u8]>,
    /// For real or not.
    pub mode: Mode,
    /// Edits that pipelines made, for the audit record.
    pub edits: &'a mut Vec<Edit>,
}

impl Env<'_> {
    pub(super) fn scope<'s>(&'s self, program: &'s Prepared, assumed: Option<&'s Assumed>) -> Scope<'s> {
        let source = |view: Option<&'s View<'_>>| match (view.and_then(View::received), self.mode) {
            (Some(node), _) => Source::Node(node),
            (None, Mode::Probe) => Source::Unknown,
            (None, Mode::Enforce) => Source::Absent,
        };
        Scope {
            program,
            facts: self.facts,
            args: source(self.args.as_ref()),
            result: source(self.result.as_ref()),
            assumed,
        }
    }
}

/// Runs a field pipeline and yields the labels that it set.
pub(super) fn pipeline(
    _program: &Prepared,
    _id: PipelineId,
    _env: &mut Env<'_>,
    _fuel: &mut Fuel,
) -> Result<Result<Vec<(Origin, Bound)>, DenialInfo>, Exhausted> {
    // Until `run_pipeline` is merged: fails closed.
    Ok(Err(denial::misuse()))
}

/// Scans the document of the phase.
pub(super) fn scan(
    _program: &Prepared,
    _block: BlockId,
    _scanner: ScannerId,
    _denial: DenialId,
    _env: &Env<'_>,
) -> Result<(), DenialInfo> {
    Err(denial::misuse())
}
