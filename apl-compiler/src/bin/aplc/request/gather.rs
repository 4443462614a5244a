//! From what the machine did to what is told about it.

use std::collections::BTreeSet;

use apl_bytecode::{BlockId, Effect, Instr, Phase, Program, VerifiedProgram};
use apl_vm::trace::{TraceEvent, Went};
use apl_vm::{Answer, Origin, Truth};

use super::seen;
use crate::case::{Given, Operation};
use crate::place::{Place, Places};
use crate::proxy::Outcome;

/// How a policy decided.
pub(super) struct Explanation {
    pub(super) operation: String,
    pub(super) route: String,
    pub(super) steps: Vec<Told>,
    /// Verdict, code, reason, rule.
    pub(super) verdict: &'static str,
    pub(super) code: Option<String>,
    pub(super) reason: Option<String>,
    pub(super) rule: Option<String>,
    pub(super) effects: Vec<String>,
    pub(super) edits: Vec<String>,
    /// Rules that had no say, and why.
    pub(super) others: Vec<Other>,
    pub(super) missing: Vec<String>,
}

/// A step that was reached.
pub(super) struct Told {
    /// The block of the program, and where in it.
    at: (BlockId, usize),
    pub(super) phase: &'static str,
    pub(super) place: String,
    pub(super) text: String,
    /// Attributes and what they were.
    pub(super) reads: Vec<(String, String)>,
    /// What its condition came to, in the words of the step.
    pub(super) came_to: Option<String>,
    /// Stages, answers and the like.
    pub(super) notes: Vec<String>,
}

/// A rule that had no say.
pub(super) struct Other {
    pub(super) place: String,
    pub(super) text: String,
    pub(super) why: String,
}

/// Puts the pieces together.
pub(super) fn gather(
    got: &Outcome,
    given: &Given,
    program: &VerifiedProgram,
    places: &Places<'_>,
    show: bool,
) -> Explanation {
    let (route, blocks) = route(given, program);
    let mut gathering = Gathering {
        program,
        places,
        show,
        phase: "before the call",
        steps: Vec::new(),
        reads: Vec::new(),
        notes: Vec::new(),
        visited: Vec::new(),
        stopped: None,
    };
    got.trace.iter().for_each(|event| gathering.event(event));
    let others = gathering.others(&blocks);
    Explanation {
        operation: operation(given),
        route,
        steps: gathering.steps,
        verdict: got.verdict,
        code: got.code.clone(),
        reason: got.reason.clone(),
        rule: got.rule.clone(),
        effects: got.effects.clone(),
        edits: got.edits.clone(),
        others,
        missing: got.missing.clone(),
    }
}

fn operation(given: &Given) -> String {
    match &given.request.operation {
        Operation::Tool(name, _) => format!("tool:{name}"),
        Operation::Prompt(name, _) => format!("prompt:{name}"),
        Operation::Resource(uri) => format!("resource:{uri}"),
        Operation::Agent(method, _) => format!("a2a:{method}"),
        Operation::Model(model, _) => format!("llm:{model}"),
        Operation::Http(method, target, _) => format!("http:{method} {target}"),
        Operation::Raw(body) => body
            .get("method")
            .and_then(|method| method.as_str())
            .unwrap_or("a message")
            .to_owned(),
    }
}

/// What governs the operation, and its blocks.
fn route(given: &Given, program: &VerifiedProgram) -> (String, Vec<BlockId>) {
    let (entity, name) = crate::proxy::operation_of(&given.request.operation);
    let model = program.program();
    let found =
        entity.and_then(|entity| apl_vm::find_route(program, entity, &name, given.request.scope.as_deref()));
    if let Some(route) = found.and_then(|at| model.routes.get(at)) {
        let name = format!("routes.{}", apl_compiler::outline::route_name(model, route));
        return (name, [route.pre, route.post].into_iter().flatten().collect());
    }
    let fallback = model.fallbacks.iter().find(|fallback| fallback.entity == entity);
    let blocks = fallback
        .iter()
        .flat_map(|fallback| [fallback.pre, fallback.post])
        .flatten()
        .collect();
    let words = if entity.is_some() {
        "no route: the global rules, then `engine_settings.unmatched`"
    } else {
        "housekeeping: identity and the global rules"
    };
    (words.to_owned(), blocks)
}

struct Gathering<'a> {
    program: &'a VerifiedProgram,
    places: &'a Places<'a>,
    show: bool,
    phase: &'static str,
    steps: Vec<Told>,
    reads: Vec<(String, String)>,
    notes: Vec<String>,
    visited: Vec<(BlockId, usize, Went)>,
    /// What no step behind it was reached for.
    stopped: Option<String>,
}

