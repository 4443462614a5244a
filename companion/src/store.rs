//! Labels of sessions and subjects.
//!
//! One trait, so that the state can live elsewhere (Valkey) when a fleet outgrows one machine. The laws that every
//! implementation keeps, and one test suite holds them to: an append is a monotonic union; it is durable when
//! acknowledged; a load that starts after an acknowledgement sees it; labels end when their lifetime says so
//! ([`Lifetimes`]) and not before; the epoch changes whenever labels may have been lost or removed.

mod admin;
mod bucket;
mod cases;
mod embedded;
mod epoch;
mod keys;
mod lifetime;
#[cfg(test)]
mod suite;
mod valkey;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use companion_protocol::{Labels, SessionKey};

pub use admin::{Bucket, Cleared, HeldLabel, MAX_LISTED, Selection};
pub use cases::{CaseStore, Change, Changed, EmbeddedCases, MAX_CASE_BYTES, MAX_MEMBERS, Stored};
pub use embedded::{EmbeddedStore, OpenError};
pub use lifetime::Lifetimes;
pub use valkey::{Address, AddressError, Foreign, LinkError, ValkeyError, ValkeyStore};

pub(crate) use epoch::random as random_id;
pub(crate) use keys::hex;

/// The most labels that one bucket holds. Labels come from policy text, so an honest bucket has a handful.
pub const MAX_LABELS: usize = 256;

/// The longest label in bytes.
pub const MAX_LABEL_BYTES: usize = 128;

/// A future of the store's.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// What `session.append` adds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Append {
    /// Whose.
    pub key: SessionKey,
    /// Labels for this session.
    pub labels: Vec<String>,
    /// Labels for every session of the subject.
    pub subject_labels: Vec<String>,
    /// How long the subject labels live, in seconds; absent: as `lifetimes` says.
    pub ttl_s: Option<u64>,
    /// What the policy says about how long labels live.
    pub lifetimes: Lifetimes,
}

impl Append {
    /// Refuses labels out of contract.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        for label in self.labels.iter().chain(&self.subject_labels) {
            if label.is_empty() || label.len() > MAX_LABEL_BYTES {
                return Err(StoreError::InvalidLabel);
            }
        }
        Ok(())
    }
}

/// Labels, and the epoch that was in force no later than they were read. A proxy that remembers them under this epoch
/// forgets them at the next answer if a clear or a loss came in between.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The labels.
    pub labels: Labels,
    /// The epoch.
    pub epoch: Arc<str>,
}

/// Why labels could not be read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// A part of the key is not a SHA-256 in lower-case hex.
    #[error("the session key is not two SHA-256 digests in lower-case hex")]
    InvalidKey,
    /// A label is empty or too long.
    #[error("a label is empty or longer than {MAX_LABEL_BYTES} bytes")]
    InvalidLabel,
    /// The bucket is full.
    #[error("a bucket holds at most {MAX_LABELS} labels")]
    BucketFull,
    /// The store failed; the log says why.
    #[error("the session store failed")]
    Unavailable,
}

/// Where labels live.
pub trait SessionStore: Send + Sync + 'static {
    /// Identifies the state: another epoch means that labels known under the old one may be gone. As last known;
    /// [`Held::epoch`] goes with labels.
    fn epoch(&self) -> Arc<str>;

    /// The labels of a session and of its subject; an unknown bucket is empty. Ended labels are not returned. Counts as
    /// a use of the session.
    fn load<'a>(&'a self, key: &'a SessionKey) -> StoreFuture<'a, Held>;

    /// Adds labels and returns the union. Durable when it returns. Counts as a use of the session.
    fn append(&self, append: Append) -> StoreFuture<'_, Held>;

    /// What a subject's buckets hold, at most [`MAX_LISTED`] of them. Does not count as a use.
    fn list<'a>(&'a self, selection: &'a Selection) -> StoreFuture<'a, Vec<Bucket>>;

    /// Removes the labels of the selected buckets and changes the epoch. Durable when it returns.
    fn clear<'a>(&'a self, selection: &'a Selection) -> StoreFuture<'a, Cleared>;

    /// False when the store has failed and needs an operator.
    fn healthy(&self) -> bool;
}
