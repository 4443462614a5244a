//! The response: untouched, or judged as one JSON document or event by event.

mod denial;
mod document;
mod flow;

use apl_vm::{Answer, Fact, FactMap};

use super::{
    Exchange, Out, Stage,
    answers::{Payload, unparseable},
    asserted::assert_response,
    request::json_limits,
    stream::{Reads, Stream},
};
use crate::{
    Command, Engine, HeaderList, Install,
    assertions::HeaderEdits,
    http::media::{Media, is_identity, media_type},
    llm::{Flow, Replay},
    mcp::response::GovernedResult,
    refusal::Refusal,
};

/// How far the response is.
#[derive(Debug, Default)]
pub(super) struct After {
    pub(super) stage: AfterStage,
    pub(super) status: u16,
    /// Names of the response's headers, for taking them away from a denial or an edit.
    headers: Vec<String>,
    has_content_length: bool,
    /// Bytes in the host's buffer.
    pub(super) buffered: usize,
    /// The body has ended.
    pub(super) ended: bool,
    /// The result that the phase after the call works on.
    pub(super) result: Option<GovernedResult>,
    /// The document is a stream of events, collected.
    pub(super) events: bool,
    /// Something of a model's stream has left.
    released: bool,
    /// Bytes that it was charged for.
    charged: usize,
    /// It waits for the companion.
    parked: Option<flow::Parked>,
    /// The same, read.
    pub(super) replay: Option<Box<Replay>>,
    /// What is asserted to the client, until the head was seen.
    asserted: Option<HeaderEdits>,
}

