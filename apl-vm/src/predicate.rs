//! The leaves of APL predicates.
//!
//! `design/language.md` rows 2 to 5: `!=` on a missing attribute is true; an order comparison on a present value that is
//! not an exactly comparable finite number is a fault, which denies the phase; objects, nulls and arrays with
//! containers in them are present but equal to nothing; arrays of scalars are sets of texts.

use std::{borrow::Cow, cmp::Ordering, collections::BTreeSet};

use apl_bytecode::{AttrId, CmpOp, Const};

use apl_json::{Kind, Node};

use crate::{
    attribute::{Found, Labels, Rest, Scope, node_text},
    facts::Fact,
    fuel::{Exhausted, Fuel},
    value::{EXACT, Number, Truth},
};

/// An attribute as a predicate sees it.
enum Operand<'a> {
    Absent,
    Unknown,
    Bool(bool),
    Number(Number),
    Text(Cow<'a, str>),
    Set(Set<'a>),
    Opaque,
}

enum Set<'a> {
    Texts(&'a BTreeSet<String>),
    /// An array of scalars.
    Array(Node<'a>),
    Labels(Labels<'a>),
}

/// `x`
pub(crate) fn truth(scope: &Scope<'_>, attr: AttrId, fuel: &mut Fuel) -> Result<Truth, Exhausted> {
    Ok(match operand(scope, attr, fuel)? {
        Operand::Bool(value) => value.into(),
        Operand::Unknown => Truth::Unknown,
        Operand::Absent | Operand::Number(_) | Operand::Text(_) | Operand::Set(_) | Operand::Opaque => {
            Truth::False
        }
    })
}

/// `exists(x)`
pub(crate) fn exists(scope: &Scope<'_>, attr: AttrId) -> Truth {
    match scope.find(attr) {
        Found::Absent => Truth::False,
        Found::Unknown => Truth::Unknown,
        // The set of labels is always there, though it may be empty.
        Found::Fact(_) | Found::Node(_) | Found::Labels(_) => Truth::True,
    }
}

/// `x contains 'a'`
pub(crate) fn contains(
    scope: &Scope<'_>,
    attr: AttrId,
    member: &Const,
    fuel: &mut Fuel,
) -> Result<Truth, Exhausted> {
    match member {
        Const::Str(text) => member_of(&operand(scope, attr, fuel)?, scope.text(*text), fuel),
        // A set has texts only, so nothing else is in it, whatever it is.
        Const::Null | Const::Bool(_) | Const::Int(_) | Const::Uint(_) | Const::Float(_) => Ok(Truth::False),
    }
}

/// `a in s`
pub(crate) fn is_in(
    scope: &Scope<'_>,
    member: AttrId,
    set: AttrId,
    fuel: &mut Fuel,
) -> Result<Truth, Exhausted> {
    let member = operand(scope, member, fuel)?;
    let set = operand(scope, set, fuel)?;
    match member {
        Operand::Text(text) => member_of(&set, &text, fuel),
        Operand::Unknown => Ok(match set {
            Operand::Unknown | Operand::Set(_) => Truth::Unknown,
            Operand::Absent | Operand::Bool(_) | Operand::Number(_) | Operand::Text(_) | Operand::Opaque => {
                Truth::False
            }
        }),
        Operand::Absent | Operand::Bool(_) | Operand::Number(_) | Operand::Set(_) | Operand::Opaque => {
            Ok(Truth::False)
        }
    }
}

fn member_of(set: &Operand<'_>, text: &str, fuel: &mut Fuel) -> Result<Truth, Exhausted> {
    fuel.text(text.len())?;
    Ok(match set {
        Operand::Set(Set::Texts(texts)) => texts.contains(text).into(),
        Operand::Set(Set::Array(array)) => {
            fuel.elements(array.len())?;
            array
                .elements()
                .any(|item| node_text(item).is_some_and(|item| item == text))
                .into()
        }
        Operand::Set(Set::Labels(labels)) if labels.has(text) => Truth::True,
        Operand::Set(Set::Labels(labels)) => match labels.rest {
            Rest::None => Truth::False,
            Rest::Unknown => Truth::Unknown,
            Rest::Unloaded => Truth::Error,
        },
        Operand::Unknown => Truth::Unknown,
        Operand::Absent | Operand::Bool(_) | Operand::Number(_) | Operand::Text(_) | Operand::Opaque => {
            Truth::False
        }
    })
}

/// `x == 1`, `x < 2`, ...
pub(crate) fn compare(
    scope: &Scope<'_>,
    op: CmpOp,
    attr: AttrId,
    literal: &Const,
    fuel: &mut Fuel,
) -> Result<Truth, Exhausted> {
    let found = operand(scope, attr, fuel)?;
    let holds: fn(Ordering) -> bool = match op {
        CmpOp::Eq => return equal(scope, &found, literal, fuel),
        CmpOp::Ne => return Ok(equal(scope, &found, literal, fuel)?.not()),
        CmpOp::Lt => Ordering::is_lt,
        CmpOp::Le => Ordering::is_le,
        CmpOp::Gt => Ordering::is_gt,
        CmpOp::Ge => Ordering::is_ge,
    };
    let right = match literal {
        Const::Int(value) => Some(Rank::Int(i128::from(*value))),
        Const::Uint(value) => Some(Rank::Int(i128::from(*value))),
        Const::Float(value) => Rank::float(*value),
        Const::Str(text) => Rank::text(scope.text(*text)),
        Const::Null | Const::Bool(_) => None,
    };
    let left = match &found {
        Operand::Absent => return Ok(Truth::False),
        Operand::Unknown => return Ok(Truth::Unknown),
        Operand::Number(Number::Int(value)) => Some(Rank::Int(*value)),
        Operand::Number(Number::Float(value)) => Rank::float(*value),
        Operand::Text(text) => Rank::text(text),
        Operand::Bool(_) | Operand::Set(_) | Operand::Opaque => None,
    };
    let order = left.zip(right).and_then(|(left, right)| left.order(right));
    Ok(order.map_or(Truth::Fault, |order| holds(order).into()))
}

fn equal(
    scope: &Scope<'_>,
    found: &Operand<'_>,
    literal: &Const,
    fuel: &mut Fuel,
) -> Result<Truth, Exhausted> {
    let number = |number| match found {
        Operand::Number(value) => value.order(number).is_some_and(Ordering::is_eq),
        _ => false,
    };
    let same = match (found, literal) {
        (Operand::Unknown, _) => return Ok(Truth::Unknown),
        (Operand::Bool(a), Const::Bool(b)) => a == b,
        (Operand::Text(a), Const::Str(b)) => {
            fuel.text(a.len())?;
            a == scope.text(*b)
        }
        (_, Const::Int(value)) => number(Number::Int(i128::from(*value))),
        (_, Const::Uint(value)) => number(Number::Int(i128::from(*value))),
        (_, Const::Float(value)) => number(Number::Float(*value)),
        (_, Const::Null | Const::Bool(_) | Const::Str(_)) => false,
    };
    Ok(same.into())
}

/// A number in an order comparison. Everything but two integers is compared as doubles, and only as long as that is
/// exact.
#[derive(Clone, Copy)]
enum Rank {
    Int(i128),
    /// Finite.
    Float(f64),
    /// A numeric text.
    Text(f64),
}

impl Rank {
    fn float(value: f64) -> Option<Self> {
        value.is_finite().then_some(Self::Float(value))
    }

    /// A text that is a number, spaces around it allowed: `" 25000 "`, `-1.5e3`. Not `25,000`, `NaN`, `Infinity`.
    fn text(text: &str) -> Option<Self> {
        let value: f64 = text.trim().parse().ok()?;
        value.is_finite().then_some(Self::Text(value))
    }

    fn order(self, other: Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => Some(a.cmp(&b)),
            (Self::Float(a), Self::Float(b)) => a.partial_cmp(&b),
            (a, b) => a.exact()?.partial_cmp(&b.exact()?),
        }
    }

    /// As a double, if that is exact. A double of 2^53 may have been 2^53 + 1 when it was written, so it is not.
    fn exact(self) -> Option<f64> {
        match self {
            #[expect(clippy::cast_precision_loss, reason = "within 2^53 there is none")]
            Self::Int(value) => (value.unsigned_abs() <= 1 << 53).then_some(value as f64),
            Self::Float(value) | Self::Text(value) => (value.abs() < EXACT).then_some(value),
        }
    }
}

fn operand<'a>(scope: &Scope<'a>, attr: AttrId, fuel: &mut Fuel) -> Result<Operand<'a>, Exhausted> {
    Ok(match scope.find(attr) {
        Found::Absent => Operand::Absent,
        Found::Unknown => Operand::Unknown,
        Found::Labels(labels) => Operand::Set(Set::Labels(labels)),
        Found::Fact(fact) => match fact {
            Fact::Bool(value) => Operand::Bool(*value),
            Fact::Int(value) => Operand::Number(Number::Int(i128::from(*value))),
            Fact::Float(value) => Operand::Number(Number::Float(*value)),
            Fact::Str(text) => Operand::Text(Cow::Borrowed(text)),
            Fact::Set(texts) => Operand::Set(Set::Texts(texts)),
            Fact::Opaque => Operand::Opaque,
            Fact::Unknown => Operand::Unknown,
        },
        Found::Node(node) => match node.kind() {
            Kind::Null | Kind::Object => Operand::Opaque,
            Kind::Bool => node.as_bool().map_or(Operand::Opaque, Operand::Bool),
            Kind::String => {
                fuel.text(node.raw().len())?;
                node.as_str().map_or(Operand::Opaque, Operand::Text)
            }
            Kind::Number => number(node),
            Kind::Array => {
                fuel.elements(node.len())?;
                let scalars = node
                    .elements()
                    .all(|item| !matches!(item.kind(), Kind::Array | Kind::Object));
                if scalars {
                    Operand::Set(Set::Array(node))
                } else {
                    Operand::Opaque
                }
            }
        },
    })
}

/// An integer that fits, else the nearest double, else nothing comparable.
fn number(node: Node<'_>) -> Operand<'_> {
    let Some(number) = node.number() else {
        return Operand::Opaque;
    };
    let signed = number.as_i64().map(|value| Number::Int(i128::from(value)));
    let unsigned = || number.as_u64().map(|value| Number::Int(i128::from(value)));
    let float = || number.as_f64().map(Number::Float);
    signed
        .or_else(unsigned)
        .or_else(float)
        .map_or(Operand::Opaque, Operand::Number)
}
