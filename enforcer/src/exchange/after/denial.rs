//! A denial after the call: our envelope in place of what the backend said.

use super::{AfterStage, Exchange, Out, Stage};
use crate::{
    Command, Counter, Engine, Install, Reply,
    engine::count,
    refusal::{Refusal, Shape},
};

/// Headers of a response that stay when it is replaced.
const KEPT: &[&str] = &[
    ":status",
    "date",
    "mcp-protocol-version",
    "mcp-session-id",
    "retry-after",
    "server",
    "vary",
    "www-authenticate",
    "x-request-id",
];

impl Exchange {
    /// Denied before a byte of the body came: one local reply in place of the response.
    pub(in crate::exchange) fn deny_at_head(
        &mut self,
        engine: &mut Engine,
        refusal: &Refusal,
        now_ms: u64,
        out: &mut Out,
    ) {
        let reply = self.denial(engine, refusal, now_ms, out);
        out.push(Command::Reply(reply));
        out.pause();
        self.stage = Stage::Replied;
        self.let_go(engine);
    }

    /// Denied while the body is held: the envelope takes its place, with its head where heads are held.
    pub(super) fn deny_after(&mut self, engine: &mut Engine, refusal: &Refusal, now_ms: u64, out: &mut Out) {
        let reply = self.denial(engine, refusal, now_ms, out);
        if engine.config.install != Install::Single {
            for name in &self.after.headers {
                let kept = KEPT.contains(&name.as_str())
                    || name.starts_with("access-control-")
                    || name.starts_with(':');
                if !kept {
                    out.push(Command::RemoveResponseHeader { name: name.clone() });
                }
            }
            let status = (":status".to_owned(), reply.status.to_string());
            for (name, value) in reply.headers.into_iter().chain([status]) {
                out.push(Command::SetResponseHeader { name, value });
            }
        }
        out.push(Command::ReplaceResponseBody { bytes: reply.body });
        out.push(Command::ResumeResponse);
        out.go();
        self.after.stage = AfterStage::Swallow;
        self.let_go(engine);
    }

    /// Records and counts a denial after the call of everything that was asked; the answer that tells of it.
    fn denial(&mut self, engine: &mut Engine, refusal: &Refusal, now_ms: u64, out: &mut Out) -> Reply {
        // A failure keeps its status: a client must see that its session is gone, or that it must sign in.
        let plain = self.head.codec.shape();
        let status = match (plain, self.after.status) {
            (None, ..300) => 200,
            (Some(_), ..400) => refusal.plain_status(),
            (_, status) => status,
        };
        let errors = self
            .batch
            .array
            .then(|| self.batch_envelope(engine, refusal, true))
            .flatten();
        self.record_all_after(engine, Some(refusal), now_ms);
        let body = match errors {
            Some(errors) => {
                self.count_denial(refusal, out);
                errors
            }
            None => self.denial_of_one(engine, refusal, now_ms, out),
        };
        let media = plain.map_or("application/json", Shape::media);
        let mut headers = refusal.policy_headers(&self.decision_id);
        headers.push(("content-type".to_owned(), media.to_owned()));
        let mut reply = Reply {
            status,
            headers,
            body,
            details: "aplomb.denied_after".to_owned(),
        };
        self.dress(engine, refusal, &mut reply);
        reply
    }

    /// The same of the operation at work; the error that tells of it.
    pub(in crate::exchange) fn denial_of_one(
        &mut self,
        engine: &mut Engine,
        refusal: &Refusal,
        now_ms: u64,
        out: &mut Out,
    ) -> Vec<u8> {
        self.record_after(engine, Some(refusal), now_ms);
        self.count_denial(refusal, out);
        let shape = match &self.work {
            Some(work) => work.shape(engine, &self.head),
            None => self.head.codec.shape().unwrap_or(Shape::RpcUnknown),
        };
        let said = self.said(engine, refusal);
        said.envelope(shape, &self.decision_id, true)
    }

    fn count_denial(&self, refusal: &Refusal, out: &mut Out) {
        out.push(count(Counter::DeniedAfter, 1));
        out.push(Command::FilterState {
            key: "aplomb.code",
            value: refusal.code.clone(),
        });
    }
}
