//! Captured decisions, encrypted to the operator's key: who runs the companion cannot read what it has written.
//!
//! HPKE (RFC 9180) in its base mode, with DHKEM(X25519, HKDF-SHA256), HKDF-SHA256 and ChaCha20-Poly1305. Bound to the
//! record's decision id, stream and number, so that what was captured of one decision cannot stand in for another's. Keys
//! are PEM of RFC 8410: `openssl genpkey -algorithm x25519`, `openssl pkey -pubout`.

use base64::{Engine, engine::general_purpose::STANDARD};
use hpke::{
    Deserializable, Kem, OpModeR, OpModeS, Serializable, aead::ChaCha20Poly1305, kdf::HkdfSha256,
    kem::X25519HkdfSha256, single_shot_open, single_shot_seal,
};

use crate::{AuditRecord, Captured};

type PublicKey = <X25519HkdfSha256 as Kem>::PublicKey;
type PrivateKey = <X25519HkdfSha256 as Kem>::PrivateKey;

/// Keeps these ciphertexts apart from all others under the same key.
const INFO: &[u8] = b"aplomb captured decision 1";

/// What stands before the 32 bytes of a key: `SubjectPublicKeyInfo` and PKCS#8 of X25519.
const PUBLIC_PREFIX: &[u8] = &[
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x6e, 0x03, 0x21, 0x00,
];
const PRIVATE_PREFIX: &[u8] = &[
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x6e, 0x04, 0x22, 0x04, 0x20,
];

/// Encrypts.
#[derive(Clone)]
pub struct CaptureKey(PublicKey);

/// Decrypts.
pub struct OpeningKey(PrivateKey);

/// Why something is not sealed or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SealError {
    /// Not a key of the kind that is needed.
    NotPublic,
    /// Not a key of the kind that is needed.
    NotPrivate,
    /// Nothing was captured.
    Nothing,
    /// It cannot be encrypted.
    Sealing,
    /// Of another key, another record, or changed.
    NotOurs,
}

impl std::fmt::Display for SealError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::NotPublic => {
                "it is no X25519 public key in PEM: `openssl pkey -in capture.pem -pubout` writes one"
            }
            Self::NotPrivate => {
                "it is no X25519 private key in PEM: `openssl genpkey -algorithm x25519` writes one"
            }
            Self::Nothing => "nothing was captured",
            Self::Sealing => "it cannot be encrypted",
            Self::NotOurs => "it was encrypted to another key, belongs to another record, or was changed",
        })
    }
}

impl std::error::Error for SealError {}

impl CaptureKey {
    /// Reads a public key.
    ///
    /// # Errors
    ///
    /// It is none.
    pub fn from_pem(text: &str) -> Result<Self, SealError> {
        let key = der(text, "PUBLIC KEY", PUBLIC_PREFIX).ok_or(SealError::NotPublic)?;
        PublicKey::from_bytes(&key)
            .map(Self)
            .map_err(|_| SealError::NotPublic)
    }

    /// Replaces what a record carries by what only the operator can read.
    ///
    /// # Errors
    ///
    /// The system gives no randomness, or the key is a degenerate one.
    pub fn seal(&self, record: &mut AuditRecord) -> Result<(), SealError> {
        let Some(facts) = record.facts.take() else {
            return Ok(());
        };
        let plain = serde_json::to_vec(&facts).map_err(|_| SealError::Sealing)?;
        let (encapped, ciphertext) = single_shot_seal::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256, _>(
            &OpModeS::Base,
            &self.0,
            INFO,
            &plain,
            &bound_to(record),
            &mut rand_core::OsRng,
        )
        .map_err(|_| SealError::Sealing)?;
        let mut sealed = encapped.to_bytes().to_vec();
        sealed.extend_from_slice(&ciphertext);
        record.sealed = Some(STANDARD.encode(sealed));
        Ok(())
    }
}

impl OpeningKey {
    /// Reads a private key.
    ///
    /// # Errors
    ///
    /// It is none.
    pub fn from_pem(text: &str) -> Result<Self, SealError> {
        let key = der(text, "PRIVATE KEY", PRIVATE_PREFIX).ok_or(SealError::NotPrivate)?;
        PrivateKey::from_bytes(&key)
            .map(Self)
            .map_err(|_| SealError::NotPrivate)
    }

