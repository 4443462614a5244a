//! CEL functions: the standard library's, and those of the string extension that policies use.

use apl_bytecode::Call;

use super::strict;
use crate::{
    fuel::{Exhausted, Fuel},
    value::{List, Value},
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
    Ok(match (function, arguments) {
        (Call::Size, [value]) => size(value),
        (Call::Int, [value]) => to_int(value),
        (Call::Uint, [value]) => to_uint(value),
        (Call::Double, [value]) => to_double(value),
        (Call::String, [value]) => to_string(value),
        (Call::Bool, [value]) => to_bool(value),
        (Call::LowerAscii, [value]) => of_text(value, |text| text.to_ascii_lowercase()),
        (Call::UpperAscii, [value]) => of_text(value, |text| text.to_ascii_uppercase()),
        (Call::Trim, [value]) => of_text(value, |text| text.trim().to_owned()),
        (Call::Type, [value]) => Value::Type(type_name(value)),
        (Call::StartsWith, [Value::Str(text), Value::Str(part)]) => Value::Bool(text.starts_with(&**part)),
        (Call::EndsWith, [Value::Str(text), Value::Str(part)]) => Value::Bool(text.ends_with(&**part)),
        (Call::Contains, [Value::Str(text), Value::Str(part)]) => Value::Bool(text.contains(&**part)),
        (Call::Reverse, [Value::List(list)]) => {
            let mut items = list.items();
            items.reverse();
            List::made(items)
        }
        (
            Call::Split
            | Call::SplitMost
            | Call::Join
            | Call::JoinWith
            | Call::Replace
            | Call::ReplaceMost
            | Call::SubstringFrom
            | Call::Substring
            | Call::IndexOf
            | Call::LastIndexOf
            | Call::CharAt
            | Call::Reverse,
            _,
        ) => super::text::call(function, arguments, fuel)?,
        (
            Call::Timestamp
            | Call::Duration
            | Call::GetFullYear
            | Call::GetMonth
            | Call::GetDayOfMonth
            | Call::GetDate
            | Call::GetDayOfWeek
            | Call::GetDayOfYear
            | Call::GetHours
            | Call::GetMinutes
            | Call::GetSeconds
            | Call::GetMilliseconds,
            [value],
        ) => super::time::call(function, value),
        _ => Value::Error,
    })
}

fn type_name(value: &Value<'_>) -> &'static str {
    match value {
        Value::Null => "null_type",
        Value::Bool(_) => "bool",
        Value::Int(_) => "int",
        Value::Uint(_) => "uint",
        Value::Float(_) => "double",
        Value::Str(_) => "string",
        Value::List(_) => "list",
        Value::Map(_) => "map",
        Value::Time(_) => "google.protobuf.Timestamp",
        Value::Span(_) => "google.protobuf.Duration",
        Value::Type(_) => "type",
        // `strict` has taken these.
        Value::Unknown | Value::Error | Value::Fault => "",
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
        Value::Time(at) => i64::try_from(super::time::seconds(*at)).ok(),
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
        Value::Time(at) => super::time::spell_moment(*at).into(),
        Value::Span(length) => super::time::spell_stretch(*length).into(),
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