impl Gathering<'_> {
    fn model(&self) -> &Program {
        self.program.program()
    }

    fn event(&mut self, event: &TraceEvent) {
        match event {
            TraceEvent::Began { block, .. } | TraceEvent::Resumed { block } => {
                self.phase = match self.program.phase(*block) {
                    Some(Phase::Post) => "after the call",
                    Some(Phase::Pre) | None => "before the call",
                };
            }
            TraceEvent::Answered { origin, answer } => self.answered(*origin, answer),
            TraceEvent::Value { reads, .. } => {
                for (id, value) in reads {
                    let name = seen::attribute(self.model(), *id);
                    let read = (name.clone(), seen::value(&name, value, self.show));
                    if !self.reads.contains(&read) {
                        self.reads.push(read);
                    }
                }
            }
            TraceEvent::Condition { stage, truth, .. } => {
                let what = match truth {
                    Truth::True => "holds: the value is hidden",
                    Truth::False => "does not hold",
                    Truth::Unknown | Truth::Error | Truth::Fault => {
                        "cannot be evaluated: the value is hidden, and the phase denies"
                    }
                };
                self.notes
                    .push(format!("the condition of stage {} {what}", stage + 1));
            }
            TraceEvent::Stage { .. } | TraceEvent::Ended(_) => {}
            TraceEvent::Absent { .. } => self.notes.push("the field is not there".to_owned()),
            TraceEvent::Step {
                block,
                at,
                taken,
                went,
            } => self.step(*block, *at, *taken, went),
        }
    }

    fn step(&mut self, block: BlockId, at: usize, taken: Option<Truth>, went: &Went) {
        self.visited.push((block, at, went.clone()));
        let reads = std::mem::take(&mut self.reads);
        let mut notes = std::mem::take(&mut self.notes);
        let instr = self
            .model()
            .blocks
            .get(block.at())
            .and_then(|block| block.code.get(at));
        let Some((instr, place)) = instr.zip(self.places.of(block, at)) else {
            return;
        };
        let Some(came_to) = self.came_to(instr, taken, went) else {
            return;
        };
        if let Went::Denied(denied) = went
            && !denied.code.is_empty()
        {
            notes.push(format!("denies with `{}`: {}", denied.code, denied.reason));
        }
        let told = Told {
            at: (block, at),
            phase: self.phase,
            place: format!("{}:{}", self.places.file(place), place.line),
            text: self.places.text(place),
            reads,
            came_to: (!came_to.is_empty()).then_some(came_to),
            notes,
        };
        // With the answers to what it asked, a policy in shadow is judged from the start again.
        match self.steps.iter_mut().find(|step| step.at == told.at) {
            Some(before) => {
                let answers = std::mem::take(&mut before.notes);
                *before = told;
                let answers = answers.into_iter().filter(|note| note.starts_with("answer"));
                before.notes.splice(0..0, answers);
            }
            None => self.steps.push(told),
        }
    }

    /// `None`: nothing that the policy says.
    fn came_to(&self, instr: &Instr, taken: Option<Truth>, went: &Went) -> Option<String> {
        let word = |holds: &str, not: &str| match taken {
            Some(Truth::True) => holds.to_owned(),
            Some(Truth::False) => not.to_owned(),
            Some(Truth::Unknown) => "not known".to_owned(),
            Some(Truth::Error | Truth::Fault) | None => "cannot be evaluated".to_owned(),
        };
        Some(match instr {
            Instr::DenyIf(_) => word("holds, and so it denies", "does not fire"),
            Instr::SkipUnless(..) => word("holds", "does not hold, and its effects are skipped"),
            Instr::Decide(_) => match taken {
                Some(Truth::True) => "allows".to_owned(),
                Some(Truth::False) => "denies".to_owned(),
                Some(Truth::Unknown | Truth::Error | Truth::Fault) | None => {
                    "is an error, and so it denies".to_owned()
                }
            },
            Instr::Deny(_) | Instr::DenyAs(..) => "denies".to_owned(),
            Instr::Scan(..) => match went {
                Went::Denied(_) => "found something".to_owned(),
                Went::To(_) | Went::Waits => "found nothing".to_owned(),
            },
            Instr::Pipeline(_) => String::new(),
            Instr::Effect(id) => match self.model().effects.get(id.at())? {
                Effect::LoadLabels { .. } => "asks for the session's labels".to_owned(),
                Effect::Taint { .. } => "asks to store the label".to_owned(),
                Effect::Delegate(_) | Effect::Attenuate(_) => "asks for a token".to_owned(),
                Effect::Audit { .. } => "asks for a record".to_owned(),
                Effect::Elicit(_) => "asks a human".to_owned(),
                Effect::Decide(_) => "asks the decision point".to_owned(),
                Effect::Count(_) => "asks the counter".to_owned(),
                Effect::Restrict(_) => "narrows where the request may go".to_owned(),
            },
            _ => return None,
        })
    }

    /// What an answer says, and whether the phase stands or falls with it.
    fn said(&self, origin: Origin, answer: &Answer) -> (String, bool) {
        let own = |code: &str| match code {
            "" => String::new(),
            code => format!(" with `{code}`"),
        };
        let done = || match origin {
            Origin::Effect(id) => match self.model().effects.get(id.at()) {
                Some(Effect::Count(_)) => "counted, and within the limit",
                Some(Effect::Taint { .. }) => "stored",
                Some(Effect::Audit { .. }) => "recorded",
                _ => "done",
            },
            Origin::Pipeline(_) => "stored",
        };
        let (text, stops) = match answer {
            Answer::Done => (done().to_owned(), false),
            Answer::Labels(labels) => (format!("labels [{}]", labels.join(", ")), false),
            Answer::Granted {
                permissions,
                audience,
                expires_at,
            } => {
                let granted = permissions.join(", ");
                let text = format!("a token for `{audience}` with [{granted}] until {expires_at}");
                (text, false)
            }
            Answer::Failed { code, reason } => (format!("failed{}: {reason}", own(code)), true),
            Answer::Approved(_) => ("approved".to_owned(), false),
            Answer::Pending(_) => ("nobody has said anything yet".to_owned(), true),
            Answer::Decided { allow: true, .. } => ("allowed".to_owned(), false),
            Answer::Decided {
                allow: false, code, ..
            } => {
                let code = if code.is_empty() {
                    String::new()
                } else {
                    format!(", as `{code}`")
                };
                (format!("denied{code}"), false)
            }
            Answer::Refused { code, reason } => (format!("refused{}: {reason}", own(code)), true),
            Answer::Skipped => ("not performed, because one before it failed".to_owned(), false),
        };
        (format!("answer: {text}"), stops)
    }

    /// An answer stands with the step that asked.
    fn answered(&mut self, origin: Origin, answer: &Answer) {
        let (text, stops) = self.said(origin, answer);
        let asked = self.visited.iter().rev().find(|(block, at, _)| {
            let instr = self
                .model()
                .blocks
                .get(block.at())
                .and_then(|block| block.code.get(*at));
            match (instr, origin) {
                (Some(Instr::Effect(id)), Origin::Effect(asked)) => *id == asked,
                (Some(Instr::Pipeline(id)), Origin::Pipeline(asked)) => *id == asked,
                (_, _) => false,
            }
        });
        let place = asked.and_then(|(block, at, _)| self.places.of(*block, *at));
        let wanted = place.map(|place| format!("{}:{}", self.places.file(place), place.line));
        if let Some(wanted) = wanted.as_ref().filter(|_| stops && self.stopped.is_none()) {
            self.stopped = Some(match answer {
                Answer::Pending(_) => format!("{wanted} waits for a human"),
                Answer::Refused { .. } => format!("what {wanted} asked for was refused"),
                _ => format!("what {wanted} asked for failed"),
            });
        }
        // The step itself, where a line has several: the one that asked and has no answer yet.
        let step = self.steps.iter_mut().rev().find(|step| {
            Some(&step.place) == wanted.as_ref() && !step.notes.iter().any(|note| note.starts_with("answer"))
        });
        if let Some(step) = step {
            step.notes.push(text);
        }
    }

    /// Rules of these blocks that were not reached.
    fn others(&self, blocks: &[BlockId]) -> Vec<Other> {
        let reached: BTreeSet<Place> = self
            .visited
            .iter()
            .filter_map(|(block, at, _)| self.places.of(*block, *at))
            .collect();
        let mut told = BTreeSet::new();
        let mut others = Vec::new();
        for block in blocks {
            let code = self
                .model()
                .blocks
                .get(block.at())
                .map_or(&[][..], |block| &block.code);
            for (at, instr) in code.iter().enumerate() {
                let Some(place) = self.places.of(*block, at) else {
                    continue;
                };
                let speaks = self.came_to(instr, None, &Went::Waits).is_some();
                if speaks && !reached.contains(&place) && told.insert(place) {
                    others.push(Other {
                        place: format!("{}:{}", self.places.file(place), place.line),
                        text: self.places.text(place),
                        why: self.why(*block, at),
                    });
                }
            }
        }
        others
    }

    fn why(&self, block: BlockId, at: usize) -> String {
        let quote = |at: usize| {
            self.places.of(block, at).map_or_else(
                || "a step before it".to_owned(),
                |place| format!("{}:{}", self.places.file(place), place.line),
            )
        };
        let mut own = self
            .visited
            .iter()
            .filter(|(known, step, _)| *known == block && *step < at);
        let over = own
            .clone()
            .find(|(_, _, went)| matches!(went, Went::To(target) if *target > at));
        if let Some((_, step, _)) = over {
            return format!("skipped by the condition at {}", quote(*step));
        }
        match own.find(|(_, _, went)| matches!(went, Went::Denied(_))) {
            Some((_, step, _)) => format!("not reached: {} denied before it", quote(*step)),
            None if self.visited.iter().any(|(known, _, _)| *known == block) => {
                let stopped = self.stopped.as_deref();
                format!("not reached: {}", stopped.unwrap_or("an effect before it failed"))
            }
            None => "not reached: its phase did not begin".to_owned(),
        }
    }
}
