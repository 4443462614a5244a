//! Tokens for the identities of a test, signed with keys that this program is built with.
//!
//! The keys are public knowledge, and nothing but the enforcer in this process believes them. Tokens take the way of real
//! ones: header, parsing, algorithm, signature, times, audience, claim mapping.

use apl_bytecode::{Algorithm, Identity as Declared, Program, StrId, TokenRole};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{EncodingKey, jwk::Jwk};
use serde_json::{Map, Value, json};

use crate::case::{Fault, Speaker};

/// How long a test's token lives, in seconds.
pub(crate) const LIFE_S: u64 = 3600;

/// A key of each kind that policies may name.
const KINDS: [Algorithm; 3] = [Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa];

/// The public keys, for every issuer.
pub(crate) fn jwks() -> Option<String> {
    let keys: Option<Vec<Value>> = KINDS.iter().map(|kind| jwk(*kind)).collect();
    Some(json!({ "keys": keys? }).to_string())
}

fn jwk(kind: Algorithm) -> Option<Value> {
    let mut jwk = serde_json::to_value(Jwk::from_encoding_key(&key(kind), signing(kind)).ok()?).ok()?;
    let map = jwk.as_object_mut()?;
    map.insert("kid".to_owned(), kid(kind).into());
    map.insert("use".to_owned(), "sig".into());
    // One RSA key signs with every RSA algorithm.
    map.remove("alg");
    Some(jwk)
}

/// A token that says what the speaker's would.
///
/// # Errors
///
/// It could not be signed.
pub(crate) fn token(
    program: &Program,
    declared: &Declared,
    speaker: &Speaker,
    fault: Option<Fault>,
    now_ms: u64,
) -> Result<String, String> {
    let Some(issuer) = declared.issuers().first() else {
        return Err(format!("`{}` has no issuer", text(program, declared.name)));
    };
    let Some(algorithm) = issuer.algorithms.first().copied() else {
        return Err(format!("`{}` has no algorithm", text(program, declared.name)));
    };
    let claims = claims(
        declared.role,
        text(program, issuer.issuer),
        issuer.audiences.first().map(|audience| text(program, *audience)),
        speaker,
        fault,
        now_ms,
    );
    signed(claims, algorithm, fault == Some(Fault::Signature))
}

/// A token with these claims. `broken`: well-formed, and what another text would be signed with.
///
/// # Errors
///
/// It could not be signed.
pub(crate) fn signed(
    claims: Map<String, Value>,
    algorithm: Algorithm,
    broken: bool,
) -> Result<String, String> {
    let header = json!({ "alg": algorithm.name(), "typ": "JWT", "kid": kid(algorithm) });
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let text = format!("{}.{}", part(&header), part(&Value::Object(claims)));
    let signs = if broken { "something else" } else { &text };
    let signature = jsonwebtoken::crypto::sign(signs.as_bytes(), &key(algorithm), signing(algorithm))
        .map_err(|error| error.to_string())?;
    Ok(format!("{text}.{signature}"))
}

/// The claims of a token of this issuer.
pub(crate) fn claims(
    role: TokenRole,
    issuer: &str,
    audience: Option<&str>,
    speaker: &Speaker,
    fault: Option<Fault>,
    now_ms: u64,
) -> Map<String, Value> {
    let now = now_ms / 1000;
    let exp = if fault == Some(Fault::Expired) {
        now.saturating_sub(LIFE_S)
    } else {
        now + LIFE_S
    };
    let iss = if fault == Some(Fault::Issuer) {
        "https://issuer.invalid"
    } else {
        issuer
    };
    let audience = if fault == Some(Fault::Audience) {
        "audience.invalid"
    } else {
        audience.unwrap_or("aplc-test")
    };
    let mut claims = Map::new();
    let mut put = |key: &str, value: Value| claims.insert(key.to_owned(), value);
    put("iss", iss.into());
    put("sub", speaker.id.clone().into());
    put("aud", json!([audience]));
    put("iat", now.saturating_sub(60).into());
    put("exp", exp.into());
    if role == TokenRole::Client {
        put("client_id", speaker.id.clone().into());
    }
    // The author's own claims win: a test may send whatever an issuer could.
    claims.extend(speaker.claims.clone());
    claims
}

fn kid(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::Rs256
        | Algorithm::Rs384
        | Algorithm::Rs512
        | Algorithm::Ps256
        | Algorithm::Ps384
        | Algorithm::Ps512 => "aplc-test-rsa",
        Algorithm::Es256 => "aplc-test-ec",
        Algorithm::EdDsa => "aplc-test-ed",
    }
}

const fn signing(algorithm: Algorithm) -> jsonwebtoken::Algorithm {
    match algorithm {
        Algorithm::Rs256 => jsonwebtoken::Algorithm::RS256,
        Algorithm::Rs384 => jsonwebtoken::Algorithm::RS384,
        Algorithm::Rs512 => jsonwebtoken::Algorithm::RS512,
        Algorithm::Ps256 => jsonwebtoken::Algorithm::PS256,
        Algorithm::Ps384 => jsonwebtoken::Algorithm::PS384,
        Algorithm::Ps512 => jsonwebtoken::Algorithm::PS512,
        Algorithm::Es256 => jsonwebtoken::Algorithm::ES256,
        Algorithm::EdDsa => jsonwebtoken::Algorithm::EdDSA,
    }
}

/// The signing key.
fn key(algorithm: Algorithm) -> EncodingKey {
    match algorithm {
        Algorithm::Rs256
        | Algorithm::Rs384
        | Algorithm::Rs512
        | Algorithm::Ps256
        | Algorithm::Ps384
        | Algorithm::Ps512 => EncodingKey::from_rsa_der(include_bytes!("rsa-2048-for-tests.der")),
        Algorithm::Es256 => {
            // PKCS #8 of an EC key without its public half (RFC 5915).
            let mut der = vec![
                0x30, 0x41, 2, 1, 0, 0x30, 0x13, 6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 8,
            ];
            der.extend([
                0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7, 4, 0x27, 0x30, 0x25, 2, 1, 1, 4, 0x20,
            ]);
            der.extend([7; 32]);
            EncodingKey::from_ec_der(&der)
        }
        Algorithm::EdDsa => {
            // PKCS #8 of an Ed25519 seed (RFC 8410).
            let mut der = vec![
                0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20,
            ];
            der.extend([9; 32]);
            EncodingKey::from_ed_der(&der)
        }
    }
}

/// A text of the program.
pub(crate) fn text(program: &Program, id: StrId) -> &str {
    program.strings.get(id.at()).map_or("", String::as_str)
}
