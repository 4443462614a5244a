//! What a run works on, and the steps that work on documents.

use apl_bytecode::{BlockId, DenialId, Phase, PipelineId, ScannerId, Side, Stage};

use super::{bind, denial, text};
use apl_json::View;

use crate::{
    attribute::{Assumed, Scope, Source},
    expr::Eval,
    facts::Facts,
    fuel::{Exhausted, Fuel},
    outcome::{Bound, DenialInfo, Edit, Mode, Origin},
    pipeline::{PipelineCx, PipelineOutcome, run_pipeline},
    prepared::Prepared,
    trace,
    value::Truth,
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
    /// Documents as they were received.
    pub(super) fn revert(&mut self) {
        let views = self.args.iter_mut().chain(&mut self.result);
        views
            .flat_map(|view| &mut view.parts)
            .for_each(|part| part.document.revert());
        self.edits.clear();
    }

    pub(super) fn scope<'s>(&'s self, program: &'s Prepared, assumed: Option<&'s Assumed>) -> Scope<'s> {
        let source = |view: Option<&'s View<'_>>| match (view.and_then(View::received), self.mode) {
            (Some(node), _) => Source::Node(node),
            (None, Mode::Probe) => Source::Unknown,
            (None, Mode::Enforce | Mode::Shadow) => Source::Absent,
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

/// What a field pipeline came to: labels to store, and perhaps a denial behind them.
pub(super) struct Piped {
    pub(super) taints: Vec<(Origin, Bound)>,
    pub(super) denied: Option<DenialInfo>,
}

/// Runs a field pipeline. `None`: a condition in it is not known, in a run that assumes something; nothing was done.
pub(super) fn pipeline(
    program: &Prepared,
    id: PipelineId,
    assumed: Option<&Assumed>,
    env: &mut Env<'_>,
    fuel: &mut Fuel,
) -> Result<Option<Piped>, Exhausted> {
    let model = program.program();
    let Some(pipeline) = model.pipelines.get(id.at()) else {
        return Ok(Some(Piped {
            taints: Vec::new(),
            denied: Some(denial::misuse()),
        }));
    };
    // Conditions read what was received, so they are the same before and after any edit.
    // At most one for each stage.
    let mut conditions: Vec<(BlockId, Truth)> = Vec::new();
    trace::pipeline(id);
    for (at, stage) in pipeline.stages.iter().enumerate() {
        if let Stage::Redact(Some(block)) = stage {
            let truth = Eval::new(env.scope(program, assumed), fuel).condition(*block)?;
            trace::condition(at, truth);
            if assumed.is_some() && truth == Truth::Unknown {
                return Ok(None);
            }
            conditions.push((*block, truth));
        }
    }
    let view = match pipeline.side {
        Side::Args => env.args.as_mut(),
        Side::Result => env.result.as_mut(),
    };
    let mut nothing = View { parts: Vec::new() };
    let view = view.unwrap_or(&mut nothing);
    spend_on(view, fuel)?;
    let mut undecided = false;
    let of = |block: BlockId| {
        conditions
            .iter()
            .find(|(known, _)| *known == block)
            .map(|(_, truth)| truth)
    };
    let mut condition = |block: BlockId, _: &View<'_>| match of(block) {
        Some(Truth::True) => Some(true),
        Some(Truth::False) => Some(false),
        Some(Truth::Unknown | Truth::Error | Truth::Fault) | None => {
            undecided = true;
            None
        }
    };
    let mut cx = PipelineCx {
        hash_key: env.hash_key,
        condition: &mut condition,
        edits: env.edits,
    };
    let (labels, denied) = match run_pipeline(program, id, view, &mut cx) {
        PipelineOutcome::Pass { taints } => (taints, None),
        PipelineOutcome::Deny { reason, code, taints } => (
            taints,
            Some(denial::of_pipeline(model, pipeline.denial, code, reason)),
        ),
    };
    // A condition that cannot be decided has hidden the value, and denies besides.
    let denied = denied.or_else(|| undecided.then(|| denial::unevaluable(model, pipeline.denial)));
    let rule = denial::of(model, pipeline.denial).rule;
    let taint = |(label, scopes)| {
        let bound = bind::taint(text(model, label), scopes, 0, rule.clone(), env.facts)?;
        Some((Origin::Pipeline(id), bound))
    };
    Ok(Some(Piped {
        taints: labels.into_iter().filter_map(taint).collect(),
        denied,
    }))
}

/// Scans the document of the phase, as earlier pipelines left it.
pub(super) fn scan(
    program: &Prepared,
    block: BlockId,
    scanner: ScannerId,
    id: DenialId,
    env: &Env<'_>,
    fuel: &mut Fuel,
) -> Result<Option<DenialInfo>, Exhausted> {
    let (side, view) = match program.phase(block) {
        Some(Phase::Post) => ("result", env.result.as_ref()),
        Some(Phase::Pre) | None => ("args", env.args.as_ref()),
    };
    let Some(view) = view else { return Ok(None) };
    spend_on(view, fuel)?;
    let found = crate::scan::scan(program, scanner, view);
    Ok(found.map(|finding| denial::of_scan(program.program(), id, scanner, side, &finding)))
}

/// Work on a whole document costs 1 for each 256 bytes.
fn spend_on(view: &View<'_>, fuel: &mut Fuel) -> Result<(), Exhausted> {
    view.parts
        .iter()
        .try_for_each(|part| fuel.spend((part.document.bytes().len() as u64) >> 8))
}
