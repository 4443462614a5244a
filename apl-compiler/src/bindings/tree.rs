//! Changing the tree, and what stands in for settings that are not there yet.

use crate::diagnostics::Reports;
use crate::source::{Source, Span};
use crate::yaml::{self, Entry, Node, Style, Value};

/// What a key stands for.
pub(super) fn entry_mut<'n>(node: &'n mut Node, key: &str) -> Option<&'n mut Node> {
    match &mut node.value {
        Value::Map(entries) => entries
            .iter_mut()
            .find(|entry| entry.key == key)
            .map(|entry| &mut entry.node),
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Str(..) | Value::List(_) => {
            None
        }
    }
}

/// The elements of a list.
pub(super) fn list_mut(node: &mut Node) -> &mut [Node] {
    match &mut node.value {
        Value::List(items) => items,
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Str(..) | Value::Map(_) => {
            &mut []
        }
    }
}

/// The map under a key, made if there is none. `None` in what is no map, which the reader reports.
pub(super) fn map_mut<'n>(node: &'n mut Node, key: &str, span: Span) -> Option<&'n mut Node> {
    let Value::Map(entries) = &mut node.value else {
        return None;
    };
    let at = entries
        .iter()
        .position(|entry| entry.key == key)
        .unwrap_or_else(|| {
            entries.push(Entry {
                key: key.to_owned(),
                key_style: Style::Plain,
                key_span: span,
                node: Node {
                    span,
                    value: Value::Map(Vec::new()),
                },
            });
            entries.len() - 1
        });
    let node = &mut entries.get_mut(at)?.node;
    if matches!(node.value, Value::Null) {
        node.value = Value::Map(Vec::new());
    }
    Some(node)
}

/// Settings under which a policy can be checked and tested. `.invalid` is nobody's (RFC 6761).
pub(super) fn placeholder(kind: &str, span: Span) -> Vec<Entry> {
    let text = match kind {
        "identity/jwt" => {
            "trusted_issuers: [{issuer: 'https://unbound.invalid', audiences: [unbound], algorithms: [RS256], decoding_key: {kind: jwks_url, url: 'https://unbound.invalid/keys'}}]"
        }
        "identity/mesh-jwt" => "trusted_issuers: [{issuer: 'https://unbound.invalid', audiences: [unbound]}]",
        "identity/spiffe" => "trust_domain: unbound.invalid",
        "identity/api-key" => "provider: {kind: file, path: unbound}",
        "delegator/oauth" => {
            "{token_endpoint: 'https://unbound.invalid/token', client_id: unbound, client_secret_source: {kind: env_var, name: UNBOUND}}"
        }
        "delegator/secret" => "secret_source: {kind: env_var, name: UNBOUND}",
        "delegator/biscuit" => {
            "root_public_key: {hex: '0000000000000000000000000000000000000000000000000000000000000000'}"
        }
        "elicitation/ciba" => {
            "{backchannel_endpoint: 'https://unbound.invalid/bc', token_endpoint: 'https://unbound.invalid/token', client_id: unbound, client_secret_source: {kind: env_var, name: UNBOUND}}"
        }
        "cedar-direct" => "policy_text: 'forbid(principal, action, resource);'",
        "authzen" | "nemo" => "url: 'https://unbound.invalid'",
        _ => return Vec::new(),
    };
    let source = Source::new("", text);
    let node = yaml::load(&source, 0, &mut Reports::default());
    match node.map(|node| node.value) {
        Some(Value::Map(mut entries)) => {
            entries.iter_mut().for_each(|entry| moved(entry, span));
            entries
        }
        _ => Vec::new(),
    }
}

/// Everything below an entry at one place: the `bind` that it stands for.
fn moved(entry: &mut Entry, span: Span) {
    entry.key_span = span;
    let mut open = vec![&mut entry.node];
    while let Some(node) = open.pop() {
        node.span = span;
        match &mut node.value {
            Value::Map(entries) => open.extend(entries.iter_mut().map(|entry| {
                entry.key_span = span;
                &mut entry.node
            })),
            Value::List(items) => open.extend(items.iter_mut()),
            Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Str(..) => {}
        }
    }
}
