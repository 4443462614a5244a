//! Blocks: kinds, stack, jumps, nesting, phases.

use alloc::{vec, vec::Vec};

use super::{
    Place, VerifyError,
    entries::{at_most, present},
};
use crate::{
    limits,
    model::{Block, BlockId, BlockKind, Effect, Instr, Phase, Pipeline, Program, Side, Stage},
};

/// What an expression block asks of whoever runs it.
#[derive(Clone, Copy)]
struct Expr {
    /// The comprehensions that must be around it for its variables to have values.
    needs: u8,
    /// The comprehensions inside one another in it.
    height: u8,
}

/// Checks the code of every block and yields the phase in which each block of steps runs.
pub(super) fn check(program: &Program) -> Result<Vec<Option<Phase>>, VerifyError> {
    let mut exprs: Vec<Option<Expr>> = Vec::new();
    let mut boundaries = Vec::new();
    for (at, block) in program.blocks.iter().enumerate() {
        at_most(
            block.code.len(),
            limits::MAX_CODE,
            "instructions",
            Place::Block(at),
        )?;
        let expr = nesting(&exprs, at, block)?;
        if block.kind == BlockKind::Steps && expr.needs > 0 {
            return Err(VerifyError::Local {
                place: Place::Block(at),
            });
        }
        exprs.push((block.kind == BlockKind::Expr).then_some(expr));
        Walk {
            program,
            at,
            depth: 0,
            boundaries: &mut boundaries,
        }
        .block(block)?;
    }
    for (at, pipeline) in program.pipelines.iter().enumerate() {
        for stage in &pipeline.stages {
            if let Stage::Redact(Some(condition)) = stage
                && exprs
                    .get(condition.at())
                    .copied()
                    .flatten()
                    .is_none_or(|expr| expr.needs > 0)
            {
                return Err(VerifyError::Local {
                    place: Place::Pipeline(at),
                });
            }
        }
    }
    for (at, effect) in program.effects.iter().enumerate() {
        if let Effect::Decide(decision) = effect
            && exprs
                .get(decision.call.at())
                .copied()
                .flatten()
                .is_none_or(|expr| expr.needs > 0)
        {
            return Err(VerifyError::Local {
                place: Place::Effect(at),
            });
        }
    }
    phases(program)
}

/// Bodies stand before the blocks that fold over them, which rules out cycles and makes one pass enough.
fn nesting(exprs: &[Option<Expr>], at: usize, block: &Block) -> Result<Expr, VerifyError> {
    let mut all = Expr { needs: 0, height: 0 };
    for (index, instr) in block.code.iter().enumerate() {
        let place = Place::Instr(at, index);
        match instr {
            Instr::Local(slot) => all.needs = all.needs.max(slot.saturating_add(1)),
            Instr::Fold(_, body) => {
                let expr = match exprs.get(body.at()) {
                    None => {
                        return Err(VerifyError::BlockOrder { place, block: body.0 });
                    }
                    Some(None) => {
                        return Err(VerifyError::BlockKind { place, block: body.0 });
                    }
                    Some(Some(expr)) => expr,
                };
                all.needs = all.needs.max(expr.needs.saturating_sub(1));
                all.height = all.height.max(expr.height.saturating_add(1));
            }
            _ => {}
        }
        if all.height > limits::MAX_NESTING || all.needs > limits::MAX_NESTING {
            return Err(VerifyError::Nesting { place });
        }
    }
    Ok(all)
}

/// What an instruction does to the stack.
enum Shape {
    /// Takes and leaves values; part of an expression.
    Value {
        /// How many it takes.
        takes: usize,
    },
    /// A step: takes everything that is there, which must be this many, and leaves nothing.
    Step {
        /// How many it takes.
        takes: usize,
    },
}

struct Walk<'a> {
    program: &'a Program,
    at: usize,
    depth: usize,
    /// Indices at which the stack is empty, in order.
    boundaries: &'a mut Vec<usize>,
}

