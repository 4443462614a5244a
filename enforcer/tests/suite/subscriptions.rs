//! `subscriptions/listen` of 2026-07-28: each resource is judged, and nobody hears of one that is not for him.

use apl_bytecode::{Algorithm, EntityKind, Matcher, Unmatched};
use serde_json::{Value, json};

use crate::{
    host::{Backend, NOW_MS, Seen, Worker},
    jwt,
    program::{Builder, seed},
    streams::{ask, seal},
};

const OPEN: &str = "mem://open";
const PAY: &str = "mem://pay/2026";

/// The seed with `mem://open` for everybody, `mem://pay/*` for `role.hr`, and `mem://mail` for those who saw no secret.
fn policy() -> Builder {
    let mut builder = seed(&[Algorithm::Es256], None);
    builder.program.settings.unmatched = Unmatched::Deny;
    let user = [apl_bytecode::IdentityId(0)];
    let pay = builder.require("role.hr", "pay.denied");
    let mail = builder.deny_if_label("secret", "session_tainted");
    for (name, pre) in [(OPEN, Vec::new()), ("mem://pay/*", pay), ("mem://mail", mail)] {
        let at = builder.route(name, pre, None, &user);
        let matcher = match name.contains('*') {
            true => Matcher::Glob(builder.text(name)),
            false => Matcher::Exact(builder.text(name)),
        };
        let route = &mut builder.program.routes[at];
        (route.entity, route.matcher) = (EntityKind::Resource, matcher);
    }
    builder
}

fn worker() -> Worker {
    Worker::with(&policy().bytes(), |_| {})
}

fn request(notifications: &Value) -> String {
    json!({"jsonrpc": "2.0", "id": "l-1", "method": "subscriptions/listen", "params": {
        "_meta": {"io.modelcontextprotocol/protocolVersion": "2026-07-28"}, "notifications": notifications}})
    .to_string()
}

fn on(uris: &[&str]) -> Value {
    json!({"toolsListChanged": true, "resourceSubscriptions": uris})
}

fn listen(worker: &mut Worker, user: &str, notifications: &Value, backend: Option<&Backend>) -> Seen {
    let bearer = format!("Bearer {}", jwt::token(user));
    let headers = [
        ("authorization", bearer.as_str()),
        ("mcp-protocol-version", "2026-07-28"),
        ("mcp-method", "subscriptions/listen"),
    ];
    worker.post(&headers, &request(notifications), backend)
}

fn note(method: &str, params: &Value) -> String {
    let note = json!({"jsonrpc": "2.0", "method": method, "params": params});
    format!("data: {note}\n\n")
}

fn update(uri: &str) -> String {
    note("notifications/resources/updated", &json!({ "uri": uri }))
}

#[test]
fn every_resource_is_judged_and_one_that_is_denied_denies_the_request_under_its_id() {
    let mut worker = worker();
    for (user, uris, code) in [
        ("bob", vec![OPEN, PAY], ""),
        ("alice", vec![OPEN], ""),
        ("alice", vec![OPEN, PAY], "pay.denied"),
        ("alice", vec![PAY, OPEN], "pay.denied"),
        ("bob", vec![OPEN, "mem://nowhere"], "route.unmatched"),
    ] {
        let seen = listen(&mut worker, user, &on(&uris), None);
        assert_eq!(seen.forwarded(), code.is_empty(), "{user} {uris:?}: {seen:?}");
        if !code.is_empty() {
            assert_eq!(seen.code(), code);
            assert_eq!(seen.reply_json()["id"], "l-1");
            assert_eq!(seen.reply_json()["error"]["code"], -32001);
        }
    }
}

#[test]
fn labels_of_the_session_count_for_a_subscription_as_for_a_read() {
    let mut worker = worker();
    let mail = on(&["mem://mail"]);
    assert!(listen(&mut worker, "bob", &mail, None).forwarded());
    assert!(worker.call("bob", "get_compensation", "{}", None).forwarded());
    assert_eq!(listen(&mut worker, "bob", &mail, None).code(), "session_tainted");
}

#[test]
fn only_updates_of_what_was_judged_reach_the_client() {
    let fine = [
        note(
            "notifications/subscriptions/acknowledged",
            &json!({"notifications": on(&[OPEN])}),
        ),
        update(OPEN),
        update("mem://pay/2026"),
        update("mem://pay/2026/may"),
        update("mem://pay/2026#x"),
        note("notifications/tools/list_changed", &json!({})),
    ];
    let foreign = [
        update("mem://pay/2027"),
        update("mem://pay/20267"),
        update("mem://mail"),
        note(
            "notifications/resources/updated",
            &json!({"uri": OPEN, "URI": PAY}),
        ),
        note("notifications/resources/updated", &json!({"Uri": PAY})),
        note("notifications/resources/updated", &json!({})),
        note("notifications/resources/updated", &json!({"uri": ["mem://open"]})),
    ];
    let mixed: String = foreign
        .iter()
        .zip(fine.iter().cycle())
        .flat_map(|(a, b)| [a.as_str(), b])
        .collect();
    let wanted: String = foreign
        .iter()
        .zip(fine.iter().cycle())
        .map(|(_, b)| b.as_str())
        .collect();
    for chunk in [0, 1, 7, 64] {
        let mut worker = worker();
        worker.chunk = chunk;
        let seen = listen(
            &mut worker,
            "bob",
            &on(&[OPEN, PAY]),
            Some(&Backend::events(&mixed)),
        );
        assert_eq!(seen.client_body(), wanted, "chunks of {chunk}");
        assert_eq!(seen.counts["aplomb.unasked_dropped"], 7);
    }
}

