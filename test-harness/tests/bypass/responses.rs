//! Results in one piece, in the ABI host.

use serde_json::json;

use crate::{
    gate::{Ask, Back, MODES, Mode, Proxy, send},
    policy::{self, RESULT, With, answer, call},
    proof::{Proof, Verdict, governed, proof, refused, refuses},
};

const UNPARSEABLE: &str = "result.unparseable";

fn edited(back: Back) -> Ask {
    Ask::post(call("edited")).back(back)
}

/// Each of these answers is withheld.
fn withheld<'a>(tries: impl IntoIterator<Item = (&'a str, Back)>) -> (String, String) {
    let (mut sent, mut came) = (Vec::new(), Vec::new());
    for (what, back) in tries {
        let seen = send(&edited(back));
        assert!(seen.upstream.ended, "{what}: not forwarded");
        let text = seen.text();
        assert!(
            seen.code == UNPARSEABLE || text.contains(UNPARSEABLE),
            "{what}: {} {} {text}",
            seen.status,
            seen.code
        );
        sent.push(what);
        let got = format!("{} withheld, {UNPARSEABLE}", seen.status);
        if !came.contains(&got) {
            came.push(got);
        }
    }
    (sent.join("; "), came.join("; "))
}

pub(crate) fn json_results() -> Proof {
    let seen = send(&edited(Back::answer().with("content-length", "999")));
    assert_ne!(seen.client.header("content-length").as_deref(), Some("999"));
    let came = seen.governed();
    let (sent, withheld) = withheld([
        (
            "a result over max_body_bytes",
            Back::json(answer(&json!(7)).replace("\"b\":2", &format!("\"b\":\"{}\"", "x".repeat(5000)))),
        ),
        ("half a result", Back::json(answer(&json!(7))[..60].to_owned())),
        (
            "a key twice in it",
            Back::json(answer(&json!(7)).replace("\"b\":2", "\"b\":2,\"b\":3")),
        ),
    ]);
    governed(
        &format!("a result with a wrong content-length; {sent}"),
        format!("{came}; {withheld}"),
    )
}

pub(crate) fn unasked_answers() -> Proof {
    let event = |id: u32| format!("data: {}\n\n", answer(&json!(id)));
    let seen = send(&edited(Back::events(format!(
        "{}{}{}",
        event(8),
        event(7),
        event(7)
    ))));
    let text = seen.text();
    assert_eq!(
        text.matches("\"b\":2").count(),
        1,
        "an answer to nothing, or a second one, passed: {text}"
    );
    let (sent, came) = withheld([
        ("an answer under another id", Back::json(answer(&json!(8)))),
        (
            "error and result",
            Back::json(
                answer(&json!(7)).replace("\"result\"", "\"error\":{\"code\":1,\"message\":\"\"},\"result\""),
            ),
        ),
        ("a result without an id", Back::json(answer(&json!(null)))),
    ]);
    governed(
        &format!("events for an unknown id and one id twice; {sent}"),
        format!("dropped; {came}"),
    )
}

pub(crate) fn response_types() -> Proof {
    let body = answer(&json!(7));
    let mut none = Back::json(body.clone());
    none.head.retain(|(name, _)| name != "content-type");
    let events = format!("data: {body}\n\n");
    let mut two = Back::json(body.clone());
    two.head
        .push(("content-type".to_owned(), "text/event-stream".to_owned()));
    let (sent, came) = withheld([
        ("events called JSON", Back::json(events.clone())),
        ("no type", none),
        ("two types", two),
        ("text/plain", Back::of("text/plain", body.clone())),
        (
            "multipart/x-mixed-replace",
            Back::of("multipart/x-mixed-replace; boundary=x", body.clone()),
        ),
        (
            "JSON in UTF-16",
            Back::of("application/json; charset=utf-16", body.clone()),
        ),
    ]);
    // JSON called events is an event without its end.
    let seen = send(&edited(Back::events(body)));
    assert!(!seen.text().contains(RESULT));
    let seen = send(&edited(Back::of("text/event-stream; charset=latin-1", events)));
    governed(
        &format!("{sent}; JSON called events"),
        format!("{came}; nothing of it; {}", seen.governed()),
    )
}

pub(crate) fn compressed_results() -> Proof {
    let seen = send(&edited(Back::answer()).with("accept-encoding", "gzip, br"));
    assert_eq!(
        seen.upstream.header("accept-encoding"),
        None,
        "the backend was asked for a compressed result"
    );
    let _came = seen.governed();
    let (sent, came) = withheld([
        ("gzip", Back::answer().with("content-encoding", "gzip")),
        (
            "identity, br",
            Back::answer().with("content-encoding", "identity, br"),
        ),
        (
            "events in gzip",
            Back::events("data: {}\n\n").with("content-encoding", "gzip"),
        ),
    ]);
    governed(
        &format!("accept-encoding: gzip, br; {sent}"),
        format!("removed on the way to the backend; {came}"),
    )
}

pub(crate) fn empty_responses() -> Proof {
    let of = |status: &str| {
        let mut back = Back::answer().with(":status", status);
        back.chunks.clear();
        send(&edited(back))
    };
    let came = [
        of("202").withheld("protocol.http_sse"),
        of("204").withheld(UNPARSEABLE),
        of("200").withheld(UNPARSEABLE),
    ];
    let seen = of("304");
    assert!(seen.client.ended && seen.client.body.is_empty(), "{seen:?}");
    governed(
        "202, 204, 200 and 304 that end with the head",
        format!("{}; 304 passes; none hangs", came.join("; ")),
    )
}

