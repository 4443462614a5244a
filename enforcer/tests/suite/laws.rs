//! Laws over many interleavings and chunkings.

use aplomb_enforcer::{CallToken, Event, Flow};

use crate::{
    host::{Backend, Header, Said, Worker, call},
    jwt,
    streams::{SSN, answer, ask, cut_call, post, sealed, session},
};

/// A small generator with a known seed: a failing case names it.
struct Rng(u64);

impl Rng {
    fn next(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }
}

fn discard(_: Flow) {}

/// A stream of events as no decent server would write it: every line end, comments, fields in any order, several `data`
/// lines, messages of all kinds, single and in arrays, and the end wherever it happens to be.
fn any_stream(rng: &mut Rng) -> String {
    let mut stream = String::new();
    if rng.next(4) == 0 {
        stream.push('\u{feff}');
    }
    for at in 0..rng.next(9) {
        let end = ["\n", "\r", "\r\n"][rng.next(3) as usize];
        let message = match rng.next(9) {
            0 => String::new(),
            1 => answer(1),
            2 => answer(7),
            3 => format!("[{},{}]", answer(1), answer(2)),
            4 => format!("nonsense {SSN}"),
            5 => format!("{{\"jsonrpc\":\"2.0\",{end}data:\"method\":\"notifications/x\"}}"),
            6 => answer(1).replace("\"id\":1", "\"id\":\"1\""),
            7 => format!("{{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":\"{SSN}\"}}"),
            _ => "{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"ping\"}".to_owned(),
        };
        for _ in 0..1 + rng.next(4) {
            stream.push_str(&match rng.next(6) {
                0 => format!(": note{end}"),
                1 => format!("id: backend-{at}{end}"),
                2 => format!("event: message{end}"),
                3 => format!("retry: 7{end}"),
                _ => String::new(),
            });
        }
        stream.push_str(&format!("data: {message}{end}"));
        if rng.next(12) != 0 {
            stream.push_str(end);
        }
    }
    let length = stream.chars().count() as u64 + 1;
    if rng.next(3) == 0 {
        stream.chars().take(rng.next(length) as usize).collect()
    } else {
        stream
    }
}

/// However a response is cut, on the stream of the call, on a resumed one and on a GET stream: the same bytes leave, in
/// none of them is what was redacted, and no id is the backend's own.
#[test]
fn any_cutting_of_any_stream_gives_the_same_bytes_and_hides_the_same() {
    for seed in 1..60_u64 {
        let mut rng = Rng(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let backend = Backend::events(&any_stream(&mut rng));
        let batch = format!(
            "[{},{}]",
            call("after", "{}"),
            call("open", "{}").replace("\"id\":1", "\"id\":2")
        );
        let kind = rng.next(4);
        let run = |cuts: Vec<usize>| {
            let mut worker = sealed();
            let id = session(&mut worker, "eve");
            let head = [("mcp-session-id", id.as_str())];
            let event = (kind == 1).then(|| cut_call(&mut worker, "eve", "get_compensation", &id));
            worker.cuts = cuts;
            let seen = match (kind, &event) {
                (0, _) => post(&mut worker, "eve", &head, &call("after", "{}"), Some(&backend)),
                (1, Some(event)) => {
                    let head = [head[0], ("last-event-id", event.as_str())];
                    ask(&mut worker, "GET", "eve", &head, Some(&backend))
                }
                (2, _) => ask(&mut worker, "GET", "eve", &head, Some(&backend)),
                (_, _) => post(&mut worker, "eve", &head, &batch, Some(&backend)),
            };
            let bytes = match (seen.reply, seen.client) {
                (Some(reply), _) => reply.body,
                (None, Some((_, _, body))) => body,
                (None, None) => panic!("seed {seed}: no response"),
            };
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let whole = run(Vec::new());
        let body = &whole;
        // In a batch the answer to `open` is nobody's to redact.
        let shown = if kind == 3 { 1 } else { 0 };
        assert!(body.matches(SSN).count() <= shown, "seed {seed}: {body}");
        assert!(!body.contains("backend-"), "seed {seed}: {body}");
        for _ in 0..4 {
            let cuts: Vec<usize> = (0..1 + rng.next(7)).map(|_| 1 + rng.next(40) as usize).collect();
            assert_eq!(run(cuts.clone()), whole, "seed {seed}, cuts {cuts:?}");
        }
    }
}

#[test]
fn any_chunking_gives_the_same_bytes() {
    let record = r#"{\"ssn\":\"123-45-6789\",\"name\":\"\u00e4\"}"#;
    let answer =
        format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"content":[{{"type":"text","text":"{record}"}}]}}}}"#);
    let stream = format!(
        "\u{feff}: hello\r\n\r\nid: 4\rdata: {{\"jsonrpc\":\"2.0\",\r\ndata: \"method\":\"notifications/message\"}}\r\rdata: {answer}\n\ndata: {answer}\n\n: x"
    );
    for backend in [Backend::json(&answer), Backend::events(&stream)] {
        for tool in ["get_compensation", "after"] {
            let mut whole = Worker::new();
            let expected = whole.call("eve", tool, "{}", Some(&backend)).client;
            for chunk in (1..40).chain([97, 128]) {
                let mut worker = Worker::new();
                worker.chunk = chunk;
                let seen = worker.call("eve", tool, "{}", Some(&backend));
                assert_eq!(seen.client, expected, "{tool}, chunks of {chunk}");
            }
        }
    }
}

