//! Sessions, GET streams and resumption under sealed ids (`execution.md` rule 17).

use apl_bytecode::{Algorithm, Instr, TokenRole};
use aplomb_enforcer::{ConfigError, Engine, PluginConfig, Secrets};
use serde_json::{Value, json};

use crate::{
    host::{Backend, Seen, Worker, call, config, secrets},
    jwt::{self, es256, jwks},
    program::{self, Builder},
};

pub(crate) const SSN: &str = "123-45-6789";

pub(crate) fn sealed() -> Worker {
    Worker::with(&program::seed(&[Algorithm::Es256], None).bytes(), seal)
}

pub(crate) fn seal(config: &mut Value) {
    config["seal_key_env"] = json!("SEAL_KEY");
}

/// A message without body.
pub(crate) fn ask(
    worker: &mut Worker,
    method: &str,
    user: &str,
    headers: &[(&str, &str)],
    backend: Option<&Backend>,
) -> Seen {
    let bearer = format!("Bearer {}", jwt::token(user));
    let mut all = vec![
        (":method", method),
        (":path", "/mcp"),
        ("accept", "text/event-stream"),
        ("authorization", bearer.as_str()),
    ];
    for (name, value) in headers {
        all.retain(|(known, _)| known != name);
        all.push((name, value));
    }
    let mut stream = worker.open(&all);
    stream.run(worker, b"", backend);
    stream.seen
}

pub(crate) fn post(
    worker: &mut Worker,
    user: &str,
    headers: &[(&str, &str)],
    body: &str,
    backend: Option<&Backend>,
) -> Seen {
    let bearer = format!("Bearer {}", jwt::token(user));
    worker.post(
        &[&[("authorization", bearer.as_str())], headers].concat(),
        body,
        backend,
    )
}

pub(crate) fn client_header(seen: &Seen, name: &str) -> Option<String> {
    let (_, headers, _) = seen.client.as_ref().expect("a response");
    headers
        .iter()
        .find(|(known, _)| known == name)
        .map(|(_, value)| value.clone())
}

const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{}}"#;

