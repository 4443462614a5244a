//! API keys against the companion's directory, which holds digests only.

use aplomb_test_harness::envoy::wasm::InstallMode;
use aplomb_test_harness::ground::recorder::Recorder;
use aplomb_test_harness::patience::eventually;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::scene::{DENIED, Scene, Setting, plugin, scene};

const KEY: &str = "sk-4c9f0d1be77a42d28a0f3a7c5e0f9b21";
const EVES: &str = "sk-00000000000000000000000000000000";
const ENDED: &str = "sk-11111111111111111111111111111111";

fn digest(key: &str) -> String {
    Sha256::digest(key.as_bytes())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn directory() -> Value {
    let mut keys = json!({});
    keys[digest(KEY)] = json!({ "subject": "alice", "roles": ["tester"] });
    keys[digest(EVES)] = json!({ "subject": "eve", "roles": ["tester"] });
    keys[digest(ENDED)] = json!({ "subject": "alice", "roles": ["tester"], "expires_at": 1 });
    keys
}

async fn with_directory(mode: InstallMode) -> Scene {
    let config = json!({
        "credential": { "kind": "header", "name": "x-api-key" },
        "prefix": "sk-",
        "provider": { "kind": "file", "path": "keys.json" },
        "cache": { "ttl_secs": 1, "negative_ttl_secs": 1 },
    });
    scene(Setting {
        plugins: json!([plugin("keys", "identity/api-key", &config)]),
        require: "role.tester & subject.id == 'alice'",
        mode,
        in_front: Vec::new(),
        adapt: None,
        companion: Some(json!({})),
        beside_companion: vec![("keys.json".to_owned(), directory().to_string())],
    })
    .await
}

/// The key is nowhere in what the backend heard.
fn keeps_the_key(backend: &Recorder) {
    for heard in backend.heard() {
        assert!(
            !format!("{:?}", heard.headers).contains(KEY),
            "the key went on to the backend: {heard:?}"
        );
    }
}

async fn a_key_of_the_directory_is_the_caller(mode: InstallMode) {
    let scene = with_directory(mode).await;
    scene.lets_in("alice's key", &[("x-api-key", KEY)]).await;
    scene
        .refuses("eve's key", &[("x-api-key", EVES)], 200, DENIED)
        .await;
    let digest = digest(KEY);
    let prefixed = format!("sk-{digest}");
    let longer = format!("{KEY}0");
    let unknown = ["sk-nobodys-key-at-all-0000000000000", &prefixed, &longer];
    for key in unknown {
        scene
            .refuses(key, &[("x-api-key", key)], 401, "auth.key_unknown")
            .await;
    }
    scene
        .refuses("an ended key", &[("x-api-key", ENDED)], 401, "auth.key_expired")
        .await;
    scene
        .refuses(
            "the digest",
            &[("x-api-key", &digest)],
            401,
            "auth.unrecognized_credential",
        )
        .await;
    scene
        .refuses(
            "another header",
            &[("authorization", KEY)],
            401,
            "auth.missing_credential",
        )
        .await;
    scene
        .refuses("nothing", &[], 401, "auth.missing_credential")
        .await;
    scene.backend.forget();
    let said = scene.call_at(&format!("/mcp?x-api-key={KEY}"), &[]).await;
    scene.is_refused("a key in the query", &said, 401, "auth.missing_credential");
    let said = scene.call(&[("x-api-key", EVES), ("x-api-key", KEY)]).await;
    assert!(
        said.status != 200 || !said.code.is_empty(),
        "two keys at a time: {said:?}"
    );
    assert!(scene.backend.heard().is_empty(), "two keys at a time GOT THROUGH");

    // A key that is taken away counts for as long as it is remembered: here a second.
    std::fs::write(scene.ground.artefacts.dir.join("keys.json"), "{}").expect("written");
    eventually("the end of a key", async || {
        let said = scene.call(&[("x-api-key", KEY)]).await;
        (said.code == "auth.key_unknown").then_some(())
    })
    .await;
    scene
        .refuses("a key taken away", &[("x-api-key", KEY)], 401, "auth.key_unknown")
        .await;
    keeps_the_key(&scene.backend);
    assert!(scene.dir.path().exists());
}

#[tokio::test]
async fn a_key_of_the_directory_is_the_caller_in_full_mode() {
    a_key_of_the_directory_is_the_caller(InstallMode::Full).await;
}

#[tokio::test]
async fn a_key_of_the_directory_is_the_caller_in_paired_mode() {
    a_key_of_the_directory_is_the_caller(InstallMode::Paired).await;
}
