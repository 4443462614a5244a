//! One HTTP exchange: a total function of its state and the event.
//!
//! ```text
//! New ─▶ Body ─▶ (Keys) ─▶ (Asking) ─▶ Forwarded ─▶ response: Untouched | Buffer | Stream ─▶ (Asking) ─▶ done
//!   └▶ Untouched     └───────┴──────▶ Replied
//! ```

mod after;
mod answers;
mod asserted;
mod batch;
mod binding;
pub(crate) mod capture;
mod challenge;
mod decide;
mod durable;
mod forward;
mod lists;
mod lookup;
mod pins;
mod plain;
mod record;
mod request;
mod response;
mod run;
mod seals;
mod shadow;
mod stream;
pub(crate) mod work;

use crate::{
    CallToken, Command, Counter, Engine, Event, ExchangeId, Flow, Reaction,
    engine::count,
    http::head::Head,
    json_text::hex,
    refusal::{Challenge, Refusal, Shape},
    session::digest,
};
use after::After;
use batch::Batch;
use lookup::Lookup;
use run::Flight;
use seals::Seals;
use shadow::Shadows;
use work::Work;

/// One HTTP exchange, from its head to [`Event::Gone`].
#[derive(Debug)]
pub struct Exchange {
    id: ExchangeId,
    decision_id: String,
    stage: Stage,
    /// The request's headers have left before the verdict (`install.mode: single`, with a body).
    head_left: bool,
    /// Into the configuration's `protocols`.
    entry: usize,
    head: Head,
    /// The operation at work, from the moment its body was read.
    work: Option<Box<Work>>,
    /// The operations beside it.
    batch: Batch,
    /// The head as the second program wants it.
    head_beside: Option<Box<Head>>,
    shadows: Shadows,
    seals: Seals,
    /// The callout that is under way.
    flight: Option<Box<Flight>>,
    /// A question about an API key that is under way.
    lookup: Option<Lookup>,
    /// How many of them there were.
    lookups: usize,
    after: After,
    /// Records that are being stored before the request goes on, and whether they are.
    releasing: Option<Vec<companion_protocol::AuditRecord>>,
    released: bool,
    /// Bytes charged against the worker's limit.
    charged: usize,
}

/// How far the request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nothing has happened.
    New,
    /// Not ours: both directions pass.
    Untouched,
    /// The body is being collected.
    Body,
    /// Waits for keys of an issuer, at most until then, or for the record of an API key.
    Keys { until_ms: u64 },
    /// Waits for the companion.
    Asking,
    /// On its way to the backend.
    Forwarded,
    /// Answered by us.
    Replied,
    /// Over.
    Gone,
}

impl Exchange {
    /// A new exchange; `id` is the host's name for the stream.
    #[must_use]
    pub fn new(id: ExchangeId) -> Self {
        Self {
            id,
            decision_id: String::new(),
            stage: Stage::New,
            head_left: false,
            entry: 0,
            head: Head::default(),
            work: None,
            batch: Batch::default(),
            head_beside: None,
            shadows: Shadows::default(),
            seals: Seals::default(),
            flight: None,
            lookup: None,
            lookups: 0,
            after: After::default(),
            releasing: None,
            released: false,
            charged: 0,
        }
    }

    /// The host's name for the stream.
    #[must_use]
    pub const fn id(&self) -> ExchangeId {
        self.id
    }

    /// The decision id: in the client's answer, in the audit record and in the log. Empty before the head.
    #[must_use]
    pub fn decision_id(&self) -> &str {
        &self.decision_id
    }

    /// Whether the request's headers are held and body bytes are awaited: a host checks only such exchanges for
    /// [`Event::Stuck`].
    #[must_use]
    pub const fn awaits_body(&self) -> bool {
        matches!(self.stage, Stage::Body)
    }

    /// Takes an event at `now_ms` (milliseconds since the Unix epoch). Total: any event in any state has a reaction.
    pub fn on_event(&mut self, engine: &mut Engine, event: Event<'_>, now_ms: u64) -> Reaction {
        let mut out = Out::default();
        match event {
            Event::RequestHead {
                headers,
                end_of_stream,
                seed,
            } => {
                if self.stage == Stage::New {
                    let name = digest(&[b"decision", &seed.to_be_bytes()]);
                    self.decision_id = hex(name.get(..16).unwrap_or_default());
                    self.on_request_head(engine, headers, end_of_stream, now_ms, &mut out);
                }
            }
            Event::Properties { values } => {
                if self.stage == Stage::New {
                    self.head.properties = values;
                }
            }
            Event::RequestBody { buffered, end } => {
                self.on_request_body(engine, buffered, end, now_ms, &mut out)
            }
            Event::RequestBytes { bytes } => self.on_request_bytes(engine, bytes, now_ms, &mut out),
            Event::Stuck => {
                if self.stage == Stage::Body {
                    let refusal = Refusal::http(
                        503,
                        "config.stop_iteration_missing",
                        "the proxy does not hold headers: set `allow_on_headers_stop_iteration: true` on this filter",
                    );
                    self.refuse(engine, &refusal, now_ms, &mut out);
                }
            }
            Event::ResponseHead {
                headers,
                end_of_stream,
                from_upstream,
            } => {
                self.on_response_head(engine, headers, end_of_stream, from_upstream, now_ms, &mut out);
            }
            Event::ResponseBody { buffered, end } => {
                self.on_response_body(engine, buffered, end, now_ms, &mut out)
            }
            Event::ResponseBytes { bytes, end } => {
                self.on_response_bytes(engine, bytes, end, now_ms, &mut out)
            }
            Event::CalloutAnswer { token, status, body } => {
                self.on_answer(engine, token, (status == 200).then_some(body), now_ms, &mut out);
            }
            Event::CalloutFailed { token } => self.on_answer(engine, token, None, now_ms, &mut out),
            Event::Wake => self.on_wake(engine, now_ms, &mut out),
            Event::Gone => self.on_gone(engine, now_ms),
        }
        // Whatever came while a direction is held by us, it stays held.
        Reaction {
            commands: out.commands,
            flow: out.flow,
        }
    }

