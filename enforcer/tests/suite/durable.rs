//! Records: what releases wait for, what stands in them, what is captured.

use apl_bytecode::{Algorithm, Delivery};
use companion_protocol::{AuditRecord, EffectResult, Json, VerdictKind};

use crate::{
    host::{Backend, Said, Worker, call},
    jwt,
    program::{self, Builder},
};

const RECORD: &str =
    r#"{"jsonrpc":"2.0","id":1,"result":{"structuredContent":{"ssn":"123-45-6789","salary":125000}}}"#;

fn with(change: impl FnOnce(&mut Builder)) -> Worker {
    let mut policy = program::seed(&[Algorithm::Es256], None);
    change(&mut policy);
    Worker::with(&policy.bytes(), |_| {})
}

fn durable() -> Worker {
    with(|policy| policy.program.settings.delivery = Delivery::Durable)
}

fn failed() -> EffectResult {
    EffectResult::Failed {
        code: "audit.unavailable".to_owned(),
        reason: "the log is full".to_owned(),
    }
}

/// What each record says, in the order of the log: a verdict, or the name of a step.
fn said(worker: &Worker) -> Vec<String> {
    let said = |record: &AuditRecord| match (&record.step, record.verdict) {
        (Some(step), _) => step.plugin.clone(),
        (None, verdict) => format!("{verdict:?}"),
    };
    worker.companion.records.iter().map(said).collect()
}

