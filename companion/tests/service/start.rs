//! What cannot be served is refused at start, with what to do about it.

use std::error::Error;
use std::os::unix::fs::PermissionsExt;

use aplomb_companion::serve::{Companion, Options};
use companion_protocol::OnFail;
use serde_json::{Value, json};

use crate::client::{DIGEST, config, options};

/// The whole chain of causes.
async fn refusal(options: &Options) -> String {
    let Err(error) = Companion::start(options).await else {
        panic!("started");
    };
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

async fn refused(config: &Value) -> String {
    let directory = tempfile::tempdir().expect("a directory");
    refusal(&options(&directory, config)).await
}

fn with(change: impl FnOnce(&mut Value)) -> Value {
    let mut config = config("http://127.0.0.1:1/token");
    change(&mut config);
    config
}

#[tokio::test]
async fn a_missing_secret_names_variable_and_delegator() {
    let text = refused(&with(|c| {
        c["delegators"]["d"]["client_secret"] = json!({"env": "APLOMB_NO_SUCH"})
    }))
    .await;
    assert!(
        text.contains("`APLOMB_NO_SUCH`") && text.contains("`d`"),
        "{text}"
    );
}

#[tokio::test]
async fn secrets_env_beside_the_configuration_is_read() {
    let directory = tempfile::tempdir().expect("a directory");
    let config = with(|c| c["delegators"]["d"]["client_secret"] = json!({"env": "APLOMB_NO_SUCH"}));
    let options = options(&directory, &config);
    let path = directory.path().join("secrets.env");
    std::fs::write(&path, "APLOMB_NO_SUCH=hunter2\n").expect("writes");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("mode");
    assert!(Companion::start(&options).await.is_ok());
    std::fs::write(&path, "APLOMB_NO_SUCH=\n").expect("writes");
    assert!(refusal(&options).await.contains("`APLOMB_NO_SUCH` is empty"));
}

#[tokio::test]
async fn plain_http_needs_permission() {
    let text = refused(&with(|c| c["delegators"]["d"]["allow_http"] = json!(false))).await;
    assert!(
        text.contains("delegator `d`") && text.contains("plain HTTP"),
        "{text}"
    );
    let issuer = json!([{"issuer": "i", "jwks_url": "http://127.0.0.1:1/certs"}]);
    let text = refused(&with(|c| c["issuers"] = issuer)).await;
    assert!(
        text.contains("issuer `i`") && text.contains("plain HTTP"),
        "{text}"
    );
}

#[tokio::test]
async fn unknown_keys_versions_and_digests_are_refused() {
    let cases = [
        (with(|c| c["delgators"] = json!({})), "unknown field `delgators`"),
        (with(|c| c["version"] = json!(2)), "has version 2"),
        (
            with(|c| c["policy_digest"] = json!("abc")),
            "64 lower-case hex digits",
        ),
        (
            with(|c| c["delegators"]["d"]["outbound_header"] = json!("X Bad")),
            "`outbound_header`",
        ),
    ];
    for (config, expected) in cases {
        let text = refused(&config).await;
        assert!(text.contains(expected), "{text}");
    }
}

#[tokio::test]
async fn several_policies_are_held_and_contradicting_ones_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut options = options(&directory, &config("http://127.0.0.1:1/token"));
    let mut add = |name: &str, config: &Value| {
        let path = directory.path().join(name);
        std::fs::write(&path, config.to_string()).expect("writes");
        options.configs.push(path);
        options.clone()
    };
    let issuer = |url: &str| json!([{"issuer": "i", "jwks_url": url}]);
    let other = |last: char, url: &str| {
        with(|c| {
            c["policy_digest"] = json!(format!("{}{last}", &DIGEST[1..]));
            c["issuers"] = issuer(url);
        })
    };
    let two = add("two.json", &other('b', "https://a.example/certs"));
    assert!(Companion::start(&two).await.is_ok());
    let text = refusal(&add("three.json", &other('c', "https://b.example/certs"))).await;
    assert!(text.contains("issuer `i` has two key sets"), "{text}");
    let again = with(|c| c["delegators"] = json!({}));
    options.configs.truncate(1);
    let path = directory.path().join("again.json");
    std::fs::write(&path, again.to_string()).expect("writes");
    options.configs.push(path);
    let text = refusal(&options).await;
    assert!(text.contains("two configurations for policy"), "{text}");
}

