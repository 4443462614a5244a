//! An issuer of tokens that lives in the test: one Ed25519 key from a fixed seed, its public half in the policy.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};

/// The issuer's name; only policies of tests believe it.
pub const ISSUER: &str = "https://idp.example";
/// The audience of its tokens.
pub const AUDIENCE: &str = "gateway";
/// How long a token lives, seconds.
const LIFETIME_S: u64 = 3_600;

fn key(seed: u8) -> EncodingKey {
    // PKCS #8 of an Ed25519 key is this head and 32 bytes.
    let mut der = vec![
        0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20,
    ];
    der.extend([seed; 32]);
    EncodingKey::from_ed_der(&der)
}

/// The public key as a JWK.
///
/// # Errors
/// When it cannot be written as one.
pub fn jwk() -> anyhow::Result<Value> {
    let mut jwk = serde_json::to_value(Jwk::from_encoding_key(&key(9), Algorithm::EdDSA)?)?;
    jwk["kid"] = json!("k");
    jwk["use"] = json!("sig");
    Ok(jwk)
}

/// A plugin `name` of kind `identity/jwt` that takes this issuer's tokens from `header`, as a line of YAML.
///
/// # Errors
/// When the key cannot be written.
pub fn plugin(name: &str, header: &str, role: &str) -> anyhow::Result<Value> {
    Ok(json!({
        "name": name,
        "kind": "identity/jwt",
        "config": {
            "role": role,
            "header": header,
            "trusted_issuers": [{
                "issuer": ISSUER,
                "audiences": [AUDIENCE],
                "algorithms": ["EdDSA"],
                "decoding_key": { "kind": "jwk", "jwk": jwk()? },
            }],
        },
    }))
}

/// A token with these claims beside issuer, audience and times; a claim that is given replaces one of those.
///
/// # Errors
/// When it cannot be signed.
pub fn token(claims: &Value) -> anyhow::Result<String> {
    signed_by(9, claims)
}

/// The same under a key that nobody trusts.
///
/// # Errors
/// When it cannot be signed.
pub fn forged(claims: &Value) -> anyhow::Result<String> {
    signed_by(7, claims)
}

fn signed_by(seed: u8, claims: &Value) -> anyhow::Result<String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let mut all = json!({ "iss": ISSUER, "aud": AUDIENCE, "iat": now, "exp": now + LIFETIME_S });
    super::extend(&mut all, claims);
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let head = json!({ "alg": "EdDSA", "typ": "JWT", "kid": "k" });
    let signed = format!("{}.{}", part(&head), part(&all));
    let signature = jsonwebtoken::crypto::sign(signed.as_bytes(), &key(seed), Algorithm::EdDSA)?;
    Ok(format!("{signed}.{signature}"))
}
