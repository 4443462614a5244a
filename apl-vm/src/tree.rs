//! JSON as it leaves the machine: what a decision point is told.

use std::collections::BTreeMap;

use crate::{
    fuel::{Exhausted, Fuel},
    value::Value,
};

/// Levels of arrays and objects that are told; anything deeper fails the question.
pub const MAX_TREE_DEPTH: u8 = 96;

/// A JSON value.
#[derive(Debug, Clone, Default, PartialEq)]
#[expect(missing_docs, reason = "the names are JSON's own")]
pub enum Tree {
    #[default]
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Float(f64),
    Text(String),
    List(Vec<Tree>),
    Map(BTreeMap<String, Tree>),
}

impl Tree {
    /// A value as JSON; `None` when it is no JSON value: unknown, an error, a key that is no text, too deep.
    pub(crate) fn of(value: &Value<'_>, depth: u8, fuel: &mut Fuel) -> Result<Option<Self>, Exhausted> {
        fuel.spend(1)?;
        Ok(Some(match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(*value),
            Value::Int(value) => Self::Int(*value),
            Value::Uint(value) => Self::Uint(*value),
            Value::Float(value) => Self::Float(*value),
            Value::Str(text) => {
                fuel.text(text.len())?;
                Self::Text(text.to_string())
            }
            Value::List(list) => {
                if depth >= MAX_TREE_DEPTH {
                    return Ok(None);
                }
                let mut items = Vec::new();
                for item in list.items() {
                    let Some(item) = Self::of(&item, depth.saturating_add(1), fuel)? else {
                        return Ok(None);
                    };
                    items.push(item);
                }
                Self::List(items)
            }
            Value::Map(map) => {
                if depth >= MAX_TREE_DEPTH {
                    return Ok(None);
                }
                let mut members = BTreeMap::new();
                for (key, value) in map.entries() {
                    let (Value::Str(key), Some(value)) =
                        (key, Self::of(&value, depth.saturating_add(1), fuel)?)
                    else {
                        return Ok(None);
                    };
                    members.insert(key.into_owned(), value);
                }
                Self::Map(members)
            }
            Value::Time(_)
            | Value::Span(_)
            | Value::Type(_)
            | Value::Unknown
            | Value::Error
            | Value::Fault => {
                return Ok(None);
            }
        }))
    }

    /// Puts a value at a path of names; what is in the way gives way.
    pub(crate) fn put(&mut self, path: &[String], value: Self) {
        let Some((first, rest)) = path.split_first() else {
            *self = value;
            return;
        };
        if !matches!(self, Self::Map(_)) {
            *self = Self::Map(BTreeMap::new());
        }
        if let Self::Map(members) = self {
            members.entry(first.clone()).or_default().put(rest, value);
        }
    }
}
