//! Laying one map over another: a test over the file's defaults, a step or variant over its test.

use apl_compiler::yaml::{Entry, Node, Value};

/// Keys whose maps are laid over each other key by key, rather than replaced.
const DEEP: &[&str] = &["request", "expect", "session"];

/// `top` over `base`.
pub(super) fn over(base: &[Entry], top: &[Entry]) -> Vec<Entry> {
    let mut entries = base.to_vec();
    for entry in top {
        match entries.iter_mut().find(|known| known.key == entry.key) {
            Some(known) => *known = one(known, entry),
            None => entries.push(entry.clone()),
        }
    }
    entries
}

fn one(base: &Entry, top: &Entry) -> Entry {
    let deep = DEEP.contains(&top.key.as_str());
    match (base.node.as_map(), top.node.as_map()) {
        (Some(below), Some(above)) if deep => {
            let entries = if top.key == "request" && names_operation(above) {
                // Another operation has other arguments.
                over(&without_operation(below), above)
            } else {
                over(below, above)
            };
            Entry {
                node: Node {
                    span: top.node.span,
                    value: Value::Map(entries),
                },
                ..top.clone()
            }
        }
        _ => top.clone(),
    }
}

/// Keys of a request that say what is called.
pub(super) const OPERATIONS: &[&str] = &["tool", "prompt", "resource", "body", "a2a", "llm", "http"];

fn names_operation(entries: &[Entry]) -> bool {
    entries
        .iter()
        .any(|entry| OPERATIONS.contains(&entry.key.as_str()))
}

fn without_operation(entries: &[Entry]) -> Vec<Entry> {
    entries
        .iter()
        .filter(|entry| entry.key != "args" && !OPERATIONS.contains(&entry.key.as_str()))
        .cloned()
        .collect()
}