    /// What was captured.
    ///
    /// # Errors
    ///
    /// Nothing was, or it cannot be opened.
    pub fn open(&self, record: &AuditRecord) -> Result<Captured, SealError> {
        let sealed = record.sealed.as_ref().ok_or(SealError::Nothing)?;
        let sealed = STANDARD.decode(sealed).map_err(|_| SealError::NotOurs)?;
        let (encapped, ciphertext) = sealed.split_at_checked(32).ok_or(SealError::NotOurs)?;
        let encapped =
            <X25519HkdfSha256 as Kem>::EncappedKey::from_bytes(encapped).map_err(|_| SealError::NotOurs)?;
        let plain = single_shot_open::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
            &OpModeR::Base,
            &self.0,
            &encapped,
            INFO,
            ciphertext,
            &bound_to(record),
        )
        .map_err(|_| SealError::NotOurs)?;
        serde_json::from_slice(&plain).map_err(|_| SealError::NotOurs)
    }
}

/// What makes a record this one and no other.
fn bound_to(record: &AuditRecord) -> Vec<u8> {
    format!("{}\n{}\n{}", record.decision_id, record.stream, record.seq).into_bytes()
}

/// The 32 bytes of a key.
fn der(text: &str, kind: &str, prefix: &[u8]) -> Option<Vec<u8>> {
    let (begin, end) = (format!("-----BEGIN {kind}-----"), format!("-----END {kind}-----"));
    let body = text.split_once(&begin)?.1.split_once(&end)?.0;
    let body: String = body.split_whitespace().collect();
    let der = STANDARD.decode(body).ok()?;
    let key = der.strip_prefix(prefix)?;
    (key.len() == 32).then(|| key.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A key as `openssl genpkey -algorithm x25519` writes one, and its public key.
    const PRIVATE: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VuBCIEIHcHbQpzGKV9PBbBclGyZkXfTC+S68CZKsF3+6UduSwq
-----END PRIVATE KEY-----
";
    const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----
MCowBQYDK2VuAyEA+KlTWi0v9gXo4UTVT071xiMTogVduyH93T/ZwpnrAV0=
-----END PUBLIC KEY-----
";

    fn record() -> AuditRecord {
        let mut record = AuditRecord {
            decision_id: "d1".to_owned(),
            stream: "w".to_owned(),
            facts: Some(Box::new(Captured {
                args: Some("{\"iban\":\"DE02\"}".to_owned()),
                ..Captured::default()
            })),
            ..AuditRecord::default()
        };
        let key = CaptureKey::from_pem(PUBLIC).expect("a key");
        key.seal(&mut record).expect("seals");
        record
    }

    #[test]
    fn only_the_private_key_opens_what_was_captured() {
        let record = record();
        let line = serde_json::to_string(&record).expect("JSON");
        assert!(record.facts.is_none() && !line.contains("DE02"));
        let opened = OpeningKey::from_pem(PRIVATE).expect("a key").open(&record);
        assert_eq!(
            opened.expect("opens").args.as_deref(),
            Some("{\"iban\":\"DE02\"}")
        );
        let other = PRIVATE.replace("HcHbQ", "HcHbR");
        let other = OpeningKey::from_pem(&other).expect("a key").open(&record);
        assert_eq!(other, Err(SealError::NotOurs));
    }

    #[test]
    fn what_was_captured_of_one_decision_does_not_stand_in_for_anothers() {
        let key = OpeningKey::from_pem(PRIVATE).expect("a key");
        for change in [
            (|record: &mut AuditRecord| record.decision_id.push('x')) as fn(&mut AuditRecord),
            |record| record.seq = 9,
            |record| record.stream.clear(),
            |record| record.sealed = Some("AAAA".to_owned()),
        ] {
            let mut moved = record();
            change(&mut moved);
            assert_eq!(key.open(&moved), Err(SealError::NotOurs));
        }
        let none = AuditRecord::default();
        assert_eq!(key.open(&none), Err(SealError::Nothing));
    }

    #[test]
    fn a_key_of_another_kind_is_refused() {
        assert_eq!(CaptureKey::from_pem(PRIVATE).err(), Some(SealError::NotPublic));
        assert_eq!(OpeningKey::from_pem(PUBLIC).err(), Some(SealError::NotPrivate));
        let ed25519 = PUBLIC.replace("K2VuAyEA", "K2VwAyEA");
        assert_eq!(CaptureKey::from_pem(&ed25519).err(), Some(SealError::NotPublic));
    }
}
