//! A response as a stream of events: each one that answers the request is judged, all others pass.

use apl_vm::Document;

use super::{Exchange, Out, after::govern, request::json_limits, run::Step};
use crate::{
    Command, Counter, Engine,
    engine::count,
    mcp::response::{Answer as Message, classify},
    refusal::Refusal,
    sse::{self, RawEvent, Splitter},
};

/// An event stream.
#[derive(Debug)]
pub(super) struct Stream {
    splitter: Splitter,
    /// The request has been answered; another answer is dropped.
    answered: bool,
    held: Held,
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
    },
    /// The verdict is there: this takes the event's place as soon as the buffer was read.
    Resolved {
        ready: usize,
        length: usize,
        bytes: Vec<u8>,
        denied: bool,
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
    Wait,
}

impl Stream {
    pub(super) const fn new(max_event: usize) -> Self {
        Self {
            splitter: Splitter::new(max_event),
            answered: false,
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
        let (mut ready, rest, resumed) = match std::mem::replace(&mut stream.held, Held::Nothing) {
            Held::Nothing => (Vec::new(), bytes, false),
            Held::Resolved {
                ready,
                length,
                bytes: verdict,
                denied,
            } => {
                let (before, behind) = bytes.split_at_checked(ready).unwrap_or((bytes, &[]));
                let (_, behind) = behind.split_at_checked(length).unwrap_or((&[], &[]));
                let mut all = before.to_vec();
                all.extend_from_slice(&verdict);
                if denied {
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
        let (mut events, fine) = stream.splitter.push(rest);
        if end && fine.is_ok() {
            events.extend(stream.splitter.finish());
        }
        let mut events = events.into_iter();
        while let Some(event) = events.next() {
            match self.judge(engine, &event, now_ms, out) {
                Fate::Pass(bytes) => ready.extend_from_slice(&bytes),
                Fate::Drop => {}
                Fate::Last(bytes) => {
                    ready.extend_from_slice(&bytes);
                    return self.emit(ready, resumed, true, engine, out);
                }
                Fate::Wait => return self.hold(ready, event, events, out),
            }
        }
        if fine.is_err() && self.stream_mut().is_some_and(|stream| stream.answered) {
            return self.emit(ready, resumed, true, engine, out);
        }
        if fine.is_err() {
            let refusal = Refusal::operation(
                "result.unparseable",
                "an event of the result is larger than allowed",
            );
            let (_, envelope) = self.denial(engine, &refusal, now_ms, out);
            ready.extend_from_slice(&sse::message(&envelope));
            return self.emit(ready, resumed, true, engine, out);
        }
        let unchanged = !resumed && waited == 0 && ready == bytes;
        if unchanged {
            return out.go();
        }
        self.emit(ready, resumed, false, engine, out);
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
    fn hold(&mut self, ready: Vec<u8>, event: RawEvent, behind: std::vec::IntoIter<RawEvent>, out: &mut Out) {
        let Some(stream) = self.stream_mut() else { return };
        let mut buffer = ready;
        let length = buffer.len();
        buffer.extend_from_slice(&event.raw);
        for later in behind {
            buffer.extend_from_slice(&later.raw);
        }
        buffer.extend_from_slice(&stream.splitter.give_back());
        stream.held = Held::Event { ready: length, event };
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

    fn judge(&mut self, engine: &mut Engine, event: &RawEvent, now_ms: u64, out: &mut Out) -> Fate {
        let payload = event.data.as_deref().unwrap_or_default();
        if payload.trim_ascii().is_empty() {
            return Fate::Pass(event.raw.clone());
        }
        let Some(mut work) = self.work.take() else {
            return Fate::Drop;
        };
        let limits = json_limits(engine);
        let answered = self.stream_mut().is_none_or(|stream| stream.answered);
        let document = Document::parse(payload.to_vec(), &limits);
        let kind = document
            .as_ref()
            .ok()
            .map(|document| classify(document, work.id.as_deref()));
        let step = match (document, kind) {
            (Ok(_), Some(Message::Other)) => {
                self.work = Some(work);
                return Fate::Pass(event.raw.clone());
            }
            // A second answer, or one to a question that was not asked here.
            (Ok(_), Some(Message::Foreign)) | (_, Some(Message::Response)) if answered => {
                self.work = Some(work);
                return Fate::Drop;
            }
            (Ok(document), Some(Message::Response)) => {
                if let Some(stream) = self.stream_mut() {
                    stream.answered = true;
                }
                match govern(&work, document, &limits) {
                    Err(refusal) => Step::Verdict(Some(refusal)),
                    Ok(result) => {
                        self.after.result = result;
                        self.run_after(engine, &mut work, now_ms, out)
                    }
                }
            }
            (Ok(_), _) => {
                self.work = Some(work);
                return Fate::Drop;
            }
            // The request is answered already: an error for it would be a second answer.
            (Err(_), _) if answered && !work.law.pass_unparseable => {
                self.work = Some(work);
                return Fate::Drop;
            }
            (Err(_), _) if work.law.pass_unparseable => {
                self.work = Some(work);
                return Fate::Pass(event.raw.clone());
            }
            (Err(_), _) => Step::Verdict(Some(Refusal::operation(
                "result.unparseable",
                "an event of the result is not strict JSON",
            ))),
        };
        self.work = Some(work);
        match step {
            Step::Asked(flight) => {
                self.flight = Some(flight);
                Fate::Wait
            }
            Step::Verdict(refusal) => match self.resolve(engine, refusal, event, now_ms, out) {
                (bytes, false) => Fate::Pass(bytes),
                (bytes, true) => Fate::Last(bytes),
            },
        }
    }

    /// What leaves in the event's place, and whether it is a denial.
    fn resolve(
        &mut self,
        engine: &mut Engine,
        refusal: Option<Refusal>,
        event: &RawEvent,
        now_ms: u64,
        out: &mut Out,
    ) -> (Vec<u8>, bool) {
        let edited = match (refusal, self.after.result.take()) {
            (Some(refusal), _) => Err(refusal),
            (None, None) => Ok(None),
            (None, Some(result)) => result
                .into_edited()
                .map_err(|()| Refusal::operation("result.unparseable", "an edit could not be written")),
        };
        match edited {
            Err(refusal) => {
                let (_, envelope) = self.denial(engine, &refusal, now_ms, out);
                (sse::message(&envelope), true)
            }
            Ok(edited) => {
                self.record_after(engine, None, now_ms);
                let bytes = match edited {
                    None => event.raw.clone(),
                    Some(json) => {
                        let edits = self.work.as_ref().map_or(0, |work| work.edits.len());
                        out.push(count(Counter::Edits, u64::try_from(edits).unwrap_or(u64::MAX)));
                        sse::with_data(event, &json)
                    }
                };
                (bytes, false)
            }
        }
    }

    /// The companion has answered for an event that waits in the host's buffer.
    pub(super) fn stream_step(&mut self, engine: &mut Engine, step: Step, now_ms: u64, out: &mut Out) {
        let refusal = match step {
            Step::Asked(flight) => {
                self.flight = Some(flight);
                return out.pause();
            }
            Step::Verdict(refusal) => refusal,
        };
        let Some(stream) = self.stream_mut() else { return };
        let (ready, event) = match std::mem::replace(&mut stream.held, Held::Nothing) {
            Held::Event { ready, event } => (ready, event),
            Held::Nothing | Held::Resolved { .. } => return,
        };
        let (bytes, denied) = self.resolve(engine, refusal, &event, now_ms, out);
        if let Some(stream) = self.stream_mut() {
            stream.held = Held::Resolved {
                ready,
                length: event.raw.len(),
                bytes,
                denied,
            };
        }
        out.push(Command::ReadResponseBody);
    }
}
