//! Expressions: straight-line code over a stack of values.
//!
//! The verifier knows the greatest depth of the stack and of nested comprehensions, so nothing here can run away but the
//! comprehensions themselves, and those cost fuel by the element.

mod call;
mod cel;
mod fold;
mod text;
mod time;

pub use time::rfc3339_seconds;

#[cfg(feature = "trace")]
pub(crate) use time::{spell_moment, spell_stretch};

use apl_bytecode::{AttrId, BlockId, CmpOp, Const, ConstId, Instr};

use crate::{
    attribute::{Found, Rest, Scope},
    facts::Fact,
    fuel::{Exhausted, Fuel},
    namespace, predicate, trace,
    value::{List, Map, Truth, Value, same_key},
};

/// An evaluation under way.
pub(crate) struct Eval<'a, 'f> {
    scope: Scope<'a>,
    fuel: &'f mut Fuel,
    /// The elements that the comprehensions around this place are at, outermost first.
    locals: Vec<Value<'a>>,
    /// An order comparison met what is not known, or was a fault behind it, so that a run may find a fault where this
    /// evaluation found a value.
    may_fault: bool,
}

impl<'a, 'f> Eval<'a, 'f> {
    pub(crate) const fn new(scope: Scope<'a>, fuel: &'f mut Fuel) -> Self {
        Self {
            scope,
            fuel,
            locals: Vec::new(),
            may_fault: false,
        }
    }

    /// A whole expression block, as a condition.
    pub(crate) fn condition(&mut self, block: BlockId) -> Result<Truth, Exhausted> {
        self.block(block).map(|value| value.truth())
    }

    /// Whether a run that knows more may find a fault, which denies the phase, in the place of what was found here.
    pub(crate) const fn may_fault(&self) -> bool {
        self.may_fault
    }

    /// The instructions from `from` to the next step, and where that is. The value is what the step takes, if anything.
    pub(crate) fn until_step(
        &mut self,
        code: &[Instr],
        from: usize,
    ) -> Result<(Option<Truth>, usize), Exhausted> {
        let mut stack = Vec::new();
        let mut at = from;
        for instr in code.get(from..).unwrap_or_default() {
            if is_step(instr) {
                break;
            }
            let value = self.instr(instr, &mut stack)?;
            trace::evaluated(at, instr, &value, &self.scope);
            stack.push(value);
            at = at.saturating_add(1);
        }
        Ok((stack.pop().map(|value| value.truth()), at))
    }

