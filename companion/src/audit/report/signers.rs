//! Who signed a program: its signature is over its digest, and the digest stands in every record.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use apl_bytecode::{signature, signed_text};
use ring::signature::{ED25519, UnparsedPublicKey};
use serde::Serialize;

use super::super::{KeyError, VerifyingKey};

/// Who signed one program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Signer {
    /// Its file was not given.
    Unknown,
    /// It has no signature.
    Unsigned,
    /// By none of the keys that were given.
    Stranger,
    /// By this key.
    Key {
        /// Its file's name without its ending.
        name: String,
    },
}

/// What is known of programs and keys.
#[derive(Default)]
pub struct Signers(BTreeMap<String, Signer>);

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
pub enum SignerError {
    /// Not there.
    #[error("cannot read `{0}`")]
    File(PathBuf, #[source] std::io::Error),
    /// No program.
    #[error("`{0}` is no program; give `policy.aplb` as `aplc build` or `aplc sign` wrote it")]
    Program(PathBuf, #[source] apl_bytecode::LoadError),
    /// No key.
    #[error("`{0}` is no public key in PEM; `openssl pkey -pubout` writes one")]
    Key(PathBuf, #[source] KeyError),
}

impl Signers {
    /// Looks which of the keys signed which program.
    pub fn read(programs: &[PathBuf], keys: &[PathBuf]) -> Result<Self, SignerError> {
        let keys = keys.iter().map(|path| key(path)).collect::<Result<Vec<_>, _>>()?;
        let mut signers = BTreeMap::new();
        for path in programs {
            let bytes = bytes(path)?;
            let program = |error| SignerError::Program(path.clone(), error);
            let digest = apl_bytecode::load(&bytes).map_err(program)?.digest_hex();
            let signer = match signature(&bytes) {
                Ok(Some(signature)) => signer(&keys, &digest, &signature),
                Ok(None) | Err(_) => Signer::Unsigned,
            };
            signers.insert(digest, signer);
        }
        Ok(Self(signers))
    }

    /// Who signed the program with this digest.
    pub(super) fn of(&self, digest: &str) -> Signer {
        self.0.get(digest).cloned().unwrap_or(Signer::Unknown)
    }
}

fn signer(keys: &[(String, VerifyingKey)], digest: &str, signature: &[u8]) -> Signer {
    let signed = |(_, key): &&(String, VerifyingKey)| {
        let key = UnparsedPublicKey::new(&ED25519, key.bytes());
        key.verify(&signed_text(digest), signature).is_ok()
    };
    match keys.iter().find(signed) {
        Some((name, _)) => Signer::Key { name: name.clone() },
        None => Signer::Stranger,
    }
}

fn key(path: &Path) -> Result<(String, VerifyingKey), SignerError> {
    let text = String::from_utf8_lossy(&bytes(path)?).into_owned();
    let key = VerifyingKey::from_pem(&text).map_err(|error| SignerError::Key(path.to_owned(), error))?;
    let name = path
        .file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    Ok((name, key))
}

fn bytes(path: &Path) -> Result<Vec<u8>, SignerError> {
    std::fs::read(path).map_err(|error| SignerError::File(path.to_owned(), error))
}
