//! CEL operators (cel-spec, "Language Definition"): numbers of different types compare by value, values of different
//! types are unequal, arithmetic stays within one type and overflow is an error.

use std::cmp::Ordering;

use apl_bytecode::{Arith, CmpOp};

use super::strict;
use crate::{
    fuel::{Exhausted, Fuel},
    value::{List, Value},
};

/// `==`, `<`, ...
pub(super) fn compare<'a>(
    op: CmpOp,
    a: &Value<'a>,
    b: &Value<'a>,
    fuel: &mut Fuel,
) -> Result<Value<'a>, Exhausted> {
    // Two values, copied only as far as `strict` looks.
    if let Some(undecided) = undecided(a, b) {
        return Ok(undecided);
    }
    let holds: fn(Ordering) -> bool = match op {
        CmpOp::Eq => return Ok(Value::Bool(equal(a, b, fuel)?)),
        CmpOp::Ne => return Ok(Value::Bool(!equal(a, b, fuel)?)),
        CmpOp::Lt => Ordering::is_lt,
        CmpOp::Le => Ordering::is_le,
        CmpOp::Gt => Ordering::is_gt,
        CmpOp::Ge => Ordering::is_ge,
    };
    let order = match (a, b) {
        (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
        (Value::Time(a), Value::Time(b)) | (Value::Span(a), Value::Span(b)) => Some(a.cmp(b)),
        (Value::Str(a), Value::Str(b)) => {
            fuel.text(a.len().min(b.len()))?;
            // UTF-8 keeps the order of code points.
            Some(a.cmp(b))
        }
        _ => match (a.number(), b.number()) {
            // No order with a NaN: every comparison is false.
            (Some(a), Some(b)) => return Ok(Value::Bool(a.order(b).is_some_and(holds))),
            _ => None,
        },
    };
    Ok(order.map_or(Value::Error, |order| Value::Bool(holds(order))))
}

/// The value of an operator one of whose operands is an error or unknown.
fn undecided<'a>(a: &Value<'_>, b: &Value<'_>) -> Option<Value<'a>> {
    match (a, b) {
        (Value::Fault, _) | (_, Value::Fault) => Some(Value::Fault),
        (Value::Error, _) | (_, Value::Error) => Some(Value::Error),
        (Value::Unknown, _) | (_, Value::Unknown) => Some(Value::Unknown),
        _ => None,
    }
}

/// Deep equality. Documents and lists nest to a bounded depth.
fn equal(a: &Value<'_>, b: &Value<'_>, fuel: &mut Fuel) -> Result<bool, Exhausted> {
    fuel.spend(1)?;
    Ok(match (a, b) {
        (Value::Null, Value::Null) => true,
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::Time(a), Value::Time(b)) | (Value::Span(a), Value::Span(b)) => a == b,
        (Value::Type(a), Value::Type(b)) => a == b,
        (Value::Str(a), Value::Str(b)) => {
            fuel.text(a.len().min(b.len()))?;
            a == b
        }
        (Value::List(a), Value::List(b)) => {
            if a.len() != b.len() {
                return Ok(false);
            }
            for (a, b) in a.items().iter().zip(&b.items()) {
                if !equal(a, b, fuel)? {
                    return Ok(false);
                }
            }
            true
        }
        (Value::Map(a), Value::Map(b)) => {
            if a.len() != b.len() {
                return Ok(false);
            }
            for (key, value) in a.entries() {
                fuel.elements(b.len())?;
                let Some(other) = b.get(&key) else {
                    return Ok(false);
                };
                if !equal(&value, &other, fuel)? {
                    return Ok(false);
                }
            }
            true
        }
        _ => match (a.number(), b.number()) {
            (Some(a), Some(b)) => a.order(b).is_some_and(Ordering::is_eq),
            _ => false,
        },
    })
}

/// `a in list`, `key in map`
pub(super) fn is_in<'a>(
    item: &Value<'a>,
    container: &Value<'a>,
    fuel: &mut Fuel,
) -> Result<Value<'a>, Exhausted> {
    if let Some(undecided) = undecided(item, container) {
        return Ok(undecided);
    }
    Ok(match container {
        Value::List(list) => {
            fuel.elements(list.len())?;
            for other in list.items() {
                if equal(item, &other, fuel)? {
                    return Ok(Value::Bool(true));
                }
            }
            Value::Bool(false)
        }
        Value::Map(map) => {
            fuel.elements(map.len())?;
            Value::Bool(map.get(item).is_some())
        }
        _ => Value::Error,
    })
}