#[test]
fn a_stream_that_names_no_resources_carries_no_updates_of_any() {
    let changed = note("notifications/resources/list_changed", &json!({}));
    let backend = Backend::events(&[update(OPEN), changed.clone(), update(PAY)].concat());
    for wanted in [
        json!({"resourcesListChanged": true}),
        json!({"resourceSubscriptions": []}),
    ] {
        let seen = listen(&mut worker(), "bob", &wanted, Some(&backend));
        assert_eq!(seen.client_body(), changed);
    }
}

#[test]
fn a_caller_whom_policy_allows_nothing_any_more_hears_nothing_any_more() {
    let mut worker = worker();
    let bearer = format!("Bearer {}", jwt::token("bob"));
    let body = request(&on(&[OPEN]));
    let length = body.len().to_string();
    let mut stream = worker.open(&[
        (":method", "POST"),
        (":path", "/mcp"),
        (":authority", "x"),
        ("content-type", "application/json"),
        ("content-length", &length),
        ("authorization", &bearer),
        ("mcp-protocol-version", "2026-07-28"),
        ("mcp-method", "subscriptions/listen"),
    ]);
    stream.head(&mut worker, false);
    stream.body(&mut worker, body.as_bytes(), true);
    stream.settle(&mut worker);
    let first = update(OPEN);
    stream.response_head(&mut worker, &Backend::events(&first));
    stream.response_part(&mut worker, first.as_bytes(), false);
    assert_eq!(stream.client_has(), first.as_bytes());
    // The token has ended long ago.
    worker.now_ms = NOW_MS + 366 * 24 * 3_600_000;
    stream.response_part(&mut worker, first.as_bytes(), false);
    assert_eq!(stream.client_has(), first.as_bytes());
}

#[test]
fn requests_that_two_readers_could_read_differently_are_refused() {
    let many: Vec<String> = (0..33).map(|at| format!("mem://pay/{at}")).collect();
    for (notifications, code) in [
        (json!([OPEN]), "protocol.invalid_params"),
        (json!({"resourceSubscriptions": OPEN}), "protocol.invalid_params"),
        (json!({"resourceSubscriptions": [7]}), "protocol.invalid_request"),
        (json!({"resourceSubscriptions": [""]}), "protocol.invalid_request"),
        (
            json!({"resourceSubscriptions": [], "ResourceSubscriptions": [PAY]}),
            "protocol.case_variant",
        ),
        (
            json!({ "resourceSubscriptions": many }),
            "protocol.invalid_params",
        ),
    ] {
        let seen = listen(&mut worker(), "bob", &notifications, None);
        assert!(!seen.forwarded(), "{notifications}");
        assert_eq!(seen.code(), code, "{notifications}");
    }
    let bearer = format!("Bearer {}", jwt::token("bob"));
    let body = request(&on(&[PAY])).replace("\"notifications\"", "\"Notifications\"");
    let headers = [
        ("authorization", bearer.as_str()),
        ("mcp-protocol-version", "2026-07-28"),
        ("mcp-method", "subscriptions/listen"),
    ];
    assert_eq!(
        worker().post(&headers, &body, None).code(),
        "protocol.case_variant"
    );
    let batch = json!([{"jsonrpc": "2.0", "id": 1, "method": "subscriptions/listen", "params": {"notifications": on(&[OPEN])}}]).to_string();
    let seen = worker().post(&[("authorization", &bearer)], &batch, None);
    assert_eq!(seen.code(), "protocol.batch");
}

#[test]
fn a_failure_to_subscribe_passes_as_the_backend_says_it() {
    let body = r#"{"jsonrpc":"2.0","id":"l-1","error":{"code":-32601,"message":"no subscriptions here"}}"#;
    let seen = listen(
        &mut worker(),
        "bob",
        &on(&[OPEN]),
        Some(&Backend::of(404, "application/json", body)),
    );
    assert_eq!(seen.client_body(), body);
}

#[test]
fn a_get_stream_carries_no_updates_of_what_its_caller_can_never_read() {
    let mut worker = Worker::with(&policy().bytes(), seal);
    let both = [update(OPEN), update(PAY)].concat();
    for (user, wanted) in [("bob", both.clone()), ("alice", update(OPEN))] {
        let seen = ask(&mut worker, "GET", user, &[], Some(&Backend::events(&both)));
        assert_eq!(seen.client_body(), wanted, "{user}");
    }
}

#[test]
fn each_resource_has_a_record_of_its_own() {
    let mut worker = worker();
    listen(&mut worker, "bob", &on(&[OPEN, PAY, OPEN]), None);
    worker.tick();
    let records: Vec<String> = worker
        .companion
        .records
        .iter()
        .map(|record| format!("{} {:?}", record.entity_name, record.verdict))
        .collect();
    assert_eq!(records, ["mem://open Some(Allow)", "mem://pay/2026 Some(Allow)"]);
}
