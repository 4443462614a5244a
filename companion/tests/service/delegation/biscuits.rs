//! Biscuits: narrowed here, and verified as a backend does it, with the format's own crate.

use std::time::{Duration, SystemTime};

use biscuit_auth::builder::{BlockBuilder, date, fact, string};
use biscuit_auth::{Algorithm, AuthorizerBuilder, AuthorizerLimits, Biscuit, KeyPair, PublicKey};
use companion_protocol::{Attenuation, Effect, EffectResult, Grant, SubjectKind, TokenExchange};
use serde_json::{Value, json};

use super::{exchange, refusal};
use crate::client::{DIGEST, Running};
use crate::fault_idp::now_s;

/// What a backend knows of a call, as facts, and with it the answer.
fn backend(root: PublicKey, grant: &Grant, facts: &str, after_s: u64) -> Result<(), String> {
    let token = Biscuit::from_base64(&grant.token, root).map_err(|fault| fault.to_string())?;
    let at = SystemTime::now() + Duration::from_secs(after_s);
    let limits = AuthorizerLimits {
        max_time: Duration::from_secs(60),
        ..AuthorizerLimits::default()
    };
    AuthorizerBuilder::new()
        .code(facts)
        .and_then(|builder| builder.fact(fact("time", &[date(&at)])))
        .and_then(|builder| builder.policy("allow if true"))
        .and_then(|builder| builder.set_limits(limits).build(&token))
        .and_then(|mut authorizer| authorizer.authorize())
        .map(drop)
        .map_err(|fault| fault.to_string())
}

fn token(root: &KeyPair, source: &str) -> String {
    let token = Biscuit::builder()
        .code(source)
        .and_then(|builder| builder.build(root));
    token.and_then(|token| token.to_base64()).expect("a token")
}

fn hex(root: &KeyPair) -> String {
    root.public().to_bytes_hex()
}

fn config(delegator: Value) -> Value {
    json!({ "version": 1, "policy_digest": DIGEST, "delegators": { "d": delegator } })
}

fn asked(token: String) -> TokenExchange {
    TokenExchange {
        subject_token: Some(token),
        target: "hr".to_owned(),
        audience: "https://hr".to_owned(),
        permissions: vec!["read".to_owned(), "list".to_owned()],
        ..exchange()
    }
}

async fn ask(delegator: Value, asked: TokenExchange) -> EffectResult {
    Running::with(config(delegator))
        .await
        .one(Effect::TokenExchange(asked))
        .await
}

async fn granted(root: &KeyPair, asked: TokenExchange) -> Grant {
    let delegator = json!({ "kind": "biscuit", "root_public_key": { "hex": hex(root) } });
    match ask(delegator, asked).await {
        EffectResult::Granted(grant) => grant,
        other => panic!("not granted: {other:?}"),
    }
}

async fn code(root: &KeyPair, asked: TokenExchange) -> String {
    let delegator = json!({ "kind": "biscuit", "root_public_key": { "hex": hex(root) } });
    refusal(ask(delegator, asked).await).0
}

const READS_HR: &str = r#"audience("https://hr"); operation("read");"#;

