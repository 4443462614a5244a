//! `aplc sign` and `aplc verify`: Ed25519 over a program's digest.

use std::fs;
use std::path::{Path, PathBuf};

use apl_bytecode::{signed_text, with_signature};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use ed25519_dalek::pkcs8::{DecodePrivateKey as _, DecodePublicKey as _};
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};

use super::{End, Fault, input};

/// `aplc sign`.
#[derive(Debug, Args)]
pub(crate) struct Sign {
    /// The program, `policy.aplb`; it is signed in place.
    pub program: PathBuf,
    /// The private key: PKCS#8 PEM, as `openssl genpkey -algorithm ed25519` writes it.
    #[arg(long, value_name = "PEM")]
    pub key: PathBuf,
    /// Write the signed program here instead.
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// `aplc verify`.
#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// The program, `policy.aplb`.
    pub program: PathBuf,
    /// The public key: base64 of its 32 bytes, or a PEM file as `openssl pkey -pubout` writes it.
    #[arg(long, value_name = "BASE64|PEM")]
    pub public_key: String,
}

/// Signs a file.
pub(crate) fn sign(sign: &Sign) -> Result<End, Fault> {
    let key = private_key(&sign.key)?;
    let bytes = input::read(&sign.program)?;
    let Some((signed, digest)) = signed(&bytes, &key, &sign.program) else {
        return Ok(End::PolicyAtFault);
    };
    let path = sign.output.as_ref().unwrap_or(&sign.program);
    input::write(path, &signed)?;
    println!("signed             {}", path.display());
    println!("digest             {digest}");
    println!("policy_public_key  {}", public_text(&key));
    Ok(End::Fine)
}

fn signed(bytes: &[u8], key: &SigningKey, path: &Path) -> Option<(Vec<u8>, String)> {
    let digest = input::loaded(bytes, path)?.digest_hex();
    // It has just been decoded, so that its sections can be found.
    Some((attach(bytes, key, &digest).ok()?, digest))
}

/// The program with the key's signature.
pub(crate) fn attach(
    bytes: &[u8],
    key: &SigningKey,
    digest: &str,
) -> Result<Vec<u8>, apl_bytecode::DecodeError> {
    with_signature(bytes, &key.sign(&signed_text(digest)).to_bytes())
}

/// The public half as the filter's configuration takes it.
pub(crate) fn public_text(key: &SigningKey) -> String {
    STANDARD.encode(key.verifying_key().as_bytes())
}

/// Reads a private key.
pub(crate) fn private_key(path: &Path) -> Result<SigningKey, Fault> {
    let bytes = input::read(path)?;
    let text = String::from_utf8_lossy(&bytes);
    SigningKey::from_pkcs8_pem(&text).map_err(|_| {
        Fault::Argument(format!(
            "`{}` is not an Ed25519 private key in PKCS#8 PEM; make one with `openssl genpkey -algorithm ed25519`",
            path.display()
        ))
    })
}

/// Checks a signature.
pub(crate) fn verify(verify: &Verify) -> Result<End, Fault> {
    let key = public_key(&verify.public_key)?;
    let bytes = input::read(&verify.program)?;
    let Some(program) = input::loaded(&bytes, &verify.program) else {
        return Ok(End::PolicyAtFault);
    };
    let (digest, path) = (program.digest_hex(), verify.program.display());
    match apl_bytecode::signature(&bytes) {
        Ok(Some(signature)) => {
            if key
                .verify_strict(&signed_text(&digest), &Signature::from_bytes(&signature))
                .is_ok()
            {
                println!("{path}: signed by this key, digest {digest}");
                return Ok(End::Fine);
            }
            eprintln!("`{path}` is signed, but not by this key over digest {digest}");
        }
        Ok(None) | Err(_) => eprintln!("`{path}` is not signed; sign it with `aplc sign`"),
    }
    Ok(End::PolicyAtFault)
}

fn public_key(text: &str) -> Result<VerifyingKey, Fault> {
    let bytes: Option<[u8; 32]> = STANDARD.decode(text).ok().and_then(|bytes| bytes.try_into().ok());
    if let Some(key) = bytes.and_then(|bytes| VerifyingKey::from_bytes(&bytes).ok()) {
        return Ok(key);
    }
    let pem = fs::read_to_string(text).ok();
    pem.and_then(|pem| VerifyingKey::from_public_key_pem(&pem).ok())
        .ok_or_else(|| {
            Fault::Argument(format!(
                "`--public-key {text}` is neither the base64 of 32 bytes nor a PEM file with an Ed25519 public key"
            ))
        })
}
