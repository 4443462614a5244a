//! Records of API keys that the companion has looked up. The key itself never leaves the proxy: only its digest is sent.

use std::rc::Rc;

use companion_protocol::KeyRecord;

use crate::{cache::Cache, session::digest};

/// Records of one worker. Keys that nobody has are kept apart, so that invented ones cannot drive known ones out.
pub(crate) struct Directory {
    known: Cache<(Rc<KeyRecord>, u64)>,
    unknown: Cache<()>,
}

/// What is known of a key.
pub(crate) enum Found {
    /// Its record, and until when that is believed, in milliseconds.
    Record(Rc<KeyRecord>, u64),
    Nobody,
}

/// A question to the companion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Question {
    /// The directory's name.
    pub(crate) directory: String,
    /// SHA-256 of the key.
    pub(crate) key: [u8; 32],
    /// How long the answer is believed, in seconds.
    pub(crate) ttl_s: u32,
    /// How long a key counts as unknown.
    pub(crate) unknown_ttl_s: u32,
}

impl Question {
    fn name(&self) -> [u8; 32] {
        digest(&[b"api key", self.directory.as_bytes(), &self.key])
    }
}

impl Directory {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            known: Cache::new(capacity),
            unknown: Cache::new(capacity),
        }
    }

    pub(crate) fn get(&self, question: &Question, now_ms: u64) -> Option<Found> {
        let name = question.name();
        if let Some((record, until_ms)) = self.known.get(&name, now_ms) {
            return Some(Found::Record(Rc::clone(record), *until_ms));
        }
        self.unknown.get(&name, now_ms).map(|()| Found::Nobody)
    }

    /// Keeps an answer.
    pub(crate) fn keep(&mut self, question: &Question, record: Option<KeyRecord>, now_ms: u64) {
        let until = |seconds: u32| now_ms.saturating_add(u64::from(seconds).saturating_mul(1000));
        match record {
            Some(record) => {
                let until_ms = until(question.ttl_s);
                let entry = (Rc::new(record), until_ms);
                self.known.put(question.name(), entry, until_ms, now_ms);
            }
            None => self
                .unknown
                .put(question.name(), (), until(question.unknown_ttl_s), now_ms),
        }
    }
}