    fn block(&mut self, id: BlockId) -> Result<Value<'a>, Exhausted> {
        let program = self.scope.program;
        let Some(block) = program.program().blocks.get(id.at()) else {
            return Ok(Value::Error);
        };
        let mut stack = Vec::new();
        trace::entered(id);
        for (at, instr) in block.code.iter().enumerate() {
            let value = self.instr(instr, &mut stack)?;
            trace::evaluated(at, instr, &value, &self.scope);
            stack.push(value);
        }
        trace::left();
        Ok(pop(&mut stack))
    }

    /// What one instruction leaves.
    fn instr(&mut self, instr: &Instr, stack: &mut Vec<Value<'a>>) -> Result<Value<'a>, Exhausted> {
        self.fuel.spend(1)?;
        let scope = self.scope;
        Ok(match instr {
            Instr::Truth(attr) => predicate::truth(&scope, *attr, self.fuel)?.into(),
            Instr::Exists(attr) => predicate::exists(&scope, *attr).into(),
            Instr::Compare(op, attr, literal) => {
                let truth = predicate::compare(&scope, *op, *attr, &self.literal(*literal), self.fuel)?;
                self.may_fault |= match truth {
                    Truth::Unknown => matches!(op, CmpOp::Lt | CmpOp::Le | CmpOp::Gt | CmpOp::Ge),
                    // Behind something unknown it may count or not.
                    Truth::Fault => stack.iter().any(|value| matches!(value, Value::Unknown)),
                    Truth::True | Truth::False | Truth::Error => false,
                };
                truth.into()
            }
            Instr::Contains(attr, member) => {
                predicate::contains(&scope, *attr, &self.literal(*member), self.fuel)?.into()
            }
            Instr::In(member, set) => predicate::is_in(&scope, *member, *set, self.fuel)?.into(),
            Instr::And => {
                let (a, b) = pop_two(stack);
                a.truth().and(b.truth()).into()
            }
            Instr::Or => {
                let (a, b) = pop_two(stack);
                a.truth().or(b.truth()).into()
            }
            Instr::Not => pop(stack).truth().not().into(),
            Instr::Const(id) => self.constant(*id),
            Instr::Load(attr) => self.load(*attr)?,
            Instr::Has(attr) => match predicate::exists(&scope, *attr) {
                Truth::False => match namespace::below(&scope, *attr, self.fuel)? {
                    Some(Value::Unknown) => Value::Unknown,
                    found => Value::Bool(found.is_some()),
                },
                known => known.into(),
            },
            Instr::Cel(op) => {
                let (a, b) = pop_two(stack);
                cel::compare(*op, &a, &b, self.fuel)?
            }
            Instr::CelIn => {
                let (a, b) = pop_two(stack);
                cel::is_in(&a, &b, self.fuel)?
            }
            Instr::Arith(op) => {
                let (a, b) = pop_two(stack);
                cel::arith(*op, a, b, self.fuel)?
            }
            Instr::Neg => cel::negate(&pop(stack)),
            Instr::Index => {
                let (a, b) = pop_two(stack);
                cel::index(&a, &b, self.fuel)?
            }
            Instr::Select(name) => cel::select(&pop(stack), scope.text(*name)),
            Instr::HasField(name) => cel::has_field(&pop(stack), scope.text(*name)),
            Instr::Choose => {
                let (a, b) = pop_two(stack);
                match pop(stack).truth() {
                    Truth::True => a,
                    Truth::False => b,
                    Truth::Unknown => Value::Unknown,
                    Truth::Error => Value::Error,
                    Truth::Fault => Value::Fault,
                }
            }
            Instr::List(count) => {
                let items = stack.split_off(stack.len().saturating_sub(usize::from(*count)));
                match strict(&items) {
                    Some(undecided) => undecided,
                    None => List::made(items),
                }
            }
            Instr::Map(count) => {
                let parts =
                    stack.split_off(stack.len().saturating_sub(usize::from(*count).saturating_mul(2)));
                self.map_literal(&parts)?
            }
            Instr::Answer(effect) => match (scope.facts.answers.get(effect), scope.assumed) {
                (Some(answer), _) => Value::Bool(answer.holds),
                (None, Some(_)) => Value::Unknown,
                (None, None) => Value::Error,
            },
            Instr::Call(function) => {
                let arity = usize::from(function.arity());
                let arguments = stack.split_off(stack.len().saturating_sub(arity));
                call::call(*function, &arguments, self.fuel)?
            }
            Instr::Matches(regex) => match pop(stack) {
                Value::Str(text) => {
                    self.fuel.text(text.len())?;
                    scope
                        .program
                        .is_match(*regex, &text)
                        .map_or(Value::Error, Value::Bool)
                }
                other => strict(&[other]).unwrap_or(Value::Error),
            },
            Instr::Local(slot) => match self.locals.get(usize::from(*slot)).cloned() {
                Some(value) => {
                    if let Value::Str(text) = &value {
                        self.fuel.text(text.len())?;
                    }
                    value
                }
                None => Value::Error,
            },
            Instr::Fold(kind, body) => {
                let range = pop(stack);
                self.fold(*kind, *body, range)?
            }
            // The verifier keeps steps out of expressions, and `until_step` stops at them.
            Instr::DenyIf(_)
            | Instr::SkipUnless(..)
            | Instr::Decide(_)
            | Instr::Deny(_)
            | Instr::DenyAs(..)
            | Instr::Jump(_)
            | Instr::Pipeline(_)
            | Instr::Scan(..)
            | Instr::Effect(_)
            | Instr::Await => Value::Error,
        })
    }

    /// A whole expression block, whatever it leaves.
    pub(crate) fn value(&mut self, block: BlockId) -> Result<Value<'a>, Exhausted> {
        self.block(block)
    }

    /// `{k: v}`.
    fn map_literal(&mut self, parts: &[Value<'a>]) -> Result<Value<'a>, Exhausted> {
        if let Some(undecided) = strict(parts) {
            return Ok(undecided);
        }
        let mut entries: Vec<(Value<'a>, Value<'a>)> = Vec::new();
        for pair in parts.chunks(2) {
            let [key, value] = pair else {
                return Ok(Value::Error);
            };
            self.fuel.elements(entries.len())?;
            let fine = matches!(
                key,
                Value::Bool(_) | Value::Int(_) | Value::Uint(_) | Value::Str(_)
            );
            if !fine || entries.iter().any(|(known, _)| same_key(known, key)) {
                return Ok(Value::Error);
            }
            entries.push((key.clone(), value.clone()));
        }
        Ok(Map::made(entries))
    }

    fn literal(&self, id: ConstId) -> Const {
        self.scope
            .program
            .program()
            .consts
            .get(id.at())
            .copied()
            .unwrap_or(Const::Null)
    }

    fn constant(&self, id: ConstId) -> Value<'a> {
        match self.literal(id) {
            Const::Null => Value::Null,
            Const::Bool(value) => Value::Bool(value),
            Const::Int(value) => Value::Int(value),
            Const::Uint(value) => Value::Uint(value),
            Const::Float(value) => Value::Float(value),
            Const::Str(text) => Value::Str(self.scope.text(text).into()),
        }
    }

    fn load(&mut self, attr: AttrId) -> Result<Value<'a>, Exhausted> {
        Ok(match self.scope.find(attr) {
            Found::Absent => namespace::below(&self.scope, attr, self.fuel)?.unwrap_or(Value::Error),
            Found::Unknown => Value::Unknown,
            // CEL may ask for what is not among those that are known.
            Found::Labels(labels) => match labels.rest {
                Rest::None => texts(labels.all().into_iter()),
                Rest::Unknown => Value::Unknown,
                Rest::Unloaded => Value::Error,
            },
            Found::Fact(fact) => of_fact(fact, self.fuel)?,
            Found::Node(node) => {
                self.fuel.text(node.raw().len().min(1 << 16))?;
                Value::of_node(node)
            }
        })
    }
}

