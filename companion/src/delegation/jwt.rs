//! Looks into a minted JWT. Its signature is not checked: it came from the token endpoint itself, and the backend that
//! receives it verifies it. Only what it claims is compared with what was asked for.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::json_object;

/// The claims that decide.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Claims {
    /// For whom it speaks.
    #[serde(default)]
    pub(super) sub: Option<String>,
    /// For which services.
    #[serde(default)]
    aud: Option<OneOrMany>,
    /// When it ends, in seconds; some providers send a fraction.
    #[serde(default)]
    exp: Option<f64>,
    /// Scopes as one string (RFC 9068) or a list.
    #[serde(default)]
    scope: Option<OneOrMany>,
    /// The same under Entra's and Okta's name.
    #[serde(default)]
    scp: Option<OneOrMany>,
    /// Who acts (RFC 8693 section 4.1).
    #[serde(default)]
    pub(super) act: Option<Value>,
}

/// All claims of a JWT; `None`: it is none. For tokens that the proxy has verified.
pub(super) fn payload(token: &str) -> Option<Map<String, Value>> {
    let mut parts = token.split('.');
    let (_header, payload, _signature) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    json_object::parse(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    fn as_slice(&self) -> &[String] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        }
    }
}

impl Claims {
    /// The claims of `token`, or `None` if it is opaque. A claim of an unexpected shape, or twice the same, makes it
    /// opaque too: what cannot be read for certain is not verified.
    pub(super) fn of(token: &str) -> Option<Self> {
        let mut parts = token.split('.');
        let (header, payload, _signature) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() {
            return None;
        }
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).ok();
        let _header: Map<String, Value> = serde_json::from_slice(&decode(header)?).ok()?;
        json_object::parse(&decode(payload)?).ok()
    }

    /// Whether the token is for this audience.
    pub(super) fn is_for(&self, audience: &str) -> bool {
        self.aud
            .as_ref()
            .is_some_and(|aud| aud.as_slice().iter().any(|one| one == audience))
    }

    /// The end in whole seconds.
    pub(super) fn ends_at(&self) -> Option<u64> {
        // Out of range values saturate; NaN cannot be written in JSON.
        self.exp.map(|exp| exp as u64)
    }

    /// The `sub` of who acts now.
    pub(super) fn actor(&self) -> Option<&str> {
        self.act.as_ref()?.get("sub")?.as_str()
    }

    /// Every scope that the token carries.
    pub(super) fn scopes(&self) -> impl Iterator<Item = &str> {
        [&self.scope, &self.scp]
            .into_iter()
            .flatten()
            .flat_map(OneOrMany::as_slice)
            .flat_map(|text| text.split_ascii_whitespace())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(payload: &str) -> String {
        let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
        format!("{}.{}.c2ln", part(r#"{"alg":"RS256"}"#), part(payload))
    }

    #[test]
    fn reads_audience_and_scope_as_string_or_list() {
        let one = Claims::of(&token(r#"{"aud":"a","scope":"x y","exp":7.9}"#)).expect("a JWT");
        assert!(one.is_for("a") && !one.is_for("b"));
        assert_eq!(one.scopes().collect::<Vec<_>>(), ["x", "y"]);
        assert_eq!(one.ends_at(), Some(7));
        let many = Claims::of(&token(r#"{"aud":["a","b"],"scp":["x"]}"#)).expect("a JWT");
        assert!(many.is_for("b"));
        assert_eq!(many.scopes().collect::<Vec<_>>(), ["x"]);
    }

    #[test]
    fn what_cannot_be_read_for_certain_is_opaque() {
        for token in [
            "opaque".to_owned(),
            "a.b.c".to_owned(),
            format!("{}.x", token("{}")),
            token("[]"),
            token(r#"{"sub":"a","sub":"b"}"#),
            token(r#"{"sub":7}"#),
        ] {
            assert!(Claims::of(&token).is_none(), "{token}");
        }
    }
}
