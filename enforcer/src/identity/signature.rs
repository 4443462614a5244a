//! Public keys and the check of one signature with them (RFC 7518 section 3, RFC 8037).
//!
//! RustCrypto's primitives are called directly: `jsonwebtoken`, with the same primitives behind it, also links every
//! signer, the readers of private keys and P-384, a quarter of a megabyte that the filter never runs.

use apl_bytecode::Algorithm;
use ed25519_dalek::{Verifier as _, VerifyingKey as Ed25519Key};
use p256::{
    EncodedPoint, FieldBytes,
    ecdsa::{Signature as P256Signature, VerifyingKey as P256Key, signature::hazmat::PrehashVerifier as _},
};
use rsa::{BigUint, Pkcs1v15Sign, Pss, RsaPublicKey};
use sha2::{Digest as _, Sha256, Sha384, Sha512};

/// Shortest and longest RSA modulus in bytes. RFC 7518 section 3.3 asks for 2048 bits; the time that a check takes grows
/// with the modulus, so there is a bound above.
const RSA_BYTES: std::ops::RangeInclusive<usize> = 256..=1024;

/// Longest public exponent in bytes.
const MAX_EXPONENT: usize = 8;

/// A public key that signatures can be checked with.
pub(crate) enum VerifyingKey {
    Rsa(RsaPublicKey),
    P256(P256Key),
    Ed25519(Ed25519Key),
}

impl VerifyingKey {
    /// An RSA key of a modulus and a public exponent, big-endian. `None`: out of bounds.
    pub(crate) fn rsa(modulus: &[u8], exponent: &[u8]) -> Option<Self> {
        if !RSA_BYTES.contains(&modulus.len()) || exponent.len() > MAX_EXPONENT {
            return None;
        }
        let (n, e) = (BigUint::from_bytes_be(modulus), BigUint::from_bytes_be(exponent));
        let bits = RSA_BYTES.end().saturating_mul(8);
        Some(Self::Rsa(RsaPublicKey::new_with_max_size(n, e, bits).ok()?))
    }

    /// A P-256 key of its affine coordinates, big-endian. `None`: not 32 bytes each, or no point of the curve.
    pub(crate) fn p256(x: &[u8], y: &[u8]) -> Option<Self> {
        let (x, y) = (<[u8; 32]>::try_from(x).ok()?, <[u8; 32]>::try_from(y).ok()?);
        let point = EncodedPoint::from_affine_coordinates(&FieldBytes::from(x), &FieldBytes::from(y), false);
        Some(Self::P256(P256Key::from_encoded_point(&point).ok()?))
    }

    /// An Ed25519 key. `None`: not 32 bytes, or no point of the curve.
    pub(crate) fn ed25519(x: &[u8]) -> Option<Self> {
        Some(Self::Ed25519(Ed25519Key::from_bytes(x.try_into().ok()?).ok()?))
    }

    /// Whether the key is of the kind that the algorithm needs.
    pub(crate) const fn is_for(&self, algorithm: Algorithm) -> bool {
        match algorithm {
            Algorithm::Rs256
            | Algorithm::Rs384
            | Algorithm::Rs512
            | Algorithm::Ps256
            | Algorithm::Ps384
            | Algorithm::Ps512 => matches!(self, Self::Rsa(_)),
            Algorithm::Es256 => matches!(self, Self::P256(_)),
            Algorithm::EdDsa => matches!(self, Self::Ed25519(_)),
        }
    }

    /// Whether `signature` is the key's signature of `signed`; false if the key is of another kind than the algorithm's.
    pub(crate) fn verify(&self, algorithm: Algorithm, signed: &[u8], signature: &[u8]) -> bool {
        match (self, algorithm) {
            (Self::Rsa(key), Algorithm::Rs256) => key
                .verify(Pkcs1v15Sign::new::<Sha256>(), &Sha256::digest(signed), signature)
                .is_ok(),
            (Self::Rsa(key), Algorithm::Rs384) => key
                .verify(Pkcs1v15Sign::new::<Sha384>(), &Sha384::digest(signed), signature)
                .is_ok(),
            (Self::Rsa(key), Algorithm::Rs512) => key
                .verify(Pkcs1v15Sign::new::<Sha512>(), &Sha512::digest(signed), signature)
                .is_ok(),
            (Self::Rsa(key), Algorithm::Ps256) => key
                .verify(Pss::new::<Sha256>(), &Sha256::digest(signed), signature)
                .is_ok(),
            (Self::Rsa(key), Algorithm::Ps384) => key
                .verify(Pss::new::<Sha384>(), &Sha384::digest(signed), signature)
                .is_ok(),
            (Self::Rsa(key), Algorithm::Ps512) => key
                .verify(Pss::new::<Sha512>(), &Sha512::digest(signed), signature)
                .is_ok(),
            (Self::P256(key), Algorithm::Es256) => P256Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify_prehash(&Sha256::digest(signed), &signature).is_ok()),
            (Self::Ed25519(key), Algorithm::EdDsa) => ed25519_dalek::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify(signed, &signature).is_ok()),
            (Self::Rsa(_) | Self::P256(_) | Self::Ed25519(_), _) => false,
        }
    }
}
