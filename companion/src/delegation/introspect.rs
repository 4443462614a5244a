//! What the provider says of an opaque token (RFC 7662 section 2.2).

use serde::Deserialize;

use super::DelegationError;
use super::jwt::Claims;
use crate::json_object;

#[derive(Deserialize)]
struct Introspection {
    active: bool,
}

/// The token's claims. One that is not active is none.
pub(super) fn claims(body: &[u8]) -> Result<Claims, DelegationError> {
    use DelegationError::BadResponse;
    let shape = |_| BadResponse("the introspection's JSON has another shape");
    let introspection: Introspection = json_object::parse(body).map_err(shape)?;
    match introspection.active {
        true => json_object::parse(body).map_err(shape),
        false => Err(BadResponse("the token is not active")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_active_token_has_claims() {
        let read = claims(br#"{"active":true,"sub":"bob","aud":["api"],"scope":"read","username":"x"}"#)
            .expect("claims");
        assert_eq!(read.sub.as_deref(), Some("bob"));
        assert!(read.is_for("api"));
        for text in [
            r#"{"active":false,"sub":"bob","aud":"api"}"#,
            r#"{"sub":"bob","aud":"api"}"#,
            r#"{"active":"true","sub":"bob"}"#,
            r#"{"active":true,"active":true,"sub":"bob"}"#,
            r#"{"active":true,"sub":"bob","sub":"eve"}"#,
            "[true]",
            "",
        ] {
            assert!(claims(text.as_bytes()).is_err(), "{text}");
        }
    }
}
