//! How a request's bytes and its media type arrive, in the ABI host.

use crate::{
    gate::{Ask, Back, MODES, Proxy, send},
    policy::{self, With, call},
    proof::{Proof, governed, refused, refuses},
};

const MEDIA: &str = "protocol.media_type";
const METHOD: &str = "protocol.method";
const BODY: &str = "protocol.body";

fn post() -> Ask {
    Ask::post(call("denied"))
}

pub(crate) fn no_body() -> Proof {
    refuses([
        (
            "a POST that ends with its head",
            Ask::of("POST", vec![]),
            400,
            BODY,
        ),
        (
            "content-length: 0",
            Ask::of("POST", vec![]).with("content-length", "0"),
            400,
            BODY,
        ),
    ])
}

pub(crate) fn byte_by_byte() -> Proof {
    let denied = send(&post().bytewise()).refused(200, "test.denied");
    let edited = send(
        &Ask::post(call("edited"))
            .bytewise()
            .back(Back::answer().bytewise()),
    );
    let long = format!("{}{}", " ".repeat(3800), call("denied"));
    let slow = send(&Ask::post(long).bytewise()).refused(200, "test.denied");
    assert_eq!(denied, slow);
    governed(
        "a denied and an edited call in frames of one byte",
        format!("{denied}; {}", edited.governed()),
    )
}

pub(crate) fn trailers() -> Proof {
    let end = |tool: &str| {
        let mut ask = Ask::post(call(tool)).back(Back::answer());
        ask.trailers = true;
        send(&ask)
    };
    let denied = end("denied").refused(200, "test.denied");
    governed(
        "calls whose body ends with trailers",
        format!("{denied}; {}", end("edited").governed()),
    )
}

pub(crate) fn empty_last_frame() -> Proof {
    let end = |tool: &str| {
        let mut ask = Ask::post(call(tool)).back(Back::answer());
        ask.chunks.push(Vec::new());
        send(&ask)
    };
    let denied = end("denied").refused(200, "test.denied");
    governed(
        "calls whose last frame is empty",
        format!("{denied}; {}", end("edited").governed()),
    )
}

pub(crate) fn too_large() -> Proof {
    // Refused as soon as it is, not at its end.
    for mode in MODES {
        let mut proxy = Proxy::start(mode, &policy::configuration(With::Nothing));
        let ask = Ask::of("POST", vec![vec![b' '; 4000]]);
        let x = proxy.head(&ask);
        proxy.host.request_body(x, &[b' '; 4000], false).unwrap();
        assert!(!proxy.host.client(x).started);
        proxy.host.request_body(x, &[b' '; 200], false).unwrap();
        proxy.seen(x).refused(413, "protocol.too_large");
        proxy.host.request_body(x, b"more", true).unwrap();
        assert!(!proxy.host.upstream(x).started);
    }
    let long = Ask::post(vec![b' '; 5000]);
    refuses([
        (
            "a body over max_body_bytes, in pieces",
            long.clone(),
            413,
            "protocol.too_large",
        ),
        (
            "a content-length over it",
            post().with("content-length", "4097"),
            413,
            "protocol.too_large",
        ),
        (
            "a content-length beyond 64 bits",
            post().with("content-length", "99999999999999999999"),
            400,
            "protocol.header",
        ),
    ])
}

pub(crate) fn the_proxys_own_413() -> Proof {
    for mode in MODES {
        let mut proxy = Proxy::start(mode, &policy::configuration(With::Nothing));
        let ask = post();
        let x = proxy.head(&ask);
        proxy.host.request_body(x, &ask.chunks[0][..20], false).unwrap();
        proxy.host.proxy_reply(x, 413, b"Payload Too Large").unwrap();
        let seen = proxy.seen(x);
        assert_eq!(
            (seen.status.as_str(), seen.client.body.as_slice()),
            ("413", b"Payload Too Large".as_slice())
        );
        proxy.host.request_body(x, &ask.chunks[0][20..], true).unwrap();
        proxy.host.tick(1000).unwrap();
        assert!(!proxy.seen(x).upstream.started);
        proxy.host.end(x).unwrap();
    }
    refused(
        "a body that Envoy itself refuses half-way",
        "Envoy's 413 unchanged, no second answer",
    )
}

pub(crate) fn encodings() -> Proof {
    let of = |value: &str| post().with("content-encoding", value);
    let code = "protocol.content_encoding";
    refuses([
        ("gzip", of("gzip"), 415, code),
        ("br", of("br"), 415, code),
        ("zstd", of("zstd"), 415, code),
        ("identity, gzip", of("identity, gzip"), 415, code),
        ("x-unknown", of("x-unknown"), 415, code),
        (
            "two of them",
            of("identity").twice("content-encoding", "gzip"),
            400,
            "protocol.duplicate_header",
        ),
        ("identity, on a denied call", of("identity"), 200, "test.denied"),
    ])
}

