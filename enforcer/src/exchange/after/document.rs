//! A response that is one JSON document.

use apl_vm::Document;

use super::{AfterStage, Exchange, OF_THE_BYTES, Out};
use crate::{
    Command, Engine, Install,
    exchange::{
        answers::{Judged, Payload, unparseable},
        request::{json_limits, keyed_digest},
    },
    llm::Replay,
};

impl Exchange {
    pub(super) fn on_document(&mut self, engine: &mut Engine, bytes: Vec<u8>, now_ms: u64, out: &mut Out) {
        let digest = keyed_digest(engine, &bytes);
        self.each_work(|work| work.response_digest.clone_from(&digest));
        let limits = json_limits(engine);
        let parsed = if self.after.events {
            Replay::read(&bytes, self.head.codec, &limits)
                .ok()
                .map(|(replay, document)| {
                    self.after.replay = Some(Box::new(replay));
                    document
                })
        } else {
            Document::parse(bytes, &limits).ok()
        };
        let judged = match parsed {
            None => return self.unreadable(engine, "the result is not strict JSON", now_ms, out),
            Some(document) => {
                let payload = Payload::new(document, self.head.codec);
                if payload.is_array() && !self.batch.array {
                    return self.not_an_answer(engine, now_ms, out);
                }
                self.judge(engine, payload, now_ms, out)
            }
        };
        self.after_judged(engine, judged, now_ms, out);
    }

    fn not_an_answer(&mut self, engine: &mut Engine, now_ms: u64, out: &mut Out) {
        let reason = "the backend's answer is not a response to this request";
        self.unreadable(engine, reason, now_ms, out);
    }

    /// It cannot be matched with the request. Where the route says that it may pass, the phase runs without a result.
    fn unreadable(&mut self, engine: &mut Engine, reason: &str, now_ms: u64, out: &mut Out) {
        if self.has_only_lists(engine) && !self.is_success() {
            // A failure in words of the backend's own.
            out.push(Command::ResumeResponse);
            out.go();
            return self.pass(engine, now_ms);
        }
        if !self.may_pass_unparseable() || self.batch.array {
            return self.deny_after(engine, &unparseable(reason), now_ms, out);
        }
        self.judge_without_body(engine, now_ms, out);
    }

    pub(in crate::exchange) fn after_judged(
        &mut self,
        engine: &mut Engine,
        judged: Judged,
        now_ms: u64,
        out: &mut Out,
    ) {
        let edited = match judged {
            Judged::Asked(payload) => {
                self.after.stage = AfterStage::Asking(Box::new(payload));
                return out.pause();
            }
            // No byte of the body has come, so there is nothing that could be replaced.
            Judged::Deny(refusal) if self.after.buffered == 0 => {
                return self.deny_at_head(engine, &refusal, now_ms, out);
            }
            Judged::Deny(refusal) => return self.deny_after(engine, &refusal, now_ms, out),
            Judged::Drop => return self.not_an_answer(engine, now_ms, out),
            Judged::Pass if !self.batch.array && !self.is_answered() => {
                return self.not_an_answer(engine, now_ms, out);
            }
            Judged::Pass => None,
            Judged::Replace(bytes) => Some(bytes),
        };
        if let Some(bytes) = edited {
            self.edited(engine, bytes, out);
        }
        out.push(Command::ResumeResponse);
        out.go();
        self.pass(engine, now_ms);
    }

    /// Whether every request that waited for an answer has one.
    pub(in crate::exchange) fn is_answered(&self) -> bool {
        self.works().all(|work| work.id.is_none() || work.answered)
    }

    /// Whether results that cannot be read may pass: every route that governs one says so.
    pub(in crate::exchange) fn may_pass_unparseable(&self) -> bool {
        let mut governed = self.works().filter(|work| work.law.post.is_some()).peekable();
        governed.peek().is_some() && governed.all(|work| work.law.pass_unparseable)
    }

    fn edited(&self, engine: &Engine, bytes: Vec<u8>, out: &mut Out) {
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
}
