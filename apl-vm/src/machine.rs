//! The machine: runs the steps of one phase.
//!
//! At a step boundary the stack is empty, so that a suspended machine is a block, an index, the fuel that is left and
//! the effects that wait. It borrows nothing; whoever resumes it hands the same program, facts and documents in again.
//!
//! Codes that the machine itself denies with:
//!
//! | code | when |
//! |---|---|
//! | `limit.fuel` | the run was longer than it may be |
//! | `engine.bad_answer` | resumed with answers that do not fit what was asked |
//! | `engine.misuse` | run twice, resumed without having been suspended, or run on a block that is no list of steps |

mod answers;
mod bind;
mod denial;
mod document;
mod probe;
mod question;

use apl_bytecode::{AttrId, BlockId, BlockKind, Instr, Program};

pub use document::Env;

use crate::{
    attribute::Found,
    expr::Eval,
    facts::Fact,
    fuel::{Exhausted, Fuel},
    outcome::{Answer, Batch, Bound, DenialInfo, Mode, Origin, Outcome, Pending, Unmet, Verdict},
    prepared::Prepared,
    trace,
    value::Truth,
};

/// Runs one phase of one operation.
#[derive(Debug, Clone)]
pub struct Machine {
    block: BlockId,
    at: usize,
    fuel: Fuel,
    /// Effects that were asked for and not yet handed out, in written order.
    pending: Vec<(Origin, Bound)>,
    /// Questions of a shadow run that nobody could answer.
    given_up: Vec<Origin>,
    would: Vec<String>,
    /// Where the condition that denied begins and ends.
    denied_by: Option<(usize, usize)>,
    state: State,
}

#[derive(Debug, Clone)]
enum State {
    Ready,
    /// Suspended: these effects are being performed, and then it goes on so.
    Waiting(Vec<Origin>, Then),
    Over,
}

#[derive(Debug, Clone)]
enum Then {
    GoOn,
    Deny(DenialInfo),
    /// A shadow run begins again.
    Again,
}

/// What a step leads to.
enum Next {
    /// The step at this index.
    At(usize),
    Deny(DenialInfo),
    Wait,
}

/// Why a run ends before its end.
#[derive(Debug, Clone)]
enum Stop {
    Deny(DenialInfo),
    Pending(Box<Pending>),
}

impl From<DenialInfo> for Stop {
    fn from(denied: DenialInfo) -> Self {
        Self::Deny(denied)
    }
}

impl Machine {
    /// A machine for a block of steps. `fuel` bounds the whole run, suspensions included: an instruction costs 1, an
    /// element of a comprehension 1, long texts and arrays a little more.
    #[must_use]
    pub const fn new(block: BlockId, fuel: u64) -> Self {
        Self {
            block,
            at: 0,
            fuel: Fuel::new(fuel),
            pending: Vec::new(),
            given_up: Vec::new(),
            would: Vec::new(),
            denied_by: None,
            state: State::Ready,
        }
    }

    /// What is left of the fuel.
    #[must_use]
    pub const fn fuel_left(&self) -> u64 {
        self.fuel.left()
    }

    /// Starts.
    pub fn run(&mut self, program: &Prepared, env: &mut Env<'_>) -> Outcome {
        let steps = program
            .program()
            .blocks
            .get(self.block.at())
            .filter(|block| block.kind == BlockKind::Steps);
        if !matches!(self.state, State::Ready) || steps.is_none() {
            return self.over(Verdict::Deny(denial::misuse()));
        }
        env.facts.answers.clear();
        trace::began(self.block, env.mode);
        match env.mode {
            Mode::Enforce => self.go(program, env),
            Mode::Probe | Mode::Shadow => self.probe(program, env),
        }
    }

    /// What a shadow run would have had done, in written order, as `token.exchange:tokens`. Where the way was not certain,
    /// perhaps.
    #[must_use]
    pub fn would(&self) -> &[String] {
        &self.would
    }