#[test]
fn the_same_events_give_the_same_commands() {
    let run = || {
        let mut worker = Worker::new();
        let seen = worker.call("alice", "get_compensation", "{}", None);
        (seen, worker.call("bob", "get_compensation", "{}", None))
    };
    assert_eq!(run(), run());
}

/// The host checks on the way: at most one end of the request, no header before the verdict, one call at a time and as
/// the last command. Here the events come in any order, most of them nonsense.
#[test]
fn no_order_of_events_gives_two_ends_or_a_release_without_a_verdict() {
    let bearer = format!("Bearer {}", jwt::token("bob"));
    let bodies: Vec<Vec<u8>> = [
        "get_compensation",
        "send_email",
        "open",
        "after",
        "edit",
        "nothing",
    ]
    .iter()
    .map(|tool| call(tool, r#"{"ssn":"1"}"#).into_bytes())
    .chain([b"nonsense".to_vec(), Vec::new()])
    .collect();
    let head: Vec<Header> = [
        (":method", "POST"),
        (":path", "/mcp"),
        (":authority", "x"),
        ("content-type", "application/json"),
        ("authorization", bearer.as_str()),
    ]
    .map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()))
    .into();
    let response: Vec<Header> = [(":status", "200"), ("content-type", "application/json")]
        .map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()))
        .into();
    let events: Vec<Header> = [(":status", "200"), ("content-type", "text/event-stream")]
        .map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()))
        .into();
    let mut worker = Worker::new();
    for seed in 1..3000_u64 {
        let mut rng = Rng(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut stream = worker.open(&[]);
        let mut whole_body_read = false;
        for _ in 0..rng.next(24) {
            let flag = rng.next(2) == 0;
            match rng.next(14) {
                0..=2 => discard(stream.event(
                    &mut worker,
                    Event::RequestHead {
                        headers: &head,
                        end_of_stream: rng.next(8) == 0,
                        seed: u128::from(seed),
                    },
                )),
                3..=5 => {
                    stream
                        .request_body
                        .clone_from(&bodies[rng.next(bodies.len() as u64) as usize]);
                    let buffered = stream.request_body.len();
                    whole_body_read |= flag;
                    let flow = stream.event(&mut worker, Event::RequestBody { buffered, end: flag });
                    assert!(
                        flow == Flow::Pause || stream.seen.forwarded() || stream.seen.reply.is_some(),
                        "seed {seed}"
                    );
                }
                6 => discard(stream.event(
                    &mut worker,
                    Event::RequestBytes {
                        bytes: b"{}".to_vec(),
                    },
                )),
                7 => discard(stream.event(&mut worker, Event::Stuck)),
                8 => {
                    let headers = if flag { &response } else { &events };
                    let from_upstream = stream.seen.forwarded();
                    discard(stream.event(
                        &mut worker,
                        Event::ResponseHead {
                            headers,
                            end_of_stream: false,
                            from_upstream,
                        },
                    ));
                }
                9 => discard(stream.event(
                    &mut worker,
                    Event::ResponseBody {
                        buffered: 3,
                        end: flag,
                    },
                )),
                10 => discard(stream.event(
                    &mut worker,
                    Event::ResponseBytes {
                        bytes: b"{}\n\n".to_vec(),
                        end: flag,
                    },
                )),
                11 => match stream.pending.take() {
                    Some(callout) if flag => {
                        let said = worker.companion.answer(&callout, worker.now_ms);
                        stream.answer(&mut worker, callout.token, &said);
                    }
                    Some(callout) => stream.answer(&mut worker, callout.token, &Said::Failed),
                    None => stream.answer(&mut worker, CallToken(9999), &Said::Status(200, b"{}".to_vec())),
                },
                12 => discard(stream.event(&mut worker, Event::Wake)),
                _ => {
                    worker.now_ms += 500;
                    worker.tick();
                }
            }
            let forwarded = stream.seen.forwarded();
            assert!(
                !forwarded || whole_body_read,
                "seed {seed}: forwarded before the body was there"
            );
        }
        stream.event(&mut worker, Event::Gone);
        assert_eq!(worker.engine.inflight_bytes(), 0, "seed {seed}");
    }
}
