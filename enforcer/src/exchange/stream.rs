//! A response as a stream of events: each answer in it is judged, everything else passes. Event ids are sealed where a
//! client could resume the stream by them.

use apl_vm::{Answer, Document};

use super::{
    Exchange, Out,
    answers::{Judged, Payload, unparseable},
    request::json_limits,
};
use crate::{
    Command, Counter, Engine,
    engine::count,
    refusal::Refusal,
    sse::{self, RawEvent, Splitter},
};

/// An event stream.
#[derive(Debug)]
pub(super) struct Stream {
    splitter: Splitter,
    reads: Reads,
    held: Held,
}

/// What of its events is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reads {
    /// Only ids.
    Ids,
    /// The messages too.
    Messages,
    /// The messages, for policies in shadow: everything passes as it is.
    Watch,
}

/// What lies in the host's buffer while the companion is asked: bytes drained into the guest could not be emitted from
/// there (`execution.md` rule 1).
#[derive(Debug)]
enum Held {
    Nothing,
    /// So many bytes may leave, then comes the event that waits; behind it whatever else has come.
    Event {
        ready: usize,
        event: RawEvent,
        payload: Box<Payload>,
    },
    /// The verdict is there: this takes the event's place as soon as the buffer was read.
    Resolved {
        ready: usize,
        length: usize,
        bytes: Vec<u8>,
        last: bool,
    },
}

/// What becomes of one event.
enum Fate {
    /// It leaves in this form.
    Pass(Vec<u8>),
    /// It does not leave.
    Drop,
    /// It leaves, and nothing after it.
    Last(Vec<u8>),
    /// It waits for the companion.
    Wait(Box<Payload>),
}

impl Stream {
    pub(super) const fn new(max_event: usize, reads: Reads) -> Self {
        Self {
            splitter: Splitter::new(max_event),
            reads,
            held: Held::Nothing,
        }
    }

    pub(super) const fn is_asking(&self) -> bool {
        matches!(self.held, Held::Event { .. })
    }
}

impl Exchange {
    /// Bytes of the stream: the chunk, or the whole buffer after a wait.
    pub(super) fn on_events(
        &mut self,
        engine: &mut Engine,
        bytes: &[u8],
        end: bool,
        now_ms: u64,
        out: &mut Out,
    ) {
        let Some(stream) = self.stream_mut() else { return };
        if stream.reads == Reads::Watch {
            return self.watch_events(engine, bytes, now_ms, out);
        }
        let (mut ready, rest, resumed) = match std::mem::replace(&mut stream.held, Held::Nothing) {
            Held::Nothing => (Vec::new(), bytes, false),
            Held::Resolved {
                ready,
                length,
                bytes: verdict,
                last,
            } => {
                let (before, behind) = bytes.split_at_checked(ready).unwrap_or((bytes, &[]));
                let (_, behind) = behind.split_at_checked(length).unwrap_or((&[], &[]));
                let mut all = before.to_vec();
                all.extend_from_slice(&verdict);
                if last {
                    out.push(Command::ReplaceResponseBody { bytes: all });
                    out.push(Command::ResumeResponse);
                    return self.swallow(engine);
                }
                (all, behind, true)
            }
            // It is still being asked; the host was not told to read.
            held @ Held::Event { .. } => {
                stream.held = held;
                return out.pause();
            }
        };
        let waited = stream.splitter.held();
        let (events, fine) = stream.splitter.push(rest);
        // An event without its blank line is none (WHATWG HTML, 9.2.6), and no client takes it for one.
        let cut = end && stream.splitter.held() > 0;
        let mut events = events.into_iter();
        while let Some(event) = events.next() {
            match self.judge_event(engine, &event, now_ms, out) {
                Fate::Pass(bytes) => ready.extend_from_slice(&bytes),
                Fate::Drop => {}
                Fate::Last(bytes) => {
                    ready.extend_from_slice(&bytes);
                    return self.emit(ready, resumed, true, engine, out);
                }
                Fate::Wait(payload) => return self.hold(ready, event, payload, events, out),
            }
        }
        if fine.is_err() {
            let refusal = unparseable("an event of the result is larger than allowed");
            ready.extend(self.deny_rest(engine, &refusal, now_ms, out));
            return self.emit(ready, resumed, true, engine, out);
        }
        if cut {
            out.push(count(Counter::CutEvents, 1));
        }
        if !resumed && waited == 0 && ready == bytes {
            return out.go();
        }
        self.emit(ready, resumed, false, engine, out);
    }

