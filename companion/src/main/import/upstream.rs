//! Keys of CPEX and praxis 0.5, which are the same: a session has an id of 16 hex digits, the first half of a SHA-256, and its
//! labels lie in a set under the SHA-256 of that id.
//!
//! | the session comes from | hashed |
//! |---|---|
//! | what the host says (`X-Session-Id`), or the claim `session_id` | `subject:id` |
//! | neither | `subject:caller:gateway`, client ids of both workloads (0.5: actor and audience), `-` for one that is unknown |
//!
//! Nothing is escaped, so `a:b` with `c` and `a` with `b:c` share a set: what lies there goes to both.

use sha2::{Digest, Sha256};

/// What it writes for a workload that it does not know.
const UNKNOWN: &str = "-";

/// The name of the set of a session with an id.
pub(super) fn of_session(subject: &str, id: &str) -> String {
    name(&format!("{subject}:{id}"))
}

/// The name of the set of whoever has no session's id.
pub(super) fn of_identity(subject: &str, caller: Option<&str>, gateway: Option<&str>) -> String {
    let (caller, gateway) = (caller.unwrap_or(UNKNOWN), gateway.unwrap_or(UNKNOWN));
    name(&format!("{subject}:{caller}:{gateway}"))
}

/// Whether a key may be one of these at all.
pub(super) fn is_name(text: &str) -> bool {
    let is_hex = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
    text.len() == 64 && text.bytes().all(is_hex)
}

fn name(raw: &str) -> String {
    let id: String = hex(&Sha256::digest(raw)).chars().take(16).collect();
    hex(&Sha256::digest(id))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    // Computed by `sha256sum`, not by this code.
    #[test]
    fn names_are_those_that_upstream_writes() {
        assert_eq!(
            of_session("alice", "chat-7"),
            "506982ed3ab307da4c2f17ed87b8157e1e1d3b20a7dad138bb8308a46e353f18"
        );
        assert_eq!(
            of_identity("alice", None, None),
            "855912aa9820fe0a7b54da2cbc5456b801313979c103c5420c8320ad1710b2b9"
        );
        assert_eq!(
            of_identity("alice", Some("hr-copilot"), Some("praxis-gateway")),
            "5cd0131d096de6906dfdadf243f663bd45197f5b82ccbbafd5e4bd18f08a9316"
        );
        assert_eq!(of_session("a:b", "c"), of_session("a", "b:c"));
    }
}
