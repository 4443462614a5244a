//! How the gateway's client proves itself: a secret in the form, and a signed assertion (RFC 7523).

use companion_protocol::{Effect, EffectResult};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519};
use ring::signature::{ECDSA_P256_SHA256_FIXED, ED25519, UnparsedPublicKey, VerificationAlgorithm};
use serde_json::{Value, json};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::{exchange, ok};
use crate::client::{Running, config, options};
use crate::fault_idp::{Asked, FaultIdp, honest, now_s};

async fn form(change: impl FnOnce(&mut Value)) -> (Asked, FaultIdp) {
    let idp = FaultIdp::scripted(ok(honest())).await;
    let mut config = config(&idp.endpoint());
    change(&mut config["delegators"]["d"]);
    let companion = Running::with(config).await;
    let result = companion.one(Effect::TokenExchange(exchange())).await;
    assert!(matches!(result, EffectResult::Granted(_)), "{result:?}");
    (idp.asked().remove(0), idp)
}

#[tokio::test]
async fn client_secret_post_puts_the_secret_into_the_form_and_nowhere_else() {
    let (asked, _) = form(|delegator| delegator["client_auth"] = json!("client_secret_post")).await;
    assert_eq!(
        (
            asked.form["client_id"].as_str(),
            asked.form["client_secret"].as_str()
        ),
        ("gate way", "pass:word")
    );
    assert!(!asked.headers.contains_key("authorization"));
}

fn part(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).expect("base64")
}

#[tokio::test]
async fn private_key_jwt_signs_an_assertion_for_this_endpoint_and_never_the_same_twice() {
    let kinds: [(_, &str, &dyn VerificationAlgorithm); 2] = [
        (&PKCS_ED25519, "EdDSA", &ED25519),
        (&PKCS_ECDSA_P256_SHA256, "ES256", &ECDSA_P256_SHA256_FIXED),
    ];
    for (kind, algorithm, verify) in kinds {
        let key = KeyPair::generate_for(kind).expect("a key");
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), key.serialize_pem()).expect("writes");
        let path = file.path().display().to_string();
        let mut ids = Vec::new();
        for _ in 0..2 {
            let (asked, idp) = form(|delegator| {
                delegator["client_auth"] = json!("private_key_jwt");
                delegator["client_key"] = json!({"file": path});
                delegator["client_key_id"] = json!("k1");
                delegator
                    .as_object_mut()
                    .expect("an object")
                    .remove("client_secret");
            })
            .await;
            assert!(
                !asked.headers.contains_key("authorization") && !asked.form.contains_key("client_secret")
            );
            assert_eq!(
                asked.form["client_assertion_type"],
                "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
            );
            let assertion = &asked.form["client_assertion"];
            let (signed, signature) = assertion.rsplit_once('.').expect("a JWT");
            let (header, claims) = signed.split_once('.').expect("a JWT");
            let header: Value = serde_json::from_slice(&part(header)).expect("JSON");
            let claims: Value = serde_json::from_slice(&part(claims)).expect("JSON");
            assert_eq!(header, json!({"alg": algorithm, "typ": "JWT", "kid": "k1"}));
            assert_eq!(
                (&claims["iss"], &claims["sub"]),
                (&json!("gate way"), &json!("gate way"))
            );
            assert_eq!(claims["aud"], json!(idp.endpoint()));
            let life = claims["exp"].as_u64().expect("a number");
            assert!(life > now_s() && life <= now_s() + 60);
            ids.push(claims["jti"].as_str().expect("text").to_owned());
            let public = key.public_key_raw();
            UnparsedPublicKey::new(verify, public)
                .verify(signed.as_bytes(), &part(signature))
                .expect("our own signature");
        }
        assert_ne!(ids[0], ids[1]);
    }
}

#[tokio::test]
async fn a_client_without_what_it_needs_does_not_start() {
    for (change, text) in [
        (json!({"client_secret": null}), "client_secret"),
        (json!({"client_auth": "private_key_jwt"}), "client_key"),
        (
            json!({"client_auth": "private_key_jwt", "client_key": {"file": "/proc/version"}}),
            "no PEM",
        ),
    ] {
        let mut config = config("https://idp.example/token");
        for (name, value) in change.as_object().expect("an object") {
            config["delegators"]["d"][name] = value.clone();
        }
        let directory = tempfile::tempdir().expect("a directory");
        let options = options(&directory, &config);
        let error = aplomb_companion::serve::Companion::start(&options)
            .await
            .err()
            .expect("refused");
        let said = format!("{error:?}\n{}", std::error::Error::source(&error).expect("why"));
        assert!(said.contains(text), "{said}");
    }
}
