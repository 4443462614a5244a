//! Claims of an ID token that came straight from the token endpoint.
//!
//! Its signature is not checked: OpenID Connect Core 1.0 section 3.1.3.7 item 6 lets the TLS connection to the provider
//! stand for it, and the companion takes ID tokens from nowhere else. Everything else of that section is.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use crate::json_object;

/// What the token must be.
pub(crate) struct Expected<'a> {
    pub(crate) issuer: Option<&'a str>,
    pub(crate) client_id: &'a str,
    pub(crate) nonce: Option<&'a str>,
    pub(crate) now_s: u64,
}

/// Clocks may differ by so much, in seconds.
const LEEWAY_S: u64 = 30;

/// Who somebody is, as their provider says.
#[derive(Debug)]
pub(crate) struct IdToken(Map<String, Value>);

/// Why a token does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct IdTokenError(pub(crate) &'static str);

impl IdToken {
    /// Reads and checks it.
    pub(crate) fn read(token: &str, expected: &Expected<'_>) -> Result<Self, IdTokenError> {
        let mut parts = token.split('.');
        let (Some(_), Some(payload), Some(_), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(IdTokenError("the ID token is no JWT"));
        };
        let claims = URL_SAFE_NO_PAD
            .decode(payload)
            .ok()
            .and_then(|bytes| json_object::parse(&bytes).ok());
        let token = Self(claims.ok_or(IdTokenError("the ID token cannot be read"))?);
        token.check(expected)?;
        Ok(token)
    }

    fn check(&self, expected: &Expected<'_>) -> Result<(), IdTokenError> {
        if expected
            .issuer
            .is_some_and(|issuer| self.text("iss") != Some(issuer))
        {
            return Err(IdTokenError("the ID token is of another issuer"));
        }
        let is_for = match self.0.get("aud") {
            Some(Value::String(one)) => one == expected.client_id,
            Some(Value::Array(many)) => many.iter().any(|one| one == expected.client_id),
            Some(_) | None => false,
        };
        let is_party = self.text("azp").is_none_or(|azp| azp == expected.client_id);
        if !is_for || !is_party {
            return Err(IdTokenError("the ID token is for another client"));
        }
        let lives = |exp: f64| exp as u64 + LEEWAY_S > expected.now_s;
        if !self.0.get("exp").and_then(Value::as_f64).is_some_and(lives) {
            return Err(IdTokenError("the ID token has ended"));
        }
        if expected
            .nonce
            .is_some_and(|nonce| self.text("nonce") != Some(nonce))
        {
            return Err(IdTokenError("the ID token answers another sign-in"));
        }
        Ok(())
    }

    /// A claim that is a text and not empty.
    pub(crate) fn text(&self, claim: &str) -> Option<&str> {
        self.0
            .get(claim)
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty())
    }

    /// Everything that the person is known as, verified or not: it only ever keeps somebody from approving.
    pub(crate) fn names(&self) -> Vec<String> {
        ["sub", "preferred_username", "upn", "email"]
            .into_iter()
            .filter_map(|claim| self.text(claim))
            .map(str::to_owned)
            .collect()
    }

    /// The claim that says who it is. `email` counts only when the provider has verified it.
    pub(crate) fn approver(&self, claim: &str) -> Option<&str> {
        if claim == "email" && self.0.get("email_verified") != Some(&Value::Bool(true)) {
            return None;
        }
        self.text(claim)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(claims: &Value) -> Result<IdToken, IdTokenError> {
        let token = format!("e30.{}.x", URL_SAFE_NO_PAD.encode(claims.to_string()));
        let expected = Expected {
            issuer: Some("https://op"),
            client_id: "c",
            nonce: Some("n"),
            now_s: 1000,
        };
        IdToken::read(&token, &expected)
    }

    #[test]
    fn another_issuer_client_nonce_or_time_does_not_count() {
        let good = json!({"iss": "https://op", "aud": "c", "exp": 2000, "nonce": "n", "sub": "s"});
        assert_eq!(read(&good).expect("counts").names(), ["s"]);
        for (claim, value) in [
            ("iss", json!("https://op/")),
            ("aud", json!(["d"])),
            ("azp", json!("d")),
            ("exp", json!(900)),
            ("exp", json!("2000")),
            ("nonce", json!("m")),
        ] {
            let mut wrong = good.clone();
            wrong[claim] = value;
            assert!(read(&wrong).is_err(), "{claim}");
        }
    }

    #[test]
    fn an_address_counts_only_when_it_was_verified() {
        let mut claims = json!({"iss": "https://op", "aud": "c", "exp": 2000, "nonce": "n", "email": "a@b"});
        assert_eq!(read(&claims).expect("reads").approver("email"), None);
        claims["email_verified"] = json!(true);
        assert_eq!(read(&claims).expect("reads").approver("email"), Some("a@b"));
    }
}
