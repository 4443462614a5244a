//! The bearer token that admits a proxy.

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use sha2::{Digest, Sha256};

/// A token, kept as its digest: comparing digests takes the same time wherever the tokens differ first.
pub struct AccessToken([u8; 32]);

impl AccessToken {
    /// From the operator's text.
    pub fn new(text: &str) -> Self {
        Self(Sha256::digest(text).into())
    }

    /// Whether the request carries the token.
    pub fn admits(&self, headers: &HeaderMap) -> bool {
        headers
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .is_some_and(|(_, token)| Self::new(token.trim()).0 == self.0)
    }
}
