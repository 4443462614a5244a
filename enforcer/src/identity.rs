//! Who asks: verified credentials, and the attributes that they give.

pub(crate) mod claims;
pub(crate) mod keys;
pub(crate) mod principal;
pub(crate) mod signature;
pub(crate) mod token;
