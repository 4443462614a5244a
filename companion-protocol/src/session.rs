//! Which bucket a label lies in.

use serde::{Deserialize, Serialize};

/// A session of one verified subject. Both parts are full SHA-256 digests in lower-case hex, computed by the proxy over
/// length-prefixed parts, so that no choice of ids can make two subjects meet in one bucket.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SessionKey {
    /// Digest of the verified subject (issuer and `sub`).
    pub subject: String,
    /// Digest of subject and session id; the same as one bucket per subject when the client names no session.
    pub session: String,
}
