//! The streamed answer of a model, under rules that are field pipelines only: it is judged while it comes.

use apl_vm::{Document, Edit};

use super::{AfterStage, Exchange, Out};
use crate::{
    Command, Counter, Engine, Install,
    engine::count,
    exchange::{
        answers::{govern, unparseable},
        request::json_limits,
        run::{self, Context, Step},
    },
    llm::{Fields, Flow, Stop},
    refusal::Refusal,
    sse,
};

impl Exchange {
    /// Begins to judge a stream event by event, if its rules allow for it. The head waits for the first event, so that a
    /// denial can still take its place.
    pub(in crate::exchange) fn begin_flow(&mut self, engine: &Engine, out: &mut Out) -> bool {
        if self.is_watched() {
            return false;
        }
        let Some(work) = &mut self.work else { return false };
        let fields = work.law.post.and_then(|post| Fields::of(&engine.program, post));
        let Some(fields) = fields else { return false };
        work.answered = true;
        let limit = engine.config.limits.max_event_bytes;
        let flow = Flow::new(self.head.codec, fields, json_limits(engine), limit);
        self.after.stage = AfterStage::Flow(Box::new(flow));
        self.drop_length(out);
        match engine.config.install {
            Install::Full | Install::PairedDecider => out.pause(),
            Install::Single => {}
        }
        true
    }

    pub(super) fn on_flow(
        &mut self,
        engine: &mut Engine,
        bytes: &[u8],
        end: bool,
        now_ms: u64,
        out: &mut Out,
    ) {
        let mut flow = match std::mem::take(&mut self.after.stage) {
            AfterStage::Flow(flow) => flow,
            stage @ (AfterStage::Untouched
            | AfterStage::Expected
            | AfterStage::Buffer
            | AfterStage::Watch
            | AfterStage::Asking(_)
            | AfterStage::Stream(_)
            | AfterStage::Swallow) => {
                self.after.stage = stage;
                return;
            }
        };
        let waited = flow.held() > 0;
        let mut ready = Vec::new();
        let mut pushed = flow.push(
            bytes,
            end,
            &mut |json| self.judge_value(engine, json, now_ms, out),
            &mut ready,
        );
        let held = flow.held();
        if pushed.is_ok() && held > engine.config.limits.max_body_bytes {
            pushed = Err(Stop::TooLarge);
        }
        if pushed.is_ok() && held > self.after.charged {
            let more = held.saturating_sub(std::mem::replace(&mut self.after.charged, held));
            if !self.charge(engine, more) {
                let refusal = Refusal::operation("limit.memory", "the proxy holds too much at the moment");
                pushed = Err(Stop::Denied(refusal));
            }
        }
        if end || pushed.is_err() {
            self.note_cuts(&flow, out);
        }
        let refusal = match pushed {
            Ok(()) if end => return self.last_of_flow(engine, ready, now_ms, out),
            Ok(()) => {
                self.after.stage = AfterStage::Flow(flow);
                let as_it_came = !waited && ready == bytes;
                return self.some_of_flow(ready, as_it_came, out);
            }
            Err(Stop::Unreadable) if self.may_pass_unparseable() => {
                ready.extend(flow.give_up());
                return self.last_of_flow(engine, ready, now_ms, out);
            }
            Err(Stop::Unreadable) => unparseable("the stream of the result cannot be read"),
            Err(Stop::TooLarge) => unparseable("the result is larger than allowed"),
            Err(Stop::Denied(refusal)) => refusal,
        };
        if !self.after.released && ready.is_empty() && engine.config.install != Install::Single {
            return self.deny_after(engine, &refusal, now_ms, out);
        }
        let error = self.denial_of_one(engine, &refusal, now_ms, out);
        ready.extend_from_slice(b"event: error\n");
        let message = sse::message(&error);
        ready.extend_from_slice(message.strip_prefix(b"event: message\n").unwrap_or(&message));
        self.some_of_flow(ready, false, out);
        self.swallow(engine);
    }

    fn some_of_flow(&mut self, ready: Vec<u8>, as_it_came: bool, out: &mut Out) {
        let nothing = ready.is_empty();
        if !as_it_came {
            out.push(Command::ReplaceResponseBody { bytes: ready });
        }
        if nothing && !self.after.released {
            return out.pause();
        }
        if !std::mem::replace(&mut self.after.released, true) {
            out.push(Command::ResumeResponse);
        }
        out.go();
    }

    fn last_of_flow(&mut self, engine: &mut Engine, ready: Vec<u8>, now_ms: u64, out: &mut Out) {
        out.push(Command::ReplaceResponseBody { bytes: ready });
        if !std::mem::replace(&mut self.after.released, true) {
            out.push(Command::ResumeResponse);
        }
        out.go();
        self.pass(engine, now_ms);
    }

    /// The route's fields over one value of the answer.
    fn judge_value(
        &mut self,
        engine: &mut Engine,
        json: Vec<u8>,
        now_ms: u64,
        out: &mut Out,
    ) -> Result<Option<Vec<u8>>, Stop> {
        let limits = json_limits(engine);
        let document = Document::parse(json, &limits).map_err(|_| Stop::Unreadable)?;
        let mut work = self.work.take().ok_or(Stop::Unreadable)?;
        let governed = govern(&work, document, self.head.codec, &limits);
        let judged = match governed {
            Err(refusal) => Err(Stop::Denied(refusal)),
            Ok(mut result) => {
                let cx = Context {
                    head: &self.head,
                    decision_id: &self.decision_id,
                    now_ms,
                };
                let post = work.law.post;
                match run::start(engine, &mut work, post, Some(&mut result), &cx, out) {
                    Step::Verdict(None) => result.into_edited().map_err(|()| Stop::Unreadable),
                    Step::Verdict(Some(refusal)) => Err(Stop::Denied(refusal)),
                    // Fields ask nobody.
                    Step::Asked(flight) => {
                        flight.abandon(engine);
                        Err(Stop::Unreadable)
                    }
                }
            }
        };
        self.work = Some(work);
        judged
    }

    /// What scanners have cut out stands in the record like every other edit.
    fn note_cuts(&mut self, flow: &Flow, out: &mut Out) {
        let Some(work) = &mut self.work else { return };
        for field in flow.cut() {
            let edit = Edit { field, kind: "scan" };
            if !work.edits.contains(&edit) {
                work.edits.push(edit);
            }
        }
        if !work.edits.is_empty() {
            out.push(count(
                Counter::Edits,
                u64::try_from(work.edits.len()).unwrap_or(u64::MAX),
            ));
        }
    }
}
