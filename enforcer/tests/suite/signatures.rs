//! Signatures of each algorithm: which hold and which do not.

use apl_bytecode::Algorithm;
use serde_json::{Value, json};

use crate::{
    host::Worker,
    identity::with_token,
    jwt::{self, claims, eddsa, es256, jwks, rs256},
    program,
};

/// A signer of each algorithm that a policy can name. The three keys do not say which algorithm they are for.
fn every_signer() -> Vec<jwt::Signer> {
    use jsonwebtoken::Algorithm as Jwa;
    let rsa = [
        Jwa::RS256,
        Jwa::RS384,
        Jwa::RS512,
        Jwa::PS256,
        Jwa::PS384,
        Jwa::PS512,
    ];
    let mut all = rsa.map(|algorithm| rs256().under(algorithm)).to_vec();
    all.extend([es256(), eddsa()]);
    assert_eq!(all.len(), Algorithm::ALL.len());
    all
}

fn every_algorithm() -> Worker {
    let mut keys: Value = serde_json::from_str(&jwks(&[&rs256(), &es256(), &eddsa()])).unwrap();
    for key in keys["keys"].as_array_mut().unwrap() {
        key.as_object_mut().unwrap().remove("alg");
    }
    Worker::cold(
        &program::seed(&Algorithm::ALL, Some(&keys.to_string())).bytes(),
        |_| {},
    )
}

#[test]
fn believes_tokens_of_each_algorithm_that_a_policy_can_name() {
    for signer in every_signer() {
        let token = signer.sign(&claims("bob"));
        assert_eq!(
            with_token(&mut every_algorithm(), &token),
            (true, String::new()),
            "{:?}",
            signer.algorithm
        );
    }
}

#[test]
fn refuses_a_changed_or_cut_signature_of_each_algorithm() {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    for signer in every_signer() {
        let token = signer.sign(&claims("bob"));
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        let mut first = signature.clone();
        first[0] ^= 1;
        let mut last = signature.clone();
        *last.last_mut().unwrap() ^= 1;
        let mut long = signature.clone();
        long.push(0);
        let cut = signature[..signature.len() - 1].to_vec();
        let zeros = vec![0; signature.len()];
        for bad in [
            first,
            last,
            long,
            cut,
            zeros,
            vec![0xff; signature.len()],
            Vec::new(),
        ] {
            let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(&bad));
            assert_eq!(
                with_token(&mut every_algorithm(), &token),
                (false, "auth.signature_invalid".to_owned()),
                "{:?} {bad:?}",
                signer.algorithm
            );
        }
    }
}

#[test]
fn refuses_a_signature_under_another_algorithm_s_name() {
    for signer in every_signer() {
        let mine = format!("{:?}", signer.algorithm);
        for other in Algorithm::ALL.map(Algorithm::name) {
            let token = signer.sign_with(&json!({"alg": other, "kid": signer.kid}), &claims("bob"));
            let (believed, code) = with_token(&mut every_algorithm(), &token);
            assert_eq!(believed, other == mine, "{mine} as {other}: {code}");
            let expected = ["auth.algorithm_mismatch", "auth.signature_invalid", ""];
            assert!(expected.contains(&code.as_str()), "{mine} as {other}: {code}");
        }
    }
}
