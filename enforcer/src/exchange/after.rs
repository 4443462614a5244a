//! The response: untouched, or judged as one JSON document or event by event.

mod denial;

use apl_vm::{Answer, Document};

use super::{
    Exchange, Out, Stage,
    request::{json_limits, keyed_digest},
    run::{self, Context, Step},
    stream::Stream,
    work::Work,
};
use crate::{
    Command, Counter, Engine, HeaderList, Install,
    assertions::HeaderEdits,
    engine::count,
    http::media::{Media, is_identity, media_type},
    mcp::response::{Answer as Message, GovernedResult, classify},
    refusal::Refusal,
};

/// How far the response is.
#[derive(Debug, Default)]
pub(super) struct After {
    stage: AfterStage,
    status: u16,
    /// Names of the response's headers, for taking them away from a denial or an edit.
    headers: Vec<String>,
    has_content_length: bool,
    /// Bytes in the host's buffer.
    pub(super) buffered: usize,
    /// The body has ended.
    pub(super) ended: bool,
    /// The result that the phase after the call works on.
    pub(super) result: Option<GovernedResult>,
    /// What is asserted to the client, until the head was seen.
    asserted: Option<HeaderEdits>,
}

#[derive(Debug, Default)]
enum AfterStage {
    /// Nothing governs it.
    #[default]
    Untouched,
    /// Its head has not come.
    Expected,
    /// One JSON document, collected.
    Buffer,
    /// The document waits for the companion.
    Asking,
    /// Events.
    Stream(Box<Stream>),
    /// Denied: nothing more of it passes.
    Swallow,
}

/// Headers that say something about the bytes as they were.
const OF_THE_BYTES: &[&str] = &[
    "accept-ranges",
    "content-digest",
    "content-md5",
    "digest",
    "etag",
    "last-modified",
    "repr-digest",
];

impl After {
    /// A response that is to be judged or not, with headers to assert.
    pub(super) fn of(governed: bool, asserted: HeaderEdits) -> Self {
        Self {
            stage: if governed {
                AfterStage::Expected
            } else {
                AfterStage::Untouched
            },
            asserted: Some(asserted).filter(|edits| !edits.is_empty()),
            ..Self::default()
        }
    }
}

impl Exchange {
    pub(super) fn on_response_head(
        &mut self,
        engine: &mut Engine,
        headers: &HeaderList,
        end_of_stream: bool,
        from_upstream: bool,
        now_ms: u64,
        out: &mut Out,
    ) {
        match self.stage {
            // Ours, or none of ours.
            Stage::Untouched | Stage::Replied | Stage::Gone => return,
            // The proxy answers itself: a timeout, a limit of its own. A second answer must not follow.
            Stage::New | Stage::Body | Stage::Keys { .. } | Stage::Asking if !from_upstream => {
                self.stage = Stage::Replied;
                return self.let_go(engine);
            }
            Stage::Forwarded if !from_upstream => return self.pass(engine, now_ms),
            Stage::New | Stage::Body | Stage::Keys { .. } | Stage::Asking | Stage::Forwarded => {}
        }
        if self.stage != Stage::Forwarded {
            // Only where headers are not held: the backend answers before it was allowed to be asked.
            let refusal = Refusal::http(
                502,
                "protocol.early_response",
                "the backend answered before the verdict",
            );
            return self.refuse(engine, &refusal, now_ms, out);
        }
        if let Some(edits) = self.after.asserted.take() {
            assert(&edits, headers, out);
        }
        if !matches!(self.after.stage, AfterStage::Expected) {
            return;
        }
        let value = |wanted: &[u8]| {
            headers
                .iter()
                .find(|(name, _)| name == wanted)
                .map(|(_, value)| value.as_slice())
        };
        self.after.status = value(b":status")
            .and_then(|value| std::str::from_utf8(value).ok()?.parse().ok())
            .unwrap_or(0);
        self.after.headers = headers
            .iter()
            .map(|(name, _)| String::from_utf8_lossy(name).into_owned())
            .collect();
        self.after.has_content_length = value(b"content-length").is_some();
        let media = value(b"content-type").map_or(Media::Other, media_type);
        let types = headers.iter().filter(|(name, _)| name == b"content-type").count();
        if end_of_stream {
            return self.on_empty_response(engine, now_ms, out);
        }
        let encoded = headers
            .iter()
            .any(|(name, value)| name == b"content-encoding" && !is_identity(value));
        if encoded {
            return self.deny_at_head(engine, &unparseable("the result is encoded"), now_ms, out);
        }
        match media {
            Media::Json if types == 1 => {
                self.after.stage = AfterStage::Buffer;
                match engine.config.install {
                    Install::Full | Install::PairedDecider => out.pause(),
                    Install::Single => self.drop_length(out),
                }
            }
            Media::EventStream if types == 1 && self.is_success() => {
                self.after.stage =
                    AfterStage::Stream(Box::new(Stream::new(engine.config.limits.max_event_bytes)));
                self.drop_length(out);
            }
            Media::Json | Media::EventStream | Media::Other => {
                if self.is_success() && self.work.as_ref().is_some_and(|work| work.law.pass_unparseable) {
                    return self.pass(engine, now_ms);
                }
                let refusal = unparseable("the result is of a type that cannot be read");
                self.deny_at_head(engine, &refusal, now_ms, out);
            }
        }
    }

