//! One exchange, in both ways of holding headers.

use aplomb_test_harness::abi::Dispatch;
use serde_json::Value;

use crate::fixture::{JSON_HEAD, MODES, Mode, Proxy, head, message, result};

/// How a body may arrive.
#[derive(Debug, Clone, Copy)]
enum Arrival {
    Whole,
    Bytes,
    EmptyLast,
    Trailers,
}

const ARRIVALS: [Arrival; 4] = [
    Arrival::Whole,
    Arrival::Bytes,
    Arrival::EmptyLast,
    Arrival::Trailers,
];

fn arrive(body: &[u8], how: Arrival, mut data: impl FnMut(Option<&[u8]>, bool)) {
    match how {
        Arrival::Whole => data(Some(body), true),
        Arrival::Bytes => {
            let (last, others) = body.split_last().unwrap();
            others.iter().for_each(|byte| data(Some(&[*byte]), false));
            data(Some(&[*last]), true);
        }
        Arrival::EmptyLast => {
            data(Some(body), false);
            data(Some(b""), true);
        }
        Arrival::Trailers => {
            data(Some(body), false);
            data(None, true);
        }
    }
}

#[test]
fn nothing_reaches_the_backend_before_the_verdict_however_the_body_arrives() {
    for mode in MODES {
        for how in ARRIVALS {
            let mut proxy = Proxy::start(mode);
            let x = proxy.open("/mcp");
            arrive(message("edited").as_bytes(), how, |bytes, end| {
                assert!(!proxy.host.upstream(x).started, "{mode:?} {how:?}");
                match bytes {
                    Some(bytes) => proxy.host.request_body(x, bytes, end).unwrap(),
                    None => proxy.host.request_trailers(x).unwrap(),
                }
            });
            let upstream = proxy.host.upstream(x);
            assert!(upstream.ended, "{mode:?} {how:?} {:?}", proxy.host.logs());
            let body: Value = serde_json::from_slice(&upstream.body).unwrap();
            assert_eq!(
                body["params"]["arguments"],
                serde_json::json!({"a": 1}),
                "{mode:?} {how:?}"
            );
            let length = upstream.header("content-length");
            assert!(length.is_none_or(|length| length == upstream.body.len().to_string()));
            proxy.host.end(x).unwrap();
        }
    }
}

#[test]
fn a_governed_response_is_edited_however_it_arrives() {
    for mode in MODES {
        for how in ARRIVALS {
            let mut proxy = Proxy::start(mode);
            let x = proxy.call("edited");
            proxy.host.response_head(x, &JSON_HEAD, false).unwrap();
            arrive(result().as_bytes(), how, |bytes, end| {
                assert!(!proxy.host.client(x).started, "{mode:?} {how:?}");
                match bytes {
                    Some(bytes) => proxy.host.response_body(x, bytes, end).unwrap(),
                    None => proxy.host.response_trailers(x).unwrap(),
                }
            });
            let client = proxy.host.client(x);
            assert!(client.ended, "{mode:?} {how:?} {:?}", proxy.host.logs());
            let body: Value = serde_json::from_slice(&client.body).unwrap();
            assert_eq!(
                body["result"]["structuredContent"],
                serde_json::json!({"b": 2}),
                "{mode:?} {how:?}"
            );
            assert_ne!(
                client.header("content-length").as_deref(),
                Some("999"),
                "the length is not that of the edited body"
            );
            proxy.host.end(x).unwrap();
        }
    }
}

#[test]
fn a_denied_call_never_reaches_the_backend() {
    for mode in MODES {
        let mut proxy = Proxy::start(mode);
        let x = proxy.call("denied");
        let client = proxy.host.client(x);
        assert!(client.ended && !proxy.host.upstream(x).started, "{mode:?}");
        let body: Value = serde_json::from_slice(&client.body).unwrap();
        assert_eq!(
            (&body["id"], body["error"]["data"]["violation"].as_str()),
            (&7.into(), Some("test.denied"))
        );
        assert_eq!(
            client.header("x-policy-violation").as_deref(),
            Some("test.denied")
        );
        proxy.host.end(x).unwrap();
    }
}

