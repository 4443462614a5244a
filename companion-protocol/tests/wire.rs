//! The shapes as they stand on the wire. A change here is a change of the contract between neighbouring versions.

use companion_protocol::config::{CompanionConfig, DelegatorConfig, SecretRef, StoreConfig};
use companion_protocol::{Effect, EffectResult, EffectsRequest, EffectsResponse, OnFail, SubjectKind};
use serde_json::{Value, json};

#[test]
fn a_request_is_read_and_written_in_the_documented_shape() {
    let session = json!({"subject": "s", "session": "t"});
    let wire = json!({
        "policy_digest": "aa", "decision_id": "d",
        "effects": [
            {"idempotency_key": "d.0", "on_fail": "stop", "source": "r[0]",
             "effect": {"kind": "session.load", "session": session}},
            {"idempotency_key": "d.1", "on_fail": "continue", "source": "r[1]",
             "effect": {"kind": "session.append", "session": session, "labels": ["secret"]}},
            {"idempotency_key": "d.2", "on_fail": "stop", "source": "r[2]",
             "effect": {"kind": "token.exchange", "delegator": "o", "subject": "caller_workload",
                        "subject_token": "x", "target": "t", "audience": "a", "permissions": ["p"]}},
            {"idempotency_key": "d.3", "on_fail": "stop", "source": "",
             "effect": {"kind": "audit.append", "record": {
                "seq": 1, "stream": "w", "at_ms": 2, "decision_id": "d", "policy_digest": "aa",
                "verdict": "deny_after", "entity_type": "tool", "entity_name": "n"}}},
        ],
    });
    let request: EffectsRequest = serde_json::from_value(wire.clone()).expect("reads");
    assert_eq!(request.effects[1].on_fail, OnFail::Continue);
    let Effect::TokenExchange(exchange) = &request.effects[2].effect else {
        panic!("not an exchange")
    };
    assert_eq!(exchange.subject, SubjectKind::CallerWorkload);
    assert_eq!(serde_json::to_value(&request).expect("writes"), wire);
}

#[test]
fn a_response_is_read_and_written_in_the_documented_shape() {
    let wire = json!({"epoch": "e", "results": [
        {"status": "labels", "session": ["secret"], "subject": []},
        {"status": "granted", "token": "x", "outbound_header": "authorization", "outbound_prefix": "Bearer ",
         "audience": "a", "permissions": ["p"], "expires_at": 7},
        {"status": "done"},
        {"status": "denied", "code": "c", "reason": "r"},
        {"status": "failed", "code": "c", "reason": "r"},
        {"status": "skipped"},
    ]});
    let response: EffectsResponse = serde_json::from_value(wire.clone()).expect("reads");
    assert!(matches!(response.results[5], EffectResult::Skipped));
    assert_eq!(serde_json::to_value(&response).expect("writes"), wire);
}

#[test]
fn a_result_without_a_field_that_its_status_needs_is_refused() {
    let whole = [
        (
            json!({"status": "granted", "token": "x", "outbound_header": "h", "outbound_prefix": "", "audience": "a",
                "expires_at": 7}),
            vec![
                "token",
                "outbound_header",
                "outbound_prefix",
                "audience",
                "expires_at",
            ],
        ),
        (
            json!({"status": "denied", "code": "c", "reason": "r"}),
            vec!["code", "reason"],
        ),
        (
            json!({"status": "failed", "code": "c", "reason": "r"}),
            vec!["code", "reason"],
        ),
        (json!({"status": "done"}), vec!["status"]),
    ];
    for (result, fields) in whole {
        serde_json::from_value::<EffectResult>(result.clone()).expect("reads whole");
        for field in fields {
            let mut without = result.clone();
            without.as_object_mut().expect("an object").remove(field);
            let error = serde_json::from_value::<EffectResult>(without).expect_err(field);
            assert_eq!(error.to_string(), format!("missing field `{field}`"));
        }
    }
    for wrong in [
        json!({"status": "perhaps"}),
        json!({"status": 1}),
        json!("done"),
        json!({"status": "labels", "session": 1}),
    ] {
        assert!(
            serde_json::from_value::<EffectResult>(wrong.clone()).is_err(),
            "{wrong}"
        );
    }
}

#[test]
fn what_a_newer_neighbour_adds_is_ignored() {
    let wire = json!({"epoch": "e", "new": 1, "results": [{"status": "labels", "session": [], "new": {}}]});
    assert!(serde_json::from_value::<EffectsResponse>(wire).is_ok());
    let wire = json!({"policy_digest": "aa", "decision_id": "d", "effects": [], "new": 1});
    assert!(serde_json::from_value::<EffectsRequest>(wire).is_ok());
}

#[test]
fn tokens_do_not_print_themselves() {
    let wire = json!({"kind": "token.exchange", "delegator": "o", "subject": "user", "subject_token": "hunter2",
        "actor_token": "hunter2", "target": "t", "audience": "a"});
    let effect: Effect = serde_json::from_value(wire).expect("reads");
    let wire = json!({"status": "granted", "token": "hunter2", "outbound_header": "h", "outbound_prefix": "",
        "audience": "a", "expires_at": 7});
    let result: EffectResult = serde_json::from_value(wire).expect("reads");
    assert!(!format!("{effect:?} {result:?}").contains("hunter2"));
}

#[test]
fn a_configuration_has_defaults_and_refuses_unknown_keys() {
    let minimal = |extra: Value| {
        let mut config = json!({"version": 1, "policy_digest": "aa", "delegators": {"o": {
            "kind": "oauth", "token_endpoint": "https://idp.example/token", "client_id": "c",
            "client_secret": {"env": "SECRET"},
        }}});
        config
            .as_object_mut()
            .expect("an object")
            .extend(extra.as_object().cloned().unwrap_or_default());
        serde_json::from_value::<CompanionConfig>(config)
    };
    let config = minimal(json!({})).expect("reads");
    let DelegatorConfig::Oauth(oauth) = &config.delegators["o"];
    assert_eq!(oauth.client_secret, SecretRef::Env("SECRET".to_owned()));
    assert_eq!(
        (oauth.timeout_ms, oauth.outbound_prefix.as_str()),
        (5000, "Bearer ")
    );
    assert!(oauth.strict_response_validation && !oauth.allow_http);
    assert_eq!(config.session_store, StoreConfig::default());
    let lifetimes = config.session_store.lifetimes();
    assert_eq!(
        (
            lifetimes.session_idle_s,
            lifetimes.session_max_s,
            lifetimes.subject_s
        ),
        (86_400, 604_800, 0)
    );
    let short = json!({"session_store": {"kind": "embedded", "lifetimes": {"session_idle_s": 60}}});
    let short = minimal(short).expect("reads").session_store;
    assert_eq!(
        (short.lifetimes().session_idle_s, short.lifetimes().session_max_s),
        (60, 604_800)
    );
    let valkey = json!({"session_store": {"kind": "valkey", "endpoint": "localhost:6379"}});
    assert!(matches!(
        minimal(valkey).expect("reads").session_store,
        StoreConfig::Valkey { .. }
    ));
    assert!(minimal(json!({"delegator": {}})).is_err());
    let typo = json!({"delegators": {"o": {
        "kind": "oauth", "token_endpoint": "https://idp.example/token", "client_id": "c",
        "client_secret": {"env": "SECRET"}, "strict_validation": false,
    }}});
    assert!(minimal(typo).is_err());
    assert!(minimal(json!({"session_store": {"kind": "valkey"}})).is_err());
    assert!(minimal(json!({"session_store": {"kind": "embedded", "lifetime": {}}})).is_err());
}
