//! The realm's signing key, made at start.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use rsa::pkcs1::EncodeRsaPrivateKey;
use rsa::rand_core::{OsRng, RngCore};
use rsa::traits::PublicKeyParts;
use serde_json::{Value, json};

/// RS256 with 2048 bits, which is what the demo's policy accepts.
pub(super) struct SigningKey {
    kid: String,
    encoding: EncodingKey,
    modulus: Vec<u8>,
    exponent: Vec<u8>,
}

/// The key cannot be made.
#[derive(Debug)]
pub(super) struct KeyError(String);

impl std::fmt::Display for KeyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "cannot make a signing key: {}", self.0)
    }
}

impl std::error::Error for KeyError {}

impl SigningKey {
    pub(super) fn generate() -> Result<Self, KeyError> {
        let key = rsa::RsaPrivateKey::new(&mut OsRng, 2048).map_err(|e| KeyError(e.to_string()))?;
        let der = key.to_pkcs1_der().map_err(|e| KeyError(e.to_string()))?;
        Ok(Self {
            kid: random_id(),
            encoding: EncodingKey::from_rsa_der(der.as_bytes()),
            modulus: key.n().to_bytes_be(),
            exponent: key.e().to_bytes_be(),
        })
    }

    /// A signed token with these claims.
    pub(super) fn sign(&self, claims: &Value) -> Result<String, jsonwebtoken::errors::Error> {
        let mut header = Header::new(Algorithm::RS256);
        header.kid = Some(self.kid.clone());
        encode(&header, claims, &self.encoding)
    }

    /// The claims of a token of this realm that is valid now and meant for `audience`.
    pub(super) fn verify(&self, token: &str, issuer: &str, audience: &str) -> Option<Value> {
        let mut validation = Validation::new(Algorithm::RS256);
        validation.set_issuer(&[issuer]);
        validation.set_audience(&[audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        let key = DecodingKey::from_rsa_raw_components(&self.modulus, &self.exponent);
        decode::<Value>(token, &key, &validation)
            .ok()
            .map(|data| data.claims)
    }

    /// The public key as a JWK set.
    pub(super) fn jwks(&self) -> Value {
        json!({"keys": [{
            "kty": "RSA", "use": "sig", "alg": "RS256", "kid": self.kid,
            "n": URL_SAFE_NO_PAD.encode(&self.modulus),
            "e": URL_SAFE_NO_PAD.encode(&self.exponent),
        }]})
    }
}

/// 128 random bits in hex, for `jti` and `kid`.
pub(super) fn random_id() -> String {
    let mut bytes = [0; 16];
    OsRng.fill_bytes(&mut bytes);
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
