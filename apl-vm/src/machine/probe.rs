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
//!
//! A shadow run is a probe of the operation at hand ([`Mode::Shadow`]): labels and decision points are asked, and where the
//! way is certain pipelines, scanners and `restrict` are run for what they find.

use apl_bytecode::{
    Attenuate, BlockId, Decision, DenialId, Effect, EffectId, Instr, PipelineId, Program, Scopes, Stage,
};

use super::{Env, bind, denial, document, question};
use crate::{
    attribute::Assumed,
    expr::Eval,
    fuel::{Exhausted, Fuel},
    outcome::{Bound, DenialInfo, Mode, Origin, Verdict},
    prepared::Prepared,
    trace,
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
                at_hand: self.assumed.at_hand,
            },
            uncertain: true,
        }
    }
}

struct Probe<'a> {
    program: &'a Prepared,
    block: BlockId,
    code: &'a [Instr],
    /// Ways that jumped from further up, by where to. As long as the code when there was a jump.
    arriving: Vec<Option<Way>>,
    first_denial: Option<DenialInfo>,
    /// Questions that nobody could answer.
    given_up: &'a [Origin],
    questions: Vec<(Origin, Bound)>,
    would: Vec<String>,
    /// A pipeline was passed over, so that documents are not what scanners would get.
    blurred: bool,
}

/// What a probe has found.
pub(super) struct Findings {
    pub(super) verdict: Verdict,
    /// What a shadow run asks before it can say more.
    pub(super) questions: Vec<(Origin, Bound)>,
    /// What it would have asked for.
    pub(super) would: Vec<String>,
}

/// Follows all ways. Running out of fuel proves nothing.
pub(super) fn run(
    program: &Prepared,
    block: BlockId,
    given_up: &[Origin],
    env: &mut Env<'_>,
    fuel: &mut Fuel,
) -> Findings {
    let code = program
        .program()
        .blocks
        .get(block.at())
        .map_or(&[][..], |block| &block.code);
    let mut probe = Probe {
        program,
        block,
        code,
        arriving: Vec::new(),
        first_denial: None,
        given_up,
        questions: Vec::new(),
        would: Vec::new(),
        blurred: false,
    };
    let verdict = match probe.end(env, fuel) {
        Err(Exhausted) => Verdict::Unknown,
        Ok(Some(Way { uncertain: true, .. })) => Verdict::Unknown,
        Ok(Some(Way { uncertain: false, .. })) => Verdict::Allow,
        Ok(None) => Verdict::Deny(probe.first_denial.take().unwrap_or_else(denial::misuse)),
    };
    Findings {
        verdict,
        questions: probe.questions,
        would: probe.would,
    }
}

