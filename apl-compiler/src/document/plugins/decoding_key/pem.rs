//! A public key in PEM (RFC 7468 section 13) as a JWK without an id.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use pkcs1::RsaPublicKey;
use serde_json::{Value, json};
use spki::{ObjectIdentifier, SubjectPublicKeyInfoRef, der::Decode as _};

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

/// Why a text is not the public key that is needed. Never holds a part of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum PemError {
    #[error("it is no PEM")]
    Pem,
    #[error("it holds `{0}`, not a public key")]
    Label(String),
    #[error("it holds no public key that can be read")]
    Key,
    #[error("its key is of a kind that the proxy does not verify")]
    Kind,
}

pub(super) fn jwk(text: &str) -> Result<Value, PemError> {
    let (label, der) = pem_rfc7468::decode_vec(text.trim_start().as_bytes()).map_err(|_| PemError::Pem)?;
    let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let rsa = |der: &[u8]| {
        let key = RsaPublicKey::from_der(der).map_err(|_| PemError::Key)?;
        let (n, e) = (part(key.modulus.as_bytes()), part(key.public_exponent.as_bytes()));
        Ok(json!({ "kty": "RSA", "n": n, "e": e }))
    };
    match label {
        "PUBLIC KEY" => {}
        "RSA PUBLIC KEY" => return rsa(&der),
        other => return Err(PemError::Label(other.to_owned())),
    }
    let info = SubjectPublicKeyInfoRef::from_der(&der).map_err(|_| PemError::Key)?;
    let key = info.subject_public_key.as_bytes().ok_or(PemError::Key)?;
    match info.algorithm.oid {
        RSA => rsa(key),
        EC if info.algorithm.parameters_oid() == Ok(P256) => {
            // RFC 5480 section 2.2: 4, then both coordinates.
            let point = key.strip_prefix(&[4]).ok_or(PemError::Kind)?;
            let (x, y) = point
                .split_at_checked(32)
                .filter(|(_, y)| y.len() == 32)
                .ok_or(PemError::Key)?;
            Ok(json!({ "kty": "EC", "crv": "P-256", "x": part(x), "y": part(y) }))
        }
        ED25519 => Ok(json!({ "kty": "OKP", "crv": "Ed25519", "x": part(key) })),
        _ => Err(PemError::Kind),
    }
}