    /// No body: right for a notification or a failure without words, no answer to a question.
    fn on_empty_response(&mut self, engine: &mut Engine, now_ms: u64, out: &mut Out) {
        let asked = self.work.as_ref().is_some_and(|work| work.id.is_some());
        if self.is_success() && asked {
            return self.deny_at_head(engine, &unparseable("there is no result"), now_ms, out);
        }
        self.pass(engine, now_ms);
    }

    fn drop_length(&self, out: &mut Out) {
        if self.after.has_content_length {
            out.push(Command::RemoveResponseHeader {
                name: "content-length".to_owned(),
            });
        }
    }

    const fn is_success(&self) -> bool {
        self.after.status >= 200 && self.after.status < 300
    }

    pub(super) fn on_response_body(
        &mut self,
        engine: &mut Engine,
        buffered: usize,
        end: bool,
        now_ms: u64,
        out: &mut Out,
    ) {
        self.after.buffered = buffered;
        self.after.ended |= end;
        match &mut self.after.stage {
            AfterStage::Untouched | AfterStage::Expected => {}
            AfterStage::Swallow => {
                if buffered > 0 {
                    out.push(Command::ReplaceResponseBody { bytes: Vec::new() });
                }
            }
            AfterStage::Asking => out.pause(),
            AfterStage::Stream(stream) if stream.is_asking() => out.pause(),
            AfterStage::Stream(_) => {
                out.push(Command::ReadResponseBody);
                out.pause();
            }
            AfterStage::Buffer => {
                out.pause();
                if buffered > engine.config.limits.max_body_bytes {
                    self.deny_after(
                        engine,
                        &unparseable("the result is larger than allowed"),
                        now_ms,
                        out,
                    );
                } else if end && !self.charge(engine, buffered) {
                    let refusal =
                        Refusal::operation("limit.memory", "the proxy holds too much at the moment");
                    self.deny_after(engine, &refusal, now_ms, out);
                } else if end {
                    out.push(Command::ReadResponseBody);
                }
            }
        }
    }

    pub(super) fn on_response_bytes(
        &mut self,
        engine: &mut Engine,
        bytes: Vec<u8>,
        end: bool,
        now_ms: u64,
        out: &mut Out,
    ) {
        match &self.after.stage {
            AfterStage::Untouched | AfterStage::Expected | AfterStage::Swallow => {}
            AfterStage::Asking => out.pause(),
            AfterStage::Stream(_) => self.on_events(engine, &bytes, end, now_ms, out),
            AfterStage::Buffer => self.on_document(engine, bytes, now_ms, out),
        }
    }

    fn on_document(&mut self, engine: &mut Engine, bytes: Vec<u8>, now_ms: u64, out: &mut Out) {
        let Some(mut work) = self.work.take() else { return };
        work.response_digest = keyed_digest(engine, &bytes);
        let step = match governed(engine, &work, bytes) {
            Err(refusal) => Step::Verdict(Some(refusal)),
            Ok(result) => {
                self.after.result = result;
                self.run_after(engine, &mut work, now_ms, out)
            }
        };
        self.work = Some(work);
        self.after_step(engine, step, now_ms, out);
    }

    /// Runs the phase after the call on [`After::result`].
    pub(super) fn run_after(
        &mut self,
        engine: &mut Engine,
        work: &mut Work,
        now_ms: u64,
        out: &mut Out,
    ) -> Step {
        let cx = Context {
            head: &self.head,
            decision_id: &self.decision_id,
            now_ms,
        };
        run::start(engine, work, work.law.post, self.after.result.as_mut(), &cx, out)
    }

    /// The companion has answered.
    pub(super) fn after_go_on(
        &mut self,
        engine: &mut Engine,
        answers: &[Answer],
        now_ms: u64,
        out: &mut Out,
    ) {
        let Some(mut work) = self.work.take() else { return };
        let cx = Context {
            head: &self.head,
            decision_id: &self.decision_id,
            now_ms,
        };
        let step = run::resume(engine, &mut work, self.after.result.as_mut(), answers, &cx, out);
        self.work = Some(work);
        match self.after.stage {
            AfterStage::Stream(_) => self.stream_step(engine, step, now_ms, out),
            AfterStage::Asking => self.after_step(engine, step, now_ms, out),
            AfterStage::Untouched | AfterStage::Expected | AfterStage::Buffer | AfterStage::Swallow => {}
        }
    }

