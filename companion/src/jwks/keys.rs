//! What of a published JWK set is passed on: public members of asymmetric keys.

use axum::body::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::json_object;

/// The most keys that are looked at; a rotation has two or three.
const MAX_KEYS: usize = 64;

/// Members of RFC 7517 section 4 and RFC 7518 sections 6.2.1, 6.3.1, RFC 8037 section 2 that a verifier uses. A list of
/// what may pass and not of what may not: a private member of tomorrow stays out as well.
const PUBLIC: [&str; 10] = ["kty", "kid", "use", "alg", "key_ops", "crv", "x", "y", "n", "e"];

/// RFC 7518 sections 6.2.2, 6.3.2, 6.4.1.
const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// A cleaned set.
#[derive(Debug)]
pub(super) struct Cleaned {
    pub(super) body: Bytes,
    /// Something private was in it.
    pub(super) private_members: bool,
}

/// Why nothing can be passed on.
#[derive(Debug, thiserror::Error)]
pub(super) enum KeysError {
    #[error("not a JWK set")]
    NotASet(#[from] serde_json::Error),
    #[error("more than {MAX_KEYS} keys")]
    TooMany,
    #[error("no public key in it")]
    Empty,
}

#[derive(Serialize, Deserialize)]
struct Set {
    keys: Vec<Map<String, Value>>,
}

/// Keeps the public members of RSA, EC and OKP keys.
pub(super) fn public_only(body: &[u8]) -> Result<Cleaned, KeysError> {
    let set: Set = json_object::parse(body)?;
    if set.keys.len() > MAX_KEYS {
        return Err(KeysError::TooMany);
    }
    let private_members = set
        .keys
        .iter()
        .any(|key| PRIVATE.iter().any(|member| key.contains_key(*member)));
    let keys: Vec<_> = set
        .keys
        .into_iter()
        .filter(|key| matches!(key.get("kty").and_then(Value::as_str), Some("RSA" | "EC" | "OKP")))
        .map(|mut key| {
            key.retain(|member, _| PUBLIC.contains(&member.as_str()));
            key
        })
        .collect();
    if keys.is_empty() {
        return Err(KeysError::Empty);
    }
    Ok(Cleaned {
        body: serde_json::to_vec(&Set { keys })?.into(),
        private_members,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_members_and_symmetric_keys_do_not_pass() {
        let set = br#"{"keys":[
            {"kty":"RSA","kid":"1","n":"AQ","e":"AQAB","d":"secret-d","p":"secret-p","x5c":["long"]},
            {"kty":"oct","kid":"2","k":"secret-k"}]}"#;
        let cleaned = public_only(set).expect("one key is left");
        let served: Value = serde_json::from_slice(&cleaned.body).expect("JSON");
        let expected = serde_json::json!({"keys": [{"kty": "RSA", "kid": "1", "n": "AQ", "e": "AQAB"}]});
        assert_eq!(served, expected);
        assert!(cleaned.private_members);
    }

    #[test]
    fn a_set_without_a_public_key_is_an_error() {
        for set in [
            "{}",
            "[]",
            r#"{"keys":[]}"#,
            r#"{"keys":[{"kty":"oct","k":"AQ"}]}"#,
            "<html>",
        ] {
            assert!(public_only(set.as_bytes()).is_err(), "{set}");
        }
    }
}
