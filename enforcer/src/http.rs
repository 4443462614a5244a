//! HTTP: which requests are looked at, and what of their heads is kept.

pub(crate) mod arguments;
pub(crate) mod head;
pub(crate) mod media;
pub(crate) mod metadata;
pub(crate) mod path;
pub(crate) mod public;
