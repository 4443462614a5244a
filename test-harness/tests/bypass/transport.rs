//! Attempts with HTTP itself, on the real Envoy.

use std::{
    io::Write as _,
    time::{Duration, Instant},
};

use aplomb_test_harness::patience::PATIENCE;

use crate::{
    backend::response,
    envoy::{Ground, post},
    policy::call,
    proof::{Proof, governed, refused},
};

const EDITED: &str = "200, the secret removed both ways";

fn status(text: &str) -> &str {
    text.split(' ').nth(1).unwrap_or("no answer")
}

fn denied(text: &str) {
    assert_eq!(status(text), "200", "{text}");
    assert!(text.contains("x-policy-violation: test.denied"), "{text}");
}

fn edited(text: &str) {
    assert_eq!(status(text), "200", "{text}");
    assert!(text.contains("\"b\":2"), "{text}");
}

pub(crate) fn slow_bodies(ground: &Ground) -> Proof {
    let text = post(&call("denied"), "");
    let mut stream = ground.connect();
    let (first, rest) = text.split_at(text.len() - 30);
    stream.write_all(first.as_bytes()).unwrap();
    std::thread::sleep(Duration::from_secs(1));
    assert!(
        ground.backend.heard().is_empty(),
        "GOT THROUGH: {:?}",
        ground.backend.heard()
    );
    stream.write_all(rest.as_bytes()).unwrap();
    denied(&ground.rest(stream));
    let mut stream = ground.connect();
    stream.write_all(first.as_bytes()).unwrap();
    let never = ground.rest(stream);
    assert_eq!(status(&never), "408", "{never}");
    assert!(ground.backend.heard().is_empty());
    refused(
        "a denied call with a pause of a second in its body; one that never ends",
        "200 test.denied; 408 of Envoy's request_timeout, nothing forwarded",
    )
}

