//! Credentials beside a bearer token: prefixes, keys without ids, SVIDs, peers, tokens of the mesh, API keys.

use apl_bytecode::{Algorithm, CredentialSource, Instr, Issuer, MeshIssuer, TokenRole};
use companion_protocol::{Effect, EffectResult, KeyRecord};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::{
    host::{NOW_MS, Said, Seen, Worker, call},
    jwt::{claims, es256, jwks},
    program::{Builder, ISSUER},
};

fn get(worker: &mut Worker, headers: &[(&str, &str)]) -> Seen {
    worker.post(headers, &call("open", "{}"), None)
}

/// A worker whose route needs `attribute` of a caller with this credential.
fn worker(
    role: TokenRole,
    source: impl FnOnce(&mut Builder) -> CredentialSource,
    domains: &[&str],
    attribute: &str,
) -> Worker {
    let mut b = Builder::default();
    let source = source(&mut b);
    let id = b.credential(role, source, domains);
    let attr = b.attr(attribute);
    let denial = b.denial("no", "access denied");
    let steps = vec![Instr::Exists(attr), Instr::Not, Instr::DenyIf(denial)];
    b.route("open", steps, None, &[id]);
    Worker::cold(&b.bytes(), |_| {})
}

fn token(
    issuer: &'static str,
    prefix: Option<&'static str>,
    keys: String,
) -> impl FnOnce(&mut Builder) -> CredentialSource {
    move |b| CredentialSource::Token {
        header: b.text("authorization"),
        prefix: prefix.map(|prefix| b.text(prefix)),
        issuers: vec![Issuer {
            issuer: b.text(issuer),
            audiences: vec![b.text("gateway")],
            algorithms: vec![Algorithm::Es256],
            leeway_s: 0,
            jwks: Some(b.text(&keys)),
        }],
    }
}

#[test]
fn a_prefix_of_its_own_must_stand_before_the_token() {
    let keys = jwks(&[&es256()]);
    let mut worker = worker(
        TokenRole::User,
        token(ISSUER, Some("Agent"), keys),
        &[],
        "role.hr",
    );
    let token = es256().sign(&claims("bob"));
    assert!(get(&mut worker, &[("authorization", &format!("agent {token}"))]).forwarded());
    for value in [format!("Bearer {token}"), token.clone(), "Agent".to_owned()] {
        let seen = get(&mut worker, &[("authorization", &value)]);
        assert_eq!(seen.code(), "auth.malformed_header");
    }
}

#[test]
fn a_key_of_the_policy_without_an_id_is_for_every_token_of_its_issuer() {
    let mut jwk = es256().jwk();
    jwk.as_object_mut().unwrap().remove("kid");
    let keys = json!({ "keys": [jwk] }).to_string();
    let mut worker = worker(TokenRole::User, token(ISSUER, None, keys), &[], "role.hr");
    let with = es256().sign(&claims("bob"));
    let without = es256().sign_with(&json!({"alg": "ES256"}), &claims("bob"));
    for token in [&with, &without] {
        assert!(get(&mut worker, &[("authorization", &format!("Bearer {token}"))]).forwarded());
    }
    let mut forged = with.into_bytes();
    let last = forged.len() - 3;
    forged[last] = if forged[last] == b'A' { b'B' } else { b'A' };
    let forged = format!("Bearer {}", String::from_utf8(forged).unwrap());
    assert_eq!(
        get(&mut worker, &[("authorization", &forged)]).code(),
        "auth.signature_invalid"
    );
}

fn svid(sub: &str) -> String {
    let exp = NOW_MS / 1000 + 60;
    es256().sign(&json!({"sub": sub, "aud": ["gateway"], "exp": exp}))
}

