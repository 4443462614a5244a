//! Tokens: those that Envoy's `jwt_authn` (or Istio's RequestAuthentication, which is that filter) has verified, and JWT-SVIDs.

use aplomb_test_harness::envoy::wasm::InstallMode;
use aplomb_test_harness::ground::issuer::{self, AUDIENCE, ISSUER};
use serde_json::{Value, json};

use crate::scene::{DENIED, Scene, Setting, plugin, scene};

/// Envoy's own filter: verifies a token where there is one, and leaves the rest to whoever comes behind it.
fn jwt_authn() -> Value {
    let jwks = json!({ "keys": [issuer::jwk().expect("a key")] }).to_string();
    let strict = json!({
        "issuer": ISSUER,
        "forward": true,
        "payload_in_metadata": "payload",
        "local_jwks": { "inline_string": jwks },
    });
    json!({
        "name": "jwt",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
            "providers": { "idp": strict },
            "rules": [{
                "match": { "prefix": "/" },
                "requires": { "requires_any": { "requirements": [
                    { "provider_name": "idp" }, { "allow_missing": {} },
                ] } },
            }],
        },
    })
}

async fn verified(mode: InstallMode, in_front: Vec<Value>) -> Scene {
    let config = json!({ "trusted_issuers": [{ "issuer": ISSUER, "audiences": [AUDIENCE] }] });
    scene(Setting {
        plugins: json!([plugin("mesh", "identity/mesh-jwt", &config)]),
        require: "role.tester & subject.id == 'alice'",
        mode,
        in_front,
        adapt: None,
        companion: None,
        beside_companion: Vec::new(),
    })
    .await
}

fn bearer(token: anyhow::Result<String>) -> String {
    format!("Bearer {}", token.expect("a token"))
}

fn alice() -> Value {
    json!({ "sub": "alice", "roles": ["tester"] })
}

async fn a_token_that_envoy_verified_is_the_caller(mode: InstallMode) {
    let scene = verified(mode, vec![jwt_authn()]).await;
    let good = bearer(issuer::token(&alice()));
    scene.lets_in("alice", &[("authorization", &good)]).await;

    let eve = bearer(issuer::token(&json!({ "sub": "eve", "roles": ["tester"] })));
    scene
        .refuses("somebody else", &[("authorization", &eve)], 200, DENIED)
        .await;
    // What Envoy itself refuses.
    let forged = bearer(issuer::forged(&alice()));
    scene
        .refuses("another key", &[("authorization", &forged)], 401, "")
        .await;
    let expired = bearer(issuer::token(
        &json!({ "sub": "alice", "roles": ["tester"], "exp": 1 }),
    ));
    scene
        .refuses("an expired token", &[("authorization", &expired)], 401, "")
        .await;
    // What Envoy lets pass and the filter refuses.
    let elsewhere = bearer(issuer::token(
        &json!({ "sub": "alice", "roles": ["tester"], "aud": "elsewhere" }),
    ));
    scene
        .refuses(
            "a token for another audience",
            &[("authorization", &elsewhere)],
            401,
            "auth.audience_mismatch",
        )
        .await;
    scene
        .refuses("no token", &[], 401, "auth.missing_credential")
        .await;
    let payload = "eyJzdWIiOiJhbGljZSIsInJvbGVzIjpbInRlc3RlciJdfQ";
    for (name, value) in [
        ("x-jwt-payload", payload),
        ("x-forwarded-user", "alice"),
        ("x-envoy-jwt-payload", payload),
        ("envoy.filters.http.jwt_authn", payload),
        ("x-user-token", good.as_str()),
    ] {
        scene
            .refuses(name, &[(name, value)], 401, "auth.missing_credential")
            .await;
    }
}

#[tokio::test]
async fn a_token_that_envoy_verified_is_the_caller_in_full_mode() {
    a_token_that_envoy_verified_is_the_caller(InstallMode::Full).await;
}

#[tokio::test]
async fn a_token_that_envoy_verified_is_the_caller_in_paired_mode() {
    a_token_that_envoy_verified_is_the_caller(InstallMode::Paired).await;
}

#[tokio::test]
async fn a_token_that_nobody_verified_is_no_caller() {
    let scene = verified(InstallMode::Full, Vec::new()).await;
    let good = bearer(issuer::token(&alice()));
    scene
        .refuses(
            "without the filter in front",
            &[("authorization", &good)],
            401,
            "auth.missing_credential",
        )
        .await;
}

const SPIFFE: &str = "spiffe://cluster.local/ns/agents/sa/hr";

/// A JWT-SVID: the issuer is found by the trust domain of `sub`.
#[tokio::test]
async fn a_jwt_svid_is_the_workload() {
    let config = json!({
        "role": "caller_workload",
        "header": "x-svid",
        "trusted_issuers": [{
            "issuer": "spiffe://cluster.local",
            "audiences": [AUDIENCE],
            "algorithms": ["EdDSA"],
            "decoding_key": { "kind": "jwk", "jwk": issuer::jwk().expect("a key") },
        }],
    });
    let scene = scene(Setting {
        plugins: json!([plugin("svid", "identity/jwt", &config)]),
        require: "caller_workload.spiffe_id == 'spiffe://cluster.local/ns/agents/sa/hr'",
        mode: InstallMode::Full,
        in_front: Vec::new(),
        adapt: None,
        companion: None,
        beside_companion: Vec::new(),
    })
    .await;
    // An SVID need not have `iss`.
    let svid = |claims: Value| bearer(issuer::token(&claims));
    let good = svid(json!({ "sub": SPIFFE, "iss": null }));
    scene.lets_in("the workload", &[("x-svid", &good)]).await;
    for (what, claims, status, code) in [
        (
            "another workload",
            json!({ "sub": "spiffe://cluster.local/ns/agents/sa/eve", "iss": null }),
            200,
            DENIED,
        ),
        (
            "another trust domain",
            json!({ "sub": "spiffe://evil.example/ns/agents/sa/hr", "iss": null }),
            401,
            "auth.untrusted_issuer",
        ),
        (
            "a domain that begins like it",
            json!({ "sub": "spiffe://cluster.local.evil.example/ns/agents/sa/hr", "iss": null }),
            401,
            "auth.untrusted_issuer",
        ),
        (
            "a user's token",
            json!({ "sub": "alice" }),
            401,
            "auth.untrusted_issuer",
        ),
        (
            "an SVID for somebody else",
            json!({ "sub": SPIFFE, "iss": null, "aud": "elsewhere" }),
            401,
            "auth.audience_mismatch",
        ),
        (
            "an SVID of yesterday",
            json!({ "sub": SPIFFE, "iss": null, "exp": 1 }),
            401,
            "auth.token_expired",
        ),
    ] {
        let token = svid(claims);
        scene.refuses(what, &[("x-svid", &token)], status, code).await;
    }
    let forged = bearer(issuer::forged(&json!({ "sub": SPIFFE, "iss": null })));
    scene
        .refuses(
            "another key",
            &[("x-svid", &forged)],
            401,
            "auth.signature_invalid",
        )
        .await;
    scene
        .refuses(
            "an id without a token",
            &[("x-svid", SPIFFE)],
            401,
            "auth.malformed_header",
        )
        .await;
}
