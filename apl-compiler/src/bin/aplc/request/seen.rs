//! Attribute names, and values that may be shown.

use apl_bytecode::{AttrId, Program, Seg};
use apl_vm::trace::Seen;

/// Attributes that hold what somebody wrote, rather than what they may do.
const PAYLOAD: &[&str] = &[
    "args",
    "result",
    "claim",
    "client.claim",
    "http.request_headers",
    "http.path",
    "data",
];

/// An attribute as policy spells it.
pub(super) fn attribute(program: &Program, id: AttrId) -> String {
    let mut out = String::new();
    for seg in program.attrs.get(id.at()).iter().flat_map(|attr| &attr.segs) {
        match seg {
            Seg::Name(name) => {
                let name = program.strings.get(name.at()).map_or("", String::as_str);
                let plain =
                    !name.is_empty() && name.chars().all(|ch| ch.is_ascii_alphanumeric() || ch == '_');
                match (plain, out.is_empty()) {
                    (_, true) => out.push_str(name),
                    (true, false) => {
                        out.push('.');
                        out.push_str(name);
                    }
                    (false, false) => out.push_str(&format!("[{name:?}]")),
                }
            }
            // The verifier lets a path refer to earlier ones only, so this ends.
            Seg::Value(inner) => out.push_str(&format!("[{}]", attribute(program, *inner))),
        }
    }
    out
}

/// A value for people: of payload only type and length, unless all is to be shown.
pub(super) fn value(name: &str, seen: &Seen, show: bool) -> String {
    let below = |prefix: &&&str| {
        name.strip_prefix(**prefix)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    };
    if show || PAYLOAD.iter().find(below).is_none() {
        shown(seen)
    } else {
        masked(seen)
    }
}

fn shown(seen: &Seen) -> String {
    match seen {
        Seen::Absent => "absent".to_owned(),
        Seen::Unknown => "not known".to_owned(),
        Seen::Error => "an error".to_owned(),
        Seen::Null => "null".to_owned(),
        Seen::Bool(value) => value.to_string(),
        Seen::Number(text) => text.clone(),
        Seen::Text(text) => format!("{text:?}"),
        Seen::List(_, text) | Seen::Opaque(text) => text.clone(),
    }
}

fn masked(seen: &Seen) -> String {
    match seen {
        Seen::Absent | Seen::Unknown | Seen::Error | Seen::Null => shown(seen),
        Seen::Bool(_) => "a boolean".to_owned(),
        Seen::Number(text) => format!("a number of {} characters", text.chars().count()),
        Seen::Text(text) => format!("a text of {} characters", text.chars().count()),
        Seen::List(count, _) => format!("a list of {count}"),
        Seen::Opaque(_) => "an object, or what cannot be compared".to_owned(),
    }
}