#[test]
fn a_trust_domain_vouches_for_the_workloads_in_it_and_for_no_other() {
    let keys = jwks(&[&es256()]);
    let source = token("spiffe://prod.example", None, keys);
    let mut worker = worker(
        TokenRole::CallerWorkload,
        source,
        &[],
        "caller_workload.spiffe_id",
    );
    for (sub, code) in [
        ("spiffe://prod.example/ns/a/sa/b", ""),
        ("spiffe://other.example/ns/a/sa/b", "auth.untrusted_issuer"),
        ("spiffe://prod.example.evil/x", "auth.untrusted_issuer"),
        ("spiffe://prod.example/a/../b", "auth.untrusted_issuer"),
        ("bob", "auth.untrusted_issuer"),
    ] {
        let seen = get(
            &mut worker,
            &[("authorization", &format!("Bearer {}", svid(sub)))],
        );
        assert_eq!(
            if seen.forwarded() {
                String::new()
            } else {
                seen.code()
            },
            code,
            "{sub}"
        );
    }
}

const PEER: &str = "connection/uri_san_peer_certificate";
const TUNNEL: &str = "filter_state/io.istio.peer_principal";

#[test]
fn a_peer_is_the_one_that_the_proxy_names_and_no_header_is() {
    for (waypoint, property) in [(false, PEER), (true, TUNNEL)] {
        let source = |_: &mut Builder| CredentialSource::Peer { waypoint };
        let mut worker = worker(
            TokenRole::CallerWorkload,
            source,
            &["cluster.local"],
            "caller_workload.spiffe_id",
        );
        let id = "spiffe://cluster.local/ns/agents/sa/hr";
        let forged = [
            (
                "x-forwarded-client-cert",
                "URI=spiffe://cluster.local/ns/agents/sa/hr",
            ),
            ("io.istio.peer_principal", id),
        ];
        assert_eq!(get(&mut worker, &forged).code(), "auth.missing_credential");
        for (value, code) in [
            (id, ""),
            ("spiffe://evil.example/ns/agents/sa/hr", "auth.untrusted_workload"),
            ("https://cluster.local", "auth.mapping_failed"),
            ("", "auth.missing_credential"),
        ] {
            worker
                .properties
                .insert(property.to_owned(), value.as_bytes().to_vec());
            let seen = get(&mut worker, &[]);
            assert_eq!(
                if seen.forwarded() {
                    String::new()
                } else {
                    seen.code()
                },
                code,
                "{value}"
            );
        }
    }
}

/// What Envoy's serializer makes of a claim of the metadata's struct.
fn put(worker: &mut Worker, path: &str, value: &Value) {
    let bytes = |value: &Value| match value {
        Value::Bool(flag) => vec![u8::from(*flag)],
        Value::Number(number) => number.as_f64().unwrap().to_le_bytes().to_vec(),
        Value::String(text) => text.clone().into_bytes(),
        Value::Null | Value::Array(_) | Value::Object(_) => panic!("not here"),
    };
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                put(worker, &format!("{path}/{name}"), value);
            }
        }
        Value::Array(all) => {
            let all: Vec<Vec<u8>> = all.iter().map(bytes).collect();
            let mut block = (all.len() as u32).to_le_bytes().to_vec();
            for member in &all {
                block.extend((member.len() as u32).to_le_bytes());
                block.extend([0; 4]);
            }
            for member in &all {
                block.extend(member);
                block.extend([0, 0]);
            }
            worker.properties.insert(path.to_owned(), block);
            if let Some(first) = all.into_iter().next() {
                worker.properties.insert(format!("{path}/0"), first);
            }
        }
        scalar => {
            worker.properties.insert(path.to_owned(), bytes(scalar));
        }
    }
}

const PAYLOAD: &str = "metadata/filter_metadata/envoy.filters.http.jwt_authn/payload";

