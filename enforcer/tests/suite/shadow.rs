//! Policies in shadow: what they would have said is recorded, and nothing else happens.

use apl_bytecode::{Algorithm, Enforcement, Side};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use companion_protocol::{AuditRecord, ShadowVerdict, WouldKind};
use serde_json::{Value, json};

use crate::{
    host::{Backend, NOW_MS, Worker, call},
    jwt, program,
    program::Builder,
};

const RECORD: &str =
    r#"{"jsonrpc":"2.0","id":1,"result":{"structuredContent":{"ssn":"123-45-6789", "salary":1}}}"#;
const EVENTS: &str = "event: message\ndata: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"structuredContent\":{\"ssn\":\"1\"}}}\n\n: cut";

/// The seed's program with every route in shadow.
fn shadowed(until: u64) -> Builder {
    let mut b = program::seed(&[Algorithm::Es256], None);
    for route in &mut b.program.routes {
        route.enforcement = Enforcement::Shadow(until);
    }
    b
}

fn worker(b: &Builder) -> Worker {
    Worker::with(&b.bytes(), |_| {})
}

/// The record of the last operation.
fn recorded(worker: &mut Worker) -> AuditRecord {
    worker.tick();
    worker.companion.records.last().expect("a record").clone()
}

fn verdict(worker: &mut Worker) -> ShadowVerdict {
    let record = recorded(worker);
    assert_eq!(record.shadow.len(), 1, "{record:?}");
    record.shadow.into_iter().next().unwrap()
}

/// Which effects the companion was asked for, but for records.
fn asked(worker: &Worker) -> Vec<&'static str> {
    let effects = worker.companion.calls.iter().flat_map(|call| &call.effects);
    effects
        .map(|call| crate::host::kind(&call.effect))
        .filter(|kind| *kind != "audit.append")
        .collect()
}

