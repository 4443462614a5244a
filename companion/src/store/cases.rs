//! Documents that change by compare-and-swap: one an elicitation, and the key that signs sessions of the approval pages.
//!
//! Written at a human's pace, so every change is a durable transaction of its own. The laws, and one suite holds both
//! implementations to them: a change is durable when acknowledged; of two changes to one version, one wins; a group has no
//! more members than its room; what has ended is not found.

mod embedded;
#[cfg(test)]
pub(crate) mod suite;
mod valkey;

use super::{StoreError, StoreFuture};

pub use embedded::EmbeddedCases;

/// The longest document in bytes.
pub const MAX_CASE_BYTES: usize = 64 << 10;

/// A document and its version; the first version is 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Counts the changes.
    pub version: u64,
    /// The document.
    pub text: String,
}

/// A change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Which document.
    pub key: String,
    /// The version that is replaced; 0: there is none, or it has ended.
    pub expected: u64,
    /// The new document.
    pub text: String,
    /// The groups that it is listed in from now on, in place of those before.
    pub groups: Vec<String>,
    /// When it ends, milliseconds since the Unix epoch.
    pub ends_ms: u64,
    /// Refuse if this group has so many members besides this one.
    pub room: Option<(String, usize)>,
}

/// What became of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changed {
    /// It is durable.
    Done,
    /// Another version is there.
    Conflict,
    /// The group is full.
    Full,
}

impl Change {
    fn check(&self) -> Result<(), StoreError> {
        // Both stores build longer keys from these; a separator inside one would make two meet.
        let is_name = |name: &str| {
            !name.is_empty()
                && name.len() <= 128
                && name
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b':' | b'-' | b'_'))
        };
        let names = std::iter::once(&self.key).chain(&self.groups);
        let fits = self.text.len() <= MAX_CASE_BYTES && names.into_iter().all(|name| is_name(name));
        fits.then_some(()).ok_or(StoreError::InvalidKey)
    }
}

/// Where they are kept.
pub trait CaseStore: Send + Sync + 'static {
    /// The document, unless it has ended.
    fn get<'a>(&'a self, key: &'a str, now_ms: u64) -> StoreFuture<'a, Option<Stored>>;

    /// Changes it. Durable when it returns [`Changed::Done`].
    fn change(&self, change: Change, now_ms: u64) -> StoreFuture<'_, Changed>;

    /// Keys of a group's members that have not ended, at most [`MAX_MEMBERS`].
    fn members<'a>(&'a self, group: &'a str, now_ms: u64) -> StoreFuture<'a, Vec<String>>;
}

/// The most members that are listed.
pub const MAX_MEMBERS: usize = 256;