    /// What of the condition in front of the step that denied was not there, and what was there and false, by name; for
    /// the record. Empty when something else denied.
    #[must_use]
    pub fn unmet(&self, program: &Prepared, env: &Env<'_>) -> Unmet {
        let mut unmet = Unmet::default();
        let (Some((from, to)), Some(block)) = (self.denied_by, program.program().blocks.get(self.block.at()))
        else {
            return unmet;
        };
        let scope = env.scope(program, None);
        for attr in block
            .code
            .get(from..to)
            .unwrap_or_default()
            .iter()
            .flat_map(reads)
        {
            let names = match scope.find(attr) {
                Found::Absent => &mut unmet.missing,
                Found::Fact(Fact::Bool(false)) => &mut unmet.untrue,
                Found::Node(node) if node.as_bool() == Some(false) => &mut unmet.untrue,
                Found::Fact(_) | Found::Node(_) | Found::Labels(_) | Found::Unknown => continue,
            };
            // What is computed has no name, and one part of it may come from the caller.
            if let Some(name) = program.key(attr)
                && !names.iter().any(|known| known == name)
            {
                names.push(name.to_owned());
            }
        }
        unmet
    }

    /// Follows all ways, and asks what may be asked.
    fn probe(&mut self, program: &Prepared, env: &mut Env<'_>) -> Outcome {
        if env.mode == Mode::Shadow {
            env.revert();
        }
        let found = probe::run(program, self.block, &self.given_up, env, &mut self.fuel);
        self.would = found.would;
        if found.questions.is_empty() {
            return self.over(found.verdict);
        }
        let asked = found.questions.iter().map(|(origin, _)| *origin).collect();
        self.state = State::Waiting(asked, Then::Again);
        Outcome::Await(Batch {
            effects: found.questions,
        })
    }

