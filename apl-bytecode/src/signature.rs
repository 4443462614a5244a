//! The signature section: who vouches for a program.
//!
//! A signature is over the digest, not over the bytes, so that a signed program has the digest of the unsigned one, and
//! `--strip` does not break it. The debug section is outside both: it can be changed without anybody noticing, and decides
//! nothing. Checking needs the key and a curve, which live with the caller.

use alloc::vec::Vec;

use crate::DecodeError;
use crate::file::{FIRST_ANCILLARY, HEADER_BYTES, SIGNATURE, put_section};
use crate::wire::Writer;

/// What stands before the digest in the text that is signed, so that a signature made for something else is none here.
pub const SIGNED_PREFIX: &[u8] = b"aplomb-policy-v1:";

/// The one algorithm: Ed25519 (RFC 8032), numbered so that another can follow.
const ED25519: u8 = 1;
const SIGNATURE_BYTES: usize = 64;

/// A section as it stands in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Section {
    /// Its number.
    pub id: u8,
    /// Its version.
    pub version: u8,
    /// Offset of its first byte, the number, in the file.
    pub start: usize,
    /// Offset of its content.
    pub content: usize,
    /// Offset behind it.
    pub end: usize,
}

impl Section {
    /// What it holds, for readers.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        crate::file::section_name(self.id)
    }
}

/// Where the sections of a file are. The content is not looked at.
///
/// # Errors
///
/// If the header is not that of a program, or a section is cut off.
pub fn sections(bytes: &[u8]) -> Result<Vec<Section>, DecodeError> {
    let (_, _, mut input) = crate::file::after_header(bytes)?;
    let mut found = Vec::new();
    while !input.is_empty() {
        let start = input.at();
        let (id, version) = (input.byte()?, input.byte()?);
        let length = input.count()?;
        let content = input.at();
        input.take(length)?;
        found.push(Section {
            id,
            version,
            start,
            content,
            end: input.at(),
        });
    }
    Ok(found)
}

/// The Ed25519 signature that a file carries; `None`: it carries none, or one of a kind that this build does not know.
///
/// # Errors
///
/// As [`sections`].
pub fn signature(bytes: &[u8]) -> Result<Option<[u8; SIGNATURE_BYTES]>, DecodeError> {
    let section = sections(bytes)?
        .into_iter()
        .find(|section| section.id == SIGNATURE);
    let Some(section) = section else { return Ok(None) };
    let Some([ED25519, signature @ ..]) = bytes.get(section.content..section.end) else {
        return Ok(None);
    };
    Ok(signature.try_into().ok())
}

/// What is signed: [`SIGNED_PREFIX`] and the digest in lower-case hexadecimal.
#[must_use]
pub fn signed_text(digest_hex: &str) -> Vec<u8> {
    [SIGNED_PREFIX, digest_hex.as_bytes()].concat()
}

/// The file with this signature in place of any that it carries. Nothing else changes.
///
/// # Errors
///
/// As [`sections`].
pub fn with_signature(bytes: &[u8], signature: &[u8; SIGNATURE_BYTES]) -> Result<Vec<u8>, DecodeError> {
    let all = sections(bytes)?;
    let mut out = Writer::default();
    out.raw(bytes.get(..HEADER_BYTES).unwrap_or_default());
    let mut content = Vec::from([ED25519]);
    content.extend_from_slice(signature);
    let (before, after): (Vec<_>, Vec<_>) = all
        .into_iter()
        .filter(|section| section.id != SIGNATURE)
        .partition(|section| section.id < SIGNATURE);
    let raw = |out: &mut Writer, section: &Section| {
        out.raw(bytes.get(section.start..section.end).unwrap_or_default());
    };
    before.iter().for_each(|section| raw(&mut out, section));
    put_section(&mut out, SIGNATURE, &content);
    after.iter().for_each(|section| raw(&mut out, section));
    Ok(out.into_bytes())
}

// INVARIANT: the signature is outside the digest.
const _: () = assert!(SIGNATURE >= FIRST_ANCILLARY);