    fn on_answer(
        &mut self,
        engine: &mut Engine,
        token: CallToken,
        body: Option<&[u8]>,
        now_ms: u64,
        out: &mut Out,
    ) {
        if let Some(lookup) = self.lookup.take_if(|lookup| lookup.token == token) {
            return self.on_record(engine, &lookup, body, now_ms, out);
        }
        let Some(flight) = self.flight.take_if(|flight| flight.token == token) else {
            return;
        };
        if body.is_none() {
            out.push(count(Counter::CalloutsFailed, 1));
        }
        let shadow = self.stage == Stage::Asking && !self.shadows.over;
        let work = if shadow {
            self.asking_shadow()
        } else {
            self.work.as_deref_mut()
        };
        let answers = run::land(*flight, engine, work, body, now_ms, out);
        match self.stage {
            Stage::Asking if shadow => {
                if self.shadow_on(engine, Some(&answers), now_ms, out) {
                    self.decide(engine, now_ms, out);
                }
            }
            Stage::Asking => match self.releasing.take() {
                Some(records) => self.on_recorded(engine, records, &answers, now_ms, out),
                None => self.go_on(engine, &answers, now_ms, out),
            },
            Stage::Forwarded => self.after_go_on(engine, &answers, now_ms, out),
            Stage::New
            | Stage::Untouched
            | Stage::Body
            | Stage::Keys { .. }
            | Stage::Replied
            | Stage::Gone => {}
        }
    }

    /// The one local reply before the call.
    fn refuse(&mut self, engine: &mut Engine, refusal: &Refusal, now_ms: u64, out: &mut Out) {
        if matches!(self.stage, Stage::Replied | Stage::Gone | Stage::Forwarded) {
            return;
        }
        if self.passes_unjudged(engine, refusal, now_ms, out) {
            return self.let_go(engine);
        }
        self.record_refusal(engine, refusal, now_ms, out);
        let lacking = self.lacking(engine, refusal);
        let errors = self
            .batch
            .array
            .then(|| self.batch_envelope(engine, refusal, false))
            .flatten();
        let shape = match (&errors, &self.work) {
            (Some(errors), _) => Shape::Batch(errors),
            (None, Some(work)) => work.shape(engine, &self.head),
            (None, None) => self.head.codec.shape().unwrap_or(Shape::RpcUnknown),
        };
        let only_events = crate::http::media::only_events(&self.head.accept);
        let cloaked = self.cloaked(engine, refusal, now_ms);
        let lacking = lacking.filter(|_| cloaked.is_none());
        let metadata = engine
            .config
            .resource_metadata
            .clone()
            .or_else(|| engine.metadata.as_ref().map(|metadata| metadata.url.clone()));
        let challenge = Challenge {
            resource_metadata: metadata.as_deref(),
            scopes: lacking.as_deref(),
        };
        let reply = match cloaked {
            Some(reply) => reply,
            None => {
                let said = self.said(engine, refusal);
                let mut reply = said.reply(shape, &self.decision_id, only_events, challenge);
                self.dress(engine, refusal, &mut reply);
                reply
            }
        };
        out.push(count(refusal.counter(), 1));
        out.push(Command::FilterState {
            key: "aplomb.decision_id",
            value: self.decision_id.clone(),
        });
        out.push(Command::FilterState {
            key: "aplomb.code",
            value: refusal.code.clone(),
        });
        out.push(Command::Reply(reply));
        out.pause();
        self.stage = Stage::Replied;
        self.let_go(engine);
    }

    /// Gives back what the exchange holds.
    fn let_go(&mut self, engine: &mut Engine) {
        engine.inflight_bytes = engine.inflight_bytes.saturating_sub(self.charged);
        self.charged = 0;
        engine.stop_waiting(self.id);
        for record in self.releasing.take().into_iter().flatten() {
            engine.audit.requeue(record);
        }
        self.work = None;
        self.shadows.all.clear();
        self.lookup = None;
        self.batch.passed.clear();
        self.batch.waiting.clear();
        if let Some(flight) = self.flight.take() {
            flight.abandon(engine);
        }
    }

    fn on_gone(&mut self, engine: &mut Engine, now_ms: u64) {
        self.record_unanswered(engine, now_ms);
        self.let_go(engine);
        self.stage = Stage::Gone;
    }

    /// Charges bytes that are about to be read; false: there is no room.
    fn charge(&mut self, engine: &mut Engine, bytes: usize) -> bool {
        // The index over a document and the edited copy come on top of the bytes themselves.
        let bytes = bytes.saturating_mul(4);
        let total = engine.inflight_bytes.saturating_add(bytes);
        if total > engine.config.limits.max_inflight_bytes {
            return false;
        }
        engine.inflight_bytes = total;
        self.charged = self.charged.saturating_add(bytes);
        true
    }
}

/// The reaction while it is being written.
#[derive(Debug, Default)]
struct Out {
    commands: Vec<Command>,
    flow: Flow,
}

impl Out {
    fn push(&mut self, command: Command) {
        self.commands.push(command);
    }

    fn pause(&mut self) {
        self.flow = Flow::Pause;
    }

    fn go(&mut self) {
        self.flow = Flow::Continue;
    }
}
