//! What an operator sees and removes.

use companion_protocol::SessionKey;
use serde::{Deserialize, Serialize};

use super::StoreError;

/// The most buckets that one listing shows.
pub const MAX_LISTED: usize = 1000;

/// Which buckets are meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Selection {
    /// The subject's digest, 64 lower-case hex digits.
    pub subject: String,
    /// One session of the subject; absent: all its sessions and the labels of the subject itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
}

impl Selection {
    /// Checks the digests.
    pub(super) fn keys(&self) -> Result<SelectedKeys, StoreError> {
        let key = SessionKey {
            subject: self.subject.clone(),
            session: self.session.clone().unwrap_or_else(|| self.subject.clone()),
        };
        let keys = super::keys::BucketKeys::of(&key)?;
        Ok(SelectedKeys {
            subject: keys.subject,
            session: self.session.is_some().then_some(keys.session),
        })
    }
}

/// A selection as row keys.
pub(super) struct SelectedKeys {
    pub(super) subject: [u8; 32],
    pub(super) session: Option<[u8; 64]>,
}

/// One bucket and what lies in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Bucket {
    /// The subject's digest.
    pub subject: String,
    /// The session's digest; absent: labels of the subject itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// Its labels, sorted.
    pub labels: Vec<HeldLabel>,
}

/// A label and when it ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct HeldLabel {
    /// The label.
    pub label: String,
    /// Milliseconds since the Unix epoch, if it is neither used nor appended again; absent: it does not end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends_at_ms: Option<u64>,
}

/// What a clear did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Cleared {
    /// Labels that are gone.
    pub labels: u64,
    /// The epoch from now on.
    pub epoch: String,
}
