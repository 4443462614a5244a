//! Laws over many interleavings and chunkings.

use aplomb_enforcer::{CallToken, Event, Flow};

use crate::{
    host::{Backend, Header, Said, Worker, call},
    jwt,
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