    fn after_step(&mut self, engine: &mut Engine, step: Step, now_ms: u64, out: &mut Out) {
        let refusal = match step {
            Step::Asked(flight) => {
                self.flight = Some(flight);
                self.after.stage = AfterStage::Asking;
                return out.pause();
            }
            Step::Verdict(refusal) => refusal,
        };
        let edited = match (refusal, self.after.result.take()) {
            (Some(refusal), _) => Err(refusal),
            (None, None) => Ok(None),
            (None, Some(result)) => result
                .into_edited()
                .map_err(|()| unparseable("an edit could not be written")),
        };
        match edited {
            Err(refusal) => self.deny_after(engine, &refusal, now_ms, out),
            Ok(edited) => {
                if let Some(bytes) = edited {
                    self.edited(engine, bytes, out);
                }
                out.push(Command::ResumeResponse);
                out.go();
                self.pass(engine, now_ms);
            }
        }
    }

    fn edited(&self, engine: &Engine, bytes: Vec<u8>, out: &mut Out) {
        let edits = self.work.as_ref().map_or(0, |work| work.edits.len());
        out.push(count(Counter::Edits, u64::try_from(edits).unwrap_or(u64::MAX)));
        if engine.config.install != Install::Single {
            for name in self
                .after
                .headers
                .iter()
                .filter(|name| OF_THE_BYTES.contains(&name.as_str()))
            {
                out.push(Command::RemoveResponseHeader { name: name.clone() });
            }
            if self.after.has_content_length {
                out.push(Command::SetResponseHeader {
                    name: "content-length".to_owned(),
                    value: bytes.len().to_string(),
                });
            }
        }
        out.push(Command::ReplaceResponseBody { bytes });
    }

    /// The response was judged, or need not be: the rest passes.
    pub(super) fn pass(&mut self, engine: &mut Engine, now_ms: u64) {
        self.record_after(engine, None, now_ms);
        self.after.stage = AfterStage::Untouched;
        self.let_go(engine);
    }

    /// The stream of a streamed response, while it is one.
    pub(super) fn stream_mut(&mut self) -> Option<&mut Stream> {
        match &mut self.after.stage {
            AfterStage::Stream(stream) => Some(stream),
            AfterStage::Untouched
            | AfterStage::Expected
            | AfterStage::Buffer
            | AfterStage::Asking
            | AfterStage::Swallow => None,
        }
    }

    /// Nothing more of a started stream passes.
    pub(super) fn swallow(&mut self, engine: &mut Engine) {
        self.after.stage = AfterStage::Swallow;
        self.let_go(engine);
    }
}

/// Removes what only the proxy may say to the client, and says it.
fn assert(edits: &HeaderEdits, headers: &HeaderList, out: &mut Out) {
    for (name, _) in headers {
        let name = String::from_utf8_lossy(name);
        if edits.removes(&name) {
            out.push(Command::RemoveResponseHeader {
                name: name.into_owned(),
            });
        }
    }
    for (name, value) in &edits.set {
        out.push(Command::SetResponseHeader {
            name: name.clone(),
            value: value.clone(),
        });
    }
}

/// The result that the phase works on; `None`: it cannot be read, and the route says that it may pass.
///
/// # Errors
///
/// It cannot be read, and must not pass.
pub(super) fn governed(
    engine: &Engine,
    work: &Work,
    bytes: Vec<u8>,
) -> Result<Option<GovernedResult>, Refusal> {
    let refused = |reason: &str| {
        if work.law.pass_unparseable {
            Ok(None)
        } else {
            Err(unparseable(reason))
        }
    };
    let limits = json_limits(engine);
    let Ok(document) = Document::parse(bytes, &limits) else {
        return refused("the result is not strict JSON");
    };
    match classify(&document, work.id.as_deref()) {
        Message::Response => {}
        Message::Other | Message::Foreign => {
            return refused("the backend's answer is not a response to this request");
        }
    }
    govern(work, document, &limits)
}

/// The same for a message that is known to be the response.
pub(super) fn govern(
    work: &Work,
    document: Document,
    limits: &apl_vm::Limits,
) -> Result<Option<GovernedResult>, Refusal> {
    let entity = work.entity.unwrap_or(apl_bytecode::EntityKind::Tool);
    let result = GovernedResult::new(document, entity, limits);
    let needs = &work.law.post_needs;
    let by_field = needs.reads_result || needs.edits_result || needs.pipelines;
    if by_field && result.is_opaque() && !work.law.pass_unparseable {
        return Err(unparseable("a part of the result cannot be read as JSON"));
    }
    Ok(Some(result))
}

fn unparseable(reason: &str) -> Refusal {
    Refusal::operation("result.unparseable", reason)
}
