//! The module under strain: faults, callouts, clocks, logs, interleaving, in the ABI host.

use std::time::{Duration, Instant};

use aplomb_test_harness::abi::{Dispatch, Host};
use serde_json::json;

use crate::{
    gate::{Ask, Back, MODES, Mode, Proxy, keeps},
    policy::{self, ARGUMENT, With, call, token, token_under},
    proof::{Proof, governed, refused},
};

fn plain(mode: Mode) -> Proxy {
    Proxy::start(mode, &policy::configuration(With::Nothing))
}

pub(crate) fn traps() -> Proof {
    let calls = [
        "proxy_get_header_map_pairs",
        "proxy_get_buffer_bytes",
        "proxy_set_buffer_bytes",
        "proxy_add_header_map_value",
    ];
    for mode in MODES {
        for name in calls {
            for status in [1, 2, 12, 4_000_000_000] {
                let mut proxy = plain(mode);
                proxy.host.set_fault(name, status);
                let ask = Ask::post(call("edited"));
                let x = proxy.head(&ask);
                proxy.body(x, &ask);
                proxy.host.tick(100).unwrap();
                keeps(&proxy.host.upstream(x), &[ARGUMENT], "the backend");
                proxy.host.end(x).unwrap();
            }
        }
        // Bodies cut and mangled anywhere: an answer each time, and the worker lives.
        let mut proxy = plain(mode);
        let whole = call("denied").into_bytes();
        for at in 0..whole.len() {
            let mut mangled = whole.clone();
            mangled[at] = mangled[at].wrapping_mul(31).wrapping_add(7);
            for body in [mangled, whole[..at.max(1)].to_vec()] {
                let seen = proxy.send(&Ask::post(body));
                assert!(seen.client.ended || seen.upstream.ended);
            }
        }
        proxy
            .send(&Ask::post(call("edited")).back(Back::answer()))
            .governed();
    }
    refused(
        "host calls that fail in every way; a body cut and mangled at each byte",
        "no trap, nothing of the secret forwarded",
    )
}

pub(crate) fn long_loops() -> Proof {
    let started = Instant::now();
    let mut configuration = policy::configuration(With::Nothing);
    configuration["limits"] = json!({"max_body_bytes": 983_040});
    let padding = [
        "[".repeat(60) + &"[1],".repeat(200_000) + "1" + &"]".repeat(60),
        format!("\"{}\"", "\\u0041".repeat(150_000)),
        format!("[{}1]", "1,".repeat(190_000)),
        format!(
            "{{{}\"z\":1}}",
            (0..60_000).map(|n| format!("\"k{n}\":1,")).collect::<String>()
        ),
    ];
    for mode in MODES {
        let mut proxy = Proxy::start(mode, &configuration);
        for pad in &padding {
            let seen = proxy.send(&Ask::post(
                call("denied").replace("\"a\":1", &format!("\"a\":{pad}")),
            ));
            assert!(!seen.upstream.started && seen.client.ended);
        }
    }
    // Quadratic work on these would take hours; a slow and busy machine takes seconds.
    assert!(
        started.elapsed() < Duration::from_secs(600),
        "{:?}",
        started.elapsed()
    );
    refused(
        "900 KB each of arrays, escapes, numbers, keys, on a denied call",
        "200 test.denied or 400 protocol.too_complex, in linear time",
    )
}

