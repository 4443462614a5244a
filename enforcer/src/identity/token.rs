//! A JSON Web Token: its parts, and the checks of RFC 7515, 7519 and 8725 that stand between it and belief.
//!
//! Signatures are checked in `signature`. Times are compared here, with the time of the event: nothing reads a clock.

use apl_bytecode::{Issuer, MeshIssuer, Program, StrId};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::{keys::KeySet, spiffe};

/// Longest token in bytes.
const MAX_TOKEN: usize = 16 << 10;

/// The leeway for `exp` and `nbf` when policy says none, in seconds.
const DEFAULT_LEEWAY_S: u64 = 60;

/// Why a token is not believed. The code is the stable one of the wire contract; the text never holds a claim's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TokenError {
    #[error("the credential is missing or is not a bearer token")]
    Malformed,
    #[error("the token's issuer is not trusted")]
    UntrustedIssuer,
    #[error("the token's signature is not valid")]
    Signature,
    #[error("the token has expired")]
    Expired,
    #[error("the token is not valid yet")]
    NotYetValid,
    #[error("the token is for another audience")]
    Audience,
    #[error("the token's algorithm is not allowed")]
    Algorithm,
    #[error("the token's key is not known")]
    UnknownKid,
    #[error("the issuer's keys are not available")]
    KeysUnavailable,
    #[error("the token is not valid")]
    Invalid,
    #[error("the token has a critical header that is not understood")]
    Critical,
    #[error("the credential names no identity")]
    Mapping,
    #[error("the workload's trust domain is not trusted")]
    Workload,
    #[error("the credential is missing")]
    Missing,
    #[error("the API key is empty")]
    EmptyKey,
    #[error("the API key is not known")]
    UnknownKey,
    #[error("the API key has expired")]
    ExpiredKey,
    #[error("the directory of API keys cannot be asked")]
    Directory,
    #[error("the credential is of no kind that is accepted here")]
    Unrecognized,
}

impl TokenError {
    /// The stable code.
    pub(crate) const fn code(self) -> &'static str {
        match self {
            Self::Malformed => "auth.malformed_header",
            Self::UntrustedIssuer => "auth.untrusted_issuer",
            Self::Signature => "auth.signature_invalid",
            Self::Expired => "auth.token_expired",
            Self::NotYetValid => "auth.token_not_yet_valid",
            Self::Audience => "auth.audience_mismatch",
            Self::Algorithm => "auth.algorithm_mismatch",
            Self::UnknownKid => "auth.unknown_kid",
            Self::KeysUnavailable => "auth.jwks_unavailable",
            Self::Invalid => "auth.token_invalid",
            Self::Critical => "auth.unsupported_critical_header",
            Self::Mapping => "auth.mapping_failed",
            Self::Workload => "auth.untrusted_workload",
            Self::Missing => "auth.missing_credential",
            Self::EmptyKey => "auth.empty_credential",
            Self::UnknownKey => "auth.key_unknown",
            Self::ExpiredKey => "auth.key_expired",
            Self::Directory => "auth.directory_unavailable",
            Self::Unrecognized => "auth.unrecognized_credential",
        }
    }
}

/// The token in a header's value. Without a `prefix` of its own an optional `Bearer` in any case is dropped; a `prefix`, in
/// any case, must stand there.
///
/// # Errors
///
/// [`TokenError::Malformed`]: nothing there, or something with white space in it.
pub(crate) fn token_in<'v>(value: &'v str, prefix: Option<&str>) -> Result<&'v str, TokenError> {
    let value = value.trim();
    let token = match (prefix, value.split_once(' ')) {
        (Some(prefix), _) => behind(value, prefix).ok_or(TokenError::Malformed)?.trim_start(),
        (None, Some((scheme, rest))) if scheme.eq_ignore_ascii_case("bearer") => rest.trim_start(),
        (None, Some(_)) => return Err(TokenError::Malformed),
        (None, None) => value,
    };
    let fine = !token.is_empty()
        && !token.eq_ignore_ascii_case("bearer")
        && token.bytes().all(|byte| byte.is_ascii_graphic());
    if fine {
        Ok(token)
    } else {
        Err(TokenError::Malformed)
    }
}

/// What stands behind a prefix in any case; `None`: it does not begin with it.
pub(crate) fn behind<'v>(value: &'v str, prefix: &str) -> Option<&'v str> {
    let (head, rest) = value.split_at_checked(prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then_some(rest)
}

/// A token taken apart, not believed yet.
pub(crate) struct Token<'a> {
    /// What is signed: header and payload as sent.
    signed: &'a str,
    header: Vec<u8>,
    payload: Vec<u8>,
    signature: Vec<u8>,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    kid: Option<String>,
    #[serde(default)]
    crit: Option<Value>,
    #[serde(default)]
    b64: Option<bool>,
}

impl<'a> Token<'a> {
    /// Takes a token apart. Base64url must be canonical, so that one token has one spelling.
    ///
    /// # Errors
    ///
    /// [`TokenError::Malformed`].
    pub(crate) fn split(text: &'a str) -> Result<Self, TokenError> {
        if text.len() > MAX_TOKEN {
            return Err(TokenError::Malformed);
        }
        let (signed, signature) = text.rsplit_once('.').ok_or(TokenError::Malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(TokenError::Malformed)?;
        if payload.contains('.') {
            return Err(TokenError::Malformed);
        }
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenError::Malformed);
        Ok(Self {
            signed,
            header: decode(header)?,
            payload: decode(payload)?,
            signature: decode(signature)?,
        })
    }

    /// Names the token: SHA-256 over its decoded parts, each with its length.
    pub(crate) fn digest(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        for part in [&self.header, &self.payload, &self.signature] {
            hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            hash.update(part);
        }
        hash.finalize().into()
    }

