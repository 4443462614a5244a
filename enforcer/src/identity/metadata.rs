//! What the proxy says of a connection and of a token that it has verified: values of its properties.
//!
//! A property comes as bytes without its type. Text is text, a number eight bytes, a truth value one, a list a block of
//! lengths and members. Which of them it is can be told because a claim is text without control characters, and because the
//! first member of a list can be asked for by its index. What stays unclear is read as opaque, which no rule takes for a role.

use serde_json::{Map, Number, Value};

/// A path of names, outermost first.
pub(crate) type Path = Vec<String>;

/// The peer's first URI SAN.
pub(crate) fn connection_peer() -> Path {
    path(&["connection", "uri_san_peer_certificate"])
}

/// The peer of a waypoint's tunnel, as Istio's waypoint proxies keep it.
pub(crate) fn waypoint_peer() -> Path {
    path(&["filter_state", "io.istio.peer_principal"])
}

/// Where a filter's dynamic metadata holds a token's claims.
pub(crate) fn claims_of(namespace: &str, key: &str) -> Path {
    path(&["metadata", "filter_metadata", namespace, key])
}

fn path(names: &[&str]) -> Path {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// Properties as the host read them, in the order in which they were asked for.
#[derive(Clone, Copy)]
pub(crate) struct Properties<'a> {
    pub(crate) paths: &'a [Path],
    pub(crate) values: &'a [Option<Vec<u8>>],
}

impl Properties<'_> {
    pub(crate) fn get(&self, path: &[String]) -> Option<&[u8]> {
        let at = self.paths.iter().position(|known| known == path)?;
        self.values.get(at)?.as_deref()
    }

    /// The claims below `root` that were asked for.
    pub(crate) fn claims(&self, root: &[String]) -> Map<String, Value> {
        let mut claims = Map::new();
        for path in self.paths {
            let Some(names) = path.strip_prefix(root).filter(|names| !names.is_empty()) else {
                continue;
            };
            // Asked for to tell a list from a text; it belongs to the claim above it.
            if names.last().is_some_and(|last| last == FIRST) {
                continue;
            }
            if let Some(bytes) = self.get(path) {
                let mut first = path.clone();
                first.push(FIRST.to_owned());
                let value = list(bytes, self.get(&first)).unwrap_or_else(|| scalar(bytes));
                insert(&mut claims, names, value);
            }
        }
        claims
    }
}

/// The first member of a list.
pub(crate) const FIRST: &str = "0";

/// Puts a value where its path leads. A value that stands where others lie below it makes room for them.
fn insert(claims: &mut Map<String, Value>, names: &[String], value: Value) {
    let Some((first, rest)) = names.split_first() else {
        return;
    };
    if rest.is_empty() {
        let slot = claims.entry(first.clone()).or_insert(Value::Null);
        if !slot.is_object() {
            *slot = value;
        }
        return;
    }
    let slot = claims.entry(first.clone()).or_insert(Value::Null);
    if !slot.is_object() {
        *slot = Value::Object(Map::new());
    }
    if let Value::Object(inner) = slot {
        insert(inner, rest, value);
    }
}

/// What is there, but cannot be told: a list with a list in it is opaque to every rule.
fn opaque() -> Value {
    Value::Array(vec![Value::Array(Vec::new())])
}

fn scalar(bytes: &[u8]) -> Value {
    match (bytes, <[u8; 8]>::try_from(bytes)) {
        ([0], _) => return Value::Bool(false),
        ([1], _) => return Value::Bool(true),
        (_, Ok(eight)) if !is_text(bytes) => {
            let float = f64::from_le_bytes(eight);
            let whole = float.fract() == 0.0 && float.abs() <= 9_007_199_254_740_992.0;
            return if whole {
                Value::Number(Number::from(float as i64))
            } else {
                Number::from_f64(float).map_or_else(opaque, Value::Number)
            };
        }
        (_, _) => {}
    }
    match std::str::from_utf8(bytes) {
        Ok(text) if is_text(bytes) => Value::String(text.to_owned()),
        Ok(_) | Err(_) => opaque(),
    }
}

fn is_text(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|text| !text.chars().any(char::is_control))
}

/// A list: the number of members, two lengths for each, of which the second is nothing, then the members, each with a NUL
/// behind it and one more for what it has no second of.
fn list(bytes: &[u8], first: Option<&[u8]>) -> Option<Value> {
    let first = first?;
    let (count, mut lengths) = bytes.split_at_checked(4)?;
    let count = usize::try_from(u32::from_le_bytes(count.try_into().ok()?)).ok()?;
    let mut members = lengths.get(count.checked_mul(8)?..)?;
    let mut all = Vec::new();
    for at in 0..count {
        let (length, rest) = lengths.split_at_checked(8)?;
        lengths = rest;
        let (length, nothing) = length.split_at_checked(4)?;
        let length = usize::try_from(u32::from_le_bytes(length.try_into().ok()?)).ok()?;
        let (member, rest) = members.split_at_checked(length)?;
        members = rest.strip_prefix(&[0, 0])?;
        if nothing != [0; 4] || (at == 0 && member != first) {
            return None;
        }
        all.push(scalar(member));
    }
    (members.is_empty() && !all.is_empty()).then_some(Value::Array(all))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(members: &[&[u8]]) -> Vec<u8> {
        let mut out = u32::try_from(members.len()).unwrap().to_le_bytes().to_vec();
        for member in members {
            out.extend(u32::try_from(member.len()).unwrap().to_le_bytes());
            out.extend([0; 4]);
        }
        for member in members {
            out.extend(*member);
            out.extend([0, 0]);
        }
        out
    }

    #[test]
    fn tells_values_apart_by_what_their_bytes_can_be() {
        assert_eq!(scalar(b"bob"), Value::from("bob"));
        assert_eq!(scalar(b"engineer"), Value::from("engineer"));
        assert_eq!(scalar(b""), Value::from(""));
        assert_eq!(scalar(&[1]), Value::Bool(true));
        assert_eq!(
            scalar(&1_795_348_800.0_f64.to_le_bytes()),
            Value::from(1_795_348_800_i64)
        );
        assert_eq!(scalar(&0.5_f64.to_le_bytes()), Value::from(0.5));
        assert_eq!(scalar(&f64::NAN.to_le_bytes()), opaque());
        assert_eq!(scalar(b"a\0b"), opaque());
        assert_eq!(scalar(&[0xff, 0xfe, 0xfd]), opaque());
    }

    #[test]
    fn a_list_is_one_only_when_its_first_member_can_be_asked_for() {
        let bytes = block(&[b"hr", b"admin"]);
        assert_eq!(list(&bytes, Some(b"hr")), Some(Value::from(vec!["hr", "admin"])));
        assert_eq!(list(&bytes, None), None, "a text that looks like a list");
        assert_eq!(list(&bytes, Some(b"other")), None);
        assert_eq!(list(&[9, 0, 0, 0], Some(b"x")), None);
        assert_eq!(list(&[0xff; 12], Some(b"x")), None);
    }
}
