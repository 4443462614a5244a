//! Tokens: who is believed, and with which code the others are refused.

use apl_bytecode::{Algorithm, TokenRole};
use serde_json::{Value, json};

use crate::{
    host::{NOW_MS, Worker, call},
    jwt::{self, claims, eddsa, es256, es256_from, jwks, rs256},
    program::{self, Builder},
};

const ALL: &[Algorithm] = &[Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa];

pub(crate) fn with_token(worker: &mut Worker, token: &str) -> (bool, String) {
    let bearer = format!("Bearer {token}");
    let seen = worker.post(&[("authorization", &bearer)], &call("open", "{}"), None);
    if seen.forwarded() {
        return (true, String::new());
    }
    let reply = seen.reply.as_ref().unwrap();
    assert_eq!(reply.status, 401);
    assert!(
        reply
            .headers
            .contains(&("www-authenticate".to_owned(), "Bearer".to_owned()))
    );
    (false, seen.code())
}

fn inline() -> Worker {
    let keys = jwks(&[&rs256(), &es256(), &eddsa()]);
    Worker::cold(&program::seed(ALL, Some(&keys)).bytes(), |_| {})
}

#[test]
fn believes_tokens_of_each_algorithm() {
    let mut worker = inline();
    for signer in [rs256(), es256(), eddsa()] {
        assert_eq!(
            with_token(&mut worker, &signer.sign(&claims("bob"))),
            (true, String::new()),
            "{}",
            signer.kid
        );
        // And again, from the cache.
        assert_eq!(
            with_token(&mut worker, &signer.sign(&claims("bob"))),
            (true, String::new())
        );
    }
}

fn changed(change: impl FnOnce(&mut Value)) -> String {
    let mut all = claims("bob");
    change(&mut all);
    es256().sign(&all)
}

#[test]
fn refuses_each_bad_token_with_its_code() {
    let now = NOW_MS / 1000;
    let remove = |name: &'static str| changed(move |c| drop(c.as_object_mut().unwrap().remove(name)));
    let header = |header: Value| es256().sign_with(&header, &claims("bob"));
    let good = es256().sign(&claims("bob"));
    let mut tampered = good.clone().into_bytes();
    let middle = good.find('.').unwrap() + 5;
    tampered[middle] = if tampered[middle] == b'A' { b'B' } else { b'A' };
    let unsigned = format!("{}.", good.rsplit_once('.').unwrap().0);
    for (what, token, code) in [
        (
            "expired",
            changed(|c| c["exp"] = json!(now - 61)),
            "auth.token_expired",
        ),
        ("no end", remove("exp"), "auth.token_invalid"),
        (
            "too early",
            changed(|c| c["nbf"] = json!(now + 120)),
            "auth.token_not_yet_valid",
        ),
        (
            "foreign audience",
            changed(|c| c["aud"] = json!("other")),
            "auth.audience_mismatch",
        ),
        ("no audience", remove("aud"), "auth.audience_mismatch"),
        (
            "foreign issuer",
            changed(|c| c["iss"] = json!("https://evil")),
            "auth.untrusted_issuer",
        ),
        (
            "issuer with a slash",
            changed(|c| c["iss"] = json!(format!("{}/", program::ISSUER))),
            "auth.untrusted_issuer",
        ),
        ("no issuer", remove("iss"), "auth.untrusted_issuer"),
        ("no subject", remove("sub"), "auth.mapping_failed"),
        (
            "none",
            header(json!({"alg": "none", "kid": "k-es"})),
            "auth.algorithm_mismatch",
        ),
        (
            "symmetric",
            header(json!({"alg": "HS256", "kid": "k-es"})),
            "auth.algorithm_mismatch",
        ),
        (
            "another key's algorithm",
            header(json!({"alg": "RS256", "kid": "k-es"})),
            "auth.algorithm_mismatch",
        ),
        (
            "unknown key",
            header(json!({"alg": "ES256", "kid": "k-x"})),
            "auth.unknown_kid",
        ),
        (
            "no key named",
            header(json!({"alg": "ES256"})),
            "auth.unknown_kid",
        ),
        (
            "critical",
            header(json!({"alg": "ES256", "kid": "k-es", "crit": ["b64"]})),
            "auth.unsupported_critical_header",
        ),
        (
            "other key",
            es256_from("k-es", 8).sign(&claims("bob")),
            "auth.signature_invalid",
        ),
        ("unsigned", unsigned, "auth.signature_invalid"),
        (
            "two parts",
            good.rsplit_once('.').unwrap().0.to_owned(),
            "auth.malformed_header",
        ),
        ("four parts", format!("{good}.x"), "auth.malformed_header"),
        ("not base64url", format!("{good}="), "auth.malformed_header"),
        ("empty", String::new(), "auth.malformed_header"),
    ] {
        assert_eq!(
            with_token(&mut inline(), &token),
            (false, code.to_owned()),
            "{what}"
        );
    }
    let (fine, code) = with_token(&mut inline(), &String::from_utf8(tampered).unwrap());
    assert!(
        !fine && ["auth.signature_invalid", "auth.untrusted_issuer"].contains(&code.as_str()),
        "{code}"
    );
}

