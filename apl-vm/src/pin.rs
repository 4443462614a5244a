//! What pins the definition of a tool: a digest of all that a model is told about it.

use sha2::{Digest as _, Sha256};

use apl_json::{Node, NotCanonical, Numbers, canonical_members};

/// The members of a tool of a `tools/list` answer (MCP 2025-06-18, `Tool`) that a pin covers: what decides which tool
/// the model calls and with what. `title`, `icons` and `_meta` are for people and clients, and change freely.
pub const PINNED_MEMBERS: [&str; 5] = [
    "name",
    "description",
    "inputSchema",
    "outputSchema",
    "annotations",
];

/// SHA-256 over the canonical text (RFC 8785) of a tool's [`PINNED_MEMBERS`]; absent members are left out.
///
/// # Errors
///
/// When the definition has no canonical form. Then it can match no pin.
pub fn pin_digest(tool: Node<'_>) -> Result<[u8; 32], NotCanonical> {
    let mut text = Vec::new();
    canonical_members(tool, &PINNED_MEMBERS, Numbers::Rfc8785, &mut text)?;
    Ok(Sha256::digest(&text).into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use apl_json::{Document, Limits};

    use super::pin_digest;

    fn pin(json: &str) -> [u8; 32] {
        let document = Document::parse(json.as_bytes().to_vec(), &Limits::default()).unwrap();
        pin_digest(document.received(document.root())).unwrap()
    }

    #[test]
    fn a_pin_does_not_depend_on_spelling_order_or_what_it_does_not_cover() {
        let one = pin(r#"{"name":"t","description":"a","inputSchema":{"type":"object","maximum":10}}"#);
        let other = pin(
            r#"{ "inputSchema": {"maximum": 1e1, "type": "object"}, "title": "x", "_meta": {},
                 "description": "\u0061", "name": "t" }"#,
        );
        assert_eq!(one, other);
    }

    #[test]
    fn a_pin_depends_on_every_member_that_it_covers() {
        let base = r#""name":"t","description":"a","inputSchema":{},"outputSchema":{},"annotations":{}"#;
        let pinned = pin(&format!("{{{base}}}"));
        for member in [r#""t""#, r#""a""#] {
            assert_ne!(pin(&format!("{{{}}}", base.replace(member, r#""x""#))), pinned);
        }
        for member in ["inputSchema", "outputSchema", "annotations"] {
            let changed = base.replace(
                &format!(r#""{member}":{{}}"#),
                &format!(r#""{member}":{{"a":1}}"#),
            );
            assert_ne!(pin(&format!("{{{changed}}}")), pinned);
            let absent = base.replace(&format!(r#","{member}":{{}}"#), "");
            assert_ne!(pin(&format!("{{{absent}}}")), pinned);
        }
    }
}