impl Walk<'_> {
    fn block(mut self, block: &Block) -> Result<(), VerifyError> {
        self.boundaries.clear();
        for (index, instr) in block.code.iter().enumerate() {
            if self.depth == 0 {
                self.boundaries.push(index);
            }
            self.instr(instr, block.kind, Place::Instr(self.at, index))?;
        }
        let expected = usize::from(block.kind == BlockKind::Expr);
        if self.depth != expected {
            return Err(VerifyError::Unbalanced {
                place: Place::Block(self.at),
                depth: self.depth,
                expected,
            });
        }
        self.jumps(block)
    }

    fn instr(&mut self, instr: &Instr, kind: BlockKind, place: Place) -> Result<(), VerifyError> {
        match self.shape(instr, place)? {
            Shape::Value { takes } => {
                let left = self.depth.checked_sub(takes);
                let left = left.ok_or(VerifyError::Underflow {
                    place,
                    takes,
                    depth: self.depth,
                })?;
                self.depth = left.saturating_add(1);
                at_most(self.depth, limits::MAX_STACK, "values on the stack", place)
            }
            Shape::Step { .. } if kind == BlockKind::Expr => Err(VerifyError::StepInExpression { place }),
            Shape::Step { takes } if takes == self.depth => {
                self.depth = 0;
                Ok(())
            }
            Shape::Step { takes } => Err(VerifyError::Unbalanced {
                place,
                depth: self.depth,
                expected: takes,
            }),
        }
    }

    /// Checks an instruction's indices and tells its shape.
    fn shape(&self, instr: &Instr, place: Place) -> Result<Shape, VerifyError> {
        let p = self.program;
        let value = |takes| Ok(Shape::Value { takes });
        let step = |takes| Ok(Shape::Step { takes });
        let attr = |index: u32| present(index, p.attrs.len(), "attribute", place);
        let constant = |index: u32| present(index, p.consts.len(), "constant", place);
        let text = |index: u32| present(index, p.strings.len(), "text", place);
        let denial = |index: u32| present(index, p.denials.len(), "denial", place);
        match instr {
            Instr::Truth(id) | Instr::Exists(id) | Instr::Load(id) | Instr::Has(id) => {
                attr(id.0)?;
                value(0)
            }
            Instr::Compare(_, id, literal) | Instr::Contains(id, literal) => {
                attr(id.0)?;
                constant(literal.0)?;
                value(0)
            }
            Instr::In(member, set) => {
                attr(member.0)?;
                attr(set.0)?;
                value(0)
            }
            Instr::Const(id) => {
                constant(id.0)?;
                value(0)
            }
            // Whether a comprehension has this variable is checked by `nesting`.
            Instr::Local(_) => value(0),
            Instr::And | Instr::Or | Instr::Cel(_) | Instr::CelIn | Instr::Arith(_) | Instr::Index => {
                value(2)
            }
            // So is the body.
            Instr::Not | Instr::Neg | Instr::Fold(..) => value(1),
            Instr::Select(name) | Instr::HasField(name) => {
                text(name.0)?;
                value(1)
            }
            Instr::Choose => value(3),
            Instr::List(count) => value(usize::from(*count)),
            Instr::Map(count) => value(usize::from(*count).saturating_mul(2)),
            Instr::Answer(id) => {
                present(id.0, p.effects.len(), "effect", place)?;
                value(0)
            }
            Instr::Call(function) => value(usize::from(function.arity())),
            Instr::Matches(regex) => {
                present(regex.0, p.regexes.len(), "pattern", place)?;
                value(1)
            }
            Instr::DenyIf(id) | Instr::SkipUnless(_, id) => {
                denial(id.0)?;
                step(1)
            }
            Instr::Decide(_) => step(1),
            Instr::Deny(id) => {
                denial(id.0)?;
                step(0)
            }
            Instr::DenyAs(effect, id) => {
                present(effect.0, p.effects.len(), "effect", place)?;
                denial(id.0)?;
                step(0)
            }
            Instr::Pipeline(id) => {
                present(id.0, p.pipelines.len(), "pipeline", place)?;
                step(0)
            }
            Instr::Scan(scanner, id) => {
                present(scanner.0, p.scanners.len(), "scanner", place)?;
                denial(id.0)?;
                step(0)
            }
            Instr::Effect(id) => {
                present(id.0, p.effects.len(), "effect", place)?;
                step(0)
            }
            Instr::Jump(_) | Instr::Await => step(0),
        }
    }

    fn jumps(&self, block: &Block) -> Result<(), VerifyError> {
        for (index, instr) in block.code.iter().enumerate() {
            if let Instr::SkipUnless(target, _) | Instr::Decide(target) | Instr::Jump(target) = instr {
                let to = *target as usize;
                let boundary = to == block.code.len() || self.boundaries.binary_search(&to).is_ok();
                if to <= index || !boundary {
                    return Err(VerifyError::Jump {
                        place: Place::Instr(self.at, index),
                        target: *target,
                    });
                }
            }
        }
        Ok(())
    }
}

/// The phase of every block of steps that something runs. A block that works on a document belongs to one phase.
fn phases(program: &Program) -> Result<Vec<Option<Phase>>, VerifyError> {
    let mut phases: Vec<Option<Phase>> = vec![None; program.blocks.len()];
    let of_routes = program.routes.iter().map(|route| (route.pre, route.post));
    let of_fallbacks = program
        .fallbacks
        .iter()
        .map(|fallback| (fallback.pre, fallback.post));
    for (pre, post) in of_routes.chain(of_fallbacks) {
        for (id, phase) in [(pre, Phase::Pre), (post, Phase::Post)] {
            let Some(id) = id else { continue };
            let Some(known) = phases.get_mut(id.at()) else {
                continue;
            };
            if known.is_some_and(|known| known != phase) && works_on_a_document(program, id) {
                return Err(VerifyError::BothPhases {
                    place: Place::Block(id.at()),
                });
            }
            *known = Some(phase);
        }
    }
    for (at, (block, phase)) in program.blocks.iter().zip(&phases).enumerate() {
        for (index, instr) in block.code.iter().enumerate() {
            if let Instr::Pipeline(id) = instr
                && let Some(Pipeline { side, .. }) = program.pipelines.get(id.at())
                && matches!(
                    (phase, side),
                    (Some(Phase::Pre), Side::Result) | (Some(Phase::Post), Side::Args)
                )
            {
                return Err(VerifyError::WrongSide {
                    place: Place::Instr(at, index),
                    pipeline: id.0,
                });
            }
            if *phase == Some(Phase::Post) && restricts(program, instr) {
                return Err(VerifyError::Meaningless {
                    place: Place::Instr(at, index),
                    what: "a constraint on a request that has gone on",
                });
            }
        }
    }
    Ok(phases)
}

fn works_on_a_document(program: &Program, block: BlockId) -> bool {
    let code = program
        .blocks
        .get(block.at())
        .map_or(&[][..], |block| &block.code);
    code.iter()
        .any(|instr| matches!(instr, Instr::Pipeline(_) | Instr::Scan(..)) || restricts(program, instr))
}

/// A request has gone on when the phase after the call runs: there is nothing left to restrict.
fn restricts(program: &Program, instr: &Instr) -> bool {
    let Instr::Effect(id) = instr else { return false };
    matches!(program.effects.get(id.at()), Some(Effect::Restrict(_)))
}
