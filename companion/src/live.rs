//! Something that is replaced while it is used: whoever has begun with the old one ends with it.

use std::sync::{Arc, PoisonError, RwLock};

/// See the module.
pub(crate) struct Live<T>(RwLock<Arc<T>>);

impl<T> Live<T> {
    /// This, for now.
    pub(crate) fn new(first: Arc<T>) -> Self {
        Self(RwLock::new(first))
    }

    /// The newest.
    pub(crate) fn get(&self) -> Arc<T> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// From now on this.
    pub(crate) fn set(&self, next: Arc<T>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = next;
    }
}
