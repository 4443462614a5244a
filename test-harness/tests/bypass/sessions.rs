//! Sessions and resumption under sealed ids, in the ABI host.

use serde_json::{Value, json};

use crate::{
    gate::{Ask, Back, MODES, Mode, Proxy, Seen},
    policy::{self, RESULT, With, answer, call, token},
    proof::{Proof, governed, refused},
};

const SESSION: &str = "protocol.unknown_session";
const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{}}"#;

fn sealed(mode: Mode) -> Proxy {
    let mut configuration: Value = policy::configuration(With::Identity);
    configuration["seal_key_env"] = json!("SEAL_KEY");
    Proxy::start(mode, &configuration)
}

fn by(user: &str, ask: Ask) -> Ask {
    ask.with("authorization", &token(user))
}

/// The client's id of a session that the backend calls `S1`.
fn session(proxy: &mut Proxy, user: &str) -> String {
    let back = Back::json(r#"{"jsonrpc":"2.0","id":0,"result":{}}"#).with("mcp-session-id", "S1");
    let seen = proxy.send(&by(user, Ask::post(INITIALIZE).back(back)));
    seen.client.header("mcp-session-id").unwrap()
}

/// The last event id that the client has of a call's stream that was cut.
fn cut(proxy: &mut Proxy, user: &str, session: &str) -> String {
    let back = Back::events("id: 3/0\nretry: 10\ndata:\n\n");
    let ask = by(user, Ask::post(call("edited")))
        .with("mcp-session-id", session)
        .back(back);
    let seen = proxy.send(&ask);
    let text = seen.text();
    assert!(!text.contains("3/0"), "{text}");
    text.lines()
        .rev()
        .find_map(|line| line.strip_prefix("id: "))
        .unwrap()
        .to_owned()
}

fn listen(user: &str, session: &str) -> Ask {
    by(user, Ask::of("GET", vec![]))
        .without("content-type")
        .with("mcp-session-id", session)
}

pub(crate) fn foreign_sessions() -> Proof {
    let mut came = Vec::new();
    for mode in MODES {
        let mut proxy = sealed(mode);
        let id = session(&mut proxy, "bob");
        let own = by("bob", Ask::post(call("edited")))
            .with("mcp-session-id", &id)
            .back(Back::answer());
        let seen = proxy.send(&own);
        assert_eq!(seen.upstream.header("mcp-session-id").as_deref(), Some("S1"));
        seen.governed();
        let with = |user: &str, id: &str| by(user, Ask::post(call("echo"))).with("mcp-session-id", id);
        let long = "x".repeat(513);
        came = vec![
            proxy.send(&with("eve", &id)).refused(404, SESSION),
            proxy.send(&with("bob", "S1")).refused(404, SESSION),
            proxy
                .send(&with("bob", &long))
                .refused(400, "protocol.session_id"),
            proxy
                .send(&with("bob", "s\u{e9}ance"))
                .refused(400, "protocol.session_id"),
            proxy
                .send(&with("bob", &id).twice("mcp-session-id", &id))
                .refused(400, "protocol.duplicate_header"),
        ];
    }
    refused(
        "another's session id; the backend's own; 513 bytes; not ASCII; two of them",
        came.join("; "),
    )
}

pub(crate) fn foreign_deletes() -> Proof {
    let mut came = String::new();
    for mode in MODES {
        let mut proxy = sealed(mode);
        let id = session(&mut proxy, "bob");
        let delete = |user: &str| {
            by(user, Ask::of("DELETE", vec![]))
                .without("content-type")
                .with("mcp-session-id", &id)
        };
        came = proxy.send(&delete("eve")).refused(404, SESSION);
        let seen = proxy.send(&delete("bob"));
        assert_eq!(seen.upstream.header("mcp-session-id").as_deref(), Some("S1"));
    }
    refused("DELETE of another's session", came)
}

/// What a GET stream brings the client: `events`, and then the end.
fn streamed(proxy: &mut Proxy, ask: Ask, events: &str) -> Seen {
    proxy.send(&ask.back(Back::events(events)))
}

pub(crate) fn answers_elsewhere() -> Proof {
    for mode in MODES {
        let mut proxy = sealed(mode);
        let id = session(&mut proxy, "bob");
        let event = format!("id: 4\ndata: {}\n\n", answer(&json!(7)));
        // On a stream that answers nothing an answer belongs to nothing.
        let seen = streamed(&mut proxy, listen("bob", &id), &event);
        assert!(
            seen.upstream.ended && !seen.text().contains("\"b\":2"),
            "{}",
            seen.text()
        );
        // On the resumed stream of its own call it is edited as it would have been there.
        let last = cut(&mut proxy, "bob", &id);
        let seen = streamed(
            &mut proxy,
            listen("bob", &id).with("last-event-id", &last),
            &event,
        );
        assert!(
            seen.text().contains("\"b\":2") && !seen.text().contains(RESULT),
            "{}",
            seen.text()
        );
    }
    // Without a seal key there is no such stream.
    let ask = Ask::of("GET", vec![]).without("content-type");
    let none = crate::gate::send(&ask).refused(405, "protocol.method");
    governed(
        "a result on a GET stream; on the resumed stream of its call; GET without a seal key",
        format!("dropped; edited; {none}"),
    )
}

pub(crate) fn foreign_resumptions() -> Proof {
    let code = "protocol.unknown_event";
    let mut came = Vec::new();
    for mode in MODES {
        let mut proxy = sealed(mode);
        let (bobs, eves) = (session(&mut proxy, "bob"), session(&mut proxy, "eve"));
        let last = cut(&mut proxy, "bob", &bobs);
        came = vec![
            proxy
                .send(&listen("eve", &eves).with("last-event-id", &last))
                .refused(400, code),
            proxy
                .send(&listen("eve", &bobs).with("last-event-id", &last))
                .refused(404, SESSION),
            proxy
                .send(&listen("bob", &bobs).with("last-event-id", "3/0"))
                .refused(400, code),
        ];
    }
    refused(
        "another's Last-Event-ID; with another's session; the backend's own event id",
        came.join("; "),
    )
}