    /// The issuer that the token names. A trust domain vouches for the workloads in it: an issuer that is written as
    /// `spiffe://<domain>` is found by `sub`, because a JWT-SVID need not name who issued it.
    ///
    /// # Errors
    ///
    /// [`TokenError::UntrustedIssuer`].
    pub(crate) fn issuer<'p>(
        &self,
        program: &Program,
        issuers: &'p [Issuer],
    ) -> Result<&'p Issuer, TokenError> {
        #[derive(Deserialize)]
        struct Peek {
            #[serde(default)]
            iss: Option<String>,
            #[serde(default)]
            sub: Option<String>,
        }
        let peek: Peek = serde_json::from_slice(&self.payload).map_err(|_| TokenError::UntrustedIssuer)?;
        let domain = peek.sub.as_deref().and_then(spiffe::domain);
        issuers
            .iter()
            .find(|issuer| {
                let name = text_of(program, issuer.issuer);
                match name.strip_prefix("spiffe://") {
                    Some(trusted) => domain == Some(trusted),
                    None => peek.iss.as_deref() == Some(name),
                }
            })
            .ok_or(TokenError::UntrustedIssuer)
    }

    /// Checks everything and returns the claims.
    ///
    /// # Errors
    ///
    /// The first check that fails. [`TokenError::UnknownKid`] and [`TokenError::KeysUnavailable`] may change when keys
    /// are fetched.
    pub(crate) fn verify(
        &self,
        program: &Program,
        issuer: &Issuer,
        keys: &KeySet,
        now_ms: u64,
    ) -> Result<Map<String, Value>, TokenError> {
        let header: Header = serde_json::from_slice(&self.header).map_err(|_| TokenError::Malformed)?;
        if header.crit.is_some() || header.b64 == Some(false) {
            return Err(TokenError::Critical);
        }
        let algorithm = issuer
            .algorithms
            .iter()
            .copied()
            .find(|algorithm| algorithm.name() == header.alg)
            .ok_or(TokenError::Algorithm)?;
        if !keys.has_keys() {
            return Err(TokenError::KeysUnavailable);
        }
        let key = keys.get(header.kid.as_deref()).ok_or(TokenError::UnknownKid)?;
        if !key.fits(algorithm) {
            return Err(TokenError::Algorithm);
        }
        if !key
            .key()
            .verify(algorithm, self.signed.as_bytes(), &self.signature)
        {
            return Err(TokenError::Signature);
        }
        let claims: Map<String, Value> =
            serde_json::from_slice(&self.payload).map_err(|_| TokenError::Invalid)?;
        check_times(&claims, issuer.leeway_s, now_ms)?;
        check_audience(program, &claims, &issuer.audiences)?;
        Ok(claims)
    }
}

/// Checks claims of a token whose signature the proxy has checked.
///
/// # Errors
///
/// The first check that fails.
pub(crate) fn check_claims<'p>(
    program: &Program,
    issuers: &'p [MeshIssuer],
    claims: &Map<String, Value>,
    now_ms: u64,
) -> Result<&'p MeshIssuer, TokenError> {
    let iss = claims.get("iss").and_then(Value::as_str);
    let issuer = issuers
        .iter()
        .find(|issuer| iss == Some(text_of(program, issuer.issuer)))
        .ok_or(TokenError::UntrustedIssuer)?;
    check_times(claims, issuer.leeway_s, now_ms)?;
    check_audience(program, claims, &issuer.audiences)?;
    Ok(issuer)
}

/// The second at which a token ends, with its issuer's leeway: how long it may be believed.
pub(crate) fn believed_until(claims: &Map<String, Value>, leeway_s: u32) -> u64 {
    claims
        .get("exp")
        .and_then(numeric_date)
        .unwrap_or(0)
        .saturating_add(leeway(leeway_s))
}

fn leeway(seconds: u32) -> u64 {
    if seconds == 0 {
        DEFAULT_LEEWAY_S
    } else {
        u64::from(seconds)
    }
}

fn check_times(claims: &Map<String, Value>, leeway_s: u32, now_ms: u64) -> Result<(), TokenError> {
    let now = now_ms / 1000;
    let exp = claims
        .get("exp")
        .and_then(numeric_date)
        .ok_or(TokenError::Invalid)?;
    if now >= exp.saturating_add(leeway(leeway_s)) {
        return Err(TokenError::Expired);
    }
    if let Some(nbf) = claims.get("nbf") {
        let nbf = numeric_date(nbf).ok_or(TokenError::Invalid)?;
        if nbf > now.saturating_add(leeway(leeway_s)) {
            return Err(TokenError::NotYetValid);
        }
    }
    Ok(())
}

/// RFC 7519 section 2: a number of seconds, perhaps with a fraction.
fn numeric_date(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| {
        let float = value.as_f64()?;
        // Saturates, and a NaN cannot come from JSON.
        (float >= 0.0).then_some(float as u64)
    })
}

fn check_audience(
    program: &Program,
    claims: &Map<String, Value>,
    audiences: &[StrId],
) -> Result<(), TokenError> {
    if audiences.is_empty() {
        return Ok(());
    }
    let accepted = |found: &str| audiences.iter().any(|wanted| text_of(program, *wanted) == found);
    let fine = match claims.get("aud") {
        Some(Value::String(found)) => accepted(found),
        Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).any(accepted),
        Some(_) | None => false,
    };
    if fine { Ok(()) } else { Err(TokenError::Audience) }
}

/// A text of the program. The verifier has checked the index.
pub(crate) fn text_of(program: &Program, id: StrId) -> &str {
    program.strings.get(id.at()).map_or("", String::as_str)
}