#[test]
fn leeway_is_sixty_seconds() {
    let now = NOW_MS / 1000;
    assert!(with_token(&mut inline(), &changed(|c| c["exp"] = json!(now - 59))).0);
    assert!(with_token(&mut inline(), &changed(|c| c["nbf"] = json!(now + 60))).0);
    assert!(with_token(&mut inline(), &changed(|c| c["exp"] = json!(now as f64 + 0.5))).0);
}

#[test]
fn a_cached_token_is_not_believed_after_its_end() {
    let mut worker = inline();
    let token = es256().sign(&claims("bob"));
    assert!(with_token(&mut worker, &token).0);
    worker.now_ms += 661_000;
    assert_eq!(
        with_token(&mut worker, &token),
        (false, "auth.token_expired".to_owned())
    );
}

#[test]
fn other_schemes_are_no_bearer_tokens() {
    let mut worker = inline();
    let basic = format!("Basic {}", jwt::token("bob"));
    let seen = worker.post(&[("authorization", &basic)], &call("open", "{}"), None);
    assert_eq!(seen.code(), "auth.malformed_header");
    let bare = worker.post(
        &[("authorization", &jwt::token("bob"))],
        &call("open", "{}"),
        None,
    );
    assert!(
        bare.forwarded(),
        "a bare token is taken, as X-User-Token carries it"
    );
}

#[test]
fn waits_for_keys_at_most_two_seconds() {
    let policy = program::seed(&[Algorithm::Es256], None).bytes();
    let mut worker = Worker::cold(&policy, |_| {});
    let bearer = format!("Bearer {}", jwt::token("bob"));
    let head = [
        (":method", "POST"),
        (":path", "/mcp"),
        ("content-type", "application/json"),
        ("authorization", bearer.as_str()),
    ];
    let mut late = worker.open(&head);
    late.head(&mut worker, false);
    late.body(&mut worker, call("open", "{}").as_bytes(), true);
    assert!(!late.seen.forwarded() && late.seen.reply.is_none());
    let woken = worker.tick();
    assert_eq!(woken, [late.exchange.id()]);
    late.event(&mut worker, aplomb_enforcer::Event::Wake);
    assert!(
        late.seen.reply.is_none(),
        "no keys yet, but it has not waited long enough"
    );
    worker.now_ms += 1_000;
    worker.companion.jwks = Some(jwks(&[&es256()]));
    let woken = worker.tick();
    assert_eq!(woken, [late.exchange.id()]);
    late.event(&mut worker, aplomb_enforcer::Event::Wake);
    assert!(late.seen.forwarded());

    let mut worker = Worker::cold(&policy, |_| {});
    let mut never = worker.open(&head);
    never.head(&mut worker, false);
    never.body(&mut worker, call("open", "{}").as_bytes(), true);
    worker.now_ms += 2_000;
    assert!(worker.tick().contains(&never.exchange.id()));
    never.event(&mut worker, aplomb_enforcer::Event::Wake);
    assert_eq!(never.seen.code(), "auth.jwks_unavailable");
}