/// The client's id of a session that the backend calls `S1`.
pub(crate) fn session(worker: &mut Worker, user: &str) -> String {
    let mut backend = Backend::json(r#"{"jsonrpc":"2.0","id":0,"result":{}}"#);
    backend
        .headers
        .push(("mcp-session-id".to_owned(), "S1".to_owned()));
    let seen = post(worker, user, &[], INITIALIZE, Some(&backend));
    assert_eq!(
        seen.client_body().as_bytes(),
        backend.body,
        "nothing else changes"
    );
    client_header(&seen, "mcp-session-id").expect("a session")
}

pub(crate) fn answer(id: u32) -> String {
    let record = json!({"ssn": SSN}).to_string();
    json!({"jsonrpc": "2.0", "id": id, "result": {"content": [{"type": "text", "text": record}]}}).to_string()
}

/// The last id that the client has of a stream.
pub(crate) fn last_id(stream: &str) -> String {
    let id = stream.lines().rev().find_map(|line| line.strip_prefix("id: "));
    id.expect("an id").to_owned()
}

/// The stream of a call, cut after its first event.
pub(crate) fn cut_call(worker: &mut Worker, user: &str, tool: &str, session: &str) -> String {
    let backend = Backend::events("id: 3/0\nretry: 10\ndata:\n\n");
    let head = [("mcp-session-id", session)];
    let seen = post(worker, user, &head, &call(tool, "{}"), Some(&backend));
    let body = seen.client_body();
    assert!(
        body.contains("retry: 10\ndata:\n\n") && !body.contains("3/0"),
        "{body}"
    );
    last_id(&body)
}

#[test]
fn a_session_belongs_to_the_subject_that_began_it() {
    let mut worker = sealed();
    let id = session(&mut worker, "bob");
    assert!(!id.contains("S1"));
    assert_eq!(id, session(&mut worker, "bob"), "one id has one sealed form");
    assert_ne!(id, session(&mut worker, "eve"));
    let head = [("mcp-session-id", id.as_str())];
    let open = call("open", "{}");
    let seen = post(&mut worker, "bob", &head, &open, None);
    assert_eq!(seen.upstream_header("mcp-session-id").as_deref(), Some("S1"));
    for method in ["GET", "DELETE"] {
        let seen = ask(&mut worker, method, "bob", &head, None);
        assert_eq!(
            seen.upstream_header("mcp-session-id").as_deref(),
            Some("S1"),
            "{method}"
        );
        let seen = ask(&mut worker, method, "eve", &head, None);
        assert_eq!(
            (seen.forwarded(), seen.code().as_str()),
            (false, "protocol.unknown_session")
        );
        assert_eq!(seen.reply.unwrap().status, 404, "a client begins a new session");
    }
    for (user, presented) in [
        ("eve", id.as_str()),
        ("bob", "S1"),
        ("bob", "AAAA"),
        ("bob", &id[1..]),
    ] {
        let seen = post(&mut worker, user, &[("mcp-session-id", presented)], &open, None);
        assert_eq!(
            (seen.forwarded(), seen.code().as_str()),
            (false, "protocol.unknown_session")
        );
    }
}

#[test]
fn a_session_belongs_to_one_entry_of_protocols() {
    let policy = program::seed(&[Algorithm::Es256], None).bytes();
    let mut worker = Worker::with(&policy, |config| {
        seal(config);
        config["protocols"] = json!([
            {"path_prefix": "/mcp", "speaks": "mcp"},
            {"path_prefix": "/other", "speaks": "mcp", "scope": "other"},
        ]);
    });
    let id = session(&mut worker, "bob");
    let head = [("mcp-session-id", id.as_str()), (":path", "/other")];
    assert_eq!(
        ask(&mut worker, "DELETE", "bob", &head, None).code(),
        "protocol.unknown_session"
    );
}

#[test]
fn labels_go_by_the_backends_session_and_survive_a_new_key() {
    let mut worker = sealed();
    let id = session(&mut worker, "bob");
    let head = [("mcp-session-id", id.as_str())];
    assert!(post(&mut worker, "bob", &head, &call("get_compensation", "{}"), None).forwarded());
    let rotated = Secrets {
        seal_key: Some(b"the-key-of-today".to_vec()),
        seal_previous_key: secrets().seal_key,
        ..secrets()
    };
    let policy = program::seed(&[Algorithm::Es256], None).bytes();
    let text = config(&policy, |config| {
        seal(config);
        config["seal_previous_key_env"] = json!("OLD");
    });
    let PluginConfig::Decide(parsed) = PluginConfig::parse(text.to_string().as_bytes()).unwrap() else {
        panic!("a holder");
    };
    worker.engine = Engine::new(*parsed, rotated, [1; 32]).expect("an engine");
    worker.tick();
    let seen = post(&mut worker, "bob", &head, &call("send_email", "{}"), None);
    assert_eq!(seen.code(), "session_tainted");
    let new = session(&mut worker, "bob");
    assert_ne!(new, id);
    let seen = post(
        &mut worker,
        "bob",
        &[("mcp-session-id", &new)],
        &call("send_email", "{}"),
        None,
    );
    assert_eq!(
        seen.code(),
        "session_tainted",
        "the same bucket under the new key"
    );
}

#[test]
fn a_resumed_stream_is_governed_like_the_one_that_was_cut() {
    for chunk in [0, 1, 9] {
        let mut worker = sealed();
        worker.chunk = chunk;
        let id = session(&mut worker, "eve");
        let event = cut_call(&mut worker, "eve", "get_compensation", &id);
        let head = [("mcp-session-id", id.as_str()), ("last-event-id", event.as_str())];
        let foreign = answer(2);
        let rest = format!(
            "id: 3/1\ndata: {{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\"}}\n\nid: 3/2\ndata: {}\n\ndata: {foreign}\n\n",
            answer(1)
        );
        let calls = worker.companion.calls.len();
        let seen = ask(&mut worker, "GET", "eve", &head, Some(&Backend::events(&rest)));
        assert_eq!(seen.upstream_header("last-event-id").as_deref(), Some("3/0"));
        assert_eq!(
            worker.companion.calls.len(),
            calls,
            "the call is not decided again"
        );
        let body = seen.client_body();
        assert!(!body.contains(SSN) && body.contains("[REDACTED]"), "{body}");
        assert!(
            body.contains("notifications/progress") && !body.contains("3/"),
            "{body}"
        );
        assert_eq!(body.matches("\"result\"").count(), 1, "{body}");
        // Cut again, resumed again.
        let head = [
            ("mcp-session-id", id.as_str()),
            ("last-event-id", &last_id(&body)),
        ];
        let seen = ask(
            &mut worker,
            "GET",
            "eve",
            &head,
            Some(&Backend::events(&format!("data: {}\n\n", answer(1)))),
        );
        assert_eq!(seen.upstream_header("last-event-id").as_deref(), Some("3/2"));
        assert!(!seen.client_body().contains(SSN));
        worker.tick();
        let judged = worker
            .companion
            .records
            .iter()
            .filter(|record| record.entity_name == "get_compensation" && record.verdict.is_some());
        assert_eq!(
            judged.count(),
            3,
            "the call and each time that its answer could be read"
        );
    }
}

#[test]
fn a_resumed_answer_that_is_denied_is_an_error_under_its_own_id() {
    let mut worker = sealed();
    let id = session(&mut worker, "eve");
    let event = cut_call(&mut worker, "eve", "get_compensation", &id);
    let head = [("mcp-session-id", id.as_str()), ("last-event-id", event.as_str())];
    let prose = json!({"jsonrpc": "2.0", "id": 1, "result": {"content": [{"type": "text", "text": SSN}]}});
    for data in [prose.to_string(), SSN.to_owned()] {
        let backend = Backend::events(&format!("data: {data}\n\ndata: {}\n\n", answer(1)));
        let seen = ask(&mut worker, "GET", "eve", &head, Some(&backend));
        let body = seen.client_body();
        assert!(
            body.contains("\"id\":1,") && body.contains("result.unparseable") && !body.contains(SSN),
            "{body}"
        );
        assert_eq!(body.matches("data:").count(), 1, "{body}");
    }
}

#[test]
fn an_event_of_another_subject_or_session_is_not_resumed() {
    let mut worker = sealed();
    let (eve, bob) = (session(&mut worker, "eve"), session(&mut worker, "bob"));
    let event = cut_call(&mut worker, "eve", "get_compensation", &eve);
    for (user, id, event) in [
        ("bob", bob.as_str(), event.as_str()),
        ("eve", eve.as_str(), "3/0"),
        ("eve", eve.as_str(), eve.as_str()),
        ("eve", eve.as_str(), &event[..event.len() - 4]),
    ] {
        let head = [("mcp-session-id", id), ("last-event-id", event)];
        let seen = ask(&mut worker, "GET", user, &head, None);
        assert_eq!(
            (seen.forwarded(), seen.code().as_str()),
            (false, "protocol.unknown_event")
        );
    }
    let seen = ask(&mut worker, "GET", "eve", &[("last-event-id", &event)], None);
    assert_eq!(seen.code(), "protocol.unknown_event", "it belongs to a session");
    let head = [
        ("mcp-session-id", eve.as_str()),
        ("last-event-id", event.as_str()),
    ];
    let seen = post(&mut worker, "eve", &head, &call("open", "{}"), None);
    assert!(
        seen.upstream_header("last-event-id").is_none(),
        "a POST resumes nothing"
    );
}

#[test]
fn a_get_stream_carries_no_answers() {
    for chunk in [0, 1, 11] {
        let mut worker = sealed();
        worker.chunk = chunk;
        let id = session(&mut worker, "eve");
        let note = r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#;
        let request = r#"{"jsonrpc":"2.0","id":9,"method":"ping"}"#;
        let stream = format!(
            ": hi\n\nid: 0/0\ndata: {note}\n\ndata: {}\n\ndata: [{},{note}]\n\ndata: nonsense {SSN}\n\ndata: {request}\n\n",
            answer(1),
            answer(9)
        );
        let head = [("mcp-session-id", id.as_str())];
        let seen = ask(&mut worker, "GET", "eve", &head, Some(&Backend::events(&stream)));
        let body = seen.client_body();
        let expected = format!(
            ": hi\n\nid: {}\ndata: {note}\n\ndata: [{note}]\n\ndata: {request}\n\n",
            last_id(&body)
        );
        assert_eq!(body, expected);
        // It can be resumed, and still carries none.
        let head = [
            ("mcp-session-id", id.as_str()),
            ("last-event-id", &last_id(&body)),
        ];
        let backend = Backend::events(&format!("data: {}\n\ndata: {note}\n\n", answer(1)));
        let seen = ask(&mut worker, "GET", "eve", &head, Some(&backend));
        assert_eq!(seen.upstream_header("last-event-id").as_deref(), Some("0/0"));
        assert_eq!(seen.client_body(), format!("data: {note}\n\n"));
    }
}

#[test]
fn what_a_get_is_answered_with_beside_a_stream_is_not_passed_on() {
    let mut worker = sealed();
    for backend in [
        Backend::json(&answer(1)),
        Backend::of(200, "text/html", SSN),
        Backend::of(404, "text/html", SSN),
        Backend::of(
            405,
            "application/json",
            &json!({"jsonrpc": "2.0", "error": {"code": 1, "message": SSN}}).to_string(),
        ),
    ] {
        let seen = ask(&mut worker, "GET", "eve", &[], Some(&backend));
        let (status, body) = match (&seen.reply, &seen.client) {
            (Some(reply), _) => (reply.status, reply.body.clone()),
            (None, Some((status, _, body))) => (*status, body.clone()),
            (None, None) => panic!("no answer"),
        };
        assert!(!String::from_utf8_lossy(&body).contains(SSN));
        assert_eq!(status, backend.status);
    }
    let seen = ask(
        &mut worker,
        "GET",
        "eve",
        &[],
        Some(&Backend::of(405, "text/plain", "")),
    );
    assert_eq!(seen.client.unwrap().0, 405);
}

#[test]
fn event_ids_of_ungoverned_routes_are_sealed_too_and_resume() {
    let mut worker = sealed();
    let id = session(&mut worker, "bob");
    let event = cut_call(&mut worker, "bob", "open", &id);
    let head = [("mcp-session-id", id.as_str()), ("last-event-id", event.as_str())];
    let stream = format!("data: {}\n\n", answer(1));
    let seen = ask(&mut worker, "GET", "bob", &head, Some(&Backend::events(&stream)));
    assert_eq!(seen.client_body(), stream);
    let mut list = Backend::events("id: 1\ndata: not looked at\n\n");
    list.headers.push(("x".to_owned(), "y".to_owned()));
    let body = r#"{"jsonrpc":"2.0","id":4,"method":"ping"}"#;
    let seen = post(&mut worker, "bob", &[("mcp-session-id", &id)], body, Some(&list));
    assert!(seen.client_body().ends_with("\ndata: not looked at\n\n"));
}

#[test]
fn a_rule_that_reads_the_call_makes_its_stream_not_resumable() {
    let keys = jwks(&[&es256()]);
    let mut b = Builder::default();
    let user = b.identity("authorization", TokenRole::User, &[Algorithm::Es256], Some(&keys));
    let secret = b.attr("args.secret");
    let rules = vec![Instr::Truth(secret), Instr::DenyIf(b.denial("was_secret", "no"))];
    b.route("ask", Vec::new(), Some(rules), &[user]);
    b.housekeeping(&[user]);
    let mut worker = Worker::cold(&b.bytes(), seal);
    let backend = Backend::events("id: 1\ndata:\n\n");
    let seen = post(&mut worker, "bob", &[], &call("ask", "{}"), Some(&backend));
    assert_eq!(seen.client_body(), "data:\n\n");
}

#[test]
fn without_a_seal_key_streams_pass_only_where_no_result_is_governed() {
    let mut worker = Worker::new();
    let seen = ask(&mut worker, "GET", "bob", &[], None);
    assert_eq!(seen.code(), "protocol.method");
    let reply = seen.reply.unwrap();
    assert!(
        reply
            .headers
            .contains(&("allow".to_owned(), "POST, DELETE".to_owned())),
        "{reply:?}"
    );
    let keys = jwks(&[&es256()]);
    let mut b = Builder::default();
    let user = b.identity("authorization", TokenRole::User, &[Algorithm::Es256], Some(&keys));
    b.route("open", Vec::new(), None, &[user]);
    b.housekeeping(&[user]);
    let mut worker = Worker::cold(&b.bytes(), |_| {});
    let stream = "event: endpoint\ndata: /messages\n\nid: 7\ndata: x\n\n";
    let head = [("mcp-session-id", "S1"), ("last-event-id", "6")];
    let seen = ask(&mut worker, "GET", "bob", &head, Some(&Backend::events(stream)));
    assert_eq!(seen.upstream_header("last-event-id").as_deref(), Some("6"));
    assert_eq!(seen.client_body(), stream);
    let seen = ask(&mut worker, "GET", "bob", &[("authorization", "Bearer x")], None);
    assert_eq!(
        seen.reply.unwrap().status,
        401,
        "who asks is verified all the same"
    );
}

#[test]
fn a_seal_key_must_be_there_long_enough_and_usable() {
    let refused = |change: fn(&mut Value), secrets: Secrets| {
        let policy = program::seed(&[Algorithm::Es256], None).bytes();
        let text = config(&policy, change).to_string();
        match PluginConfig::parse(text.as_bytes()).expect("a configuration") {
            PluginConfig::Decide(config) => Engine::new(*config, secrets, [1; 32]).err(),
            PluginConfig::Hold(_) => panic!("a holder"),
        }
    };
    let with = |key: Option<&[u8]>| Secrets {
        seal_key: key.map(<[u8]>::to_vec),
        ..secrets()
    };
    assert!(matches!(
        refused(seal, with(None)),
        Some(ConfigError::MissingVariable(..))
    ));
    assert!(matches!(
        refused(seal, with(Some(b"short"))),
        Some(ConfigError::SealKey(..))
    ));
    assert!(refused(seal, with(Some(b"sixteen bytes ..."))).is_none());
    let orphan = |config: &mut Value| config["seal_previous_key_env"] = json!("OLD");
    let old = Secrets {
        seal_previous_key: Some(b"sixteen bytes ...".to_vec()),
        ..secrets()
    };
    assert!(matches!(refused(orphan, old), Some(ConfigError::SealKey(..))));
}