    /// Goes on after [`Outcome::Await`], with one answer for each effect, in order.
    ///
    /// Answers that do not fit what was asked deny the phase; the machine never goes on without them.
    pub fn resume(&mut self, program: &Prepared, env: &mut Env<'_>, answers: &[Answer]) -> Outcome {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Waiting(asked, then) => {
                trace::resumed(self.block);
                trace::answered(&asked, answers);
                if let Then::Again = then {
                    self.given_up.extend(answers::note(&asked, answers, env.facts));
                    return self.probe(program, env);
                }
                let taken = answers::take(program.program(), &asked, answers, env.facts);
                match (taken, then) {
                    // What failed stands before the denial in written order.
                    (Err(Stop::Deny(denied)), _) => {
                        self.denied_by = None;
                        self.over(Verdict::Deny(denied))
                    }
                    (Ok(()), Then::Deny(denied)) => self.over(Verdict::Deny(denied)),
                    (Err(Stop::Pending(pending)), _) => self.over(Verdict::Pending(*pending)),
                    (Ok(()), Then::GoOn | Then::Again) => self.go(program, env),
                }
            }
            State::Ready | State::Over => self.over(Verdict::Deny(denial::misuse())),
        }
    }

    fn over(&mut self, verdict: Verdict) -> Outcome {
        self.state = State::Over;
        trace::ended(&verdict);
        Outcome::Done(verdict)
    }

    /// Steps until there is something to wait for or a verdict. Effects that were asked for are performed before
    /// either.
    fn go(&mut self, program: &Prepared, env: &mut Env<'_>) -> Outcome {
        let code = program
            .program()
            .blocks
            .get(self.block.at())
            .map_or(&[][..], |block| &block.code);
        let (then, verdict) = loop {
            let next = match self.step(program, code, env) {
                Ok(Some(next)) => next,
                Ok(None) => break (Then::GoOn, Verdict::Allow),
                Err(Exhausted) => {
                    self.denied_by = None;
                    Next::Deny(denial::fuel())
                }
            };
            match next {
                Next::At(at) => self.at = at,
                Next::Wait if self.pending.is_empty() => {}
                Next::Wait => break (Then::GoOn, Verdict::Allow),
                Next::Deny(denied) => break (Then::Deny(denied.clone()), Verdict::Deny(denied)),
            }
        };
        if self.pending.is_empty() {
            return self.over(verdict);
        }
        let effects = std::mem::take(&mut self.pending);
        self.state = State::Waiting(effects.iter().map(|(origin, _)| *origin).collect(), then);
        Outcome::Await(Batch { effects })
    }

    /// One step with the condition before it; `None` at the end of the block.
    fn step(
        &mut self,
        program: &Prepared,
        code: &[Instr],
        env: &mut Env<'_>,
    ) -> Result<Option<Next>, Exhausted> {
        let (taken, at) = Eval::new(env.scope(program, None), &mut self.fuel).until_step(code, self.at)?;
        let Some(instr) = code.get(at) else {
            return Ok(None);
        };
        self.fuel.spend(1)?;
        let model = program.program();
        let condition = taken;
        let taken = taken.unwrap_or(Truth::Error);
        let next = Next::At(at.saturating_add(1));
        self.denied_by = Some((self.at, at));
        let next = match instr {
            Instr::DenyIf(id) => match taken {
                Truth::True => Next::Deny(denial::of(model, *id)),
                Truth::False => next,
                // Outside a probe nothing may hang on what is not known.
                Truth::Unknown | Truth::Error | Truth::Fault => Next::Deny(denial::unevaluable(model, *id)),
            },
            Instr::SkipUnless(target, id) => match taken {
                Truth::True => next,
                Truth::False => Next::At(*target as usize),
                Truth::Unknown | Truth::Error | Truth::Fault => Next::Deny(denial::unevaluable(model, *id)),
            },
            Instr::Decide(target) => match taken {
                Truth::True => Next::At(*target as usize),
                Truth::False | Truth::Unknown | Truth::Error | Truth::Fault => next,
            },
            Instr::Deny(id) => Next::Deny(denial::of(model, *id)),
            Instr::DenyAs(effect, id) => Next::Deny(denial::told(model, *effect, *id, env.facts)),
            Instr::Jump(target) => Next::At(*target as usize),
            Instr::Pipeline(id) => match document::pipeline(program, *id, None, env, &mut self.fuel)? {
                Some(piped) => {
                    self.pending.extend(piped.taints);
                    piped.denied.map_or(next, Next::Deny)
                }
                None => Next::Deny(denial::misuse()),
            },
            Instr::Scan(scanner, id) => {
                let denied = document::scan(program, self.block, *scanner, *id, env, &mut self.fuel)?;
                denied.map_or(next, Next::Deny)
            }
            Instr::Effect(id) => match bind::effect(program, *id, env, &mut self.fuel)? {
                Ok(bound) => {
                    self.pending.extend(bound);
                    next
                }
                Err(denied) => Next::Deny(denied),
            },
            Instr::Await => {
                self.at = at.saturating_add(1);
                Next::Wait
            }
            // `until_step` stops at steps only.
            Instr::Truth(_)
            | Instr::Exists(_)
            | Instr::Compare(..)
            | Instr::Contains(..)
            | Instr::In(..)
            | Instr::And
            | Instr::Or
            | Instr::Not
            | Instr::Const(_)
            | Instr::Load(_)
            | Instr::Has(_)
            | Instr::Cel(_)
            | Instr::CelIn
            | Instr::Arith(_)
            | Instr::Neg
            | Instr::Index
            | Instr::Select(_)
            | Instr::HasField(_)
            | Instr::Choose
            | Instr::List(_)
            | Instr::Map(_)
            | Instr::Answer(_)
            | Instr::Call(_)
            | Instr::Matches(_)
            | Instr::Local(_)
            | Instr::Fold(..) => Next::Deny(denial::misuse()),
        };
        match &next {
            Next::At(to) => trace::stepped(at, condition, Some(*to), None),
            Next::Deny(denied) => trace::stepped(at, condition, None, Some(denied)),
            Next::Wait => trace::stepped(at, condition, None, None),
        }
        Ok(Some(next))
    }
}

/// The attributes that an instruction reads.
fn reads(instr: &Instr) -> impl Iterator<Item = AttrId> {
    let (one, other) = match instr {
        Instr::Truth(attr) | Instr::Exists(attr) | Instr::Load(attr) | Instr::Has(attr) => {
            (Some(*attr), None)
        }
        Instr::Compare(_, attr, _) | Instr::Contains(attr, _) => (Some(*attr), None),
        Instr::In(member, set) => (Some(*member), Some(*set)),
        _ => (None, None),
    };
    one.into_iter().chain(other)
}

/// A text of the program.
fn text(program: &Program, id: apl_bytecode::StrId) -> &str {
    program.strings.get(id.at()).map_or("", String::as_str)
}