impl Probe<'_> {
    /// The ways that reach the end, joined.
    fn end(&mut self, env: &mut Env<'_>, fuel: &mut Fuel) -> Result<Option<Way>, Exhausted> {
        let mut at = 0;
        let mut start = Way::default();
        start.assumed.at_hand = env.mode == Mode::Shadow;
        let mut here = Some(start);
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
            let shadow = way.assumed.at_hand;
            let denials = self.first_denial.is_some();
            here = match instr {
                Instr::Pipeline(_) | Instr::Scan(..) | Instr::Effect(_) if shadow => {
                    self.at_hand(instr, way, env, fuel)?
                }
                _ => self.step(instr, taken, way, env),
            };
            if shadow {
                let denied = self.first_denial.as_ref().filter(|_| !denials);
                trace::probed(step, instr, taken, here.is_some(), denied);
            }
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
            (Instr::DenyAs(effect, id), _) => {
                self.denied(|program| denial::told(program, *effect, *id, env.facts))
            }
            (Instr::Deny(id), _) => self.denied(|program| denial::of(program, *id)),
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

    /// What a shadow run can do that a probe cannot.
    fn at_hand(
        &mut self,
        instr: &Instr,
        mut way: Way,
        env: &mut Env<'_>,
        fuel: &mut Fuel,
    ) -> Result<Option<Way>, Exhausted> {
        let denied = match instr {
            Instr::Pipeline(id) if !way.uncertain => {
                match document::pipeline(self.program, *id, Some(&way.assumed), env, fuel)? {
                    Some(piped) => {
                        self.would
                            .extend(piped.taints.iter().filter_map(|(_, bound)| match bound {
                                Bound::Taint { label, .. } => Some(named("session.append", label)),
                                _ => None,
                            }));
                        piped.denied
                    }
                    None => {
                        self.blurred = true;
                        return Ok(self.step(instr, Truth::Error, way, env));
                    }
                }
            }
            Instr::Pipeline(_) => {
                self.blurred = true;
                return Ok(self.step(instr, Truth::Error, way, env));
            }
            Instr::Scan(scanner, id) if !self.blurred => {
                document::scan(self.program, self.block, *scanner, *id, env, fuel)?
            }
            Instr::Effect(id) => {
                let known = match self.program.program().effects.get(id.at()) {
                    Some(Effect::Decide(decision)) => self.ask(*id, decision, &way, env, fuel)?,
                    Some(Effect::LoadLabels { .. }) => {
                        self.load(*id, env);
                        false
                    }
                    Some(Effect::Restrict(restrict)) if !way.uncertain => {
                        return Ok(match bind::narrow(self.program, restrict, env) {
                            Ok(()) => Some(way),
                            Err(denied) if !(way.assumed.delegated || way.assumed.elicited) => {
                                self.denied(|_| denied)
                            }
                            Err(_) => {
                                way.uncertain = true;
                                Some(way)
                            }
                        });
                    }
                    Some(_) => {
                        self.would.extend(would(self.program.program(), *id));
                        false
                    }
                    None => false,
                };
                way.uncertain |= !known && self.effect(*id, &mut way.assumed, env);
                return Ok(Some(way));
            }
            _ => return Ok(self.step(instr, Truth::Error, way, env)),
        };
        Ok(match denied {
            Some(denied) => self.denied(|_| denied),
            None => Some(way),
        })
    }

    /// Whether the decision point's answer is known; otherwise it is asked, if what it is told is known.
    fn ask(
        &mut self,
        id: EffectId,
        decision: &Decision,
        way: &Way,
        env: &Env<'_>,
        fuel: &mut Fuel,
    ) -> Result<bool, Exhausted> {
        let origin = Origin::Effect(id);
        if env.facts.answers.contains_key(&id) {
            return Ok(true);
        }
        if !self.given_up.contains(&origin)
            && let Ok(call) = question::decide(self.program, decision, Some(&way.assumed), env, fuel)?
        {
            self.questions.push((origin, Bound::Decide(Box::new(call))));
        }
        Ok(false)
    }

    fn load(&mut self, id: EffectId, env: &Env<'_>) {
        let origin = Origin::Effect(id);
        if !env.facts.labels.loaded && !self.given_up.contains(&origin) {
            let rule = String::new();
            self.questions.push((origin, Bound::LoadLabels { rule }));
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

    fn denied(&mut self, denial: impl FnOnce(&Program) -> DenialInfo) -> Option<Way> {
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
            Some(Effect::Delegate(_) | Effect::Attenuate(_)) => assumed.delegated = true,
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

/// The effect as records name it; `None`: nothing happens outside.
fn would(program: &Program, id: EffectId) -> Option<String> {
    let (kind, name) = match program.effects.get(id.at())? {
        Effect::Taint { label, scopes, .. } => {
            if !(scopes.has(Scopes::SESSION) || scopes.has(Scopes::SUBJECT)) {
                return None;
            }
            ("session.append", *label)
        }
        Effect::Delegate(delegate) | Effect::Attenuate(Attenuate { delegate, .. }) => {
            ("token.exchange", delegate.delegator)
        }
        Effect::Elicit(elicit) => ("elicit", elicit.handler),
        Effect::Count(count) => ("limit.count", count.name),
        Effect::Audit { plugin, .. } => ("audit.append", *plugin),
        Effect::LoadLabels { .. } | Effect::Decide(_) | Effect::Restrict(_) => return None,
    };
    Some(named(kind, super::text(program, name)))
}

fn named(kind: &str, name: &str) -> String {
    [kind, ":", name].concat()
}
