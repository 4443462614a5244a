//! The epoch of a store: a random text that changes whenever labels may be gone.

use std::sync::{Arc, PoisonError, RwLock};

/// The epoch in force.
pub(super) struct Epoch(RwLock<Arc<str>>);

impl Epoch {
    pub(super) fn draw() -> Result<Self, getrandom::Error> {
        Ok(Self(RwLock::new(random()?.into())))
    }

    /// Of a server that has not answered yet.
    pub(super) fn unknown() -> Self {
        Self(RwLock::default())
    }

    pub(super) fn get(&self) -> Arc<str> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn set(&self, epoch: Arc<str>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = epoch;
    }
}

/// 128 random bits as hex.
pub(crate) fn random() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 16];
    getrandom::getrandom(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
