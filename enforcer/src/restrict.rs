//! `restrict` as headers: `x-policy-restrict-allow-models: a,b`. One more, `x-policy-restrict-all`, has all of them as
//! `NAME=VALUE;NAME=VALUE`, always in this order and with `on-empty` last: what `aplc emit envoy` makes regular expressions for.

use apl_bytecode::ListKind;
use apl_vm::Constraint;

/// Names behind `x-policy-restrict-`, and values: comma lists, sorted, whose members are percent-encoded where a comma, a
/// percent sign or anything but visible ASCII stands in them.
pub(crate) fn headers(constraint: &Constraint) -> Vec<(&'static str, String)> {
    let mut headers = Vec::new();
    for (kind, members) in &constraint.lists {
        // Given up: `Constraint::impossible` would have denied otherwise.
        if members.is_empty() && kind.allows() {
            continue;
        }
        let name = match kind {
            ListKind::AllowModels => "allow-models",
            ListKind::DenyModels => "deny-models",
            ListKind::AllowRegions => "allow-regions",
            ListKind::AllowSites => "allow-sites",
        };
        headers.push((name, list(members.iter().map(String::as_str).map(encoded))));
    }
    if !constraint.max_cost_tiers.is_empty() {
        let tiers = constraint.max_cost_tiers.iter().map(String::as_str).map(encoded);
        headers.push(("max-cost-tiers", list(tiers)));
    }
    if !constraint.custom.is_empty() {
        let labels = constraint
            .custom
            .iter()
            .map(|(label, value)| format!("{}={}", encoded(label), encoded(value)));
        headers.push(("custom", list(labels)));
    }
    let on_empty = if constraint.falls_back() {
        "fallback"
    } else {
        "deny"
    };
    headers.push(("on-empty", on_empty.to_owned()));
    headers
}

fn list(members: impl Iterator<Item = String>) -> String {
    members.collect::<Vec<_>>().join(",")
}

fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_graphic() && !matches!(byte, b',' | b'%' | b'=' | b';') {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push_str(&crate::json_text::hex(&[byte]).to_ascii_uppercase());
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_cannot_look_like_two() {
        assert_eq!(encoded("a,b %\n"), "a%2Cb%20%25%0A");
        assert_eq!(encoded("vendor/*"), "vendor/*");
    }
}
