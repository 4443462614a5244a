//! The arguments of an HTTP operation as one document: `{"path": {...}, "query": {...}, "body": ...}`.
//!
//! The body stands in it byte for byte, so edits of it are splices as everywhere. Path and query are decoded, and can be
//! read and checked, but not edited.

use apl_vm::{Document, Limits};

use crate::{http::path::unescaped, json_text::push_string, refusal::Refusal};

/// Most parameters of a query that are looked at.
const MAX_PARAMETERS: usize = 256;

/// Reads them. `pattern`: the route's, whose names capture segments of `path`; `target` is the request's, with its query.
///
/// # Errors
///
/// The refusal.
pub(crate) fn read(
    pattern: &str,
    path: &str,
    target: &str,
    body: &[u8],
    limits: &Limits,
) -> Result<Document, Refusal> {
    let mut json = Vec::with_capacity(body.len().saturating_add(target.len()).saturating_add(64));
    let mut first = true;
    json.extend_from_slice(b"{\"path\":{");
    for (wanted, found) in pattern.split('/').zip(path.split('/')) {
        if let Some(name) = apl_bytecode::captured(wanted) {
            member(&mut json, &mut first, name, found);
        }
    }
    json.extend_from_slice(b"},\"query\":{");
    query(target, &mut json).ok_or_else(|| {
        Refusal::bad_request(
            "protocol.ambiguous_query",
            "a parameter of the query stands twice, or can be read in more than one way",
        )
    })?;
    json.push(b'}');
    let body = body.trim_ascii();
    if !body.is_empty() {
        json.extend_from_slice(b",\"body\":");
        json.extend_from_slice(body);
    }
    json.push(b'}');
    let parsed = Document::parse(json, limits);
    let whole = |document: &Document| {
        // A body that closes its own place and opens another is no value of its own.
        let found = document.received(document.root()).get("body");
        found.map_or(body.is_empty(), |found| found.raw() == body)
    };
    match parsed {
        Ok(document) if whole(&document) => Ok(document),
        Ok(_) => Err(Refusal::rpc(
            400,
            -32700,
            "protocol.invalid_json",
            "the body is not one JSON value",
        )),
        // Its own error counts its own bytes.
        Err(error) => Err(Refusal::json(
            &Document::parse(body.to_vec(), limits).err().unwrap_or(error),
        )),
    }
}

/// The body with its edits; `None`: there are none.
///
/// # Errors
///
/// What cannot be edited was.
pub(crate) fn edited_body(document: &Document) -> Result<Option<Vec<u8>>, Refusal> {
    let root = document.received(document.root());
    for key in ["path", "query"] {
        let fine = root
            .get(key)
            .is_some_and(|node| document.render_node(node.id()) == node.raw());
        if !fine {
            return Err(Refusal::operation(
                "http.not_editable",
                "the policy edits the path or the query, which can only be checked",
            ));
        }
    }
    Ok(root.get("body").map(|body| document.render_node(body.id())))
}

fn member(json: &mut Vec<u8>, first: &mut bool, name: &str, value: &str) {
    if !std::mem::replace(first, false) {
        json.push(b',');
    }
    push_string(json, name);
    json.push(b':');
    push_string(json, value);
}

/// `None`: two readers could find different values. A list of one name is one of those: some take its first, some its last.
fn query(target: &str, json: &mut Vec<u8>) -> Option<()> {
    let query = target.split_once('?').map_or("", |(_, query)| query);
    let mut names: Vec<String> = Vec::new();
    let mut first = true;
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (name, value) = (decoded(name)?, decoded(value)?);
        if names.contains(&name) || names.len() >= MAX_PARAMETERS {
            return None;
        }
        member(json, &mut first, &name, &value);
        names.push(name);
    }
    Some(())
}

/// Decoded as forms are, where `+` is a space. Some readers take `;` for `&`.
fn decoded(text: &str) -> Option<String> {
    let text = text.replace('+', " ");
    let bytes = unescaped(&text, |_| true).filter(|_| !text.contains(';'))?;
    let text = String::from_utf8(bytes).ok()?;
    (!text.contains(char::is_control)).then_some(text)
}