pub(crate) fn early_responses() -> Proof {
    // Where headers are held nothing can answer early; where they are not, it is refused.
    let configuration = policy::configuration(With::Nothing);
    for mode in MODES {
        let mut proxy = Proxy::start(mode, &configuration);
        let ask = Ask::post(call("edited"));
        let x = proxy.head(&ask);
        assert!(!proxy.host.upstream(x).started, "GOT THROUGH before the verdict");
        proxy.body(x, &ask);
        proxy.back(x, &Back::answer(), true);
        proxy.seen(x).governed();
    }
    let mut proxy = Proxy::start(Mode::Single, &single());
    let ask = Ask::post(call("denied"));
    let x = proxy.head(&ask);
    assert!(proxy.host.upstream(x).started, "a single plugin holds no headers");
    proxy.back(x, &Back::answer(), true);
    let seen = proxy.seen(x);
    assert_eq!(
        (seen.status.as_str(), seen.code.as_str()),
        ("502", "protocol.early_response")
    );
    proxy.body(x, &ask);
    assert!(proxy.seen(x).upstream.body.is_empty(), "GOT THROUGH");
    proxy.host.end(x).unwrap();
    refused(
        "a backend that answers to the head alone",
        "headers are held until the verdict; in mode single 502 protocol.early_response",
    )
}

/// The same policy without rules that need held headers.
fn single() -> serde_json::Value {
    let mut configuration = policy::configuration(With::Nothing);
    configuration["policy"] = json!(policy::without_edits());
    configuration
}

pub(crate) fn redirects() -> Proof {
    let of = |status: &str| {
        let back = Back::answer()
            .with(":status", status)
            .with("location", "http://other.example/mcp");
        send(&edited(back))
    };
    let [moved, kept] = ["302", "307"].map(of);
    assert!(moved.client.ended && kept.client.ended);
    // What Envoy sends on after a redirect is what the filter gave it: the edited body.
    assert!(!String::from_utf8_lossy(&kept.upstream.body).contains(policy::ARGUMENT));
    proof(
        "302 and 307 to another host, with a result in the body",
        "the body edited, nothing of what policy removes on either side",
        Verdict::NotOurs(
            "where a client goes next is its own matter; Envoy's internal redirects are off unless the route asks for them, and then run the chain anew",
        ),
    )
}

pub(crate) fn other_filters_replies() -> Proof {
    for mode in MODES {
        let mut proxy = Proxy::start(mode, &policy::configuration(With::Nothing));
        for status in [401, 403, 413, 503, 504] {
            let ask = Ask::post(call("edited"));
            let x = proxy.head(&ask);
            proxy.body(x, &ask);
            proxy.host.proxy_reply(x, status, b"of another filter").unwrap();
            let seen = proxy.seen(x);
            assert_eq!(
                (seen.status, seen.client.body.as_slice()),
                (status.to_string(), b"of another filter".as_slice())
            );
            proxy.host.end(x).unwrap();
        }
    }
    governed(
        "401, 403, 413, 503 and 504 of other filters and of Envoy",
        "unchanged, never answered twice",
    )
}

pub(crate) fn listed_tools() -> Proof {
    let list = json!({"jsonrpc": "2.0", "id": 7, "result": {"tools": [{"name": "echo"}, {"name": "denied"}], "nextCursor": "c"}});
    let ask = Ask::post(r#"{"jsonrpc":"2.0","id":7,"method":"tools/list","params":{"cursor":"a"}}"#);
    let seen = send(&ask.back(Back::json(list.to_string())));
    assert_eq!(
        seen.json()["result"],
        json!({"tools": [{"name": "echo"}], "nextCursor": "c"})
    );
    let came = send(&Ask::post(call("denied"))).refused(200, "test.denied");
    let unknown = send(&Ask::post(call("nowhere-to-be-seen")));
    assert!(!unknown.text().contains("echo"), "the error names other tools");
    governed(
        "tools/list with a denied tool and a cursor; a call of that tool; one of a tool that is nowhere",
        format!("the tool left out, the cursor kept; {came}; the error names no other tool"),
    )
}

pub(crate) fn leaking_errors() -> Proof {
    let error = json!({"jsonrpc": "2.0", "id": 7, "error": {"code": -32000, "message": "failed", "data": {"b": 2, "secret": RESULT}}});
    let seen = send(&edited(Back::json(error.to_string())));
    assert!(seen.client.ended);
    let failed = send(&edited(Back::answer().with(":status", "500")));
    assert!(failed.client.ended);
    let page = format!("<html>Traceback: secret={RESULT}</html>");
    let page = send(&edited(Back::of("text/html", page).with(":status", "500"))).withheld(UNPARSEABLE);
    governed(
        "the secret in error.data; in a result under 500; in a stack trace as HTML",
        format!("removed; removed; {page}"),
    )
}

pub(crate) fn response_trailers() -> Proof {
    let mut back = Back::answer();
    back.trailers = true;
    let json = send(&edited(back)).governed();
    let mut back = Back::events(format!("data: {}\n\n", answer(&json!(7))));
    back.trailers = true;
    let events = send(&edited(back)).governed();
    assert_eq!(json, events);
    governed("a result as JSON and as an event, with trailers behind", json)
}

pub(crate) fn grpc() -> Proof {
    let of = |media: &str| Ask::post(call("denied")).with("content-type", media);
    let proof = refuses([
        (
            "application/grpc",
            of("application/grpc"),
            415,
            "protocol.media_type",
        ),
        (
            "application/grpc-web",
            of("application/grpc-web+json"),
            415,
            "protocol.media_type",
        ),
        (
            "application/x-protobuf",
            of("application/x-protobuf"),
            415,
            "protocol.media_type",
        ),
    ]);
    let (_, came) = withheld([("a gRPC response", Back::of("application/grpc", answer(&json!(7))))]);
    refused(
        &format!("{}; a gRPC response", proof.sent),
        format!("{}; {came}", proof.came),
    )
}