#[tokio::test]
async fn a_narrowed_token_is_good_for_its_audience_and_for_any_one_of_its_permissions() {
    let root = KeyPair::new();
    let grant = granted(&root, asked(token(&root, r#"user("bob"); right("all")"#))).await;
    assert_eq!(grant.permissions, ["read", "list"]);
    assert_eq!(
        (grant.outbound_header.as_str(), grant.outbound_prefix.as_str()),
        ("authorization", "Bearer ")
    );
    let call = |facts: &str| backend(root.public(), &grant, facts, 0);
    call(READS_HR).expect("one permission");
    call(r#"audience("https://hr"); operation("list");"#).expect("the other one");
    for facts in [
        r#"audience("https://other"); operation("read");"#,
        r#"audience("https://hr"); operation("write");"#,
        r#"operation("read");"#,
        r#"audience("https://hr");"#,
    ] {
        call(facts).expect_err(facts);
    }
}

#[tokio::test]
async fn it_ends_after_the_time_of_step_or_delegator_and_never_after_the_callers_own() {
    let root = KeyPair::new();
    let with = |ttl_s, source: &str| TokenExchange {
        attenuation: Some(Attenuation {
            ttl_s,
            ..Attenuation::default()
        }),
        ..asked(token(&root, source))
    };
    for (ttl_s, life) in [(None, 300), (Some(40_000), 40_000)] {
        let grant = granted(&root, with(ttl_s, r#"user("bob")"#)).await;
        assert!(grant.expires_at <= now_s() + life && grant.expires_at + 200 > now_s() + life);
        backend(root.public(), &grant, READS_HR, 0).expect("good now");
        backend(root.public(), &grant, READS_HR, life + 1).expect_err("ended");
    }
    let end = SystemTime::now() + Duration::from_secs(20_000);
    let end_s = end
        .duration_since(SystemTime::UNIX_EPOCH)
        .expect("after 1970")
        .as_secs();
    let source = format!(r#"user("bob"); check if time($t), $t <= {}"#, date(&end));
    let grant = granted(&root, with(Some(40_000), &source)).await;
    assert_eq!(grant.expires_at, end_s);
}

#[tokio::test]
async fn actions_capabilities_and_a_resource_have_to_hold_each() {
    let root = KeyPair::new();
    let grant = granted(
        &root,
        TokenExchange {
            permissions: Vec::new(),
            attenuation: Some(Attenuation {
                ttl_s: None,
                checks: [
                    ("action", "get"),
                    ("capability", "search"),
                    ("capability", "fetch"),
                    // Text that would end a string where it is printed, not encoded.
                    ("resource", "hr://\"); user(\"eve"),
                ]
                .map(|(kind, value)| (kind.to_owned(), value.to_owned()))
                .into(),
            }),
            ..asked(token(&root, r#"user("bob")"#))
        },
    )
    .await;
    // As terms: a text that is printed is not escaped.
    let verify = |resource: &str, action: &str, capability: &str| {
        let token = Biscuit::from_base64(&grant.token, root.public()).expect("signed");
        let facts = [
            ("audience", "https://hr"),
            ("resource", resource),
            ("action", action),
            ("capability", capability),
        ];
        let limits = AuthorizerLimits {
            max_time: Duration::from_secs(60),
            ..AuthorizerLimits::default()
        };
        let builder = facts.iter().try_fold(
            AuthorizerBuilder::new().set_limits(limits).time(),
            |builder, (name, value)| builder.fact(fact(name, &[string(value)])),
        );
        let built = builder.and_then(|builder| builder.policy("allow if true")?.build(&token));
        built.expect("a verifier").authorize().is_ok()
    };
    let resource = "hr://\"); user(\"eve";
    assert!(verify(resource, "get", "search") && verify(resource, "get", "fetch"));
    assert!(!verify("hr://", "get", "search"));
    assert!(!verify(resource, "put", "search"));
    assert!(!verify(resource, "get", "delete"));
}

#[tokio::test]
async fn a_token_of_another_root_a_changed_one_and_no_token_are_refused() {
    let (root, other) = (KeyPair::new(), KeyPair::new());
    let good = token(&root, r#"user("bob")"#);
    let mut changed = good.clone().into_bytes();
    let middle = changed.len() / 2;
    changed[middle] = if changed[middle] == b'A' { b'B' } else { b'A' };
    let changed = String::from_utf8(changed).expect("ASCII");
    for bad in [
        token(&other, r#"user("bob")"#),
        changed,
        "no biscuit".to_owned(),
        "AAAA".to_owned(),
    ] {
        assert_eq!(
            code(&root, asked(bad.clone())).await,
            "delegation.token_invalid",
            "{bad}"
        );
    }
    let without = TokenExchange {
        subject_token: None,
        ..exchange()
    };
    assert_eq!(code(&root, without).await, "delegation.bad_request");
}

#[tokio::test]
async fn an_expired_token_is_refused_whoever_added_the_end() {
    let root = KeyPair::new();
    let past = date(&(SystemTime::now() - Duration::from_secs(60)));
    let own = token(&root, &format!(r#"user("bob"); check if time($t), $t <= {past}"#));
    let good = Biscuit::from_base64(token(&root, r#"user("bob")"#), root.public()).expect("good");
    let block = BlockBuilder::new()
        .code(format!("reject if time($t), $t > {past}"))
        .expect("a block");
    let added = good
        .append(block)
        .and_then(|token| token.to_base64())
        .expect("appends");
    for expired in [own, added] {
        assert_eq!(code(&root, asked(expired)).await, "delegation.token_expired");
    }
}

#[tokio::test]
async fn checks_that_are_the_backends_stay_in_it_and_bind_there() {
    let root = KeyPair::new();
    let source = r#"user("bob"); check if region("eu")"#;
    let grant = granted(&root, asked(token(&root, source))).await;
    let eu = format!(r#"{READS_HR} region("eu");"#);
    backend(root.public(), &grant, &eu, 0).expect("the caller's own check holds");
    backend(root.public(), &grant, READS_HR, 0).expect_err("it is still in the token");
}

#[tokio::test]
async fn it_speaks_for_the_verified_caller_alone() {
    let root = KeyPair::new();
    for (source, expected) in [
        (r#"user("eve")"#, "delegation.subject_mismatch"),
        (r#"user("bob"); user("eve")"#, "delegation.subject_mismatch"),
        (r#"client("bob")"#, "delegation.subject_unverifiable"),
    ] {
        assert_eq!(
            code(&root, asked(token(&root, source))).await,
            expected,
            "{source}"
        );
    }
    // A name that, printed, would read as two facts.
    let builder = Biscuit::builder()
        .fact(fact("user", &[string("eve\"); user(\"bob")]))
        .expect("a fact");
    let forged = builder
        .build(&root)
        .and_then(|token| token.to_base64())
        .expect("a token");
    assert_eq!(code(&root, asked(forged)).await, "delegation.subject_mismatch");
    // Whoever holds a token can add a block, so what a block says of the user is nobody's word.
    let theirs = Biscuit::from_base64(token(&root, r#"user("eve")"#), root.public()).expect("good");
    let block = BlockBuilder::new().code(r#"user("bob")"#).expect("a block");
    let claimed = theirs
        .append(block)
        .and_then(|token| token.to_base64())
        .expect("appends");
    assert_eq!(code(&root, asked(claimed)).await, "delegation.subject_mismatch");
    let unbound =
        json!({ "kind": "biscuit", "root_public_key": { "hex": hex(&root) }, "bind_subject": false });
    let result = ask(unbound, asked(token(&root, r#"right("all")"#))).await;
    assert!(matches!(result, EffectResult::Granted(_)), "{result:?}");
    let named =
        json!({ "kind": "biscuit", "root_public_key": { "hex": hex(&root) }, "subject_fact": "owner" });
    let result = ask(named, asked(token(&root, r#"owner("bob")"#))).await;
    assert!(matches!(result, EffectResult::Granted(_)), "{result:?}");
}

#[tokio::test]
async fn what_would_make_a_check_empty_is_refused() {
    let root = KeyPair::new();
    for source in [
        r#"user("bob"); audience("https://other"); audience("https://hr")"#,
        r#"user("bob"); operation($o) <- wanted($o)"#,
        r#"user("bob"); time(2020-01-01T00:00:00Z)"#,
    ] {
        assert_eq!(
            code(&root, asked(token(&root, source))).await,
            "delegation.attenuation_failed",
            "{source}"
        );
    }
    let sealed =
        Biscuit::from_base64(token(&root, r#"user("bob")"#), root.public()).and_then(|token| token.seal());
    let sealed = sealed.and_then(|token| token.to_base64()).expect("seals");
    assert_eq!(code(&root, asked(sealed)).await, "delegation.attenuation_failed");
}

#[tokio::test]
async fn what_a_holder_added_cannot_cost_much() {
    let root = KeyPair::new();
    let good = Biscuit::from_base64(token(&root, r#"user("bob")"#), root.public()).expect("good");
    let facts: String = (0..120).map(|number| format!("n({number});")).collect();
    for added in [
        format!("{facts} check if n($a), n($b), n($c), n($d), n($e), $a > 1000"),
        "m($a) <- n($a)".to_owned(),
        "check if [1, 2].all($a -> [1, 2].all($b -> $a == $b))".to_owned(),
    ] {
        let block = BlockBuilder::new().code(&added).expect("a block");
        let costly = good
            .append(block)
            .and_then(|token| token.to_base64())
            .expect("appends");
        assert_eq!(
            code(&root, asked(costly)).await,
            "delegation.attenuation_failed",
            "{added}"
        );
    }
    let large = token(&root, &format!(r#"user("bob"); note("{}")"#, "x".repeat(9_000)));
    assert_eq!(code(&root, asked(large)).await, "delegation.attenuation_failed");
}

#[tokio::test]
async fn an_actor_a_gateway_of_its_own_and_empty_narrowings_cannot_be_asked_for() {
    let root = KeyPair::new();
    let good = || asked(token(&root, r#"user("bob")"#));
    let narrowed = |change: fn(&mut Attenuation)| {
        let mut attenuation = Attenuation::default();
        change(&mut attenuation);
        TokenExchange {
            attenuation: Some(attenuation),
            ..good()
        }
    };
    for bad in [
        TokenExchange {
            actor_token: Some("a".to_owned()),
            ..good()
        },
        TokenExchange {
            subject: SubjectKind::ThisWorkload,
            ..good()
        },
        TokenExchange {
            audience: String::new(),
            ..good()
        },
        narrowed(|attenuation| attenuation.checks.push(("action".to_owned(), String::new()))),
        narrowed(|attenuation| {
            attenuation
                .checks
                .push(("audience".to_owned(), "other".to_owned()))
        }),
    ] {
        assert_eq!(code(&root, bad).await, "delegation.bad_request");
    }
    let oauth = crate::client::config("http://127.0.0.1:9/token");
    let asked = TokenExchange {
        attenuation: Some(Attenuation::default()),
        ..exchange()
    };
    let result = Running::with(oauth).await.one(Effect::TokenExchange(asked)).await;
    assert_eq!(refusal(result).0, "delegation.bad_request");
}

#[tokio::test]
async fn several_roots_may_stand_in_a_file_and_what_is_none_stops_the_start() {
    let (old, new) = (KeyPair::new(), KeyPair::new_with_algorithm(Algorithm::Ed25519));
    let directory = tempfile::tempdir().expect("a directory");
    let keys = format!("{}\ned25519/{}\n", hex(&old), hex(&new));
    std::fs::write(directory.path().join("roots"), keys).expect("writes");
    let config = config(json!({ "kind": "biscuit", "root_public_key": { "file": "roots" }, "cache": false }));
    let options = crate::client::options(&directory, &config);
    let companion = Running::with_options(directory, &options).await;
    for root in [&old, &new] {
        let asked = asked(token(root, r#"user("bob")"#));
        match companion.one(Effect::TokenExchange(asked)).await {
            EffectResult::Granted(grant) => assert!(grant.no_store),
            other => panic!("not granted: {other:?}"),
        }
    }
    let wrong = self::config(json!({ "kind": "biscuit", "root_public_key": { "hex": "abc" } }));
    let directory = tempfile::tempdir().expect("a directory");
    let options = crate::client::options(&directory, &wrong);
    let refused = aplomb_companion::serve::Companion::start(&options)
        .await
        .map(drop)
        .expect_err("no key");
    let told = told(&refused);
    assert!(told.contains("root_public_key"), "{told}");
}

fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}
