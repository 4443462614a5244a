//! A claim of any JSON shape as attributes: an object is one attribute for each of its leaves.

use std::collections::BTreeSet;

use apl_bytecode::push_key_segment;
use apl_vm::{Fact, FactMap};
use serde_json::Value;

/// Deepest claim that becomes an attribute; deeper ones are opaque.
const MAX_DEPTH: usize = 16;

/// Writes a claim, and what is in it, as far as `keeps` wants it.
pub(crate) fn flatten(facts: &mut FactMap, key: String, value: &Value, keeps: &dyn Fn(&str) -> bool) {
    put(facts, key, value, keeps, MAX_DEPTH);
}

/// Depth is bounded, so the recursion is.
fn put(facts: &mut FactMap, key: String, value: &Value, keeps: &dyn Fn(&str) -> bool, depth: usize) {
    let fact = match value {
        Value::Null => return,
        Value::Bool(flag) => Fact::Bool(*flag),
        Value::String(text) => Fact::Str(text.clone()),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(int), _) => Fact::Int(int),
            (None, Some(float)) => Fact::Float(float),
            (None, None) => Fact::Opaque,
        },
        Value::Array(all) => scalars(all).map_or(Fact::Opaque, Fact::Set),
        Value::Object(members) => {
            if members.is_empty() {
                return;
            }
            if let Some(left) = depth.checked_sub(1) {
                for (name, value) in members {
                    let mut key = key.clone();
                    push_key_segment(&mut key, name);
                    put(facts, key, value, keeps, left);
                }
            }
            Fact::Opaque
        }
    };
    if keeps(&key) {
        facts.insert(key, fact);
    }
}

/// Scalars as texts, nulls left out; `None` if there is a container among them.
fn scalars(all: &[Value]) -> Option<BTreeSet<String>> {
    let mut set = BTreeSet::new();
    for value in all {
        match value {
            Value::Null => {}
            Value::String(text) => {
                set.insert(text.clone());
            }
            Value::Bool(_) | Value::Number(_) => {
                set.insert(value.to_string());
            }
            Value::Array(_) | Value::Object(_) => return None,
        }
    }
    Some(set)
}