/// `+`, `-`, `*`, `/`, `%`
pub(super) fn arith<'a>(
    op: Arith,
    a: Value<'a>,
    b: Value<'a>,
    fuel: &mut Fuel,
) -> Result<Value<'a>, Exhausted> {
    Ok(match (a, b) {
        (Value::Int(a), Value::Int(b)) => {
            let value = match op {
                Arith::Add => a.checked_add(b),
                Arith::Sub => a.checked_sub(b),
                Arith::Mul => a.checked_mul(b),
                Arith::Div => a.checked_div(b),
                Arith::Rem => a.checked_rem(b),
            };
            value.map_or(Value::Error, Value::Int)
        }
        (Value::Uint(a), Value::Uint(b)) => {
            let value = match op {
                Arith::Add => a.checked_add(b),
                Arith::Sub => a.checked_sub(b),
                Arith::Mul => a.checked_mul(b),
                Arith::Div => a.checked_div(b),
                Arith::Rem => a.checked_rem(b),
            };
            value.map_or(Value::Error, Value::Uint)
        }
        (Value::Float(a), Value::Float(b)) => match op {
            Arith::Add => Value::Float(a + b),
            Arith::Sub => Value::Float(a - b),
            Arith::Mul => Value::Float(a * b),
            Arith::Div => Value::Float(a / b),
            Arith::Rem => Value::Error,
        },
        (Value::Str(a), Value::Str(b)) if op == Arith::Add => {
            fuel.text(a.len().saturating_add(b.len()))?;
            let mut joined = a.into_owned();
            joined.push_str(&b);
            Value::Str(joined.into())
        }
        (Value::List(a), Value::List(b)) if op == Arith::Add => {
            fuel.elements(a.len().saturating_add(b.len()))?;
            List::made(a.items().into_iter().chain(b.items()).collect())
        }
        (a, b) => match strict(&[a.clone(), b.clone()]) {
            Some(undecided) => undecided,
            None => super::time::arith(op, &a, &b),
        },
    })
}

/// `-a`
pub(super) fn negate<'a>(a: &Value<'a>) -> Value<'a> {
    match a {
        Value::Int(a) => a.checked_neg().map_or(Value::Error, Value::Int),
        Value::Float(a) => Value::Float(-a),
        Value::Span(a) => a.checked_neg().map_or(Value::Error, Value::Span),
        Value::Unknown => Value::Unknown,
        Value::Fault => Value::Fault,
        _ => Value::Error,
    }
}

/// `list[i]`, `map[key]`
pub(super) fn index<'a>(
    container: &Value<'a>,
    key: &Value<'a>,
    fuel: &mut Fuel,
) -> Result<Value<'a>, Exhausted> {
    if let Some(undecided) = undecided(container, key) {
        return Ok(undecided);
    }
    let found = match (container, key) {
        (Value::List(list), key) => {
            fuel.elements(list.len())?;
            let position = match key {
                Value::Int(at) => usize::try_from(*at).ok(),
                Value::Uint(at) => usize::try_from(*at).ok(),
                // A double that is a whole number indexes as that number (cel-spec, heterogeneous lookup).
                #[expect(clippy::cast_possible_truncation, reason = "the range was checked")]
                Value::Float(at) if at.fract() == 0.0 && at.abs() <= 4_294_967_295.0 => {
                    usize::try_from(*at as i64).ok()
                }
                _ => None,
            };
            position.and_then(|at| list.get(at))
        }
        (Value::Map(map), key) => {
            fuel.elements(map.len())?;
            map.get(key)
        }
        _ => None,
    };
    Ok(found.unwrap_or(Value::Error))
}

/// `map.name`
pub(super) fn select<'a>(map: &Value<'a>, name: &str) -> Value<'a> {
    match map {
        Value::Map(map) => map.get(&Value::Str(name.into())).unwrap_or(Value::Error),
        Value::Unknown => Value::Unknown,
        Value::Fault => Value::Fault,
        _ => Value::Error,
    }
}

/// `has(map.name)`
pub(super) fn has_field<'a>(map: &Value<'a>, name: &str) -> Value<'a> {
    match map {
        Value::Map(map) => Value::Bool(map.get(&Value::Str(name.into())).is_some()),
        Value::Unknown => Value::Unknown,
        Value::Fault => Value::Fault,
        _ => Value::Error,
    }
}
