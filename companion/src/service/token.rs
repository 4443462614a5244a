//! The bearer tokens that admit a proxy: one, and while it is being replaced the next one beside it.

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

/// Every token that counts now.
pub struct AccessTokens(Vec<AccessToken>);

impl AccessTokens {
    /// Those that stand in a text, one a line; empty lines and lines that begin with `#` are none. `None`: no line is one.
    pub fn of_lines(text: &str) -> Option<Self> {
        let lines = text.lines().map(str::trim);
        let tokens: Vec<AccessToken> = lines
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .map(AccessToken::new)
            .collect();
        (!tokens.is_empty()).then_some(Self(tokens))
    }

    /// The only one.
    pub fn one(text: &str) -> Self {
        Self(vec![AccessToken::new(text)])
    }

    /// Whether the request carries one of them.
    pub fn admit(&self, headers: &HeaderMap) -> bool {
        // No short cut: which of them it was shows in no time.
        self.0
            .iter()
            .fold(false, |admitted, token| token.admits(headers) | admitted)
    }
}