#[test]
fn an_unknown_key_is_fetched_once_in_thirty_seconds() {
    let mut worker = Worker::new();
    let new = es256_from("k-new", 11);
    let bearer = format!("Bearer {}", new.sign(&claims("bob")));
    let head = [
        (":method", "POST"),
        (":path", "/mcp"),
        ("content-type", "application/json"),
        ("authorization", bearer.as_str()),
    ];
    worker.companion.jwks = Some(jwks(&[&es256(), &new]));
    let mut stream = worker.open(&head);
    stream.head(&mut worker, false);
    stream.body(&mut worker, call("open", "{}").as_bytes(), true);
    let woken = worker.tick();
    assert_eq!(woken, [stream.exchange.id()]);
    assert!(
        worker
            .companion
            .key_requests
            .last()
            .unwrap()
            .ends_with("&refresh=true")
    );
    stream.event(&mut worker, aplomb_enforcer::Event::Wake);
    assert!(stream.seen.forwarded());
    // An invented one right after it is refused at once.
    let fetches = worker.companion.key_requests.len();
    let invented = es256_from("k-invented", 12).sign(&claims("bob"));
    assert_eq!(
        with_token(&mut worker, &invented),
        (false, "auth.unknown_kid".to_owned())
    );
    worker.tick();
    assert_eq!(worker.companion.key_requests.len(), fetches);
}

#[test]
fn changed_keys_flush_what_was_verified() {
    let mut worker = Worker::new();
    let token = es256().sign(&claims("bob"));
    assert!(with_token(&mut worker, &token).0);
    worker.companion.jwks = Some(jwks(&[&eddsa()]));
    worker.now_ms += 301_000;
    worker.tick();
    let bearer = format!("Bearer {token}");
    let seen = worker.post(&[("authorization", &bearer)], &call("open", "{}"), None);
    assert!(!seen.forwarded(), "its key was withdrawn");
}

#[test]
fn claims_become_attributes() {
    let keys = jwks(&[&es256()]);
    for (attribute, there) in [
        ("authenticated", true),
        ("role.hr", true),
        ("perm.view_ssn", true),
        ("role.nobody", false),
        ("client.role.hr", false),
    ] {
        let mut b = Builder::default();
        let user = b.identity("authorization", TokenRole::User, &[Algorithm::Es256], Some(&keys));
        let steps = b.require(attribute, "no");
        b.route("open", steps, None, &[user]);
        let mut worker = Worker::cold(&b.bytes(), |_| {});
        assert_eq!(
            worker.call("bob", "open", "{}", None).forwarded(),
            there,
            "{attribute}"
        );
    }
}

#[test]
fn every_credential_that_a_route_names_is_mandatory() {
    let keys = jwks(&[&es256()]);
    let mut b = Builder::default();
    let client = b.identity(
        "authorization",
        TokenRole::Client,
        &[Algorithm::Es256],
        Some(&keys),
    );
    let user = b.identity("x-user-token", TokenRole::User, &[Algorithm::Es256], Some(&keys));
    let mut steps = b.require("role.hr", "no");
    steps.push(b.delegate("workday-oauth", "workday-api", "read"));
    b.route("open", steps, None, &[client, user]);
    let mut worker = Worker::cold(&b.bytes(), |_| {});
    let machine = format!("Bearer {}", es256().sign(&claims("nobody")));
    let person = jwt::token("bob");
    let seen = worker.post(&[("authorization", &machine)], &call("open", "{}"), None);
    assert_eq!(seen.code(), "auth.malformed_header");
    let both = [
        ("authorization", machine.as_str()),
        ("x-user-token", person.as_str()),
    ];
    let seen = worker.post(&both, &call("open", "{}"), None);
    assert!(seen.forwarded(), "{seen:?}");
    assert_eq!(
        seen.upstream_header("authorization").as_deref(),
        Some("Bearer minted-for-bob"),
        "the user's, not the client's"
    );
    assert_eq!(
        seen.upstream_header("x-user-token"),
        None,
        "inbound credentials stay here when policy delegates"
    );
}
