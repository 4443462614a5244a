//! Signed checkpoints: what the chain's head was, in a file beside the log.
//!
//! Whoever can write the log can compute a whole new chain. They cannot sign it. Checkpoints are numbered and each holds
//! the digest of the one before, so that one which is taken out is missed.

use std::io::Write;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{ED25519, Ed25519KeyPair, UnparsedPublicKey};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::chain::{Chain, unhex};
use crate::clock::now_ms;
use crate::store::hex;

/// Keeps these signatures apart from all others.
const DOMAIN: &str = "aplomb audit checkpoint 1";

/// What stands in front of the 32 bytes of an Ed25519 public key in a SubjectPublicKeyInfo (RFC 8410).
const SPKI_PREFIX: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];

/// Why a key cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not a private key.
    #[error("not an Ed25519 private key in PKCS#8 PEM (`openssl genpkey -algorithm ed25519`)")]
    Private,
    /// Not a public key.
    #[error("not an Ed25519 public key in PEM (`openssl pkey -pubout`)")]
    Public,
}

/// Signs checkpoints.
pub struct SigningKey(Ed25519KeyPair);

impl SigningKey {
    /// From PKCS#8 PEM.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        let der = der(pem, "PRIVATE KEY").ok_or(KeyError::Private)?;
        Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der)
            .map(Self)
            .map_err(|_| KeyError::Private)
    }
}

/// Checks checkpoints.
pub struct VerifyingKey([u8; 32]);

impl VerifyingKey {
    /// The key itself.
    pub(super) const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// From SubjectPublicKeyInfo PEM.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        let der = der(pem, "PUBLIC KEY").ok_or(KeyError::Public)?;
        let key = der.strip_prefix(&SPKI_PREFIX).ok_or(KeyError::Public)?;
        key.try_into().map(Self).map_err(|_| KeyError::Public)
    }
}

fn der(pem: &str, what: &str) -> Option<Vec<u8>> {
    let (_, rest) = pem.split_once(&format!("-----BEGIN {what}-----"))?;
    let (body, _) = rest.split_once(&format!("-----END {what}-----"))?;
    let text: String = body.split_whitespace().collect();
    STANDARD.decode(text).ok()
}

/// One line of the checkpoint file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Checkpoint {
    /// Numbers the checkpoints from 1.
    pub(super) c: u64,
    /// SHA-256 of the checkpoint line before, hex; zeros for the first.
    pub(super) before: String,
    /// The newest record.
    pub(super) n: u64,
    /// Its hash, hex.
    pub(super) hash: String,
    /// When it was signed, milliseconds since the Unix epoch.
    pub(super) at_ms: u64,
    /// The segment that ends with that record, if this seals one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) seals: Option<String>,
    /// Ed25519 over the rest, base64.
    pub(super) signature: String,
}

impl Checkpoint {
    fn signed_bytes(&self) -> Vec<u8> {
        let seals = self.seals.as_deref().unwrap_or("-");
        let Self {
            c,
            before,
            n,
            hash,
            at_ms,
            ..
        } = self;
        format!("{DOMAIN}\n{c}\n{before}\n{n}\n{hash}\n{at_ms}\n{seals}").into_bytes()
    }

    pub(super) fn is_signed_by(&self, key: &VerifyingKey) -> bool {
        STANDARD.decode(&self.signature).is_ok_and(|signature| {
            UnparsedPublicKey::new(&ED25519, key.0)
                .verify(&self.signed_bytes(), &signature)
                .is_ok()
        })
    }

    /// The place in the chain that it vouches for.
    pub(super) fn place(&self) -> Option<Chain> {
        unhex(&self.hash).map(|hash| Chain { n: self.n, hash })
    }
}

/// The digest that the next checkpoint names.
pub(super) fn digest(line: &str) -> String {
    hex(&Sha256::digest(line))
}

/// What the first checkpoint names.
pub(super) fn none() -> String {
    hex(&[0; 32])
}

/// Where the checkpoints of a log are.
pub(super) fn path_of(log: &Path) -> PathBuf {
    log.with_extension("checkpoints.jsonl")
}

/// Writes checkpoints.
pub(super) struct Checkpoints {
    key: SigningKey,
    file: super::file::LogFile,
    c: u64,
    before: String,
}

impl Checkpoints {
    /// Goes on behind the newest checkpoint and returns the place that it vouches for.
    pub(super) fn open(log: &Path, key: SigningKey) -> std::io::Result<(Self, Option<Chain>)> {
        let path = path_of(log);
        let (file, _) = super::file::LogFile::open(&path)?;
        let last = super::file::LogFile::tail(&path)?.pop();
        let newest: Option<Checkpoint> = last.as_deref().map(serde_json::from_str).transpose()?;
        let checkpoints = Self {
            key,
            file,
            c: newest.as_ref().map_or(0, |newest| newest.c),
            before: last.as_deref().map_or_else(none, digest),
        };
        Ok((checkpoints, newest.and_then(|newest| newest.place())))
    }

    /// Signs the head of the chain.
    pub(super) fn sign(&mut self, head: &Chain, seals: Option<String>) -> std::io::Result<()> {
        let mut checkpoint = Checkpoint {
            c: self.c + 1,
            before: self.before.clone(),
            n: head.n,
            hash: hex(&head.hash),
            at_ms: now_ms(),
            seals,
            signature: String::new(),
        };
        let signature = self.key.0.sign(&checkpoint.signed_bytes());
        checkpoint.signature = STANDARD.encode(signature.as_ref());
        let line = serde_json::to_string(&checkpoint)?;
        let mut bytes = Vec::new();
        writeln!(bytes, "{line}")?;
        self.file.append(&bytes)?;
        (self.c, self.before) = (checkpoint.c, digest(&line));
        Ok(())
    }
}