    /// Whatever they hold, the bytes pass as they came.
    fn watch_events(&mut self, engine: &mut Engine, bytes: &[u8], now_ms: u64, out: &mut Out) {
        out.go();
        let Some(stream) = self.stream_mut() else { return };
        let (events, fine) = stream.splitter.push(bytes);
        for event in events {
            let payload = event.data.unwrap_or_default();
            if let Ok(document) = Document::parse(payload, &json_limits(engine)) {
                self.watch(engine, &document, now_ms, out);
            }
        }
        if fine.is_err() {
            self.pass(engine, now_ms);
        }
    }

    fn emit(&mut self, bytes: Vec<u8>, resumed: bool, last: bool, engine: &mut Engine, out: &mut Out) {
        out.push(Command::ReplaceResponseBody { bytes });
        if resumed {
            out.push(Command::ResumeResponse);
        }
        out.go();
        if last {
            self.swallow(engine);
        }
    }

    /// Puts everything back into the host's buffer, in order, and waits.
    fn hold(
        &mut self,
        ready: Vec<u8>,
        event: RawEvent,
        payload: Box<Payload>,
        behind: std::vec::IntoIter<RawEvent>,
        out: &mut Out,
    ) {
        let Some(stream) = self.stream_mut() else { return };
        let mut buffer = ready;
        let length = buffer.len();
        buffer.extend_from_slice(&event.raw);
        for later in behind {
            buffer.extend_from_slice(&later.raw);
        }
        buffer.extend_from_slice(&stream.splitter.give_back());
        stream.held = Held::Event {
            ready: length,
            event,
            payload,
        };
        // The callout stays the last command.
        let at = out
            .commands
            .iter()
            .position(|command| matches!(command, Command::Callout(_)))
            .unwrap_or(out.commands.len());
        out.commands
            .insert(at, Command::ReplaceResponseBody { bytes: buffer });
        out.pause();
    }

    fn judge_event(&mut self, engine: &mut Engine, event: &RawEvent, now_ms: u64, out: &mut Out) -> Fate {
        let payload = event.data.as_deref().unwrap_or_default();
        let only_ids = self.stream_mut().is_none_or(|stream| stream.reads == Reads::Ids);
        if only_ids || payload.trim_ascii().is_empty() {
            return Fate::Pass(self.written(engine, event, None));
        }
        if event.kind.as_deref() == Some(b"endpoint") && self.head.method == "GET" {
            if !engine.governs_results && !engine.pins {
                // What comes now answers requests of other exchanges, and no rule is about it.
                if let Some(stream) = self.stream_mut() {
                    stream.reads = Reads::Ids;
                }
                return Fate::Pass(self.written(engine, event, None));
            }
            // HTTP+SSE of 2024-11-05 tells where to post to; the results would come on this stream, unsealed.
            let refusal = Refusal::operation(
                "protocol.http_sse",
                "HTTP+SSE of 2024-11-05 is not supported where policy governs results: use Streamable HTTP",
            );
            let error = self.denial_of_one(engine, &refusal, now_ms, out);
            return Fate::Last(sse::message(&error));
        }
        let Ok(document) = Document::parse(payload.to_vec(), &json_limits(engine)) else {
            return self.unreadable_event(engine, event, now_ms, out);
        };
        let judged = self.judge(engine, Payload::new(document, self.head.codec), now_ms, out);
        self.fate(engine, judged, event, now_ms, out)
    }

