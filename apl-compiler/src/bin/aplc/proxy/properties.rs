//! Properties of a connection and of verified tokens, as Envoy hands them to a module: bytes without their type.

use serde_json::Value;

/// The peer of the connection, or of the waypoint's tunnel.
pub(super) fn peer(waypoint: bool) -> Vec<String> {
    path(if waypoint {
        &["filter_state", "io.istio.peer_principal"]
    } else {
        &["connection", "uri_san_peer_certificate"]
    })
}

/// The claims that a filter before this one keeps in its dynamic metadata.
pub(super) fn claims_of(namespace: &str, key: &str) -> Vec<String> {
    path(&["metadata", "filter_metadata", namespace, key])
}

fn path(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// What stands at `path` below `value`. `None`: nothing, or nothing that the proxy can hand over.
pub(super) fn bytes(value: &Value, path: &[String]) -> Option<Vec<u8>> {
    // The proxy gives no claim at all of a token with a null in it.
    if holds_null(value) {
        return None;
    }
    let found = path.iter().try_fold(value, |value, name| match value {
        Value::Object(members) => members.get(name),
        Value::Array(items) => items.get(name.parse::<usize>().ok()?),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    })?;
    encoded(found)
}

fn holds_null(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
        Value::Array(items) => items.iter().any(holds_null),
        Value::Object(members) => members.values().any(holds_null),
    }
}

/// Text as it is, a number in eight bytes, a truth value in one, lists and maps as blocks of pairs.
fn encoded(value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::Null => None,
        Value::Bool(truth) => Some(vec![u8::from(*truth)]),
        // Metadata holds numbers as doubles.
        Value::Number(number) => Some(number.as_f64()?.to_le_bytes().to_vec()),
        Value::String(text) => Some(text.clone().into_bytes()),
        Value::Array(items) => {
            let pair = |item| Some((encoded(item)?, Vec::new()));
            block(items.iter().map(pair).collect::<Option<Vec<_>>>()?)
        }
        Value::Object(members) => {
            let pair = |(name, value): (&String, &Value)| Some((name.clone().into_bytes(), encoded(value)?));
            block(members.iter().map(pair).collect::<Option<Vec<_>>>()?)
        }
    }
}

/// Count, lengths of all pairs, then their bytes with a NUL behind each.
fn block(pairs: Vec<(Vec<u8>, Vec<u8>)>) -> Option<Vec<u8>> {
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).ok().map(u32::to_le_bytes);
    let mut out = u32::try_from(pairs.len()).ok()?.to_le_bytes().to_vec();
    for (first, second) in &pairs {
        out.extend(length(first)?);
        out.extend(length(second)?);
    }
    for (first, second) in pairs {
        for half in [first, second] {
            out.extend(half);
            out.push(0);
        }
    }
    Some(out)
}
