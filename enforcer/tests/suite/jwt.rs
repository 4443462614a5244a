//! Tokens and keys made in the test.

use std::sync::OnceLock;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, jwk::Jwk};
use serde_json::{Value, json};

use crate::program::ISSUER;

/// A signing key and its name.
#[derive(Clone)]
pub(crate) struct Signer {
    pub(crate) kid: &'static str,
    pub(crate) algorithm: Algorithm,
    key: EncodingKey,
}

/// P-256, from a fixed scalar.
pub(crate) fn es256() -> Signer {
    es256_from("k-es", 7)
}

/// Another one.
pub(crate) fn es256_from(kid: &'static str, scalar: u8) -> Signer {
    // PKCS #8 of an EC key without its public half (RFC 5915).
    let mut der = vec![
        0x30, 0x41, 2, 1, 0, 0x30, 0x13, 6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 8,
    ];
    der.extend([
        0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7, 4, 0x27, 0x30, 0x25, 2, 1, 1, 4, 0x20,
    ]);
    der.extend([scalar; 32]);
    Signer {
        kid,
        algorithm: Algorithm::ES256,
        key: EncodingKey::from_ec_der(&der),
    }
}

/// Ed25519, from a fixed seed.
pub(crate) fn eddsa() -> Signer {
    let mut der = vec![
        0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20,
    ];
    der.extend([9; 32]);
    Signer {
        kid: "k-ed",
        algorithm: Algorithm::EdDSA,
        key: EncodingKey::from_ed_der(&der),
    }
}

/// RSA with 2048 bits, generated once.
pub(crate) fn rs256() -> Signer {
    use rsa::pkcs1::EncodeRsaPrivateKey as _;
    static DER: OnceLock<Vec<u8>> = OnceLock::new();
    let der = DER.get_or_init(|| {
        let key = rsa::RsaPrivateKey::new(&mut rsa::rand_core::OsRng, 2048).unwrap();
        key.to_pkcs1_der().unwrap().as_bytes().to_vec()
    });
    Signer {
        kid: "k-rs",
        algorithm: Algorithm::RS256,
        key: EncodingKey::from_rsa_der(der),
    }
}

impl Signer {
    /// The same key under another algorithm of its kind.
    pub(crate) fn under(self, algorithm: Algorithm) -> Self {
        Self { algorithm, ..self }
    }

    pub(crate) fn jwk(&self) -> Value {
        let mut jwk =
            serde_json::to_value(Jwk::from_encoding_key(&self.key, self.algorithm).unwrap()).unwrap();
        jwk["kid"] = json!(self.kid);
        jwk["use"] = json!("sig");
        jwk
    }

    pub(crate) fn sign(&self, claims: &Value) -> String {
        self.sign_with(
            &json!({"alg": name(self.algorithm), "typ": "JWT", "kid": self.kid}),
            claims,
        )
    }

    pub(crate) fn sign_with(&self, header: &Value, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(serde_json::to_vec(value).unwrap());
        let signed = format!("{}.{}", part(header), part(claims));
        let signature = jsonwebtoken::crypto::sign(signed.as_bytes(), &self.key, self.algorithm).unwrap();
        format!("{signed}.{signature}")
    }
}

fn name(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::ES256 => "ES256",
        Algorithm::EdDSA => "EdDSA",
        Algorithm::RS256 => "RS256",
        Algorithm::RS384 => "RS384",
        Algorithm::RS512 => "RS512",
        Algorithm::PS256 => "PS256",
        Algorithm::PS384 => "PS384",
        Algorithm::PS512 => "PS512",
        _ => panic!("not used here"),
    }
}

pub(crate) fn jwks(signers: &[&Signer]) -> String {
    json!({"keys": signers.iter().map(|signer| signer.jwk()).collect::<Vec<_>>()}).to_string()
}

/// Claims of the demo's users, valid at [`NOW_MS`](crate::host::NOW_MS).
pub(crate) fn claims(user: &str) -> Value {
    let now = crate::host::NOW_MS / 1000;
    let (roles, permissions): (&[&str], &[&str]) = match user {
        "bob" => (&["hr"], &["view_ssn", "email_send"]),
        "eve" => (&["hr"], &["tool_execute"]),
        "alice" => (&["engineer"], &["tool_execute"]),
        _ => (&[], &[]),
    };
    json!({"iss": ISSUER, "sub": user, "aud": ["gateway", "account"], "exp": now + 600, "iat": now, "azp": "hr-copilot",
        "roles": roles, "permissions": permissions, "teams": [], "manager": "alice",
        "realm_access": {"roles": ["a", "b.c"]}})
}

pub(crate) fn token(user: &str) -> String {
    es256().sign(&claims(user))
}
