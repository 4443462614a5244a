//! How the companion proves itself to an OAuth server.

use axum::http::HeaderValue;
use axum::http::header::AUTHORIZATION;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use form_urlencoded::{Serializer, byte_serialize};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use serde_json::json;

use crate::clock::now_s;
use crate::config::Secret;

/// How long an assertion is good for, in seconds: one call.
const ASSERTION_S: u64 = 60;

/// `client_assertion_type` of RFC 7523.
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// `client_secret_basic`: both parts are form-encoded before base64 (RFC 6749 section 2.3.1). `None`: it cannot stand in a
/// header.
pub(crate) fn basic(client_id: &str, secret: &Secret) -> Option<HeaderValue> {
    let encoded = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
    let pair = format!("{}:{}", encoded(client_id), encoded(secret.expose()));
    let mut value = HeaderValue::from_str(&format!("Basic {}", STANDARD.encode(pair))).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// A client's way to prove itself, ready to use.
#[derive(Debug)]
pub(crate) enum Proof {
    /// `client_secret_basic`.
    Basic(Secret),
    /// `client_secret_post`.
    Post(Secret),
    /// `private_key_jwt` (RFC 7523 section 2.2).
    Assertion(Box<Assertion>),
}

/// Signs assertions.
#[derive(Debug)]
pub(crate) struct Assertion {
    pub(crate) key: AssertionKey,
    /// `kid`.
    pub(crate) key_id: Option<String>,
    /// `aud`.
    pub(crate) audience: String,
}

/// The proof cannot be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the client credentials cannot be sent")]
pub(crate) struct NoProof;

impl Proof {
    /// Adds to a form and gives the headers that go with it.
    pub(crate) fn add(
        &self,
        client_id: &str,
        form: &mut Serializer<'_, String>,
    ) -> Result<Option<(axum::http::HeaderName, HeaderValue)>, NoProof> {
        match self {
            Self::Basic(secret) => {
                let value = basic(client_id, secret).ok_or(NoProof)?;
                return Ok(Some((AUTHORIZATION, value)));
            }
            Self::Post(secret) => {
                form.append_pair("client_id", client_id);
                form.append_pair("client_secret", secret.expose());
            }
            Self::Assertion(assertion) => {
                form.append_pair("client_id", client_id);
                form.append_pair("client_assertion_type", JWT_BEARER);
                form.append_pair("client_assertion", &assertion.sign(client_id, now_s())?);
            }
        }
        Ok(None)
    }
}

impl Assertion {
    /// One assertion; its `jti` is never used again.
    fn sign(&self, client_id: &str, now_s: u64) -> Result<String, NoProof> {
        let mut id = [0; 16];
        getrandom::getrandom(&mut id).map_err(|_| NoProof)?;
        let mut header = json!({"alg": self.key.algorithm(), "typ": "JWT"});
        if let Some(key_id) = &self.key_id {
            header["kid"] = json!(key_id);
        }
        let claims = json!({
            "iss": client_id, "sub": client_id, "aud": self.audience, "jti": crate::store::hex(&id),
            "iat": now_s, "exp": now_s.saturating_add(ASSERTION_S),
        });
        let part = |text: String| URL_SAFE_NO_PAD.encode(text);
        let signed = format!("{}.{}", part(header.to_string()), part(claims.to_string()));
        let signature = self.key.sign(signed.as_bytes()).ok_or(NoProof)?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

/// A private key that signs assertions; the algorithm follows from the key.
pub(crate) enum AssertionKey {
    /// RS256.
    Rsa(Box<RsaKeyPair>),
    /// ES256.
    P256(Box<EcdsaKeyPair>),
    /// `EdDSA` with Ed25519.
    Ed25519(Box<Ed25519KeyPair>),
}

// The key must not reach a log through `{:?}`.
impl std::fmt::Debug for AssertionKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AssertionKey({})", self.algorithm())
    }
}

impl AssertionKey {
    /// From PEM: PKCS#8 of any of the three, or PKCS#1 of RSA. `None`: it is none of them (or RSA below 2048 bits).
    pub(crate) fn from_pem(pem: &str) -> Option<Self> {
        match PrivateKeyDer::from_pem_slice(pem.as_bytes()).ok()? {
            PrivateKeyDer::Pkcs8(der) => {
                let der = der.secret_pkcs8_der();
                let random = SystemRandom::new();
                RsaKeyPair::from_pkcs8(der)
                    .map(|key| Self::Rsa(Box::new(key)))
                    .or_else(|_| {
                        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der, &random)
                            .map(|key| Self::P256(Box::new(key)))
                    })
                    .or_else(|_| {
                        Ed25519KeyPair::from_pkcs8_maybe_unchecked(der)
                            .map(|key| Self::Ed25519(Box::new(key)))
                    })
                    .ok()
            }
            PrivateKeyDer::Pkcs1(der) => RsaKeyPair::from_der(der.secret_pkcs1_der())
                .map(|key| Self::Rsa(Box::new(key)))
                .ok(),
            _ => None,
        }
    }

    const fn algorithm(&self) -> &'static str {
        match self {
            Self::Rsa(_) => "RS256",
            Self::P256(_) => "ES256",
            Self::Ed25519(_) => "EdDSA",
        }
    }

    fn sign(&self, text: &[u8]) -> Option<Vec<u8>> {
        let random = SystemRandom::new();
        match self {
            Self::Rsa(key) => {
                let mut signature = vec![0; key.public().modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, text, &mut signature).ok()?;
                Some(signature)
            }
            Self::P256(key) => Some(key.sign(&random, text).ok()?.as_ref().to_vec()),
            Self::Ed25519(key) => Some(key.sign(text).as_ref().to_vec()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_and_keys_do_not_print_themselves() {
        let proof = Proof::Post(Secret::new("hunter2"));
        assert!(!format!("{proof:?}").contains("hunter2"));
    }

    #[test]
    fn what_is_no_private_key_signs_nothing() {
        for text in [
            "",
            "hunter2",
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
            "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA\n-----END PUBLIC KEY-----\n",
        ] {
            assert!(AssertionKey::from_pem(text).is_none(), "{text}");
        }
    }
}