pub(crate) fn bad_callouts() -> Proof {
    for mode in MODES {
        let answers: [(u16, &[u8]); 9] = [
            (200, b""),
            (200, b"{"),
            (200, b"null"),
            (200, br#"{"results":[]}"#),
            (200, br#"{"results":[{"status":"maybe"}]}"#),
            (204, b""),
            (401, b"{}"),
            (503, b"no healthy upstream"),
            (504, b"upstream request timeout"),
        ];
        let mut proxy = Proxy::start(mode, &policy::configuration(With::Companion));
        let huge = vec![b' '; 2 << 20];
        for (status, body) in answers
            .into_iter()
            .map(Some)
            .chain([Some((200, huge.as_slice())), None])
            .map(Option::unzip)
        {
            let ask = Ask::post(call("recorded"));
            let x = proxy.head(&ask);
            proxy.body(x, &ask);
            assert!(!proxy.host.upstream(x).started, "GOT THROUGH before the answer");
            let token = proxy.host.callouts().last().unwrap().token;
            match (status, body) {
                (Some(status), Some(body)) => proxy.host.answer(token, status, body).unwrap(),
                _ => proxy.host.fail(token).unwrap(),
            }
            proxy.seen(x).refused(200, "audit.unavailable");
            proxy.host.end(x).unwrap();
        }
        proxy.host.set_dispatch(Dispatch::Refuse);
        proxy
            .send(&Ask::post(call("recorded")))
            .refused(200, "audit.unavailable");
    }
    refused(
        "ten wrong answers of the companion, a reset, a cluster without hosts",
        "200 audit.unavailable",
    )
}

pub(crate) fn amplified_callouts() -> Proof {
    for mode in MODES {
        let mut proxy = Proxy::start(mode, &policy::configuration(With::RemoteKeys));
        let mut open = Vec::new();
        for n in 0..100 {
            let ask = Ask::post(call("echo")).with("authorization", &token_under(&format!("k{n}"), "bob"));
            let x = proxy.head(&ask);
            proxy.body(x, &ask);
            open.push(x);
        }
        proxy.host.tick(100).unwrap();
        let calls = proxy.host.callouts().len();
        assert_eq!(
            calls, 1,
            "{mode:?}: 100 requests with unknown keys made {calls} calls"
        );
        let asked = proxy.host.callouts()[0].token;
        proxy.host.fail(asked).unwrap();
        proxy.host.tick(3000).unwrap();
        for x in open {
            let seen = proxy.seen(x);
            assert!(!seen.upstream.started && seen.status == "401", "{seen:?}");
            proxy.host.end(x).unwrap();
        }
    }
    refused(
        "100 tokens at a time that name unknown keys",
        "one call for the keys; 401 each",
    )
}

pub(crate) fn poisoned_shared_state() -> Proof {
    let imports = Host::imports().unwrap();
    assert!(
        !imports.iter().any(|import| import.contains("shared_data")),
        "{imports:?}"
    );
    let mut proxy = plain(Mode::Paired);
    let ask = Ask::post(call("denied"));
    let x = proxy.head(&ask);
    // A wake that nobody sent, for every queue and context there is, in the middle of the body.
    proxy.host.request_body(x, &ask.chunks[0][..30], false).unwrap();
    for root in proxy.chain.clone() {
        for queue in 0..5 {
            proxy.host.raw("proxy_on_queue_ready", &[root, queue]).unwrap();
        }
    }
    assert!(!proxy.host.upstream(x).started, "GOT THROUGH");
    proxy.host.request_body(x, &ask.chunks[0][30..], true).unwrap();
    let came = proxy.seen(x).refused(200, "test.denied");
    refused(
        "wakes of the pair's queue that the module did not send",
        format!("nothing released; {came}; no shared data is used"),
    )
}

pub(crate) fn log_injection() -> Proof {
    for mode in MODES {
        let mut proxy = Proxy::start(mode, &policy::configuration(With::Identity));
        let bearer = token("bob");
        for name in [
            "a\\nforged line",
            "\\u001b[31m",
            "echo\\r\\nINFO allowed",
            "denied",
        ] {
            let ask = Ask::post(call("denied").replace("\"denied\"", &format!("\"{name}\"")))
                .with("authorization", &bearer);
            let seen = proxy.send(&ask);
            assert!(!seen.upstream.started);
        }
        proxy.host.tick(1000).unwrap();
        for line in proxy.host.logs() {
            let bad =
                line.contains(ARGUMENT) || line.contains(&bearer[7..]) || line.chars().any(char::is_control);
            assert!(!bad, "GOT THROUGH to the log: {line:?}");
        }
    }
    refused(
        "line feeds and escapes in names; a token; an argument's value",
        "no line of the log has any of them",
    )
}

pub(crate) fn metric_names() -> Proof {
    for mode in MODES {
        let mut proxy = plain(mode);
        let _first = proxy.send(&Ask::post(call("denied")));
        let before = proxy.host.metrics();
        for n in 0..200 {
            let ask = Ask::post(call(&format!("tool-{n}"))).with(":authority", &format!("h{n}.example"));
            let _seen = proxy.send(&ask.with("mcp-session-id", &format!("s{n}")));
        }
        proxy.host.tick(1000).unwrap();
        assert_eq!(before, proxy.host.metrics(), "{mode:?}: a client made a metric");
    }
    refused(
        "200 tools, hosts and sessions that nobody knows",
        "200 route.unmatched; no metric more than before",
    )
}

pub(crate) fn clocks() -> Proof {
    let mut came = String::new();
    for mode in MODES {
        let mut proxy = Proxy::start(mode, &policy::configuration(With::Identity));
        let ask = Ask::post(call("edited"))
            .with("authorization", &token("bob"))
            .back(Back::answer());
        proxy.send(&ask).governed();
        // The token was verified and remembered; its time ends nevertheless.
        proxy.host.tick(661_000).unwrap();
        came = proxy.send(&ask).refused(401, "auth.token_expired");
    }
    refused(
        "a token that was verified before, a second after its end and the minute of leeway",
        came,
    )
}

pub(crate) fn logs_without_requests() -> Proof {
    for mode in MODES {
        let mut proxy = plain(mode);
        // The module exports no `proxy_on_log`, so Envoy has nothing to call there.
        for context in [77, 78, u32::MAX] {
            for name in ["proxy_on_done", "proxy_on_delete", "proxy_on_tick"] {
                proxy.host.raw(name, &[context]).unwrap();
            }
        }
        let x = proxy.open();
        proxy.host.end(x).unwrap();
        proxy
            .send(&Ask::post(call("edited")).back(Back::answer()))
            .governed();
    }
    governed(
        "done, delete and ticks for streams that never had a head",
        "no trap, the next call is governed; there is no log callback",
    )
}

pub(crate) fn double_answers() -> Proof {
    for mode in MODES {
        let mut proxy = Proxy::start(mode, &policy::configuration(With::Companion));
        let ask = Ask::post(call("denied"));
        let x = proxy.head(&ask);
        proxy.body(x, &ask);
        proxy.seen(x).refused(200, "test.denied");
        // Whatever still comes for it changes nothing; the host calls a second answer or a needless continue a misuse.
        proxy.host.request_body(x, b"more", true).unwrap();
        proxy.host.request_trailers(x).unwrap();
        proxy.host.proxy_reply(x, 503, b"late").unwrap_or_default();
        proxy.host.tick(5000).unwrap();
        assert!(!proxy.host.upstream(x).started);
        let ask = Ask::post(call("recorded"));
        let y = proxy.head(&ask);
        proxy.body(y, &ask);
        let token = proxy.host.callouts().last().unwrap().token;
        proxy.host.proxy_reply(y, 504, b"timeout").unwrap();
        proxy
            .host
            .answer(token, 200, br#"{"results":[{"status":"ok"}]}"#)
            .unwrap();
        assert_eq!(proxy.seen(y).status, "504");
        assert!(!proxy.host.upstream(y).started, "GOT THROUGH after an answer");
    }
    refused(
        "body, trailers, ticks and a late companion after the answer",
        "one answer, nothing forwarded",
    )
}

pub(crate) fn interleaving() -> Proof {
    for mode in MODES {
        let mut proxy = plain(mode);
        let tools = ["edited", "denied", "echo", "unheard-of"];
        let asks: Vec<Ask> = (0..200)
            .map(|n| Ask::post(call(tools[n % 4]).replace("\"id\":7", &format!("\"id\":{n}"))))
            .collect();
        let open: Vec<_> = asks.iter().map(|ask| proxy.head(ask)).collect();
        let longest = asks.iter().map(|ask| ask.chunks[0].len()).max().unwrap();
        for at in (0..longest).step_by(40) {
            for (x, ask) in open.iter().zip(&asks) {
                let body = &ask.chunks[0];
                if at < body.len() {
                    let end = (at + 40).min(body.len());
                    proxy
                        .host
                        .request_body(*x, &body[at..end], end == body.len())
                        .unwrap();
                }
            }
        }
        for (n, x) in open.iter().enumerate() {
            let upstream = proxy.host.upstream(*x);
            assert_eq!(upstream.ended, matches!(n % 4, 0 | 2), "{mode:?} {n}");
            if n % 4 == 0 {
                keeps(&upstream, &[ARGUMENT], "the backend");
                proxy.back(*x, &Back::json(policy::answer(&json!(n))), true);
                proxy.seen(*x).governed();
            }
        }
        open.iter().for_each(|x| proxy.host.end(*x).unwrap());
    }
    governed(
        "200 streams on one VM, their pieces in turn",
        "each judged by its own body",
    )
}
