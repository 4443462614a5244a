//! `policy_public_key`: which programs a configuration with a key takes.

use apl_bytecode::{Algorithm, load, signed_text, with_signature};
use aplomb_enforcer::{ConfigError, Engine, PluginConfig};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use ed25519_dalek::{Signer as _, SigningKey};

use crate::{
    host::{config, secrets},
    program,
};

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn program() -> Vec<u8> {
    program::seed(&[Algorithm::Es256], None).bytes()
}

fn signed(policy: &[u8], key: &SigningKey) -> Vec<u8> {
    let digest = load(policy).expect("loads").digest_hex();
    with_signature(policy, &key.sign(&signed_text(&digest)).to_bytes()).expect("a program")
}

fn configured(policy: &[u8], key: &str) -> Result<(), ConfigError> {
    let text = config(policy, |config| config["policy_public_key"] = key.into()).to_string();
    match PluginConfig::parse(text.as_bytes())? {
        PluginConfig::Decide(config) => Engine::new(*config, secrets(), [1; 32]).map(drop),
        PluginConfig::Hold(_) => panic!("a holder"),
    }
}

fn public(key: &SigningKey) -> String {
    STANDARD.encode(key.verifying_key().as_bytes())
}

#[test]
fn takes_a_program_that_the_configured_key_signed() {
    assert_eq!(
        configured(&signed(&program(), &key(1)), &public(&key(1))).err(),
        None
    );
}

#[test]
fn a_signed_program_has_the_digest_of_the_unsigned_one() {
    let (plain, signed) = (program(), signed(&program(), &key(1)));
    assert_eq!(load(&plain).unwrap().digest(), load(&signed).unwrap().digest());
    // A second signature replaces the first.
    assert_eq!(self::signed(&signed, &key(1)), signed);
}

#[test]
fn refuses_an_unsigned_program_and_says_how_to_sign() {
    let refused = configured(&program(), &public(&key(1))).expect_err("unsigned");
    assert_eq!(refused, ConfigError::Unsigned);
    assert!(refused.to_string().contains("aplc sign"), "{refused}");
}

#[test]
fn refuses_another_key_and_a_signature_of_another_program() {
    let policy = signed(&program(), &key(1));
    assert!(matches!(
        configured(&policy, &public(&key(2))),
        Err(ConfigError::Signature(_))
    ));
    let other = program::seed(&[Algorithm::Rs256], None).bytes();
    let stolen = apl_bytecode::signature(&policy).unwrap().expect("signed");
    let moved = with_signature(&other, &stolen).unwrap();
    assert!(matches!(
        configured(&moved, &public(&key(1))),
        Err(ConfigError::Signature(_))
    ));
}

#[test]
fn refuses_every_damaged_byte_of_a_signature() {
    let policy = signed(&program(), &key(1));
    for at in policy.len() - 65..policy.len() {
        let mut bad = policy.clone();
        bad[at] ^= 1;
        assert!(configured(&bad, &public(&key(1))).is_err(), "byte {at}");
    }
}

#[test]
fn refuses_what_is_no_key() {
    for text in ["", "x", "AAAA", &STANDARD.encode([1; 33])] {
        assert_eq!(
            configured(&program(), text).err(),
            Some(ConfigError::PublicKey),
            "{text:?}"
        );
    }
}
