//! The list: order, stopping, repeating, unknown policies.

use companion_protocol::{
    AuditRecord, Effect, EffectResult, OnFail, SubjectKind, TokenExchange, VerdictKind,
};
use serde_json::json;

use crate::client::{DIGEST, Running, append, call, config, get, load, perform};

fn record(seq: u64) -> Effect {
    let record = json!({
        "seq": seq, "stream": "w1", "at_ms": 1, "decision_id": "decision", "policy_digest": DIGEST,
        "verdict": VerdictKind::Allow, "entity_type": "tool", "entity_name": "t",
    });
    let record: AuditRecord = serde_json::from_value(record).expect("a record");
    Effect::AuditAppend {
        record: Box::new(record),
    }
}

/// Fails without a provider.
fn failing() -> Effect {
    Effect::TokenExchange(TokenExchange {
        delegator: "d".to_owned(),
        subject: SubjectKind::User,
        subject_token: None,
        expected_sub: None,
        actor_token: None,
        target: String::new(),
        audience: String::new(),
        permissions: Vec::new(),
        attenuation: None,
    })
}

async fn companion() -> Running {
    Running::with(config("http://127.0.0.1:1/token")).await
}

fn session_labels(result: &EffectResult) -> Vec<String> {
    match result {
        EffectResult::Labels(labels) => labels.session.clone(),
        other => panic!("no labels: {other:?}"),
    }
}

#[tokio::test]
async fn stops_behind_the_first_failure_and_keeps_what_went_before() {
    let companion = companion().await;
    let results = companion
        .effects(vec![
            call(append('a', "before"), OnFail::Stop),
            call(failing(), OnFail::Stop),
            call(append('a', "behind"), OnFail::Stop),
            call(record(1), OnFail::Continue),
        ])
        .await;
    assert!(matches!(
        results.as_slice(),
        [
            EffectResult::Labels(_),
            EffectResult::Denied { .. },
            EffectResult::Skipped,
            EffectResult::Skipped
        ]
    ));
    assert_eq!(session_labels(&companion.one(load('a')).await), ["before"]);
    assert_eq!(std::fs::read_to_string(companion.audit_log()).expect("reads"), "");
}

#[tokio::test]
async fn continues_behind_a_failure_that_says_so() {
    let companion = companion().await;
    let results = companion
        .effects(vec![
            call(failing(), OnFail::Continue),
            call(append('a', "behind"), OnFail::Stop),
        ])
        .await;
    assert!(matches!(
        results.as_slice(),
        [EffectResult::Denied { .. }, EffectResult::Labels(_)]
    ));
}

#[tokio::test]
async fn a_load_sees_the_append_before_it_and_a_repeat_changes_nothing() {
    let companion = companion().await;
    let effects = || {
        vec![
            call(load('a'), OnFail::Stop),
            call(append('a', "secret"), OnFail::Stop),
            call(load('a'), OnFail::Stop),
            call(record(1), OnFail::Stop),
        ]
    };
    let first = companion.effects(effects()).await;
    assert!(session_labels(&first[0]).is_empty());
    assert_eq!(session_labels(&first[2]), ["secret"]);
    assert_eq!(first[3], EffectResult::Done);
    let again = companion.effects(effects()).await;
    assert_eq!(session_labels(&again[2]), ["secret"]);
    assert_eq!(again[3], EffectResult::Done);
    let log = std::fs::read_to_string(companion.audit_log()).expect("reads");
    assert_eq!(log.lines().count(), 1);
}

#[tokio::test]
async fn another_subject_with_the_same_session_has_no_labels_of_it() {
    let companion = companion().await;
    companion.one(append('a', "secret")).await;
    assert!(session_labels(&companion.one(load('b')).await).is_empty());
}

#[tokio::test]
async fn an_unknown_policy_is_denied_every_effect_and_performs_none() {
    let companion = companion().await;
    let unknown = "f".repeat(64);
    let response = perform(
        companion.address,
        &unknown,
        vec![
            call(append('a', "x"), OnFail::Stop),
            call(load('a'), OnFail::Stop),
        ],
    )
    .await;
    for result in response.results {
        assert!(matches!(result, EffectResult::Denied { code, .. } if code == "companion.unknown_policy"));
    }
    assert!(session_labels(&companion.one(load('a')).await).is_empty());
}

#[tokio::test]
async fn a_session_key_out_of_contract_fails_its_effect() {
    let companion = companion().await;
    let result = companion.one(load('Z')).await;
    assert!(matches!(result, EffectResult::Failed { code, .. } if code == "session.load_failed"));
    let result = companion.one(append('Z', "x")).await;
    assert!(matches!(result, EffectResult::Failed { code, .. } if code == "session.persist_failed"));
}

#[tokio::test]
async fn metrics_count_effects_and_refusals() {
    let companion = companion().await;
    companion.one(load('a')).await;
    companion.one(failing()).await;
    let text = String::from_utf8(get(companion.address, "/metrics").await.body.to_vec()).expect("text");
    for line in [
        r#"aplomb_companion_effects_total{kind="session.load",result="success"} 1"#,
        r#"aplomb_companion_refusals_total{code="delegation.bad_request"} 1"#,
        r#"aplomb_companion_requests_total{path="/v1/effects",status="200"} 2"#,
        r#"aplomb_companion_request_seconds_count{path="/v1/effects"} 2"#,
        r#"aplomb_companion_effect_seconds_count{kind="session.load"} 1"#,
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
}
