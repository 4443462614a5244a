//! Identities that the program leaves to the deployment: who is believed is in the configuration, not in the digest.

use apl_bytecode::{Algorithm, CredentialSource};
use aplomb_enforcer::{ConfigError, Engine, PluginConfig};
use serde_json::{Value, json};

use crate::{
    host::{self, Worker},
    identity::with_token,
    jwt::{claims, es256, es256_from, jwks},
    program,
};

/// The seed policy without its issuers.
fn open() -> Vec<u8> {
    let mut builder = program::seed(&[Algorithm::Es256], None);
    for identity in &mut builder.program.identities {
        if let CredentialSource::Token { issuers, .. } = &mut identity.source {
            issuers.clear();
        }
    }
    builder.bytes()
}

/// The names of its identities.
fn names() -> Vec<String> {
    let builder = program::seed(&[Algorithm::Es256], None);
    let name = |identity: &apl_bytecode::Identity| builder.program.strings[identity.name.at()].clone();
    builder.program.identities.iter().map(name).collect()
}

fn issuer(name: &str, audience: &str, keys: &str) -> Value {
    json!({ "issuer": name, "audiences": [audience], "algorithms": ["ES256"], "leeway_s": 60, "jwks": keys })
}

fn bound(issuer: &Value) -> Value {
    let identities = names();
    let entry = |name: &String| json!({ "name": name, "issuers": [issuer] });
    identities.iter().map(entry).collect()
}

fn refused(change: impl FnOnce(&mut Value)) -> ConfigError {
    let config = host::config(&open(), change);
    let parsed = PluginConfig::parse(config.to_string().as_bytes()).expect("a configuration");
    let PluginConfig::Decide(config) = parsed else {
        panic!("it decides")
    };
    Engine::new(*config, host::secrets(), [7; 32]).expect_err("a refusal")
}

#[test]
fn the_deployment_says_whose_tokens_are_believed() {
    let signer = es256();
    let other = es256_from("other", 5);
    let of = |name: &str, audience: &str| issuer(name, audience, &jwks(&[&signer]));
    let token = signer.sign(&claims("bob"));
    let audience = "gateway";
    let mut worker = Worker::cold(&open(), |config| {
        config["identities"] = bound(&of(program::ISSUER, audience));
    });
    assert_eq!(with_token(&mut worker, &token), (true, String::new()));
    let (believed, _) = with_token(&mut worker, &other.sign(&claims("bob")));
    assert!(!believed, "another key");
    // The same program elsewhere: what was good there is nothing here.
    let mut elsewhere = Worker::cold(&open(), |config| {
        config["identities"] = bound(&of("https://idp.elsewhere", audience));
    });
    assert_eq!(
        with_token(&mut elsewhere, &token),
        (false, "auth.untrusted_issuer".to_owned())
    );
    let mut for_others = Worker::cold(&open(), |config| {
        config["identities"] = bound(&of(program::ISSUER, "somebody-else"));
    });
    assert_eq!(
        with_token(&mut for_others, &token),
        (false, "auth.audience_mismatch".to_owned())
    );
}

#[test]
fn an_open_identity_without_issuers_is_refused() {
    let name = names().remove(0);
    assert_eq!(refused(|_| {}), ConfigError::Unbound(name.clone()));
    // An empty list names nobody either.
    let empty = refused(|config| config["identities"] = json!([{ "name": name, "issuers": [] }]));
    assert_eq!(empty, ConfigError::Unbound(name));
}

#[test]
fn a_binding_that_fits_nothing_is_refused() {
    let good = issuer(program::ISSUER, "a", "{\"keys\": []}");
    let unknown = refused(|config| {
        config["identities"] = json!([{ "name": "nobody", "issuers": [good] }]);
    });
    assert_eq!(unknown, ConfigError::NothingToBind("nobody".to_owned()));
    // Twice: the second finds it taken.
    let name = names().remove(0);
    let twice = refused(|config| {
        config["identities"] =
            json!([{ "name": name, "issuers": [good] }, { "name": name, "issuers": [good] }]);
    });
    assert_eq!(twice, ConfigError::NothingToBind(name.clone()));
    let mut weak = good;
    weak["algorithms"] = json!(["HS256"]);
    let weak = refused(|config| config["identities"] = json!([{ "name": name, "issuers": [weak] }]));
    assert!(matches!(weak, ConfigError::Limit(..)), "{weak:?}");
}

#[test]
fn a_program_with_its_own_issuers_takes_none_from_outside() {
    let good = issuer(program::ISSUER, "a", "{\"keys\": []}");
    let policy = program::seed(&[Algorithm::Es256], None).bytes();
    let name = names().remove(0);
    let config = host::config(&policy, |config| {
        config["identities"] = json!([{ "name": name, "issuers": [good] }]);
    });
    let parsed = PluginConfig::parse(config.to_string().as_bytes()).expect("a configuration");
    let PluginConfig::Decide(config) = parsed else {
        panic!("it decides")
    };
    let refused = Engine::new(*config, host::secrets(), [7; 32]).err();
    assert_eq!(refused, Some(ConfigError::NothingToBind(name)));
}