#[test]
fn claims_that_the_proxy_verified_are_checked_for_issuer_audience_and_time() {
    let source = |b: &mut Builder| CredentialSource::Metadata {
        namespace: b.text("envoy.filters.http.jwt_authn"),
        key: b.text("payload"),
        issuers: vec![MeshIssuer {
            issuer: b.text(ISSUER),
            audiences: vec![b.text("gateway")],
            leeway_s: 0,
        }],
    };
    for (attribute, there) in [
        ("role.hr", true),
        ("perm.view_ssn", true),
        ("claim.manager", true),
        ("claim.realm_access.roles", true),
        ("claim.realm_access.nothing", false),
        ("role.nobody", false),
    ] {
        let mut worker = worker(TokenRole::User, source, &[], attribute);
        put(&mut worker, PAYLOAD, &claims("bob"));
        assert_eq!(get(&mut worker, &[]).forwarded(), there, "{attribute}");
    }
    let now = NOW_MS / 1000;
    let with = |change: &dyn Fn(&mut Value)| {
        let mut worker = worker(TokenRole::User, source, &[], "role.hr");
        let mut all = claims("bob");
        change(&mut all);
        put(&mut worker, PAYLOAD, &all);
        get(&mut worker, &[]).code()
    };
    assert_eq!(
        with(&|c| c["iss"] = json!("https://evil")),
        "auth.untrusted_issuer"
    );
    assert_eq!(with(&|c| c["aud"] = json!("other")), "auth.audience_mismatch");
    assert_eq!(with(&|c| c["exp"] = json!(now - 61)), "auth.token_expired");
    assert_eq!(with(&|c| c["nbf"] = json!(now + 120)), "auth.token_not_yet_valid");
    let mut nothing = worker(TokenRole::User, source, &[], "role.hr");
    let bearer = format!("Bearer {}", crate::jwt::token("bob"));
    let seen = get(&mut nothing, &[("authorization", &bearer)]);
    assert_eq!(
        seen.code(),
        "auth.missing_credential",
        "a token that the proxy did not verify is none"
    );
}

#[test]
fn who_acts_for_the_subject_can_be_read() {
    let keys = jwks(&[&es256()]);
    for (attribute, there) in [
        ("delegated", true),
        ("delegation.depth", true),
        ("delegation.actor_subject_id", true),
    ] {
        let mut worker = worker(TokenRole::User, token(ISSUER, None, keys.clone()), &[], attribute);
        let mut all = claims("bob");
        let plain = format!("Bearer {}", es256().sign(&all));
        assert!(
            !get(&mut worker, &[("authorization", &plain)]).forwarded(),
            "nobody acts"
        );
        all["act"] = json!({"sub": "agent", "act": {"sub": "earlier"}});
        let acted = format!("Bearer {}", es256().sign(&all));
        assert_eq!(
            get(&mut worker, &[("authorization", &acted)]).forwarded(),
            there,
            "{attribute}"
        );
    }
}

fn keys_of(prefix: Option<&'static str>) -> impl FnOnce(&mut Builder) -> CredentialSource {
    move |b| CredentialSource::ApiKey {
        header: b.text("x-api-key"),
        prefix: prefix.map(|prefix| b.text(prefix)),
        directory: b.text("keys"),
        ttl_s: 60,
        unknown_ttl_s: 30,
        enforce_expiry: true,
    }
}