#[test]
fn a_request_is_released_when_its_record_is_stored_and_not_before() {
    let mut worker = durable();
    let bearer = format!("Bearer {}", jwt::token("bob"));
    let mut stream = worker.open(&[
        (":method", "POST"),
        (":path", "/mcp"),
        ("content-type", "application/json"),
        ("authorization", bearer.as_str()),
    ]);
    stream.head(&mut worker, false);
    stream.body(&mut worker, call("open", "{}").as_bytes(), true);
    assert!(stream.pending.is_some() && !stream.seen.forwarded());
    stream.settle(&mut worker);
    assert!(stream.seen.forwarded());
    assert_eq!(said(&worker), [r#"Some(Allow)"#]);
    worker.tick();
    assert_eq!(worker.companion.records.len(), 1, "and it is not sent again");
}

#[test]
fn denies_when_the_record_cannot_be_stored() {
    for fault in [None, Some(Said::Failed), Some(Said::Status(503, Vec::new()))] {
        let mut worker = durable();
        match fault {
            None => {
                worker.companion.results.insert("audit.append", failed());
            }
            Some(fault) => worker.companion.faults = vec![fault],
        }
        let seen = worker.call("bob", "open", "{}", None);
        assert_eq!(
            (seen.forwarded(), seen.code().as_str()),
            (false, "audit.unavailable")
        );
        worker.companion.results.clear();
        worker.tick();
        // What may have got through is there once, and so is what it came to in the end.
        assert_eq!(said(&worker), ["Some(Allow)", "Some(Deny)"]);
        let numbers: Vec<u64> = worker.companion.records.iter().map(|record| record.seq).collect();
        assert_eq!(numbers, [0, 1]);
    }
}

#[test]
fn batched_records_keep_nobody_waiting() {
    let mut worker = Worker::new();
    worker.companion.results.insert("audit.append", failed());
    let seen = worker.call("bob", "open", "{}", None);
    assert_eq!((seen.forwarded(), seen.companion_calls), (true, 0));
}

#[test]
fn an_answer_is_released_when_its_verdict_is_stored() {
    let mut worker = durable();
    let seen = worker.call("eve", "get_compensation", "{}", Some(&Backend::json(RECORD)));
    assert_eq!(seen.client_body(), RECORD.replace("123-45-6789", "[REDACTED]"));
    assert_eq!(said(&worker), ["release", "audit-log", "Some(Allow)"]);
    let verdict = &worker.companion.records[2];
    assert_eq!(verdict.edits, ["result.ssn:redact"]);
    let numbers: Vec<u64> = worker.companion.records.iter().map(|record| record.seq).collect();
    assert_eq!(numbers.len(), 3);
    worker.tick();
    assert_eq!(worker.companion.records.len(), 3);
}

#[test]
fn an_answer_whose_verdict_cannot_be_stored_is_kept_back() {
    let mut worker = durable();
    let bearer = format!("Bearer {}", jwt::token("bob"));
    let mut stream = worker.open(&[
        (":method", "POST"),
        (":path", "/mcp"),
        ("content-type", "application/json"),
        ("authorization", bearer.as_str()),
    ]);
    stream.head(&mut worker, false);
    stream.body(&mut worker, call("get_compensation", "{}").as_bytes(), true);
    stream.settle(&mut worker);
    assert!(stream.seen.forwarded());
    worker.companion.results.insert("audit.append", failed());
    stream.respond(&mut worker, &Backend::json(RECORD));
    assert_eq!(stream.seen.code(), "audit.unavailable");
    let body = match (&stream.seen.reply, &stream.seen.client) {
        (Some(reply), _) => reply.body.clone(),
        (None, Some((_, _, body))) => body.clone(),
        (None, None) => panic!("no answer"),
    };
    assert!(!String::from_utf8(body).expect("text").contains("125000"));
    worker.companion.results.clear();
    stream.event(&mut worker, aplomb_enforcer::Event::Gone);
    worker.tick();
    let said = said(&worker);
    assert_eq!(
        said.last().map(String::as_str),
        Some("Some(DenyAfter)"),
        "{said:?}"
    );
}

#[test]
fn a_denial_waits_for_nothing() {
    let mut worker = durable();
    let seen = worker.call("eve", "send_email", "{}", None);
    assert!(!seen.forwarded());
    assert_eq!(seen.companion_calls, 0);
    worker.tick();
    assert_eq!(said(&worker), ["Some(Deny)"]);
}

#[test]
fn the_record_of_a_denial_names_what_was_missing() {
    let mut worker = Worker::new();
    worker.call("eve", "send_email", "{}", None);
    worker.tick();
    let record = &worker.companion.records[0];
    assert_eq!(record.verdict, Some(VerdictKind::Deny));
    assert_eq!(
        (&record.missing[..], &record.untrue[..]),
        (&["perm.email_send".to_owned()][..], &[][..])
    );
    assert!(record.took_ms.is_some());
    assert_eq!(record.numbered, Some(1));
}

#[test]
fn the_record_tells_what_the_companion_was_asked_and_what_came_of_it() {
    let mut worker = Worker::new();
    let denied = EffectResult::Denied {
        code: "delegation.scope_too_broad".into(),
        reason: "less was granted".into(),
    };
    worker.companion.results.insert("token.exchange", denied);
    worker.call("bob", "get_compensation", "{}", None);
    worker.tick();
    let record = worker.companion.records.last().expect("a record");
    let calls: Vec<_> = record
        .calls
        .iter()
        .map(|call| (call.effect.as_str(), call.code.as_deref()))
        .collect();
    assert_eq!(
        calls,
        [("token.exchange:workday-oauth", Some("delegation.scope_too_broad"))]
    );
    assert!(record.missing.is_empty(), "the effect denied, no condition");
}

#[test]
fn captures_what_the_program_read_only_where_policy_says_so() {
    let mut plain = Worker::new();
    plain.call(
        "bob",
        "get_compensation",
        r#"{"employee_id":"E1"}"#,
        Some(&Backend::json(RECORD)),
    );
    plain.tick();
    assert!(
        plain
            .companion
            .records
            .iter()
            .all(|record| record.facts.is_none())
    );

    let mut worker = with(|policy| policy.program.settings.capture = true);
    worker.call(
        "bob",
        "get_compensation",
        r#"{"employee_id":"E1"}"#,
        Some(&Backend::json(RECORD)),
    );
    worker.call("bob", "send_email", "{}", None);
    worker.tick();
    let verdicts: Vec<_> = worker
        .companion
        .records
        .iter()
        .filter(|record| record.verdict.is_some())
        .filter_map(|record| record.facts.as_deref())
        .collect();
    let [pay, send] = verdicts[..] else {
        panic!("two verdicts: {verdicts:?}")
    };
    assert_eq!(pay.attributes.get("role.hr"), Some(&Json::Bool(true)));
    assert_eq!(pay.result.as_deref(), Some(RECORD), "as it was received");
    assert_eq!(pay.args, None, "no rule reads an argument");
    assert_eq!(send.labels.as_deref(), Some(&["secret".to_owned()][..]));
}

#[test]
fn a_document_too_large_to_capture_is_said_to_be_left_out() {
    let mut worker = with(|policy| policy.program.settings.capture = true);
    let long = RECORD.replace("125000", &format!("\"{}\"", "x".repeat(20_000)));
    worker.call("bob", "get_compensation", "{}", Some(&Backend::json(&long)));
    worker.tick();
    let records = worker.companion.records.iter();
    let facts = records
        .filter_map(|record| record.facts.as_deref())
        .next_back()
        .expect("captured");
    assert_eq!(
        (facts.result.as_deref(), &facts.left_out[..]),
        (None, &["result".to_owned()][..])
    );
}

#[test]
fn what_needs_a_companion_is_refused_without_one() {
    for change in [
        (|policy: &mut Builder| policy.program.settings.delivery = Delivery::Durable) as fn(&mut Builder),
        |policy| policy.program.settings.capture = true,
    ] {
        let mut policy = Builder::default();
        change(&mut policy);
        let mut config = crate::host::config(&policy.bytes(), |_| {});
        config.as_object_mut().expect("an object").remove("companion");
        let parsed = aplomb_enforcer::PluginConfig::parse(config.to_string().as_bytes());
        let aplomb_enforcer::PluginConfig::Decide(config) = parsed.expect("a configuration") else {
            panic!("a holder")
        };
        let refused = aplomb_enforcer::Engine::new(*config, crate::host::secrets(), [1; 32]);
        assert!(refused.is_err());
    }
}

#[test]
fn a_captured_decision_comes_to_the_same_when_its_own_policy_runs_it_again() {
    use aplomb_enforcer::replay::{Replayed, replay};
    let mut policy = program::seed(&[Algorithm::Es256], None);
    policy.program.settings.capture = true;
    let program = apl_vm::Prepared::load(&policy.bytes()).expect("a program");
    let mut worker = Worker::with(&policy.bytes(), |_| {});
    for (user, tool) in [
        ("eve", "send_email"),
        ("bob", "send_email"),
        ("eve", "get_compensation"),
        ("bob", "get_compensation"),
        ("bob", "send_email"),
        ("eve", "edit"),
        ("eve", "after"),
        ("bob", "unknown"),
    ] {
        worker.call(
            user,
            tool,
            r#"{"ssn":"123-45-6789"}"#,
            Some(&Backend::json(RECORD)),
        );
        worker.tick();
    }
    let mut replayed = Vec::new();
    for record in &worker.companion.records {
        let (Some(verdict), Some(facts)) = (record.verdict, record.facts.as_deref()) else {
            continue;
        };
        let again = replay(&program, &program, record, facts);
        match (verdict, &again) {
            (VerdictKind::Allow, Replayed::Allow(edits)) => assert_eq!(*edits, record.edits),
            (VerdictKind::Deny, Replayed::Deny(denied)) => {
                assert_eq!(Some(&denied.code), record.code.as_ref());
            }
            _ => panic!("{} was {verdict:?} and is {again:?}", record.entity_name),
        }
        replayed.push(record.entity_name.as_str());
    }
    assert_eq!(replayed.len(), 8, "{replayed:?}");
    // Another policy: nobody needs to be in human resources any more, and labels do not matter.
    let mut other = Builder::default();
    let user = other.identity(
        "authorization",
        apl_bytecode::TokenRole::User,
        &[Algorithm::Es256],
        None,
    );
    let gate = other.require("role.finance", "routes.tool:send_email.pre_invocation[0]");
    other.route("send_email", gate, None, &[user]);
    let other = apl_vm::Prepared::load(&other.bytes()).expect("a program");
    for record in &worker.companion.records {
        let Some(facts) = record.facts.as_deref() else {
            continue;
        };
        let again = replay(&other, &program, record, facts);
        match record.entity_name.as_str() {
            // The policy of then did not look at that role.
            "send_email" => assert!(matches!(again, Replayed::Unknown(_)), "{again:?}"),
            _ => assert!(matches!(&again, Replayed::Deny(denied) if denied.code == "route.unmatched")),
        }
    }
}