pub(crate) fn lengths(ground: &Ground) -> Proof {
    let body = call("denied");
    let chunked = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    let head = "POST /mcp HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\nconnection: close\r\n";
    let tries = [
        format!("{head}content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n{chunked}"),
        format!(
            "{head}content-length: 5\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        ),
        format!("{head}transfer-encoding: chunked, identity\r\n\r\n{chunked}"),
        format!("{head}content-length: +{}\r\n\r\n{body}", body.len()),
        format!("{head}content-length: 40\r\n\r\n{body}"),
        format!("{head}transfer-encoding: chunked\r\n\r\nzz\r\n{body}"),
    ];
    for text in tries {
        let answer = ground.raw(text.as_bytes());
        assert!(
            !answer.starts_with("HTTP/1.1 2") || answer.contains("x-policy-violation"),
            "{text}: {answer}"
        );
    }
    assert!(
        ground.backend.heard().is_empty(),
        "GOT THROUGH: {:?}",
        ground.backend.heard()
    );
    refused(
        "content-length with chunks; two lengths; unknown codings; signs; a body longer than it says; bad chunks",
        "400 or 501 of Envoy, or a refusal; nothing forwarded",
    )
}

pub(crate) fn expect(ground: &Ground) -> Proof {
    denied(
        &ground
            .raw(post(&call("denied"), "expect: 100-continue\r\n").as_bytes())
            .replace("HTTP/1.1 100 Continue\r\n\r\n", ""),
    );
    assert!(ground.backend.heard().is_empty());
    let answer = ground.raw(post(&call("edited"), "expect: 100-continue\r\n").as_bytes());
    edited(&answer.replace("HTTP/1.1 100 Continue\r\n\r\n", ""));
    governed(
        "a denied and an edited call that expect 100",
        format!("200 test.denied; {EDITED}"),
    )
}

pub(crate) fn pipelining(ground: &Ground) -> Proof {
    let keep = |tool: &str| post(&call(tool), "").replace("connection: close\r\n", "");
    let text = format!(
        "{}{}{}{}",
        keep("edited"),
        keep("denied"),
        keep("edited"),
        post(&call("denied"), "")
    );
    let answer = ground.raw(text.as_bytes());
    assert_eq!(answer.matches("\"b\":2").count(), 2, "{answer}");
    assert_eq!(
        answer.matches("x-policy-violation: test.denied").count(),
        2,
        "{answer}"
    );
    assert_eq!(ground.backend.heard().len(), 2);
    governed(
        "edited, denied, edited, denied in one write",
        "each judged by itself, two forwarded",
    )
}

pub(crate) fn binary_headers(ground: &Ground) -> Proof {
    let with = |tool: &str, name: &str| {
        let text = post(&call(tool), &format!("{name}: v@@w\r\n"));
        let at = text.find("@@").unwrap();
        let mut bytes = text.into_bytes();
        bytes[at] = 0xff;
        bytes[at + 1] = 0xc3;
        ground.raw(&bytes)
    };
    for name in [
        "mcp-session-id",
        "x-session-id",
        "mcp-name",
        "mcp-protocol-version",
        "last-event-id",
    ] {
        let answer = with("echo", name);
        assert_eq!(status(&answer), "400", "{name}: {answer}");
    }
    assert!(ground.backend.heard().is_empty(), "GOT THROUGH");
    denied(&with("denied", "x-note"));
    edited(&with("edited", "x-note"));
    governed(
        "bytes ff c3 in each header that matters, and in one that does not",
        format!("400; 200 test.denied; {EDITED}"),
    )
}

pub(crate) fn upgrades(ground: &Ground) -> Proof {
    let websocket = "GET /mcp HTTP/1.1\r\nhost: a\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
    let answer = ground.answer(websocket.as_bytes());
    assert!(
        answer.contains("protocol.upgrade") && status(&answer) == "403",
        "{answer}"
    );
    let h2c = post(&call("denied"), "").replace(
        "connection: close",
        "connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAARAAAAAAAIAAAAA",
    );
    let answer = ground.answer(h2c.as_bytes());
    assert!(!answer.starts_with("HTTP/1.1 101"), "{answer}");
    let connect = "CONNECT tools.example:80 HTTP/1.1\r\nhost: tools.example:80\r\nmcp-session-id: s\r\n\r\n";
    let answer = ground.answer(connect.as_bytes());
    assert!(!answer.starts_with("HTTP/1.1 2"), "{answer}");
    assert!(
        ground.backend.heard().is_empty(),
        "GOT THROUGH: {:?}",
        ground.backend.heard()
    );
    refused(
        "websocket, h2c, CONNECT, where Envoy allows the first and the last",
        "403 protocol.upgrade; no 101; no tunnel",
    )
}

pub(crate) fn informational(ground: &Ground) -> Proof {
    let early = format!(
        "HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n<pause>{}",
        response()
    );
    ground.backend.says(&[&early]);
    edited(&ground.raw(post(&call("edited"), "").as_bytes()));
    ground
        .backend
        .says(&["HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\nt4-hidden"; 2]);
    let answer = ground.raw(post(&call("edited"), "").as_bytes());
    assert!(!answer.starts_with("HTTP/1.1 101"), "{answer}");
    governed(
        "103 before the result; 101 that nobody asked for",
        format!("{EDITED}; no 101 and nothing of what follows it"),
    )
}

pub(crate) fn retries(ground: &Ground) -> Proof {
    let failure = "HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    ground.backend.says(&[failure]);
    edited(&ground.raw(post(&call("edited"), "").as_bytes()));
    let heard = ground.backend.heard();
    assert_eq!(heard.len(), 2, "{heard:?}");
    governed(
        "an edited call that Envoy sends twice",
        format!(
            "both with the edited body; {EDITED}; a policy cannot forbid the retry: leave `retry_on` out for calls that must not be repeated"
        ),
    )
}

pub(crate) fn mirrors(ground: &Ground) -> Proof {
    denied(&ground.raw(post(&call("denied"), "").as_bytes()));
    edited(&ground.raw(post(&call("edited"), "").as_bytes()));
    let until = Instant::now() + PATIENCE;
    while ground.other.heard().is_empty() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(50));
    }
    let heard = ground.other.heard();
    assert_eq!(heard.len(), 1, "{heard:?}");
    governed(
        "a denied and an edited call on a mirrored route",
        format!("the mirror hears the edited body only; {EDITED}"),
    )
}

pub(crate) fn truncated_results(ground: &Ground) -> Proof {
    let whole = response();
    let cut = &whole[..whole.len() - 20];
    ground.backend.says(&[cut, cut]);
    let answer = ground.raw(post(&call("edited"), "").as_bytes());
    assert!(!answer.contains("\"b\":2"), "{answer}");
    // Ended by the connection's end, in the middle of the document.
    let (head, body) = cut.split_once("\r\n\r\n").unwrap();
    let head = head
        .lines()
        .filter(|line| !line.starts_with("content-length"))
        .collect::<Vec<_>>()
        .join("\r\n");
    let open = format!("{head}\r\n\r\n{body}");
    ground.backend.says(&[&open, &open]);
    let answer = ground.raw(post(&call("edited"), "").as_bytes());
    assert!(answer.contains("result.unparseable"), "{answer}");
    governed(
        "a result shorter than its length; one that the connection's end cuts",
        "nothing of it, an error of Envoy; withheld, result.unparseable",
    )
}

pub(crate) fn changed_routes(ground: &Ground) -> Proof {
    let to = "x-policy-to: other\r\n";
    denied(&ground.raw(post(&call("denied"), to).as_bytes()));
    assert!(
        ground.backend.heard().is_empty() && ground.other.heard().is_empty(),
        "GOT THROUGH"
    );
    edited(&ground.raw(post(&call("edited"), to).as_bytes()));
    let heard = [ground.backend.heard(), ground.other.heard()].concat();
    assert!(
        heard.iter().all(|text| !text.contains("x-policy-to")),
        "{heard:?}"
    );
    governed(
        "a header of the filter's own kind that chooses a route",
        format!("200 test.denied; removed, {EDITED} on whichever route Envoy takes"),
    )
}