#[tokio::test]
async fn a_store_that_cannot_be_used_or_agreed_on_is_refused() {
    let store = |store: Value| with(|c| c["session_store"] = store);
    let text = refused(&store(
        json!({"kind": "valkey", "endpoint": "store.example:6379"}),
    ))
    .await;
    assert!(text.contains("plain TCP"), "{text}");
    let missing = json!({"kind": "valkey", "endpoint": "localhost:1", "password": {"env": "APLOMB_NO_SUCH"}});
    let text = refused(&store(missing)).await;
    assert!(
        text.contains("`password`") && text.contains("`APLOMB_NO_SUCH`"),
        "{text}"
    );
    let directory = tempfile::tempdir().expect("a directory");
    let mut options = options(
        &directory,
        &store(json!({"kind": "valkey", "endpoint": "localhost:1"})),
    );
    let mut other = with(|c| c["policy_digest"] = json!(format!("{}b", &DIGEST[1..])));
    other["session_store"] = json!({"kind": "embedded"});
    let path = directory.path().join("other.json");
    std::fs::write(&path, other.to_string()).expect("writes");
    options.configs.push(path);
    assert!(refusal(&options).await.contains("`--store`"));
    options.store = Some(aplomb_companion::serve::StoreChoice::Embedded);
    assert!(Companion::start(&options).await.is_ok());
}

#[tokio::test]
async fn with_its_valkey_away_the_companion_starts_and_fails_session_effects_only() {
    let mut config = config("http://127.0.0.1:1/token");
    config["session_store"] = json!({"kind": "valkey", "endpoint": "127.0.0.1:1"});
    let companion = crate::client::Running::with(config).await;
    let result = companion.one(crate::client::load('a')).await;
    assert!(
        matches!(result, companion_protocol::EffectResult::Failed { code, .. } if code == "session.load_failed")
    );
    let ready = crate::client::get(companion.address, "/readyz").await;
    assert_eq!(ready.status, 503);
    assert_eq!(ready.json()["store"], false);
}

#[tokio::test]
async fn an_open_address_needs_a_token() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut options = options(&directory, &config("http://127.0.0.1:1/token"));
    options.listen = "0.0.0.0:0".parse().expect("an address");
    assert!(refusal(&options).await.contains("--token-env"));
    options.token_env = Some("APLOMB_NO_SUCH".to_owned());
    assert!(
        refusal(&options)
            .await
            .contains("`APLOMB_NO_SUCH`, which is not set")
    );
}

#[tokio::test]
async fn a_store_that_another_companion_holds_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let options = options(&directory, &config("http://127.0.0.1:1/token"));
    let _first = Companion::start(&options).await.expect("starts");
    assert!(refusal(&options).await.contains("in use by another companion"));
}

#[tokio::test]
async fn a_companion_that_leaves_says_so_and_answers_until_it_is_gone() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut options = options(&directory, &config("http://127.0.0.1:1/token"));
    // Longer than the test: what is looked at happens meanwhile.
    options.drain = std::time::Duration::from_secs(3600);
    let companion = Companion::start(&options).await.expect("starts");
    let address = companion.address();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let stop_comes = async move {
        let _ = stopped.await;
    };
    let running = tokio::spawn(companion.run(stop_comes, || Box::pin(std::future::pending())));
    let load = || vec![crate::client::call(crate::client::load('a'), OnFail::Stop)];
    let before = crate::client::get(address, "/readyz").await;
    assert_eq!(
        (before.status.as_u16(), before.headers.get("connection")),
        (200, None)
    );
    assert!(!before.headers.contains_key("x-envoy-immediate-health-check-fail"));
    stop.send(()).expect("it runs");
    let ready = crate::patience::eventually("its leaving", async || {
        let ready = crate::client::get(address, "/readyz").await;
        (ready.status == 503).then_some(ready)
    })
    .await;
    assert_eq!(
        (&ready.json()["store"], &ready.json()["leaving"]),
        (&true.into(), &true.into())
    );
    let answer = crate::client::post(address, crate::client::request(DIGEST, load())).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers.get("connection").expect("a header"), "close");
    // An Envoy that checks its health need not wait for the next check.
    let turned_away = answer.headers.get("x-envoy-immediate-health-check-fail");
    assert_eq!(turned_away.expect("a header"), "true");
    running.abort();
}

#[tokio::test]
async fn a_companion_without_a_drain_time_ends_when_it_is_told_to() {
    let directory = tempfile::tempdir().expect("a directory");
    let options = options(&directory, &config("http://127.0.0.1:1/token"));
    let companion = Companion::start(&options).await.expect("starts");
    let ended = companion
        .run(std::future::ready(()), || Box::pin(std::future::pending()))
        .await;
    assert!(ended.is_ok());
}