    fn unreadable_event(
        &mut self,
        engine: &mut Engine,
        event: &RawEvent,
        now_ms: u64,
        out: &mut Out,
    ) -> Fate {
        if self.may_pass_unparseable() {
            return Fate::Pass(self.written(engine, event, None));
        }
        if self.is_answered() {
            // Nothing waits for it: an error would be a second answer.
            out.push(count(Counter::Unasked, 1));
            return Fate::Drop;
        }
        let refusal = unparseable("an event of the result is not strict JSON");
        Fate::Last(self.deny_rest(engine, &refusal, now_ms, out))
    }

    fn fate(
        &mut self,
        engine: &mut Engine,
        judged: Judged,
        event: &RawEvent,
        now_ms: u64,
        out: &mut Out,
    ) -> Fate {
        match judged {
            Judged::Asked(payload) => Fate::Wait(Box::new(payload)),
            Judged::Pass => Fate::Pass(self.written(engine, event, None)),
            Judged::Replace(json) => Fate::Pass(self.written(engine, event, Some(&json))),
            Judged::Drop => Fate::Drop,
            Judged::Deny(refusal) => {
                let error = sse::message(&self.denial_of_one(engine, &refusal, now_ms, out));
                // The others of a batch still get theirs.
                if self.is_answered() {
                    Fate::Last(error)
                } else {
                    Fate::Pass(error)
                }
            }
        }
    }

    /// One error event for each request that has no answer yet.
    fn deny_rest(&mut self, engine: &mut Engine, refusal: &Refusal, now_ms: u64, out: &mut Out) -> Vec<u8> {
        let mut errors = Vec::new();
        for at in 0..self.works().count() {
            self.select(at);
            let waits = self
                .work
                .as_mut()
                .is_some_and(|work| work.id.is_some() && !std::mem::replace(&mut work.answered, true));
            if waits {
                errors.extend(sse::message(&self.denial_of_one(engine, refusal, now_ms, out)));
            }
        }
        errors
    }

    /// The event as it leaves: with another payload, if it was edited, and with its id sealed.
    fn written(&self, engine: &Engine, event: &RawEvent, payload: Option<&[u8]>) -> Vec<u8> {
        let sealed = match &event.id {
            Some(id) if self.seals.ids => Some(self.sealed_event_id(engine, id)),
            Some(_) | None => None,
        };
        match (payload, &sealed) {
            (None, None) => event.raw.clone(),
            (payload, None) => sse::rewritten(event, payload, sse::Id::Keep),
            (payload, Some(None)) => sse::rewritten(event, payload, sse::Id::Remove),
            (payload, Some(Some(id))) => sse::rewritten(event, payload, sse::Id::Set(id)),
        }
    }

    /// The companion has answered for an event that waits in the host's buffer.
    pub(super) fn stream_go_on(
        &mut self,
        engine: &mut Engine,
        answers: &[Answer],
        now_ms: u64,
        out: &mut Out,
    ) {
        let Some(stream) = self.stream_mut() else { return };
        let (ready, event, payload) = match std::mem::replace(&mut stream.held, Held::Nothing) {
            Held::Event {
                ready,
                event,
                payload,
            } => (ready, event, payload),
            held @ (Held::Nothing | Held::Resolved { .. }) => {
                stream.held = held;
                return;
            }
        };
        let judged = self.judge_on(engine, *payload, answers, now_ms, out);
        let (bytes, last) = match self.fate(engine, judged, &event, now_ms, out) {
            Fate::Wait(payload) => {
                if let Some(stream) = self.stream_mut() {
                    stream.held = Held::Event {
                        ready,
                        event,
                        payload,
                    };
                }
                return out.pause();
            }
            Fate::Pass(bytes) => (bytes, false),
            Fate::Drop => (Vec::new(), false),
            Fate::Last(bytes) => (bytes, true),
        };
        if let Some(stream) = self.stream_mut() {
            stream.held = Held::Resolved {
                ready,
                length: event.raw.len(),
                bytes,
                last,
            };
        }
        out.push(Command::ReadResponseBody);
    }
}