#[test]
fn a_denial_in_shadow_lets_the_call_through_byte_for_byte() {
    let mut worker = worker(&shadowed(0));
    let body = call("get_compensation", r#"{ "ssn" : "1",  "x":1.0e2 }"#);
    let bearer = format!("Bearer {}", jwt::token("alice"));
    let headers = [("authorization", bearer.as_str()), ("accept-encoding", "gzip")];
    let seen = worker.post(&headers, &body, Some(&Backend::json(RECORD)));
    let (sent, bytes) = seen.upstream.as_ref().expect("forwarded");
    assert_eq!(bytes, body.as_bytes());
    assert_eq!(
        seen.upstream_header("authorization").as_deref(),
        Some(bearer.as_str())
    );
    assert_eq!(seen.upstream_header("accept-encoding").as_deref(), Some("gzip"));
    assert!(
        !sent.iter().any(|(name, _)| name.starts_with("x-policy")),
        "{sent:?}"
    );
    let (status, headers, answer) = seen.client.as_ref().expect("answered");
    assert_eq!((*status, answer.as_slice()), (200, RECORD.as_bytes()));
    assert!(headers.iter().any(|(name, _)| name == "etag"), "{headers:?}");
    assert_eq!(
        seen.states.get("aplomb.shadow").map(String::as_str),
        Some("would_deny routes.tool:get_compensation.pre_invocation[0]")
    );
    assert_eq!(seen.counts.get("aplomb.would_deny"), Some(&1));
    assert_eq!(seen.counts.get("aplomb.allowed"), Some(&1));
    let record = recorded(&mut worker);
    assert_eq!(record.verdict, Some(companion_protocol::VerdictKind::Allow));
    assert_eq!(record.subject.as_deref(), Some("alice"));
    let shadow = &record.shadow[0];
    assert_eq!(shadow.verdict, WouldKind::WouldDeny);
    assert_eq!(
        shadow.rule.as_deref(),
        Some("routes.tool:get_compensation.pre_invocation[0]")
    );
    assert_eq!(shadow.policy_digest, record.policy_digest);
}

#[test]
fn mints_nothing_and_writes_no_label() {
    let mut worker = worker(&shadowed(0));
    let seen = worker.call("bob", "get_compensation", "{}", Some(&Backend::json(RECORD)));
    assert!(
        seen.upstream_header("authorization")
            .unwrap()
            .ends_with(&jwt::token("bob"))
    );
    let shadow = verdict(&mut worker);
    assert_eq!(shadow.verdict, WouldKind::WouldAllow);
    assert_eq!(
        shadow.effects,
        [
            "token.exchange:workday-oauth",
            "session.append:secret",
            "audit.append:audit-log"
        ]
    );
    assert_eq!(asked(&worker), Vec::<&str>::new());
    assert!(worker.companion.sessions.is_empty());
}

#[test]
fn reads_labels_and_judges_by_them() {
    let mut b = program::seed(&[Algorithm::Es256], None);
    b.program.routes[1].enforcement = Enforcement::Shadow(0);
    let mut worker = worker(&b);
    worker.call("bob", "get_compensation", "{}", Some(&Backend::json(RECORD)));
    let seen = worker.call("bob", "send_email", "{}", Some(&Backend::json(RECORD)));
    assert!(seen.forwarded());
    let shadow = verdict(&mut worker);
    assert_eq!(
        (shadow.verdict, shadow.code.as_deref()),
        (WouldKind::WouldDeny, Some("session_tainted"))
    );
    assert_eq!(asked(&worker).last(), Some(&"session.load"));
}

#[test]
fn a_companion_that_fails_leaves_the_verdict_unknown_and_the_call_alone() {
    let mut worker = worker(&shadowed(0));
    worker.companion.faults = vec![crate::host::Said::Failed];
    let seen = worker.call("bob", "send_email", "{}", Some(&Backend::json(RECORD)));
    assert!(seen.forwarded());
    assert_eq!(verdict(&mut worker).verdict, WouldKind::Unknown);
}

#[test]
fn nobody_has_to_be_identified() {
    let mut worker = worker(&shadowed(0));
    let seen = worker.post(&[], &call("open", "{}"), Some(&Backend::json(RECORD)));
    assert!(seen.forwarded());
    let record = recorded(&mut worker);
    assert_eq!(record.subject, None);
    assert_eq!(record.shadow[0].verdict, WouldKind::WouldDeny);
    assert!(record.shadow[0].code.as_deref().unwrap().starts_with("auth."));
}

#[test]
fn says_what_it_would_have_edited_before_and_after_the_call() {
    let mut worker = worker(&shadowed(0));
    let body = call("edit", r#"{"ssn":"123"}"#);
    let bearer = format!("Bearer {}", jwt::token("eve"));
    let headers = [("authorization", bearer.as_str())];
    let seen = worker.post(&headers, &body, Some(&Backend::json(RECORD)));
    assert_eq!(seen.upstream.as_ref().unwrap().1, body.as_bytes());
    assert_eq!(verdict(&mut worker).edits, ["args.ssn:redact"]);
    let seen = worker.call("eve", "after", "{}", Some(&Backend::json(RECORD)));
    assert_eq!(seen.client_body(), RECORD);
    let shadow = verdict(&mut worker);
    assert_eq!(shadow.edits, ["result.ssn:redact"]);
    assert_eq!(shadow.effects, ["session.append:touched"]);
    assert_eq!(shadow.verdict, WouldKind::WouldAllow);
}

#[test]
fn a_stream_passes_as_it_came_however_it_is_cut() {
    for cut in [0, 1, 7] {
        let mut worker = worker(&shadowed(0));
        worker.cuts = vec![cut; usize::from(cut > 0)];
        let seen = worker.call("eve", "after", "{}", Some(&Backend::events(EVENTS)));
        assert_eq!(seen.client_body(), EVENTS);
        assert_eq!(verdict(&mut worker).edits, ["result.ssn:redact"]);
    }
}

#[test]
fn what_cannot_be_read_after_the_call_is_unknown_and_passes() {
    for backend in [
        Backend::of(200, "text/html", "<p>"),
        Backend::json("{not json"),
        Backend::of(500, "text/plain", "no"),
    ] {
        let mut worker = worker(&shadowed(0));
        let seen = worker.call("eve", "after", "{}", Some(&backend));
        assert_eq!(seen.client_body().as_bytes(), backend.body);
        assert_eq!(verdict(&mut worker).verdict, WouldKind::Unknown);
    }
}

#[test]
fn enforces_from_the_second_that_until_names() {
    let until = NOW_MS / 1000 + 60;
    let mut worker = worker(&shadowed(until));
    let backend = Backend::json(RECORD);
    assert!(
        worker
            .call("alice", "get_compensation", "{}", Some(&backend))
            .forwarded()
    );
    assert_eq!(worker.gauges["aplomb.shadow"], 5);
    worker.now_ms = until * 1000 - 1;
    assert!(
        worker
            .call("alice", "get_compensation", "{}", Some(&backend))
            .forwarded()
    );
    worker.now_ms = until * 1000;
    worker.tick();
    assert_eq!(worker.gauges["aplomb.shadow"], 0);
    let seen = worker.call("alice", "get_compensation", "{}", Some(&backend));
    assert!(!seen.forwarded());
}

#[test]
fn a_list_hides_nothing_that_is_in_shadow() {
    let list =
        r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"get_compensation"},{"name":"other"}]}}"#;
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
    let bearer = format!("Bearer {}", jwt::token("alice"));
    let headers = [("authorization", bearer.as_str())];
    let mut worker = worker(&shadowed(0));
    let seen = worker.post(&headers, body, Some(&Backend::json(list)));
    assert!(seen.client_body().contains("get_compensation"));
    assert!(
        !seen.client_body().contains("other"),
        "no route covers it, and that is enforced"
    );
}

