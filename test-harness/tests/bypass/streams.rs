//! Results as server-sent events, in the ABI host.

use serde_json::json;

use crate::{
    gate::{Ask, Back, MODES, Proxy, send},
    policy::{self, RESULT, With, answer, call},
    proof::{Proof, governed},
};

fn edited(events: impl Into<Vec<u8>>) -> Ask {
    Ask::post(call("edited")).back(Back::events(events))
}

fn event() -> String {
    format!("data: {}\n\n", answer(&json!(7)))
}

pub(crate) fn event_streams() -> Proof {
    let progress = r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progress":1}}"#;
    // Judged one by one: what is complete is out before the rest has come.
    for mode in MODES {
        let mut proxy = Proxy::start(mode, &policy::configuration(With::Nothing));
        let ask = Ask::post(call("edited"));
        let x = proxy.head(&ask);
        proxy.body(x, &ask);
        proxy.back(x, &Back::events(format!("data: {progress}\n\n")), false);
        assert!(proxy.seen(x).text().contains("progress"), "{mode:?}: held back");
        proxy.host.response_body(x, event().as_bytes(), true).unwrap();
        proxy.seen(x).governed();
    }
    let came = send(&edited(format!("data: {progress}\n\n{}", event()))).governed();
    governed(
        "a notification and the result as events",
        format!("the notification at once; {came}"),
    )
}

pub(crate) fn server_requests() -> Proof {
    let request = r#"{"jsonrpc":"2.0","id":"s1","method":"sampling/createMessage","params":{}}"#;
    let came = send(&edited(format!("data: {request}\n\n{}", event()))).withheld("server_request.denied");
    let ping = r#"{"jsonrpc":"2.0","id":"s2","method":"ping"}"#;
    let pinged = send(&edited(format!("data: {ping}\n\n{}", event()))).governed();
    // A result in the clothes of a request is a result to nobody.
    let mut dressed: serde_json::Value = serde_json::from_str(&answer(&json!(7))).unwrap();
    dressed["method"] = json!("sampling/createMessage");
    let seen = send(&edited(format!("data: {dressed}\n\n{}", event())));
    assert_eq!(seen.text().matches("\"b\":2").count(), 1, "{}", seen.text());
    // The client's answer goes back as housekeeping.
    let reply = Ask::post(r#"{"jsonrpc":"2.0","id":"s1","result":{"content":[]}}"#);
    let mut accepted = Back::answer().with(":status", "202");
    accepted.chunks.clear();
    let back = send(&reply.back(accepted));
    assert!(back.upstream.ended && back.status == "202", "{back:?}");
    let both = Ask::post(
        r#"{"jsonrpc":"2.0","id":"s1","method":"tools/call","result":{},"params":{"name":"denied"}}"#,
    );
    let both = send(&both).refused(400, "protocol.invalid_request");
    governed(
        "sampling asked for before the result; ping before it; a result dressed as a request; the client's answer; an answer with a method",
        format!("{came}; {pinged}; dropped; passes; {both}"),
    )
}

pub(crate) fn framing() -> Proof {
    let data = answer(&json!(7));
    let (head, tail) = data.split_at(data.find("\"result\"").unwrap());
    let streams = [
        format!("data: {data}\r\n\r\n"),
        format!("data: {data}\r\r"),
        format!("\u{feff}data: {data}\n\n"),
        format!(": comment {RESULT_WORD}\ndata: {head}\ndata: {tail}\n\n"),
        format!("event: message\nid: 1\nretry: 5\ndata:{data}\n\n"),
        format!("unknown\nunknown: x\ndata: {data}\n\n"),
        format!("data: {data}\n\r\n"),
    ];
    for stream in &streams {
        send(&edited(stream.as_str())).governed();
        send(&Ask::post(call("edited")).back(Back::events(stream.as_str()).bytewise())).governed();
    }
    // Without its blank line it is no event.
    for cut in [
        format!("data: {data}"),
        format!("data: {data}\n"),
        format!("data: {RESULT}"),
    ] {
        let seen = send(&edited(cut));
        assert!(!seen.text().contains("\"b\":2"), "{}", seen.text());
    }
    governed(
        "CR, LF, CRLF, a mark at the start, comments, several data lines, unknown fields, each whole and byte by byte; an event without its end",
        "200, the secret removed; the cut one dropped",
    )
}

/// A comment is nobody's result; it passes.
const RESULT_WORD: &str = "keep-alive";

pub(crate) fn large_events() -> Proof {
    let large = answer(&json!(7)).replace("\"b\":2", &format!("\"b\":\"{}\"", "x".repeat(3000)));
    let whole = send(&edited(format!("data: {large}\n\n"))).withheld("result.unparseable");
    let endless = format!("data: {}", "x".repeat(20_000));
    let never = send(&edited(endless)).withheld("result.unparseable");
    let many = format!(":{}\n", "x".repeat(1000)).repeat(30);
    let seen = send(&edited(format!("{many}data: {RESULT}\n\n")));
    assert!(seen.client.ended);
    assert_eq!(whole, never);
    governed(
        "an event over max_event_bytes; one that never ends; 30 KB of comments",
        format!("{whole}, and the stream ends"),
    )
}