/// A fact as a value.
pub(crate) fn of_fact<'a>(fact: &'a Fact, fuel: &mut Fuel) -> Result<Value<'a>, Exhausted> {
    Ok(match fact {
        Fact::Bool(value) => Value::Bool(*value),
        Fact::Int(value) => Value::Int(*value),
        Fact::Float(value) => Value::of_float(*value),
        Fact::Str(text) => Value::Str(text.into()),
        Fact::Set(set) => {
            fuel.elements(set.len())?;
            texts(set.iter().map(String::as_str))
        }
        Fact::Opaque => Value::Error,
        Fact::Unknown => Value::Unknown,
    })
}

pub(crate) fn texts<'a>(texts: impl Iterator<Item = &'a str>) -> Value<'a> {
    List::made(texts.map(|text| Value::Str(text.into())).collect())
}

/// The verifier counted, so the stack is never empty here; if it were, the answer is an error.
fn pop<'a>(stack: &mut Vec<Value<'a>>) -> Value<'a> {
    stack.pop().unwrap_or(Value::Error)
}

fn pop_two<'a>(stack: &mut Vec<Value<'a>>) -> (Value<'a>, Value<'a>) {
    let second = pop(stack);
    (pop(stack), second)
}

/// What an operator that needs all its values gives when one of them is none: a fault, else an
/// error, else unknown.
fn strict<'a>(values: &[Value<'_>]) -> Option<Value<'a>> {
    let mut found = None;
    for value in values {
        match value {
            Value::Fault => return Some(Value::Fault),
            Value::Error => found = Some(Value::Error),
            Value::Unknown => {
                found.get_or_insert(Value::Unknown);
            }
            Value::Null
            | Value::Bool(_)
            | Value::Int(_)
            | Value::Uint(_)
            | Value::Float(_)
            | Value::Str(_)
            | Value::List(_)
            | Value::Map(_)
            | Value::Time(_)
            | Value::Span(_)
            | Value::Type(_) => {}
        }
    }
    found
}

const fn is_step(instr: &Instr) -> bool {
    match instr {
        Instr::DenyIf(_)
        | Instr::SkipUnless(..)
        | Instr::Decide(_)
        | Instr::Deny(_)
        | Instr::DenyAs(..)
        | Instr::Jump(_)
        | Instr::Pipeline(_)
        | Instr::Scan(..)
        | Instr::Effect(_)
        | Instr::Await => true,
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
        | Instr::Fold(..) => false,
    }
}
