//! Who asks: verified credentials, and the attributes that they give.

pub(crate) mod claims;
pub(crate) mod directory;
pub(crate) mod flatten;
pub(crate) mod keys;
pub(crate) mod metadata;
pub(crate) mod present;
pub(crate) mod principal;
pub(crate) mod signature;
pub(crate) mod spiffe;
pub(crate) mod token;
