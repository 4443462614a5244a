//! The streamed answer of a model, under rules that are field pipelines only: it is judged while it comes.

use apl_vm::{Answer, Document, Edit, Machine, Outcome, Verdict};

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
    mcp::response::GovernedResult,
    refusal::Refusal,
    sse,
};

/// What stands in the host's buffer while the companion is asked: a comment, which says nothing if it left.
const WAITS: &[u8] = b":\n";

/// What waits while the companion is asked.
#[derive(Debug, Default)]
pub(super) struct Parked {
    /// May leave then.
    ready: Vec<u8>,
    /// Are to be labelled.
    finds: Vec<Vec<u8>>,
    /// The stream ends then.
    stop: Option<Stop>,
}

impl Exchange {
    /// Begins to judge a stream event by event, if its rules allow for it. The head waits for the first event, so that a
    /// denial can still take its place.
    pub(in crate::exchange) fn begin_flow(&mut self, engine: &Engine, out: &mut Out) -> bool {
        // What is to be recorded whole, or before it is released, is collected.
        if self.is_watched() || engine.waits_for_records() || engine.captures() {
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

    /// Bytes of the stream: the chunk, or after a wait what stands for the wait and all that has come since.
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
        let parked = self.after.parked.take();
        let resumed = parked.is_some();
        let bytes = bytes
            .strip_prefix(if resumed { WAITS } else { b"" })
            .unwrap_or(bytes);
        let waited = flow.held() > 0 || resumed;
        let Parked { mut ready, stop, .. } = parked.unwrap_or_default();
        let pushed = match stop {
            Some(stop) => Err(stop),
            None => {
                let mut finds = Vec::new();
                let judge = &mut |json| self.judge_value(engine, json, &mut finds);
                let pushed = flow.push(bytes, end, judge, &mut ready);
                finds.extend(flow.take_finds());
                let pushed = pushed.and_then(|()| self.room_for(engine, flow.held()));
                self.after.parked = Some(Parked {
                    ready,
                    finds,
                    stop: pushed.err(),
                });
                self.after.stage = AfterStage::Flow(flow);
                if !self.label_finds(engine, now_ms, out) {
                    return;
                }
                let Parked { ready: now, stop, .. } = self.after.parked.take().unwrap_or_default();
                ready = now;
                let AfterStage::Flow(again) = std::mem::take(&mut self.after.stage) else {
                    return;
                };
                flow = again;
                stop.map_or(Ok(()), Err)
            }
        };
        if end || pushed.is_err() {
            self.note_cuts(&flow, out);
        }
        let refusal = match pushed {
            Ok(()) if end => return self.last_of_flow(engine, ready, resumed, now_ms, out),
            Ok(()) => {
                self.after.stage = AfterStage::Flow(flow);
                let as_it_came = !waited && ready == bytes;
                return self.some_of_flow(ready, as_it_came, resumed, out);
            }
            Err(Stop::Unreadable) if self.may_pass_unparseable() => {
                ready.extend(flow.give_up());
                return self.last_of_flow(engine, ready, resumed, now_ms, out);
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
        self.some_of_flow(ready, false, resumed, out);
        self.swallow(engine);
    }

    /// Charges what is held beyond what was charged before.
    fn room_for(&mut self, engine: &mut Engine, held: usize) -> Result<(), Stop> {
        if held > engine.config.limits.max_body_bytes {
            return Err(Stop::TooLarge);
        }
        if held > self.after.charged {
            let more = held.saturating_sub(std::mem::replace(&mut self.after.charged, held));
            if !self.charge(engine, more) {
                let refusal = Refusal::operation("limit.memory", "the proxy holds too much at the moment");
                return Err(Stop::Denied(refusal));
            }
        }
        Ok(())
    }

    /// Has the fields label what was found, before more leaves. False: the companion was asked.
    fn label_finds(&mut self, engine: &mut Engine, now_ms: u64, out: &mut Out) -> bool {
        while let Some(json) = self.after.parked.as_mut().and_then(|parked| parked.finds.pop()) {
            match self.label(engine, json, now_ms, out) {
                Some(Step::Verdict(None)) => {}
                Some(Step::Verdict(Some(refusal))) => self.stop_flow(Stop::Denied(refusal)),
                None => self.stop_flow(Stop::Unreadable),
                Some(Step::Asked(flight)) => {
                    self.flight = Some(flight);
                    // What was drained could not leave when the answer comes: something stays in the host's buffer for it
                    // (execution.md rule 1). The callout stays the last command.
                    let at = out.commands.len().saturating_sub(1);
                    let bytes = WAITS.to_vec();
                    out.commands.insert(at, Command::ReplaceResponseBody { bytes });
                    out.pause();
                    return false;
                }
            }
        }
        true
    }

    fn stop_flow(&mut self, stop: Stop) {
        if let Some(parked) = &mut self.after.parked {
            parked.finds.clear();
            parked.stop.get_or_insert(stop);
        }
    }

    fn label(&mut self, engine: &mut Engine, json: Vec<u8>, now_ms: u64, out: &mut Out) -> Option<Step> {
        let limits = json_limits(engine);
        let document = Document::parse(json, &limits).ok()?;
        let mut work = self.work.take()?;
        let root = document.root();
        let mut result = GovernedResult::tree(document, root, &limits);
        let cx = Context {
            head: &self.head,
            decision_id: &self.decision_id,
            now_ms,
        };
        let post = work.law.post;
        work.flows = true;
        let step = run::start(engine, &mut work, post, Some(&mut result), &cx, out);
        self.work = Some(work);
        self.after.result = Some(result);
        Some(step)
    }

    /// The companion has answered.
    pub(super) fn flow_go_on(&mut self, engine: &mut Engine, answers: &[Answer], now_ms: u64, out: &mut Out) {
        let Some(mut work) = self.work.take() else { return };
        let cx = Context {
            head: &self.head,
            decision_id: &self.decision_id,
            now_ms,
        };
        let step = run::resume(engine, &mut work, self.after.result.as_mut(), answers, &cx, out);
        self.work = Some(work);
        match step {
            Step::Asked(flight) => {
                self.flight = Some(flight);
                return out.pause();
            }
            Step::Verdict(None) => {}
            Step::Verdict(Some(refusal)) => self.stop_flow(Stop::Denied(refusal)),
        }
        if self.label_finds(engine, now_ms, out) {
            out.push(Command::ReadResponseBody);
        }
    }

    fn some_of_flow(&mut self, ready: Vec<u8>, as_it_came: bool, resumed: bool, out: &mut Out) {
        let nothing = ready.is_empty();
        if !as_it_came {
            out.push(Command::ReplaceResponseBody { bytes: ready });
        }
        if nothing && !self.after.released {
            return out.pause();
        }
        if !std::mem::replace(&mut self.after.released, true) || resumed {
            out.push(Command::ResumeResponse);
        }
        out.go();
    }

    fn last_of_flow(
        &mut self,
        engine: &mut Engine,
        ready: Vec<u8>,
        resumed: bool,
        now_ms: u64,
        out: &mut Out,
    ) {
        out.push(Command::ReplaceResponseBody { bytes: ready });
        if !std::mem::replace(&mut self.after.released, true) || resumed {
            out.push(Command::ResumeResponse);
        }
        out.go();
        self.pass(engine, now_ms);
    }

    /// The route's fields over one value of the answer, without their effects: a value that is to be labelled goes to
    /// `finds`.
    fn judge_value(
        &mut self,
        engine: &Engine,
        json: Vec<u8>,
        finds: &mut Vec<Vec<u8>>,
    ) -> Result<Option<Vec<u8>>, Stop> {
        let limits = json_limits(engine);
        let document = Document::parse(json.clone(), &limits).map_err(|_| Stop::Unreadable)?;
        let work = self.work.as_mut().ok_or(Stop::Unreadable)?;
        let mut result = govern(work, document, self.head.codec, &limits).map_err(Stop::Denied)?;
        let post = work.law.post.ok_or(Stop::Unreadable)?;
        work.machine = Some(Machine::new(post, engine.config.limits.fuel));
        let program = &engine.program;
        match work.with_machine(engine, Some(&mut result), |machine, env| {
            machine.run(program, env)
        }) {
            Some(Outcome::Done(Verdict::Allow)) => {}
            Some(Outcome::Await(_)) => finds.push(json),
            Some(Outcome::Done(Verdict::Deny(denied))) => {
                let refusal = Refusal::operation(&denied.code, &denied.reason).at(&denied.rule);
                return Err(Stop::Denied(refusal));
            }
            Some(Outcome::Done(Verdict::Pending(_) | Verdict::Unknown)) | None => {
                return Err(Stop::Unreadable);
            }
        }
        result.into_edited().map_err(|()| Stop::Unreadable)
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