fn hex(key: &str) -> String {
    Sha256::digest(key)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn with_keys(prefix: Option<&'static str>) -> Worker {
    let mut worker = worker(TokenRole::User, keys_of(prefix), &[], "role.hr");
    for (key, fields, expires_at) in [
        ("sk-bob", json!({"subject": "bob", "roles": ["hr"]}), None),
        (
            "sk-old",
            json!({"subject": "bob", "roles": ["hr"]}),
            Some(NOW_MS / 1000),
        ),
        ("sk-who", json!({"subject": "", "roles": ["hr"]}), None),
        ("sk-eve", json!({"subject": "eve"}), None),
    ] {
        let mut record: KeyRecord = serde_json::from_value(fields).unwrap();
        record.expires_at = expires_at;
        worker.companion.key_records.insert(hex(key), record);
    }
    worker
}

#[test]
fn an_api_key_is_looked_up_by_its_digest_and_remembered() {
    let mut worker = with_keys(None);
    let seen = get(&mut worker, &[("x-api-key", "sk-bob")]);
    assert!(seen.forwarded(), "{seen:?}");
    let sent = serde_json::to_string(&worker.companion.calls).unwrap();
    assert!(
        sent.contains(&hex("sk-bob")) && !sent.contains("sk-bob"),
        "the key stays here"
    );
    let asked = |worker: &Worker| {
        let effects = worker.companion.calls.iter().flat_map(|call| &call.effects);
        effects
            .filter(|call| matches!(call.effect, Effect::ApiKey { .. }))
            .count()
    };
    assert!(get(&mut worker, &[("x-api-key", "sk-bob")]).forwarded());
    assert_eq!(asked(&worker), 1, "from the cache");
    worker.now_ms += 60_001;
    assert!(get(&mut worker, &[("x-api-key", "sk-bob")]).forwarded());
    assert_eq!(asked(&worker), 2, "not longer than it may be believed");
    // A key that was taken away ends with its time.
    worker.companion.key_records.remove(&hex("sk-bob"));
    worker.now_ms += 60_001;
    assert_eq!(
        get(&mut worker, &[("x-api-key", "sk-bob")]).code(),
        "auth.key_unknown"
    );
    assert_eq!(
        get(&mut worker, &[("x-api-key", "sk-bob")]).code(),
        "auth.key_unknown"
    );
    assert_eq!(asked(&worker), 3, "and that nobody has it is remembered too");
}

#[test]
fn an_api_key_is_refused_with_its_code() {
    for (prefix, value, code) in [
        (None, "sk-none", "auth.key_unknown"),
        (None, "sk-old", "auth.key_expired"),
        (None, "sk-who", "auth.mapping_failed"),
        (None, "sk-eve", "no"),
        (None, "", "auth.missing_credential"),
        (None, "two words", "auth.key_unknown"),
        (Some("ApiKey "), "ApiKey", "auth.empty_credential"),
        (Some("sk-"), "pk-bob", "auth.unrecognized_credential"),
    ] {
        let seen = get(&mut with_keys(prefix), &[("x-api-key", value)]);
        assert_eq!(seen.code(), code, "{value}");
    }
    for fault in [
        Said::Failed,
        Said::Status(500, Vec::new()),
        Said::Status(200, b"{}".to_vec()),
    ] {
        let mut worker = with_keys(None);
        worker.companion.faults.push(fault);
        assert_eq!(
            get(&mut worker, &[("x-api-key", "sk-bob")]).code(),
            "auth.directory_unavailable"
        );
    }
    let mut worker = with_keys(None);
    let denied = EffectResult::Denied {
        code: "companion.unknown_policy".to_owned(),
        reason: String::new(),
    };
    worker.companion.results.insert("identity.api_key", denied);
    assert_eq!(
        get(&mut worker, &[("x-api-key", "sk-bob")]).code(),
        "auth.directory_unavailable"
    );
    // The failure was not remembered.
    worker.companion.results.clear();
    assert!(get(&mut worker, &[("x-api-key", "sk-bob")]).forwarded());
}

#[test]
fn an_api_key_is_never_exchanged_for_a_token() {
    let mut b = Builder::default();
    let source = keys_of(None)(&mut b);
    let id = b.credential(TokenRole::User, source, &[]);
    let steps = vec![b.delegate("workday-oauth", "workday-api", "read")];
    b.route("open", steps, None, &[id]);
    let mut worker = Worker::cold(&b.bytes(), |_| {});
    let record: KeyRecord = serde_json::from_value(json!({"subject": "bob"})).unwrap();
    worker.companion.key_records.insert(hex("sk-bob"), record);
    let seen = get(&mut worker, &[("x-api-key", "sk-bob")]);
    assert_eq!(seen.code(), "delegation.bad_request");
    assert!(
        !serde_json::to_string(&worker.companion.calls)
            .unwrap()
            .contains("sk-bob")
    );
}