#[test]
fn an_unknown_tool_is_denied() {
    for mode in MODES {
        let mut proxy = Proxy::start(mode);
        let x = proxy.call("unheard-of");
        assert!(
            proxy.host.client(x).ended && !proxy.host.upstream(x).started,
            "{mode:?}"
        );
    }
}

#[test]
fn other_traffic_is_untouched() {
    for mode in MODES {
        let mut proxy = Proxy::start(mode);
        let x = proxy.open("/health");
        proxy.host.request_body(x, b"not JSON", true).unwrap();
        assert_eq!(proxy.host.upstream(x).body, b"not JSON", "{mode:?}");
        proxy
            .host
            .response_head(x, &[(":status", "200"), ("content-length", "2")], false)
            .unwrap();
        proxy.host.response_body(x, b"ok", true).unwrap();
        let client = proxy.host.client(x);
        assert_eq!(
            (client.body.as_slice(), client.header("content-length").as_deref()),
            (b"ok".as_slice(), Some("2"))
        );
    }
}

#[test]
fn a_callout_holds_the_request_until_its_answer() {
    for mode in MODES {
        let mut proxy = Proxy::start(mode);
        let x = proxy.call("recorded");
        let token = proxy.callout();
        assert!(!proxy.host.upstream(x).started, "{mode:?}");
        let answer = br#"{"results":[{"status":"ok"}]}"#;
        proxy.host.answer(token, 200, answer).unwrap();
        let (upstream, client) = (proxy.host.upstream(x), proxy.host.client(x));
        // Whether this answer satisfies the enforcer is its own tests' matter; here: one of the two, and only one.
        assert!(upstream.ended != client.ended, "{mode:?}");
        proxy.host.end(x).unwrap();
    }
}

