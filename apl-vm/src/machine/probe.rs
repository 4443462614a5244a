//! Would it be denied whatever is not known?
//!
//! A probe follows every way through the block at once. Jumps go forward only, so that one pass in the order of the code
//! is enough: at each step boundary the ways that arrive there are joined into one. Conditions have three values besides
//! errors; an unknown one goes both ways. The phase is denied for sure when no way reaches its end.
//!
//! It over-approximates what can pass: `x == 'a' & x == 'b'` is unknown although it never holds. So a probe that denies
//! is right, whatever the facts turn out to be, and one that does not may be wrong.
//!
//! An order comparison of what is not known may be a fault in a run, and a fault on the left of `&` or `|` is not absorbed
//! (`unknown & false` is false here all the same: false or a fault). A fault only ever denies, so that denials stay right;
//! what it could pass is uncertain from there on.
//!
//! Effects are taken to succeed: failing only ever denies. What they would answer is unknown, and so is what a pipeline
//! or a scanner would find. Predicates read the documents as received, so edits do not matter.

use apl_bytecode::{BlockId, DenialId, Effect, EffectId, Instr, PipelineId, Stage};

use super::{Env, denial};
use crate::{
    attribute::Assumed,
    expr::Eval,
    fuel::{Exhausted, Fuel},
    outcome::{DenialInfo, Verdict},
    prepared::Prepared,
    value::Truth,
};

/// What holds on all ways that lead to one place.
#[derive(Clone, Default)]
struct Way {
    assumed: Assumed,
    /// Something that was not known had a say in getting here.
    uncertain: bool,
}

impl Way {
    fn join(self, other: Self) -> Self {
        let same = self.assumed.labels == other.assumed.labels;
        Self {
            assumed: Assumed {
                labels: self
                    .assumed
                    .labels
                    .intersection(&other.assumed.labels)
                    .cloned()
                    .collect(),
                more_labels: self.assumed.more_labels || other.assumed.more_labels || !same,
                delegated: self.assumed.delegated || other.assumed.delegated,
                elicited: self.assumed.elicited || other.assumed.elicited,
            },
            uncertain: true,
        }
    }
}

struct Probe<'a> {
    program: &'a Prepared,
    code: &'a [Instr],
    /// Ways that jumped from further up, by where to. As long as the code when there was a jump.
    arriving: Vec<Option<Way>>,
    first_denial: Option<DenialInfo>,
}

/// Follows all ways. Running out of fuel proves nothing.
pub(super) fn run(program: &Prepared, block: BlockId, env: &Env<'_>, fuel: &mut Fuel) -> Verdict {
    let code = program
        .program()
        .blocks
        .get(block.at())
        .map_or(&[][..], |block| &block.code);
    let mut probe = Probe {
        program,
        code,
        arriving: Vec::new(),
        first_denial: None,
    };
    match probe.end(env, fuel) {
        Err(Exhausted) => Verdict::Unknown,
        Ok(Some(Way { uncertain: true, .. })) => Verdict::Unknown,
        Ok(Some(Way { uncertain: false, .. })) => Verdict::Allow,
        Ok(None) => Verdict::Deny(probe.first_denial.unwrap_or_else(denial::misuse)),
    }
}

