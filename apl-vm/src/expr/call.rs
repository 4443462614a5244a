//! CEL functions: the standard library's, and the three string functions of the extension that policies use.

use apl_bytecode::Call;

use super::strict;
use crate::{
    fuel::{Exhausted, Fuel},
    value::Value,
};

/// A function of values. The receiver, if there is one, comes first. A wrong type is an error.
pub(super) fn call<'a>(
    function: Call,
    arguments: &[Value<'a>],
    fuel: &mut Fuel,
) -> Result<Value<'a>, Exhausted> {
    if let Some(undecided) = strict(arguments) {
        return Ok(undecided);
    }
    for argument in arguments {
        match argument {
            Value::Str(text) => fuel.text(text.len())?,
            Value::List(list) => fuel.elements(list.len())?,
            Value::Map(map) => fuel.elements(map.len())?,
            _ => {}
        }
    }
    Ok(match arguments {
        [value] => one(function, value),
        [Value::Str(text), Value::Str(part)] => match function {
            Call::StartsWith => Value::Bool(text.starts_with(&**part)),
            Call::EndsWith => Value::Bool(text.ends_with(&**part)),
            Call::Contains => Value::Bool(text.contains(&**part)),
            _ => Value::Error,
        },
        _ => Value::Error,
    })
}

fn one<'a>(function: Call, value: &Value<'a>) -> Value<'a> {
    match function {
        Call::Size => size(value),
        Call::Int => to_int(value),
        Call::Uint => to_uint(value),
        Call::Double => to_double(value),
        Call::String => to_string(value),
        Call::Bool => to_bool(value),
        Call::LowerAscii => of_text(value, |text| text.to_ascii_lowercase()),
        Call::UpperAscii => of_text(value, |text| text.to_ascii_uppercase()),
        Call::Trim => of_text(value, |text| text.trim().to_owned()),
        Call::StartsWith | Call::EndsWith | Call::Contains => Value::Error,
    }
}

/// Code points of a text, elements of a list, members of a map.
fn size<'a>(value: &Value<'a>) -> Value<'a> {
    let size = match value {
        Value::Str(text) => text.chars().count(),
        Value::List(list) => list.len(),
        Value::Map(map) => map.len(),
        _ => return Value::Error,
    };
    i64::try_from(size).map_or(Value::Error, Value::Int)
}

fn of_text<'a>(value: &Value<'a>, change: fn(&str) -> String) -> Value<'a> {
    match value {
        Value::Str(text) => Value::Str(change(text).into()),
        _ => Value::Error,
    }
}

/// Truncates towards zero; out of range is an error.
fn to_int<'a>(value: &Value<'a>) -> Value<'a> {
    let int = match value {
        Value::Int(value) => Some(*value),
        Value::Uint(value) => i64::try_from(*value).ok(),
        // The bounds are exact doubles: -2^63 is excluded as cel-spec does, 2^63 is not an i64.
        #[expect(clippy::cast_possible_truncation, reason = "the range was checked")]
        Value::Float(value) => (value.abs() < 9_223_372_036_854_775_808.0).then_some(*value as i64),
        Value::Str(text) => text.parse().ok(),
        _ => None,
    };
    int.map_or(Value::Error, Value::Int)
}

fn to_uint<'a>(value: &Value<'a>) -> Value<'a> {
    let uint = match value {
        Value::Int(value) => u64::try_from(*value).ok(),
        Value::Uint(value) => Some(*value),
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the range was checked"
        )]
        Value::Float(value) => {
            (*value > -1.0 && *value < 18_446_744_073_709_551_616.0).then_some(*value as u64)
        }
        Value::Str(text) => text.parse().ok(),
        _ => None,
    };
    uint.map_or(Value::Error, Value::Uint)
}

fn to_double<'a>(value: &Value<'a>) -> Value<'a> {
    #[expect(
        clippy::cast_precision_loss,
        reason = "the nearest double is what CEL asks for"
    )]
    let double = match value {
        Value::Int(value) => Some(*value as f64),
        Value::Uint(value) => Some(*value as f64),
        Value::Float(value) => Some(*value),
        Value::Str(text) => text.parse().ok(),
        _ => None,
    };
    double.map_or(Value::Error, Value::Float)
}

fn to_string<'a>(value: &Value<'a>) -> Value<'a> {
    Value::Str(match value {
        Value::Str(text) => text.clone(),
        Value::Bool(value) => value.to_string().into(),
        Value::Int(value) => value.to_string().into(),
        Value::Uint(value) => value.to_string().into(),
        Value::Float(value) => value.to_string().into(),
        _ => return Value::Error,
    })
}

fn to_bool<'a>(value: &Value<'a>) -> Value<'a> {
    match value {
        Value::Bool(value) => Value::Bool(*value),
        Value::Str(text) => match &**text {
            "1" | "t" | "true" | "TRUE" | "True" => Value::Bool(true),
            "0" | "f" | "false" | "FALSE" | "False" => Value::Bool(false),
            _ => Value::Error,
        },
        _ => Value::Error,
    }
}
