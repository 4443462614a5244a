//! The shapes as they stand on the wire. A change here is a change of the contract between neighbouring versions.

use companion_protocol::config::{CompanionConfig, DelegatorConfig, ElicitorConfig, SecretRef, StoreConfig};
use companion_protocol::{Effect, EffectResult, EffectsRequest, EffectsResponse, Json, OnFail, SubjectKind};
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
fn questions_to_humans_decision_points_directories_and_counters_have_the_documented_shape() {
    let binding = json!({"requester": "aa", "route": "tool:pay", "operation": "pay", "args_digest": "bb",
        "policy_digest": "cc", "step": "routes.tool:pay.pre_invocation[0]"});
    for wire in [
        json!({"kind": "elicit.begin", "plugin": "manager", "verb": "step_up",
            "requester": {"subject": "u1", "name": "Bob", "known_as": ["bob"]}, "from": "alice", "channel": "page",
            "purpose": "pay", "scope_text": "args.amount < 5", "timeout_s": 60, "binding": binding,
            "shown": [{"name": "args.amount", "value": "4"}]}),
        json!({"kind": "elicit.check", "plugin": "manager", "id": "x", "from": "alice", "binding": binding}),
        json!({"kind": "elicit.redeem", "plugin": "manager", "id": "x", "from": "alice", "binding": binding}),
        json!({"kind": "pdp.decide", "plugin": "p", "dialect": "cedar", "call": {"action": "A"},
            "input": {"args": {"n": -1, "big": 18_446_744_073_709_551_615_u64, "f": 0.5, "l": [true, null]}}}),
        json!({"kind": "identity.api_key", "plugin": "keys", "digest": "aa"}),
        json!({"kind": "limit.count", "key": "aa", "window_s": 60, "cost": 1, "limit": 10}),
    ] {
        let effect: Effect = serde_json::from_value(wire.clone()).expect("reads");
        assert_eq!(serde_json::to_value(&effect).expect("writes"), wire);
    }
    for wire in [
        json!({"status": "elicitation", "state": "pending", "id": "x", "approver": "alice", "channel": "page",
            "expires_at": 7, "intent_id": "AB12", "at": 6}),
        json!({"status": "elicitation", "state": "binding_mismatch", "id": ""}),
        json!({"status": "decision", "allow": false, "code": "cedar.default_deny", "reason": "no"}),
        json!({"status": "decision", "allow": true}),
        json!({"status": "identity", "record": {"subject": "s", "roles": ["r"], "claims": {"a": "b"}, "expires_at": 7}}),
        json!({"status": "identity"}),
        json!({"status": "count", "allow": true, "count": 1, "remaining": 9, "resets_at": 7}),
    ] {
        let result: EffectResult = serde_json::from_value(wire.clone()).expect("reads");
        assert_eq!(serde_json::to_value(&result).expect("writes"), wire);
    }
}

#[test]
fn an_input_that_two_parsers_could_read_differently_is_refused() {
    let twice = r#"{"kind":"pdp.decide","plugin":"p","dialect":"opa","call":{},"input":{"a":1,"a":2}}"#;
    assert!(serde_json::from_str::<Effect>(twice).is_err());
    assert_eq!(
        serde_json::from_str::<Json>("[[{\"a\":[]}]]")
            .expect("reads")
            .depth(),
        4
    );
}

#[test]
fn an_older_configuration_has_no_approvals_and_writes_none() {
    let wire = json!({"version": 1, "policy_digest": "aa"});
    let config: CompanionConfig = serde_json::from_value(wire).expect("reads");
    let written = serde_json::to_value(&config).expect("writes");
    let mut names: Vec<&String> = written.as_object().expect("an object").keys().collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "delegators",
            "issuers",
            "policy_digest",
            "session_store",
            "version"
        ]
    );
}

#[test]
fn ways_to_ask_and_to_decide_have_defaults_and_refuse_unknown_keys() {
    let ciba = json!({"kind": "ciba", "backchannel_endpoint": "https://op/b", "token_endpoint": "https://op/t",
        "client_id": "c", "client_secret": {"env": "S"}});
    let config = json!({"version": 1, "policy_digest": "aa", "elicitors": {"manager": {"kind": "page"}, "phone": ciba},
        "decision_points": {"c": {"kind": "cedar", "policies": "permit(principal, action, resource);"},
            "o": {"kind": "opa", "modules": ["package a"]}, "z": {"kind": "authzen", "url": "https://pdp"}},
        "key_directories": {"k": {"kind": "file", "path": "keys.json"}}});
    let read = serde_json::from_value::<CompanionConfig>;
    let known = read(config.clone()).expect("reads");
    let ElicitorConfig::Ciba(phone) = &known.elicitors["phone"] else {
        panic!("not CIBA")
    };
    assert_eq!(
        (phone.default_expiry_s, phone.approver_claim.as_str()),
        (300, "preferred_username")
    );
    for (section, name) in [
        ("elicitors", "phone"),
        ("elicitors", "manager"),
        ("decision_points", "c"),
        ("decision_points", "z"),
    ] {
        let mut wrong = config.clone();
        wrong[section][name]["typo"] = json!(1);
        assert!(read(wrong).is_err(), "{section}.{name}");
    }
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
    let DelegatorConfig::Oauth(oauth) = &config.delegators["o"] else {
        panic!("another kind");
    };
    assert_eq!(oauth.client_secret, Some(SecretRef::Env("SECRET".to_owned())));
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