impl Probe<'_> {
    /// The ways that reach the end, joined.
    fn end(&mut self, env: &Env<'_>, fuel: &mut Fuel) -> Result<Option<Way>, Exhausted> {
        let mut at = 0;
        let mut here = Some(Way::default());
        loop {
            here = match (here, self.arriving.get_mut(at).and_then(Option::take)) {
                (Some(one), Some(other)) => Some(one.join(other)),
                (one, other) => one.or(other),
            };
            let Some(mut way) = here else {
                // Nothing falls through to here: go on where the next jump leads.
                // Jumps go forward.
                let later = self.arriving.iter().skip(at);
                match later.take_while(|way| way.is_none()).count().saturating_add(at) {
                    next if next < self.arriving.len() => at = next,
                    _ => return Ok(None),
                }
                continue;
            };
            let scope = env.scope(self.program, Some(&way.assumed));
            let mut eval = Eval::new(scope, fuel);
            let (taken, step) = eval.until_step(self.code, at)?;
            let may_fault = eval.may_fault();
            let Some(instr) = self.code.get(step) else {
                return Ok(Some(way));
            };
            fuel.spend(1)?;
            let mut taken = taken.unwrap_or(Truth::Error);
            if may_fault {
                // Where a fault does not deny, it may lead elsewhere than what was found.
                way.uncertain = true;
                if matches!(instr, Instr::Decide(_)) {
                    taken = Truth::Unknown;
                }
            }
            here = self.step(instr, taken, way, env);
            at = step.saturating_add(1);
        }
    }

    /// What goes on behind a step.
    fn step(&mut self, instr: &Instr, taken: Truth, mut way: Way, env: &Env<'_>) -> Option<Way> {
        match (instr, taken) {
            (Instr::DenyIf(id), Truth::True) => self.denied(|program| denial::of(program, *id)),
            (Instr::DenyIf(_), Truth::False) => Some(way),
            (Instr::DenyIf(_), Truth::Unknown) => {
                way.uncertain = true;
                Some(way)
            }
            (Instr::DenyIf(id) | Instr::SkipUnless(_, id), Truth::Error | Truth::Fault) => {
                self.unevaluable(*id)
            }
            (Instr::SkipUnless(..), Truth::True) => Some(way),
            (Instr::SkipUnless(target, _), Truth::False) | (Instr::Jump(target), _) => {
                self.jump(*target, way)
            }
            (Instr::SkipUnless(target, _) | Instr::Decide(target), Truth::Unknown) => {
                way.uncertain = true;
                self.jump(*target, way.clone());
                Some(way)
            }
            (Instr::Decide(target), Truth::True) => self.jump(*target, way),
            (Instr::Decide(_), Truth::False | Truth::Error | Truth::Fault) => Some(way),
            (Instr::Deny(id) | Instr::DenyAs(_, id), _) => self.denied(|program| denial::of(program, *id)),
            (Instr::Pipeline(id), _) => {
                way.uncertain = true;
                way.assumed.more_labels |= self.labels_of(*id);
                Some(way)
            }
            (Instr::Scan(..), _) => {
                way.uncertain = true;
                Some(way)
            }
            (Instr::Effect(id), _) => {
                way.uncertain |= self.effect(*id, &mut way.assumed, env);
                Some(way)
            }
            // Nothing is performed, so there is nothing to wait for. Instructions of expressions never come here.
            _ => Some(way),
        }
    }

    fn jump(&mut self, target: u32, way: Way) -> Option<Way> {
        if self.arriving.is_empty() {
            let places = self.code.len().saturating_add(1);
            self.arriving.resize_with(places, || None);
        }
        // The verifier lets no jump go further than the end.
        if let Some(place) = self.arriving.get_mut(target as usize) {
            *place = Some(match place.take() {
                Some(other) => other.join(way),
                None => way,
            });
        }
        None
    }

    fn denied(&mut self, denial: impl FnOnce(&apl_bytecode::Program) -> DenialInfo) -> Option<Way> {
        self.first_denial
            .get_or_insert_with(|| denial(self.program.program()));
        None
    }

    fn unevaluable(&mut self, id: DenialId) -> Option<Way> {
        self.denied(|program| denial::unevaluable(program, id))
    }

    /// Assumes that the effect succeeds. True: its answer has a say in the verdict.
    fn effect(&self, id: EffectId, assumed: &mut Assumed, env: &Env<'_>) -> bool {
        let model = self.program.program();
        match model.effects.get(id.at()) {
            Some(Effect::Taint { label, .. }) => {
                assumed.labels.insert(super::text(model, *label).to_owned());
            }
            // Labels that the host has loaded already are what a store would answer.
            Some(Effect::LoadLabels { .. }) => assumed.more_labels |= !env.facts.labels.loaded,
            Some(Effect::Delegate(_)) => assumed.delegated = true,
            Some(Effect::Elicit(_)) => {
                assumed.elicited = true;
                return true;
            }
            Some(Effect::Decide(_) | Effect::Count(_) | Effect::Restrict(_)) => return true,
            Some(Effect::Audit { .. }) | None => {}
        }
        false
    }

    /// Whether a pipeline may set a label.
    fn labels_of(&self, id: PipelineId) -> bool {
        let pipeline = self.program.program().pipelines.get(id.at());
        pipeline.is_some_and(|pipeline| {
            let labels =
                |stage: &Stage| matches!(stage, Stage::Taint(..) | Stage::Scan { label: Some(_), .. });
            pipeline.stages.iter().any(labels)
        })
    }
}
