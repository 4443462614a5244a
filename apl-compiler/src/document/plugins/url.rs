//! URLs in plugin configurations.

use crate::diagnostics::{Code, error};
use crate::document::keys::Reader;
use crate::yaml::Node;

/// An absolute URL; plain HTTP only where the policy says so.
pub(super) fn url(
    node: &Node,
    key: &str,
    what: &str,
    allow_http: bool,
    reader: &mut Reader<'_>,
) -> Option<String> {
    let text = reader.required(node, key, what, node.span)?;
    let span = node.get(key)?.node.span;
    let bad = text.contains(|ch: char| ch.is_whitespace() || ch.is_control());
    if bad || !(text.starts_with("https://") || text.starts_with("http://")) {
        reader.reports.error(
            Code::BadValue,
            span,
            format!("`{key}` is an absolute URL, `{text}` is none"),
        );
        return None;
    }
    if text.starts_with("http://") && !allow_http {
        reader.reports.push(
            error(Code::BadValue, span, format!("`{key}` is not encrypted"))
                .help("use https, or say `insecure_http: true` on a development machine"),
        );
        return None;
    }
    Some(text.to_owned())
}
