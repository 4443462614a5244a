//! Effects: caches, order, and a companion that fails.

use apl_bytecode::{Algorithm, EntityKind, Fallback, TokenRole};
use companion_protocol::EffectResult;

use crate::{
    host::{Backend, Said, Worker, config, kind, secrets},
    jwt::{es256, jwks},
    program::{self, Builder},
};

#[test]
fn denies_with_the_effects_own_code_when_the_companion_fails() {
    for fault in [
        Said::Failed,
        Said::Status(503, Vec::new()),
        Said::Status(504, b"upstream request timeout".to_vec()),
        Said::Status(200, b"<html>".to_vec()),
        Said::Status(200, br#"{"epoch":"e1","results":[]}"#.to_vec()),
        Said::Status(302, br#"{"epoch":"e1","results":[{"status":"done"}]}"#.to_vec()),
    ] {
        let mut worker = Worker::new();
        worker.companion.faults = vec![fault.clone()];
        let seen = worker.call("bob", "send_email", "{}", None);
        assert_eq!(
            (seen.forwarded(), seen.code().as_str()),
            (false, "session.load_failed")
        );
        worker.companion.faults = vec![fault];
        let seen = worker.call("bob", "get_compensation", "{}", None);
        assert_eq!(
            (seen.forwarded(), seen.code().as_str()),
            (false, "delegation.idp_unreachable")
        );
    }
}

#[test]
fn denies_when_the_label_cannot_be_stored() {
    let mut worker = Worker::new();
    let failed = EffectResult::Failed {
        code: "session.persist_failed".into(),
        reason: "store".into(),
    };
    worker.companion.results.insert("session.append", failed);
    let seen = worker.call("bob", "get_compensation", "{}", None);
    assert_eq!(
        (seen.forwarded(), seen.code().as_str()),
        (false, "session.persist_failed")
    );
}

#[test]
fn a_refused_exchange_stores_no_label_and_records_no_step() {
    let mut worker = Worker::new();
    let denied = EffectResult::Denied {
        code: "delegation.scope_too_broad".into(),
        reason: "less was granted".into(),
    };
    worker.companion.results.insert("token.exchange", denied);
    let seen = worker.call("bob", "get_compensation", "{}", None);
    assert_eq!(
        (seen.forwarded(), seen.code().as_str()),
        (false, "delegation.scope_too_broad")
    );
    worker.tick();
    assert!(worker.companion.sessions.is_empty());
    assert!(
        worker
            .companion
            .records
            .iter()
            .all(|record| record.step.is_none())
    );
}

#[test]
fn effects_travel_in_written_order_in_one_call() {
    let mut worker = Worker::new();
    worker.call("bob", "get_compensation", "{}", None);
    let call = &worker.companion.calls[0];
    let kinds: Vec<_> = call.effects.iter().map(|call| kind(&call.effect)).collect();
    assert_eq!(kinds, ["token.exchange", "session.append"]);
    let keys: std::collections::BTreeSet<_> = call.effects.iter().map(|call| &call.idempotency_key).collect();
    assert_eq!(keys.len(), 2);
    assert!(keys.iter().all(|key| key.starts_with(&call.decision_id)));
}

#[test]
fn a_label_is_durable_before_the_operation_is_forwarded() {
    let mut worker = Worker::new();
    let bearer = format!("Bearer {}", crate::jwt::token("bob"));
    let mut stream = worker.open(&[
        (":method", "POST"),
        (":path", "/mcp"),
        ("content-type", "application/json"),
        ("authorization", bearer.as_str()),
    ]);
    stream.head(&mut worker, false);
    let body = crate::host::call("get_compensation", "{}");
    let (first, last) = body.split_at(body.len() - 1);
    stream.body(&mut worker, first.as_bytes(), false);
    assert!(stream.pending.is_none(), "nothing is asked before the last byte");
    stream.body(&mut worker, last.as_bytes(), true);
    assert!(stream.pending.is_some() && !stream.seen.forwarded());
    stream.settle(&mut worker);
    assert!(stream.seen.forwarded());
    assert_eq!(worker.companion.sessions.len(), 1);
}

#[test]
fn a_new_epoch_makes_known_labels_unknown() {
    let mut worker = Worker::new();
    worker.call("bob", "get_compensation", "{}", None);
    assert_eq!(
        worker.call("bob", "get_compensation", "{}", None).companion_calls,
        0
    );
    worker.companion.epoch = "e2".into();
    worker.companion.sessions.clear();
    worker.call("bob", "send_email", "{}", None);
    let seen = worker.call("bob", "get_compensation", "{}", None);
    assert_eq!(seen.companion_calls, 1, "the label must be stored again");
    assert_eq!(worker.companion.sessions.len(), 1);
}

#[test]
fn minted_tokens_are_used_until_shortly_before_their_end() {
    let mut worker = Worker::new();
    worker.companion.token_life = 100;
    worker.call("bob", "get_compensation", "{}", None);
    worker.now_ms += 70_000;
    assert_eq!(
        worker.call("bob", "get_compensation", "{}", None).companion_calls,
        0
    );
    worker.now_ms += 6_000;
    assert_eq!(
        worker.call("bob", "get_compensation", "{}", None).companion_calls,
        1
    );
}

#[test]
fn a_minted_token_is_one_callers_only() {
    let mut worker = Worker::new();
    worker.call("bob", "get_compensation", "{}", None);
    let seen = worker.call("eve", "get_compensation", "{}", None);
    assert_eq!(
        seen.upstream_header("authorization").as_deref(),
        Some("Bearer minted-for-eve")
    );
}

#[test]
fn a_full_audit_queue_denies_and_is_emptied_by_a_tick() {
    let policy = program::seed(&[Algorithm::Es256], None).bytes();
    let mut worker = Worker::with(&policy, |config| {
        config["limits"] = serde_json::json!({"max_audit_queue": 2})
    });
    assert!(worker.call("bob", "open", "{}", None).forwarded());
    assert!(worker.call("bob", "open", "{}", None).forwarded());
    let seen = worker.call("bob", "open", "{}", None);
    assert_eq!(
        (seen.forwarded(), seen.code().as_str()),
        (false, "audit.unavailable")
    );
    worker.companion.faults = vec![Said::Status(503, Vec::new())];
    worker.tick();
    assert!(
        !worker.call("bob", "open", "{}", None).forwarded(),
        "unacknowledged records stay"
    );
    worker.tick();
    assert!(worker.call("bob", "open", "{}", None).forwarded());
    worker.tick();
    assert_eq!(
        worker
            .companion
            .records
            .iter()
            .filter(|record| record.code.is_none())
            .count(),
        3
    );
    assert!(
        worker.companion.records.iter().any(|record| record.seq > 3),
        "the lost ones show as a gap"
    );
}

#[test]
fn strangers_cannot_fill_the_audit_queue() {
    let policy = program::seed(&[Algorithm::Es256], None).bytes();
    let mut worker = Worker::with(&policy, |config| {
        config["limits"] = serde_json::json!({"max_audit_queue": 8})
    });
    for _ in 0..100 {
        worker.post(&[], &crate::host::call("open", "{}"), None);
    }
    assert!(worker.call("bob", "open", "{}", None).forwarded());
}

#[test]
fn queued_records_travel_with_a_call_that_is_made_anyway() {
    let mut worker = Worker::new();
    worker.call("bob", "open", "{}", None);
    worker.call("bob", "send_email", "{}", None);
    assert_eq!(worker.companion.records.len(), 1);
}

#[test]
fn a_durable_step_record_waits_for_its_acknowledgement() {
    let keys = jwks(&[&es256()]);
    let mut b = Builder::default();
    let user = b.identity("authorization", TokenRole::User, &[Algorithm::Es256], Some(&keys));
    let steps = vec![b.audit(true)];
    b.route("open", steps, None, &[user]);
    let mut worker = Worker::cold(&b.bytes(), |_| {});
    assert!(worker.call("bob", "open", "{}", None).forwarded());
    assert!(worker.companion.records[0].step.is_some());
    worker.companion.faults = vec![Said::Status(500, Vec::new())];
    assert_eq!(worker.call("bob", "open", "{}", None).code(), "audit.unavailable");
}

#[test]
fn an_answer_after_the_client_has_left_is_harmless() {
    let mut worker = Worker::new();
    worker.call("bob", "open", "{}", None);
    let bearer = format!("Bearer {}", crate::jwt::token("bob"));
    let mut stream = worker.open(&[
        (":method", "POST"),
        (":path", "/mcp"),
        ("content-type", "application/json"),
        ("authorization", &bearer),
    ]);
    stream.head(&mut worker, false);
    stream.body(
        &mut worker,
        crate::host::call("send_email", "{}").as_bytes(),
        true,
    );
    let token = stream.pending.take().unwrap().token;
    stream.event(&mut worker, aplomb_enforcer::Event::Gone);
    stream.answer(&mut worker, token, &Said::Failed);
    assert!(!stream.seen.forwarded() && stream.seen.reply.is_none());
    worker.tick();
    assert_eq!(
        worker.companion.records.len(),
        1,
        "the record that travelled with the call is not lost"
    );
}

#[test]
fn refuses_configurations_that_cannot_enforce_the_policy() {
    use aplomb_enforcer::{ConfigError, Engine, PluginConfig, Secrets};
    let policy = program::seed(&[Algorithm::Es256], None).bytes();
    let refused = |policy: &[u8], secrets: Secrets, change: &dyn Fn(&mut serde_json::Value)| {
        let text = config(policy, change).to_string();
        let Ok(PluginConfig::Decide(config)) = PluginConfig::parse(text.as_bytes()) else {
            panic!("{text}")
        };
        Engine::new(*config, secrets, [1; 32]).expect_err("must be refused")
    };
    let without = |c: &mut serde_json::Value| drop(c.as_object_mut().unwrap().remove("companion"));
    assert!(matches!(
        refused(&policy, secrets(), &without),
        ConfigError::NeedsCompanion("`delegate`")
    ));
    let single = |c: &mut serde_json::Value| c["install"] = serde_json::json!({"mode": "single"});
    match refused(&policy, secrets(), &single) {
        ConfigError::NeedsHeldHeaders { need, route } => {
            assert!(
                need.contains("delegates") && route == "route tool:get_compensation",
                "{need} {route}"
            );
        }
        other => panic!("{other}"),
    }
    let digest = |c: &mut serde_json::Value| c["policy_digest"] = serde_json::json!("00");
    assert!(matches!(
        refused(&policy, secrets(), &digest),
        ConfigError::Digest { .. }
    ));
    assert!(matches!(
        refused(&policy, Secrets::default(), &|_| {}),
        ConfigError::MissingVariable(..)
    ));
    let token = |c: &mut serde_json::Value| c["companion"]["token_env"] = serde_json::json!("T");
    assert!(matches!(
        refused(&policy, secrets(), &token),
        ConfigError::MissingVariable(_, "companion.token_env")
    ));
    assert!(matches!(
        refused(&policy[..policy.len() - 1], secrets(), &|_| {}),
        ConfigError::Program(_)
    ));
    let mut hashing = Builder::default();
    let denial = hashing.denial("x", "y");
    let path = vec![apl_bytecode::PathSeg::Key(hashing.text("a"))];
    hashing.program.pipelines.push(apl_bytecode::Pipeline {
        side: apl_bytecode::Side::Args,
        path,
        stages: vec![apl_bytecode::Stage::Hash],
        denial,
    });
    hashing.route(
        "x",
        vec![apl_bytecode::Instr::Pipeline(apl_bytecode::PipelineId(0))],
        None,
        &[],
    );
    let unnamed = |c: &mut serde_json::Value| drop(c.as_object_mut().unwrap().remove("hash_key_env"));
    assert!(matches!(
        refused(&hashing.bytes(), Secrets::default(), &unnamed),
        ConfigError::NeedsHashKey(_)
    ));
}

#[test]
fn global_rules_run_before_an_unmatched_operation_is_denied_or_allowed() {
    for (unmatched, user, code) in [
        (apl_bytecode::Unmatched::Deny, "bob", "route.unmatched"),
        (apl_bytecode::Unmatched::Deny, "alice", "global"),
        (apl_bytecode::Unmatched::Allow, "alice", "global"),
        (apl_bytecode::Unmatched::Allow, "bob", ""),
    ] {
        let keys = jwks(&[&es256()]);
        let mut b = Builder::default();
        let id = b.identity("authorization", TokenRole::User, &[Algorithm::Es256], Some(&keys));
        let steps = b.require("role.hr", "global");
        let pre = Some(b.block(apl_bytecode::BlockKind::Steps, steps));
        b.program.fallbacks.push(Fallback {
            entity: Some(EntityKind::Tool),
            pre,
            post: None,
            identities: vec![id],
            assertions: None,
        });
        b.program.settings.unmatched = unmatched;
        let mut worker = Worker::cold(&b.bytes(), |_| {});
        let seen = worker.call(user, "anything", "{}", Some(&Backend::json("{}")));
        assert_eq!(seen.forwarded(), code.is_empty());
        if !code.is_empty() {
            assert_eq!(seen.code(), code);
        }
    }
}