pub(crate) fn no_content_type() -> Proof {
    refuses([
        ("no content-type", post().without("content-type"), 415, MEDIA),
        ("an empty one", post().with("content-type", ""), 415, MEDIA),
    ])
}

pub(crate) fn odd_content_types() -> Proof {
    let of = |value: &str| post().with("content-type", value);
    refuses([
        (
            "two joined by a comma",
            of("application/json, text/plain"),
            415,
            MEDIA,
        ),
        (
            "two headers",
            post().twice("content-type", "text/plain"),
            400,
            "protocol.duplicate_header",
        ),
        ("application/json-seq", of("application/json-seq"), 415, MEDIA),
        ("application/vnd.x+json", of("application/vnd.x+json"), 415, MEDIA),
        (
            "a boundary parameter",
            of("application/json; boundary=x"),
            415,
            MEDIA,
        ),
        (
            "odd case, on a denied call",
            of("Application/JSON ; Charset=\"UTF-8\""),
            200,
            "test.denied",
        ),
    ])
}

pub(crate) fn other_content_types() -> Proof {
    let of = |value: &str| post().with("content-type", value);
    refuses([
        ("text/plain", of("text/plain"), 415, MEDIA),
        (
            "multipart/form-data",
            of("multipart/form-data; boundary=x"),
            415,
            MEDIA,
        ),
        (
            "application/x-www-form-urlencoded",
            of("application/x-www-form-urlencoded"),
            415,
            MEDIA,
        ),
        ("text/json", of("text/json"), 415, MEDIA),
        ("text/event-stream", of("text/event-stream"), 415, MEDIA),
    ])
}

pub(crate) fn ranges() -> Proof {
    refuses([
        (
            "content-range",
            post().with("content-range", "bytes 0-10/200"),
            400,
            "protocol.range",
        ),
        ("range", post().with("range", "bytes=0-10"), 400, "protocol.range"),
    ])
}

pub(crate) fn bodies_of_other_methods() -> Proof {
    let of = |method: &str| Ask::of(method, vec![call("denied").into_bytes()]);
    refuses([
        ("GET", of("GET"), 405, METHOD),
        ("DELETE", of("DELETE"), 400, BODY),
        ("HEAD", of("HEAD"), 405, METHOD),
        ("OPTIONS", of("OPTIONS"), 405, METHOD),
    ])
}

pub(crate) fn other_methods() -> Proof {
    let of = |method: &str| Ask::of(method, vec![call("denied").into_bytes()]);
    refuses([
        ("PUT", of("PUT"), 405, METHOD),
        ("PATCH", of("PATCH"), 405, METHOD),
        ("TRACE", of("TRACE"), 405, METHOD),
        ("QUERY", of("QUERY"), 405, METHOD),
        ("post", of("post"), 405, METHOD),
        ("MADE-UP", of("MADE-UP"), 405, METHOD),
    ])
}

pub(crate) fn method_overrides() -> Proof {
    let code = "protocol.method_override";
    refuses([
        (
            "x-http-method-override",
            post().with("x-http-method-override", "GET"),
            400,
            code,
        ),
        (
            "x-method-override",
            post().with("x-method-override", "GET"),
            400,
            code,
        ),
        ("x-http-method", post().with("x-http-method", "GET"), 400, code),
        (
            "_method in the query, on a denied call",
            post().with(":path", "/mcp?_method=GET"),
            200,
            "test.denied",
        ),
    ])
}

pub(crate) fn head_requests() -> Proof {
    refuses([("HEAD", Ask::of("HEAD", vec![]), 405, METHOD)])
}

pub(crate) fn clients_that_leave() -> Proof {
    for mode in MODES {
        let mut proxy = Proxy::start(mode, &policy::configuration(With::Companion));
        for _ in 0..50 {
            let ask = Ask::post(call("recorded"));
            let x = proxy.head(&ask);
            proxy.body(x, &ask);
            let token = proxy.host.callouts().last().unwrap().token;
            proxy.host.end(x).unwrap();
            proxy
                .host
                .answer(token, 200, br#"{"results":[{"status":"ok"}]}"#)
                .unwrap();
            assert!(
                !proxy.host.upstream(x).started,
                "GOT THROUGH after the client had left"
            );
        }
        proxy
            .send(&Ask::post(call("edited")).back(Back::answer()))
            .governed();
    }
    refused(
        "50 clients that leave while the companion is asked",
        "nothing forwarded, the worker goes on",
    )
}
