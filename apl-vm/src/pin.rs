//! What pins the definition of a tool: a digest of all that a model is told about it.

use sha2::{Digest as _, Sha256};

use crate::json::{Node, NotCanonical, Numbers, canonical_members};

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