#[derive(Debug, Default)]
pub(super) enum AfterStage {
    /// Nothing governs it.
    #[default]
    Untouched,
    /// Its head has not come.
    Expected,
    /// One JSON document, collected.
    Buffer,
    /// The same, and it passes as it is whatever comes of it.
    Watch,
    /// The document waits for the companion.
    Asking(Box<Payload>),
    /// Events.
    Stream(Box<Stream>),
    /// Events of a model, which hold pieces of one answer.
    Flow(Box<Flow>),
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
            assert_response(&edits, headers, out);
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
        self.response_facts(engine, headers);
        let media = value(b"content-type").map_or(Media::Other, media_type);
        let types = headers.iter().filter(|(name, _)| name == b"content-type").count();
        self.seal_session(engine, headers, out);
        if !self.is_governed(engine) {
            // Only its event ids are ours to change, and only where they can be.
            if self.seals.ids
                && media == Media::EventStream
                && types == 1
                && self.is_success()
                && !end_of_stream
            {
                return self.begin_stream(engine, Reads::Ids, out);
            }
            return self.begin_watch(engine, media, headers, end_of_stream, now_ms, out);
        }
        if self.head.codec.is_plain() {
            return self.plain_response_head(engine, headers, end_of_stream, now_ms, out);
        }
        let only_lists = self.has_only_lists(engine);
        if only_lists && (end_of_stream || (!self.is_success() && media == Media::Other)) {
            // No list is in it. Where only lists are looked at, a failure passes as it is.
            return self.pass(engine, now_ms);
        }
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
                self.begin_stream(engine, Reads::Messages, out);
            }
            Media::Json | Media::EventStream | Media::Other => {
                if self.is_success() && self.may_pass_unparseable() {
                    return self.pass(engine, now_ms);
                }
                let refusal = unparseable("the result is of a type that cannot be read");
                self.deny_at_head(engine, &refusal, now_ms, out);
            }
        }
    }

    /// Nothing of it is judged but by policies in shadow, for which it must be whole and readable.
    fn begin_watch(
        &mut self,
        engine: &mut Engine,
        media: Media,
        headers: &HeaderList,
        end_of_stream: bool,
        now_ms: u64,
        out: &mut Out,
    ) {
        let plain = headers
            .iter()
            .all(|(name, value)| name != b"content-encoding" || is_identity(value));
        match media {
            Media::Json if plain && !end_of_stream && self.is_watched() => {
                self.after.stage = AfterStage::Watch;
                if engine.config.install != Install::Single {
                    out.pause();
                }
            }
            Media::EventStream
                if plain && !end_of_stream && self.is_watched() && !self.head.codec.is_plain() =>
            {
                let limit = engine.config.limits.max_event_bytes;
                self.after.stage = AfterStage::Stream(Box::new(Stream::new(limit, Reads::Watch)));
            }
            Media::Json | Media::EventStream | Media::Other => self.pass(engine, now_ms),
        }
    }

    /// It passes as it is.
    fn release(&mut self, engine: &mut Engine, now_ms: u64, out: &mut Out) {
        out.push(Command::ResumeResponse);
        out.go();
        self.pass(engine, now_ms);
    }

    /// `http.status` and the response headers that policy names. Cookies are credentials, so nobody reads them.
    fn response_facts(&mut self, engine: &Engine, headers: &HeaderList) {
        let status = i64::from(self.after.status);
        self.each_work(|work| {
            tell(engine, headers, status, &mut work.facts.own);
            for shadow in &mut work.shadows {
                tell(engine.of(shadow.beside), headers, status, &mut shadow.facts.own);
            }
        });
    }

    /// Whether nothing of the response is judged but lists.
    fn has_only_lists(&self, engine: &Engine) -> bool {
        (!self.is_get_stream() || !engine.reads_responses) && self.works().all(|work| work.law.post.is_none())
    }

    fn begin_stream(&mut self, engine: &Engine, reads: Reads, out: &mut Out) {
        let limit = engine.config.limits.max_event_bytes;
        self.after.stage = AfterStage::Stream(Box::new(Stream::new(limit, reads)));
        self.drop_length(out);
    }

    /// No body: right for a notification or a failure without words, no answer to a question.
    fn on_empty_response(&mut self, engine: &mut Engine, now_ms: u64, out: &mut Out) {
        let asked = self.works().any(|work| work.id.is_some() && !work.resumed);
        if self.after.status == 202 && asked {
            // HTTP+SSE of 2024-11-05: the result comes on another stream, where nothing says what it answers.
            let refusal = Refusal::operation(
                "protocol.http_sse",
                "the backend sends results on another stream (HTTP+SSE of 2024-11-05), where policy cannot govern them: use Streamable HTTP",
            );
            return self.deny_at_head(engine, &refusal, now_ms, out);
        }
        if self.is_success() && asked {
            return self.deny_at_head(engine, &unparseable("there is no result"), now_ms, out);
        }
        self.pass(engine, now_ms);
    }

    pub(super) fn drop_length(&self, out: &mut Out) {
        if self.after.has_content_length {
            out.push(Command::RemoveResponseHeader {
                name: "content-length".to_owned(),
            });
        }
    }

    pub(super) const fn is_success(&self) -> bool {
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
            AfterStage::Asking(_) => out.pause(),
            AfterStage::Stream(stream) if stream.is_asking() => out.pause(),
            AfterStage::Flow(_) if self.after.parked.is_some() => out.pause(),
            AfterStage::Stream(_) | AfterStage::Flow(_) => {
                out.push(Command::ReadResponseBody);
                out.pause();
            }
            AfterStage::Watch => {
                let fits = buffered <= engine.config.limits.max_body_bytes;
                if !fits || (end && !self.charge(engine, buffered)) {
                    return self.release(engine, now_ms, out);
                }
                out.pause();
                if end {
                    out.push(Command::ReadResponseBody);
                }
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
                } else if end
                    && !self.charge(
                        engine,
                        buffered.saturating_mul(usize::from(self.after.events).saturating_add(1)),
                    )
                {
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
            AfterStage::Asking(_) => out.pause(),
            AfterStage::Stream(_) => self.on_events(engine, &bytes, end, now_ms, out),
            AfterStage::Flow(_) => self.on_flow(engine, &bytes, end, now_ms, out),
            AfterStage::Watch => {
                if let Ok(document) = apl_vm::Document::parse(bytes, &json_limits(engine)) {
                    self.watch(engine, &document, now_ms, out);
                }
                self.release(engine, now_ms, out);
            }
            AfterStage::Buffer => self.on_document(engine, bytes, now_ms, out),
        }
    }

    /// The companion has answered.
    pub(super) fn after_go_on(
        &mut self,
        engine: &mut Engine,
        answers: &[Answer],
        now_ms: u64,
        out: &mut Out,
    ) {
        if self.stream_mut().is_some() {
            return self.stream_go_on(engine, answers, now_ms, out);
        }
        match std::mem::take(&mut self.after.stage) {
            AfterStage::Asking(payload) => {
                let judged = self.judge_on(engine, *payload, answers, now_ms, out);
                self.after_judged(engine, judged, now_ms, out);
            }
            AfterStage::Flow(flow) => {
                self.after.stage = AfterStage::Flow(flow);
                self.flow_go_on(engine, answers, now_ms, out);
            }
            stage @ (AfterStage::Untouched
            | AfterStage::Expected
            | AfterStage::Buffer
            | AfterStage::Watch
            | AfterStage::Stream(_)
            | AfterStage::Swallow) => self.after.stage = stage,
        }
    }

    /// The response was judged, or need not be: the rest passes.
    pub(super) fn pass(&mut self, engine: &mut Engine, now_ms: u64) {
        self.record_all_after(engine, None, now_ms);
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
            | AfterStage::Watch
            | AfterStage::Flow(_)
            | AfterStage::Asking(_)
            | AfterStage::Swallow => None,
        }
    }

    /// Nothing more of a started stream passes.
    pub(super) fn swallow(&mut self, engine: &mut Engine) {
        self.after.stage = AfterStage::Swallow;
        self.let_go(engine);
    }
}

fn tell(engine: &Engine, headers: &HeaderList, status: i64, own: &mut FactMap) {
    if engine.mentions("http.status") {
        own.insert("http.status".to_owned(), Fact::Int(status));
    }
    for (name, value) in headers {
        let (Ok(name), Ok(value)) = (std::str::from_utf8(name), std::str::from_utf8(value)) else {
            continue;
        };
        if !engine.wanted.response.iter().any(|wanted| wanted == name) {
            continue;
        }
        match own
            .entry(format!("http.response_headers.{name}"))
            .or_insert_with(|| Fact::Str(String::new()))
        {
            Fact::Str(known) => {
                if !known.is_empty() {
                    known.push_str(", ");
                }
                known.push_str(value);
            }
            Fact::Bool(_) | Fact::Int(_) | Fact::Float(_) | Fact::Set(_) | Fact::Opaque | Fact::Unknown => {}
        }
    }
}