/// Everything in shadow, by the configuration: the break-glass.
fn broken_glass(change: impl FnOnce(&mut Value)) -> Worker {
    let policy = program::seed(&[Algorithm::Es256], None).bytes();
    Worker::with(&policy, |config| {
        config["enforcement"] = json!("shadow");
        change(config);
    })
}

#[test]
fn the_configuration_puts_everything_in_shadow() {
    let mut worker = broken_glass(|_| {});
    let list = r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"other"}]}}"#;
    let asks = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
    let bodies = [
        (asks, list),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"none"}}"#,
            RECORD,
        ),
        ("{not json", "anything"),
        (r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"x"}"#, "{}"),
    ];
    for (body, answer) in bodies {
        let seen = worker.post(&[], body, Some(&Backend::json(answer)));
        assert_eq!(seen.upstream.as_ref().expect(body).1, body.as_bytes());
        assert_eq!(seen.client_body(), answer);
        assert_eq!(seen.counts.get("aplomb.would_deny"), Some(&1), "{body}");
    }
    worker.tick();
    assert_eq!(worker.gauges["aplomb.shadow"], 6);
}

#[test]
fn ids_that_were_sealed_before_are_opened_and_new_ones_are_not_sealed() {
    let sealing = |config: &mut Value| config["seal_key_env"] = json!("SEAL_KEY");
    let policy = program::seed(&[Algorithm::Es256], None).bytes();
    let bearer = format!("Bearer {}", jwt::token("bob"));
    let start = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18"}}"#;
    let mut answer = Backend::json(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#);
    answer
        .headers
        .push(("mcp-session-id".to_owned(), "backends-own".to_owned()));
    let session = |seen: &crate::host::Seen| {
        let (_, headers, _) = seen.client.as_ref().unwrap();
        let found = headers.iter().find(|(name, _)| name == "mcp-session-id");
        found.map(|(_, value)| value.clone()).unwrap()
    };
    let mut before = Worker::with(&policy, sealing);
    let seen = before.post(&[("authorization", &bearer)], start, Some(&answer));
    let sealed = session(&seen);
    assert_ne!(sealed, "backends-own");
    let mut worker = broken_glass(sealing);
    for sent in [sealed.as_str(), "backends-own"] {
        let headers = [("authorization", bearer.as_str()), ("mcp-session-id", sent)];
        let seen = worker.post(&headers, start, Some(&answer));
        assert_eq!(
            seen.upstream_header("mcp-session-id").as_deref(),
            Some("backends-own")
        );
        assert_eq!(session(&seen), "backends-own");
    }
}

/// The seed's program, with a second one beside it that asks more of everybody.
fn beside(change: impl FnOnce(&mut Builder)) -> Worker {
    let mut second = program::seed(&[Algorithm::Es256], None);
    change(&mut second);
    let second = second.bytes();
    Worker::with(&program::seed(&[Algorithm::Es256], None).bytes(), |config| {
        config["shadow_policy"] = json!(STANDARD.encode(&second));
    })
}

fn stricter(b: &mut Builder) {
    let user = b.identity(
        "x-other-token",
        apl_bytecode::TokenRole::User,
        &[Algorithm::Es256],
        None,
    );
    let mut steps = b.require("perm.never", "routes.tool:open.pre_invocation[0]");
    steps.insert(0, b.redact(Side::Args, "ssn", "perm.never"));
    b.program.routes.remove(2);
    b.route("open", steps, None, &[user]);
}

#[test]
fn a_second_program_is_recorded_beside_the_one_that_is_enforced() {
    let mut worker = beside(stricter);
    let bearer = format!("Bearer {}", jwt::token("bob"));
    let other = jwt::token("eve");
    let headers = [
        ("authorization", bearer.as_str()),
        ("x-other-token", other.as_str()),
    ];
    let body = call("open", r#"{"ssn":"1"}"#);
    let seen = worker.post(&headers, &body, Some(&Backend::json(RECORD)));
    assert_eq!(seen.upstream.as_ref().unwrap().1, body.as_bytes());
    assert_eq!(seen.upstream_header("x-other-token"), Some(other));
    let record = recorded(&mut worker);
    assert_eq!(
        record.subject.as_deref(),
        Some("bob"),
        "who the enforced one knows"
    );
    assert_eq!(record.verdict, Some(companion_protocol::VerdictKind::Allow));
    let shadow = &record.shadow[0];
    assert_eq!(shadow.verdict, WouldKind::WouldDeny);
    assert_ne!(shadow.policy_digest, record.policy_digest);
    assert_eq!(shadow.edits, ["args.ssn:redact"]);
    assert_eq!(worker.gauges["aplomb.shadow_policy"], 1);
    assert_eq!(worker.gauges.get("aplomb.shadow").copied().unwrap_or(0), 0);
}

#[test]
fn the_program_that_is_enforced_denies_alone() {
    let mut worker = beside(|b| {
        for route in &mut b.program.routes {
            route.pre = None;
        }
    });
    let seen = worker.call("alice", "get_compensation", "{}", Some(&Backend::json(RECORD)));
    assert!(!seen.forwarded());
    let record = recorded(&mut worker);
    assert_eq!(record.verdict, Some(companion_protocol::VerdictKind::Deny));
    assert_eq!(
        record.shadow[0].verdict,
        WouldKind::Unknown,
        "its phase after the call never ran"
    );
}

#[test]
fn the_companion_is_asked_in_the_name_of_each_program() {
    let mut worker = beside(|b| b.program.settings.never_forward_credentials = true);
    let seen = worker.call("bob", "send_email", "{}", Some(&Backend::json(RECORD)));
    assert!(
        seen.upstream_header("authorization").is_some(),
        "the second one takes nothing away"
    );
    assert_eq!(asked(&worker), ["session.load", "session.load"]);
    let digests: Vec<_> = worker
        .companion
        .calls
        .iter()
        .map(|call| &call.policy_digest)
        .collect();
    assert_eq!(digests.len(), 2);
    assert_ne!(digests[0], digests[1]);
    assert_eq!(digests[1], worker.engine.policy_digest());
}

#[test]
fn the_alerts_speak_of_metrics_that_there_are() {
    use aplomb_enforcer::{Counter, Gauge};
    let rules = include_str!("../../../envoy-config/prometheus-alerts.yaml");
    let counters = Counter::ALL.iter().map(|counter| counter.name());
    let names: Vec<String> = counters
        .chain(Gauge::ALL.iter().map(|gauge| gauge.name()))
        .map(|name| name.replace('.', "_"))
        .collect();
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let named: Vec<&str> = rules
        .split(|c| !word(c))
        .filter(|name| name.starts_with("aplomb_"))
        .collect();
    for name in &named {
        assert!(names.iter().any(|known| known == name), "{name}");
    }
    assert!(named.contains(&"aplomb_shadow"), "{named:?}");
}

#[test]
fn each_of_a_batch_has_its_own() {
    let mut b = program::seed(&[Algorithm::Es256], None);
    b.program.routes[0].enforcement = Enforcement::Shadow(0);
    let mut worker = worker(&b);
    let one = call("edit", r#"{"ssn":"1"}"#);
    let two = call("get_compensation", r#"{"ssn":"2"}"#).replace("\"id\":1", "\"id\":2");
    let bearer = format!("Bearer {}", jwt::token("alice"));
    let headers = [
        ("authorization", bearer.as_str()),
        ("mcp-protocol-version", "2025-03-26"),
    ];
    let seen = worker.post(&headers, &format!("[{one},{two}]"), None);
    let (_, sent) = seen.upstream.as_ref().expect("forwarded");
    let sent = String::from_utf8_lossy(sent);
    assert!(
        sent.contains(r#"{"ssn":"[REDACTED]"}"#) && sent.contains(r#"{"ssn":"2"}"#),
        "{sent}"
    );
}

#[test]
fn a_second_program_that_does_not_load_is_refused_by_name() {
    let text = crate::host::config(&program::seed(&[Algorithm::Es256], None).bytes(), |config| {
        config["shadow_policy"] = json!(STANDARD.encode(b"APLB"));
    });
    let aplomb_enforcer::PluginConfig::Decide(config) =
        aplomb_enforcer::PluginConfig::parse(text.to_string().as_bytes()).unwrap()
    else {
        panic!("a holder");
    };
    let error = aplomb_enforcer::Engine::new(*config, crate::host::secrets(), [1; 32]).unwrap_err();
    assert!(error.to_string().starts_with("`shadow_policy`: "), "{error}");
}
