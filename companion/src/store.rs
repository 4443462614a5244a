//! Labels of sessions and subjects.
//!
//! One trait, so that the state can live elsewhere (Valkey) when a fleet outgrows one machine. The laws that every
//! implementation keeps: an append is a monotonic union; it is durable when acknowledged; a load that starts after an
//! acknowledgement sees it; the epoch changes whenever labels may have been lost or removed.

mod bucket;
mod embedded;
mod keys;

use std::future::Future;
use std::pin::Pin;

use companion_protocol::{Labels, SessionKey};

pub use embedded::{EmbeddedStore, OpenError};

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
    /// How long the subject labels live, in seconds; absent: for ever.
    pub ttl_s: Option<u64>,
}

/// Why labels could not be read or written.
#[derive(Debug, Clone, thiserror::Error)]
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
    /// Identifies the state: another epoch means that labels known under the old one may be gone.
    fn epoch(&self) -> &str;

    /// The labels of a session and of its subject; an unknown bucket is empty. Expired labels are not returned.
    fn load<'a>(&'a self, key: &'a SessionKey) -> StoreFuture<'a, Labels>;

    /// Adds labels and returns the union. Durable when it returns.
    fn append(&self, append: Append) -> StoreFuture<'_, Labels>;

    /// False when the store has failed and needs an operator.
    fn healthy(&self) -> bool;
}
