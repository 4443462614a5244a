//! The string functions of CEL's extension library (cel-go `ext/strings`). Positions are code points.

use apl_bytecode::Call;

use crate::{
    fuel::{Exhausted, Fuel},
    value::{List, Value},
};

/// The longest text that a function makes, in bytes: `replace` multiplies.
const MAX_TEXT: usize = 1 << 20;

/// A function of a text or of a list of texts; the receiver is the first argument.
pub(super) fn call<'a>(
    function: Call,
    arguments: &[Value<'a>],
    fuel: &mut Fuel,
) -> Result<Value<'a>, Exhausted> {
    let made = match arguments {
        [Value::Str(text)] if function == Call::Reverse => Some(text.chars().rev().collect()),
        [Value::List(list)] if function == Call::Join => joined(list, "", fuel)?,
        [Value::List(list), Value::Str(with)] if function == Call::JoinWith => joined(list, with, fuel)?,
        [Value::Str(text), Value::Str(by)] if function == Call::Split => {
            return split(text, by, -1, fuel);
        }
        [Value::Str(text), Value::Str(by), Value::Int(most)] if function == Call::SplitMost => {
            return split(text, by, *most, fuel);
        }
        [Value::Str(text), Value::Str(part)] => return Ok(position(function, text, part)),
        [Value::Str(text), Value::Str(old), Value::Str(new)] if function == Call::Replace => {
            replaced(text, old, new, -1, fuel)?
        }
        [
            Value::Str(text),
            Value::Str(old),
            Value::Str(new),
            Value::Int(most),
        ] if function == Call::ReplaceMost => replaced(text, old, new, *most, fuel)?,
        [Value::Str(text), Value::Int(at)] if function == Call::CharAt => {
            let length = text.chars().count();
            match usize::try_from(*at) {
                Ok(at) if at == length => Some(String::new()),
                Ok(at) => text.chars().nth(at).map(String::from),
                Err(_) => None,
            }
        }
        [Value::Str(text), Value::Int(from)] if function == Call::SubstringFrom => {
            let length = i64::try_from(text.chars().count()).unwrap_or(i64::MAX);
            substring(text, *from, length)
        }
        [Value::Str(text), Value::Int(from), Value::Int(to)] if function == Call::Substring => {
            substring(text, *from, *to)
        }
        _ => None,
    };
    Ok(made.map_or(Value::Error, |text: String| Value::Str(text.into())))
}

fn position<'a>(function: Call, text: &str, part: &str) -> Value<'a> {
    let found = match function {
        Call::IndexOf => text.find(part),
        Call::LastIndexOf => text.rfind(part),
        _ => return Value::Error,
    };
    let at = found
        .and_then(|at| text.get(..at))
        .map(|before| before.chars().count());
    Value::Int(at.and_then(|at| i64::try_from(at).ok()).unwrap_or(-1))
}

fn substring(text: &str, from: i64, to: i64) -> Option<String> {
    let (from, to) = (usize::try_from(from).ok()?, usize::try_from(to).ok()?);
    let length = text.chars().count();
    (from <= to && to <= length).then(|| text.chars().skip(from).take(to.saturating_sub(from)).collect())
}

fn split<'a>(text: &str, by: &str, most: i64, fuel: &mut Fuel) -> Result<Value<'a>, Exhausted> {
    let pieces: Vec<String> = if most == 0 {
        Vec::new()
    } else if by.is_empty() {
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let mut pieces: Vec<String> = text.chars().map(String::from).collect();
        if pieces.len() > most {
            let rest = pieces.split_off(most.saturating_sub(1)).concat();
            pieces.push(rest);
        }
        pieces
    } else {
        match usize::try_from(most) {
            Ok(most) => text.splitn(most, by).map(str::to_owned).collect(),
            Err(_) => text.split(by).map(str::to_owned).collect(),
        }
    };
    fuel.spend(u64::try_from(pieces.len()).unwrap_or(u64::MAX))?;
    Ok(List::made(
        pieces.into_iter().map(|piece| Value::Str(piece.into())).collect(),
    ))
}

fn joined(list: &List<'_>, with: &str, fuel: &mut Fuel) -> Result<Option<String>, Exhausted> {
    let mut out = String::new();
    for (at, item) in list.items().iter().enumerate() {
        let Value::Str(text) = item else { return Ok(None) };
        if at > 0 {
            out.push_str(with);
        }
        out.push_str(text);
        fuel.text(text.len().saturating_add(with.len()))?;
        if out.len() > MAX_TEXT {
            return Ok(None);
        }
    }
    Ok(Some(out))
}

fn replaced(
    text: &str,
    old: &str,
    new: &str,
    most: i64,
    fuel: &mut Fuel,
) -> Result<Option<String>, Exhausted> {
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let hits = text.matches(old).count().min(most);
    let length = text.len().saturating_add(hits.saturating_mul(new.len()));
    if length > MAX_TEXT {
        return Ok(None);
    }
    fuel.text(length)?;
    Ok(Some(text.replacen(old, new, most)))
}