#[test]
fn no_answer_of_the_companion_but_a_good_one_lets_a_call_pass() {
    for mode in MODES {
        for (status, body) in [
            (200, b"".as_slice()),
            (200, b"{"),
            (200, b"null"),
            (200, b"[]"),
            (200, br#"{"results":[]}"#),
            (204, b""),
            (401, b"{}"),
            (503, b"no healthy upstream"),
            (504, b"upstream request timeout"),
        ] {
            let mut proxy = Proxy::start(mode);
            let x = proxy.call("recorded");
            proxy.host.answer(proxy.callout(), status, body).unwrap();
            assert!(proxy.host.client(x).ended, "{mode:?} {status}: a hung request");
            assert!(!proxy.host.upstream(x).started, "{mode:?} {status} {body:?}");
            proxy.host.end(x).unwrap();
        }
        let mut proxy = Proxy::start(mode);
        let x = proxy.call("recorded");
        proxy.host.fail(proxy.callout()).unwrap();
        assert!(
            proxy.host.client(x).ended && !proxy.host.upstream(x).started,
            "{mode:?}: reset"
        );
    }
}

#[test]
fn a_companion_without_hosts_denies_at_once() {
    for mode in MODES {
        let mut proxy = Proxy::start(mode);
        proxy.host.set_dispatch(Dispatch::Refuse);
        let x = proxy.call("recorded");
        assert!(
            proxy.host.client(x).ended && !proxy.host.upstream(x).started,
            "{mode:?}"
        );
    }
}

#[test]
fn a_client_that_leaves_during_a_callout_is_forgotten() {
    for mode in MODES {
        let mut proxy = Proxy::start(mode);
        let x = proxy.call("recorded");
        let token = proxy.callout();
        proxy.host.end(x).unwrap();
        proxy.host.answer(token, 200, b"{}").unwrap();
        assert!(!proxy.host.upstream(x).started, "{mode:?}");
        // And the worker goes on.
        let y = proxy.call("echo");
        assert!(proxy.host.upstream(y).ended, "{mode:?}");
    }
}

#[test]
fn a_body_over_the_limit_is_refused_as_soon_as_it_is() {
    for mode in MODES {
        let mut proxy = Proxy::start(mode);
        let x = proxy.open("/mcp");
        proxy.host.request_body(x, &[b' '; 4000], false).unwrap();
        assert!(!proxy.host.client(x).started);
        proxy.host.request_body(x, &[b' '; 200], false).unwrap();
        assert_eq!(
            proxy.host.client(x).header(":status").as_deref(),
            Some("413"),
            "{mode:?}"
        );
        proxy.host.request_body(x, b"more", true).unwrap();
        assert!(!proxy.host.upstream(x).started, "{mode:?}");
        proxy.host.end(x).unwrap();
    }
}

#[test]
fn a_body_that_is_not_one_message_is_refused() {
    for mode in MODES {
        for body in [
            "",
            "{",
            "not JSON",
            "{}",
            "{}{}",
            "\u{feff}{}",
            r#"{"id":1,"id":2}"#,
        ] {
            let mut proxy = Proxy::start(mode);
            let x = proxy.open("/mcp");
            proxy.host.request_body(x, body.as_bytes(), true).unwrap();
            assert!(
                proxy.host.client(x).ended && !proxy.host.upstream(x).started,
                "{mode:?} {body:?}"
            );
            proxy.host.end(x).unwrap();
        }
    }
}

#[test]
fn a_request_without_a_body_is_decided_at_its_head() {
    for mode in MODES {
        let mut proxy = Proxy::start(mode);
        let x = proxy.host.exchange(&proxy.chain.clone(), mode == Mode::Full);
        proxy.host.request_head(x, &head("POST", "/mcp"), true).unwrap();
        assert!(
            proxy.host.client(x).ended && !proxy.host.upstream(x).started,
            "{mode:?}"
        );
    }
}

#[test]
fn a_missing_flag_is_named_once_bytes_came_and_not_before() {
    let mut proxy = Proxy::start(Mode::Full);
    // The same installation, but Envoy's flag is not set.
    let x = proxy.host.exchange(&proxy.chain.clone(), false);
    proxy.host.request_head(x, &head("POST", "/mcp"), false).unwrap();
    for _ in 0..100 {
        proxy.host.tick(100).unwrap();
    }
    assert!(
        proxy.host.local_reply(x).is_none(),
        "a slow client is no missing flag"
    );
    proxy
        .host
        .request_body(x, message("echo").as_bytes(), true)
        .unwrap();
    proxy.host.tick(100).unwrap();
    let reply = proxy.host.local_reply(x).unwrap();
    assert_eq!(reply.details, "aplomb.config.stop_iteration_missing");
    assert!(!proxy.host.upstream(x).started);
}

#[test]
fn the_proxys_own_replies_pass() {
    for mode in MODES {
        let mut proxy = Proxy::start(mode);
        let x = proxy.call("edited");
        proxy.host.proxy_reply(x, 503, b"no healthy upstream").unwrap();
        let client = proxy.host.client(x);
        assert_eq!(
            (client.header(":status").as_deref(), client.body.as_slice()),
            (Some("503"), b"no healthy upstream".as_slice())
        );
        proxy.host.end(x).unwrap();
    }
}

#[test]
fn a_thousand_interleaved_exchanges_leave_nothing_behind() {
    for mode in MODES {
        let mut proxy = Proxy::start(mode);
        let tools = ["echo", "denied", "edited", "recorded"];
        let open: Vec<_> = (0..1000).map(|n| (tools[n % 4], proxy.open("/mcp"))).collect();
        for (tool, x) in &open {
            proxy
                .host
                .request_body(*x, message(tool).as_bytes(), true)
                .unwrap();
        }
        for (tool, x) in &open {
            let passed = matches!(*tool, "echo" | "edited");
            let why = proxy.host.local_reply(*x).map(|reply| reply.details);
            assert_eq!(proxy.host.upstream(*x).ended, passed, "{mode:?} {tool} {why:?}");
            proxy.host.end(*x).unwrap();
        }
        let y = proxy.call("echo");
        assert!(proxy.host.upstream(y).ended);
    }
}
