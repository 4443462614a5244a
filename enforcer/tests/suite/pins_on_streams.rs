//! Pins over pages, several lists on one stream, and streams that are resumed.

use apl_bytecode::{Algorithm, Challenge, Pin, Pins, Unmatched};
use serde_json::{Value, json};

use crate::{
    host::{Backend, Said, Seen, Stream, Worker, call},
    jwt::token,
    pins::{AFTER, OPEN, changed, digest, fine, marks, pinned},
    program::seed,
    streams::{ask, last_id, post, seal, session},
};

const EVIL: &str = "evil.example";

fn worker() -> Worker {
    Worker::with(&pinned(false).bytes(), seal)
}

fn page(id: u32, tools: &[&str], next: &str) -> String {
    let cursor = if next.is_empty() {
        String::new()
    } else {
        format!(",\"nextCursor\":\"{next}\"")
    };
    format!(
        "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{{\"tools\":[{}]{cursor}}}}}",
        tools.join(",")
    )
}

fn ask_page(worker: &mut Worker, cursor: &str, backend: &Backend) -> Seen {
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"cursor": cursor}});
    post(worker, "bob", &[], &body.to_string(), Some(backend))
}

fn event(json: &str) -> String {
    format!("data: {json}\n\n")
}

#[test]
fn every_page_is_compared_and_what_one_page_showed_holds_for_every_call() {
    let evil = changed(OPEN);
    let pages = [
        page(1, &[AFTER, r#"{"name":"edit"}"#], "2"),
        page(1, &[r#"{"name":"send_email"}"#, &evil], "3"),
        page(1, &[&evil], "4"),
        page(1, &[AFTER], ""),
    ];
    let shown = [
        pages[0].clone(),
        page(1, &[r#"{"name":"send_email"}"#], "3"),
        page(1, &[], "4"),
        pages[3].clone(),
    ];
    for events in [false, true] {
        let mut worker = worker();
        for (at, (sent, wanted)) in pages.iter().zip(&shown).enumerate() {
            let (backend, wanted) = match events {
                false => (Backend::json(sent), wanted.clone()),
                true => (Backend::events(&event(sent)), event(wanted)),
            };
            let before = worker.call("alice", "open", "{}", Some(&fine()));
            assert_eq!(
                before.forwarded(),
                at < 2,
                "page {at}: it is known from the page that showed it on"
            );
            let seen = ask_page(&mut worker, &at.to_string(), &backend);
            assert_eq!(
                seen.client_body(),
                wanted,
                "page {at}: empty pages and cursors stay"
            );
        }
        assert_eq!(marks(&worker), ["pin:/open"]);
        assert_eq!(
            worker.call("alice", "open", "{}", None).code(),
            "tool.definition_changed"
        );
        assert!(worker.call("alice", "after", "{}", Some(&fine())).forwarded());
    }
}

#[test]
fn several_pages_on_one_stream_are_compared_however_it_is_cut() {
    let requests: Vec<String> = [1, 2, 3]
        .map(|id| {
            json!({"jsonrpc": "2.0", "id": id, "method": "tools/list", "params": {"cursor": id.to_string()}})
                .to_string()
        })
        .into();
    let batch = format!("[{}]", requests.join(","));
    let evil = [changed(OPEN), AFTER.replace("Comes", "Always comes")];
    let stream = [
        event(&page(1, &[OPEN, AFTER], "2")),
        event(r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{}}"#),
        event(&page(2, &[OPEN, &evil[1]], "3")),
        event(&page(3, &[&evil[0], AFTER], "")),
    ];
    let wanted = [
        stream[0].clone(),
        stream[1].clone(),
        event(&page(2, &[OPEN], "3")),
        event(&page(3, &[AFTER], "")),
    ]
    .concat();
    for cuts in [
        vec![],
        vec![1],
        vec![7],
        vec![3, 200, 11],
        vec![stream[0].len(), 5],
        vec![90],
    ] {
        let mut worker = worker();
        worker.cuts = cuts.clone();
        let seen = post(
            &mut worker,
            "bob",
            &[],
            &batch,
            Some(&Backend::events(&stream.concat())),
        );
        assert_eq!(seen.client_body(), wanted, "cuts {cuts:?}");
        let mut found = marks(&worker);
        found.sort();
        assert_eq!(found, ["pin:/after", "pin:/open"]);
    }
}

/// A list whose stream was cut: its session, and where it is resumed.
fn cut(worker: &mut Worker, user: &str) -> (String, String) {
    let id = session(worker, user);
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
    let head = [("mcp-session-id", id.as_str())];
    let seen = post(
        worker,
        user,
        &head,
        body,
        Some(&Backend::events("id: 3/0\ndata:\n\n")),
    );
    let event = last_id(&seen.client_body());
    (id, event)
}

fn resumed(worker: &mut Worker, (session, event): &(String, String), backend: &Backend) -> Seen {
    let head = [
        ("mcp-session-id", session.as_str()),
        ("last-event-id", event.as_str()),
    ];
    ask(worker, "GET", "bob", &head, Some(backend))
}

#[test]
fn a_list_on_a_resumed_stream_is_compared_and_its_mark_stored_before_a_byte_of_it_is_released() {
    let evil = changed(OPEN);
    let rest = event(&page(1, &[&evil, AFTER], "2"));
    for cuts in [vec![], vec![1], vec![13, 2]] {
        let mut worker = worker();
        let place = cut(&mut worker, "bob");
        worker.cuts = cuts;
        let seen = resumed(&mut worker, &place, &Backend::events(&rest));
        assert_eq!(seen.client_body(), event(&page(1, &[AFTER], "2")));
        assert_eq!(marks(&worker), ["pin:/open"]);
        assert_eq!(
            worker.call("alice", "open", "{}", None).code(),
            "tool.definition_changed"
        );
    }
    // The companion does not answer: nothing of the list.
    let mut worker = worker();
    let place = cut(&mut worker, "bob");
    worker.companion.faults.push(Said::Failed);
    let said = resumed(&mut worker, &place, &Backend::events(&rest)).client_body();
    assert!(
        said.contains("session.persist_failed") && !said.contains("tools"),
        "{said}"
    );
}

#[test]
fn a_list_waits_for_its_mark_and_for_nothing_else() {
    let mut worker = worker();
    let (session, event_id) = cut(&mut worker, "bob");
    let bearer = format!("Bearer {}", token("bob"));
    let mut stream: Stream = worker.open(&[
        (":method", "GET"),
        (":path", "/mcp"),
        ("accept", "text/event-stream"),
        ("authorization", &bearer),
        ("mcp-session-id", &session),
        ("last-event-id", &event_id),
    ]);
    stream.head(&mut worker, true);
    stream.settle(&mut worker);
    stream.response_head(&mut worker, &Backend::events("x"));
    let note = event(r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{}}"#);
    let list = event(&page(1, &[&changed(OPEN)], ""));
    stream.response_part(&mut worker, [note.as_str(), &list].concat().as_bytes(), false);
    stream.response_part(&mut worker, note.as_bytes(), false);
    assert!(!String::from_utf8_lossy(stream.client_has()).contains("tools"));
    stream.settle(&mut worker);
    let wanted = [note.clone(), event(&page(1, &[], "")), note].concat();
    assert_eq!(String::from_utf8_lossy(stream.client_has()), wanted);
    assert_eq!(marks(&worker), ["pin:/open"]);
}

#[test]
fn a_resumed_stream_that_answers_nothing_carries_no_list() {
    let mut worker = worker();
    let id = session(&mut worker, "bob");
    let head = [("mcp-session-id", id.as_str())];
    let list = event(&page(1, &[&changed(OPEN)], ""));
    let first = format!("id: 9\n{list}");
    let seen = ask(&mut worker, "GET", "bob", &head, Some(&Backend::events(&first)));
    assert!(!seen.client_body().contains(EVIL), "{}", seen.client_body());
    assert_eq!(seen.counts["aplomb.unasked_dropped"], 1);
}

#[test]
fn what_could_be_acquired_is_annotated_on_every_page_and_on_resumed_streams_and_pins_do_not_mind() {
    let mut builder = seed(&[Algorithm::Es256], None);
    let mail = r#"{"name":"send_email","description":"Sends."}"#;
    let names = [("open", OPEN), ("send_email", mail)];
    let tools = names.map(|(name, definition)| Pin {
        name: builder.text(name),
        digest: digest(definition),
    });
    builder.program.pins = vec![Pins {
        scope: None,
        hides_unpinned: true,
        tools: tools.into(),
    }];
    builder.program.settings.unmatched = Unmatched::Deny;
    let scopes = vec![builder.text("email_send")];
    // The second route of the seed.
    builder.program.challenges = vec![Challenge {
        route: 1,
        scopes,
        annotates: true,
    }];
    let bytes = builder.bytes();
    let shown =
        json!({"name": "send_email", "description": "Sends.", "_meta": {"aplomb/scopes": ["email_send"]}});
    let tools_of = |body: &str| -> Value {
        let json = body.trim().strip_prefix("data: ").unwrap_or(body.trim());
        serde_json::from_str::<Value>(json).expect("JSON")["result"]["tools"].clone()
    };
    let mut worker = Worker::with(&bytes, seal);
    let bearer = format!("Bearer {}", token("alice"));
    for cursor in ["1", "2", "3"] {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"cursor": cursor}})
            .to_string();
        let sent = page(1, &[mail, AFTER, OPEN], "next");
        let seen = worker.post(&[("authorization", &bearer)], &body, Some(&Backend::json(&sent)));
        let open: Value = serde_json::from_str(OPEN).expect("JSON");
        assert_eq!(
            tools_of(&seen.client_body()),
            json!([shown, open]),
            "page {cursor}"
        );
        assert!(seen.client_body().contains("\"nextCursor\":\"next\""));
    }
    let (session, event_id) = cut(&mut worker, "alice");
    let head = [
        ("mcp-session-id", session.as_str()),
        ("last-event-id", event_id.as_str()),
    ];
    let sent = event(&page(1, &[mail], ""));
    let seen = ask(&mut worker, "GET", "alice", &head, Some(&Backend::events(&sent)));
    assert_eq!(tools_of(&seen.client_body()), json!([shown]));
    assert!(marks(&worker).is_empty(), "nothing has changed");
    // An annotation is for people to read: the call is still denied, and says what is missing.
    let denied = worker.post(&[("authorization", &bearer)], &call("send_email", "{}"), None);
    assert_eq!(denied.reply.as_ref().map(|reply| reply.status), Some(403));
}
