//! The request goes on: header edits, body edits, release.

use super::{Exchange, Out, Stage, after::After};
use crate::{Command, Counter, Engine, Install, assertions::HeaderEdits, engine::count, refusal::Refusal};

impl Exchange {
    /// Nothing denied.
    pub(super) fn forward(&mut self, engine: &mut Engine, now_ms: u64, out: &mut Out) {
        let (request, response) = match self.assertions(engine) {
            Ok(edits) => edits,
            Err(refusal) => return self.refuse(engine, &refusal, now_ms, out),
        };
        if !self.record_allow(engine, now_ms, out) {
            let refusal = Refusal::operation("audit.unavailable", "the operation cannot be recorded");
            return self.refuse(engine, &refusal, now_ms, out);
        }
        let delegates = self
            .work
            .as_ref()
            .is_some_and(|work| work.law.pre_needs.delegates);
        let governed = self.work.as_ref().is_some_and(|work| work.law.post.is_some());
        match engine.config.install {
            Install::Full | Install::PairedDecider => {
                self.strip(engine, governed, out);
                // Before credentials: a minted one is never replaced.
                self.assert(&request, out);
                self.credentials(engine, delegates, out);
            }
            Install::Single => {}
        }
        self.edited_body(out);
        if let Some(work) = &self.work {
            out.push(count(Counter::Allowed, u64::from(work.entity.is_some())));
            if !work.edits.is_empty() {
                out.push(count(
                    Counter::Edits,
                    u64::try_from(work.edits.len()).unwrap_or(u64::MAX),
                ));
            }
        }
        out.push(Command::FilterState {
            key: "aplomb.decision_id",
            value: self.decision_id.clone(),
        });
        out.push(Command::ResumeRequest);
        out.go();
        self.stage = Stage::Forwarded;
        self.after = After::of(governed, response);
        if !governed {
            self.let_go(engine);
        }
    }

    /// What the law asserts, to the backend and to the client.
    fn assertions(&self, engine: &Engine) -> Result<(HeaderEdits, HeaderEdits), Refusal> {
        let program = &engine.program;
        let asserted = self.work.as_ref().and_then(|work| {
            let id = work.law.assertions?;
            Some((work, program.program().assertions.get(id.at())?))
        });
        let Some((work, assertions)) = asserted else {
            return Ok(Default::default());
        };
        let edits = |contract| HeaderEdits::of(program, contract, &work.facts, &engine.variables);
        Ok((edits(&assertions.request)?, edits(&assertions.response)?))
    }

    /// Removes what the client must not say, and says it.
    fn assert(&self, edits: &HeaderEdits, out: &mut Out) {
        for name in self.head.asserted.iter().filter(|name| edits.removes(name)) {
            out.push(Command::RemoveRequestHeader { name: name.clone() });
        }
        for (name, value) in &edits.set {
            out.push(Command::SetRequestHeader {
                name: name.clone(),
                value: value.clone(),
            });
        }
    }

    /// Removes what no backend may get from a client, and asks for a plain response when it will be read.
    pub(super) fn strip(&self, engine: &Engine, response_is_read: bool, out: &mut Out) {
        for name in &self.head.internal {
            out.push(Command::RemoveRequestHeader { name: name.clone() });
        }
        // In mode `single` the route is not known yet, so it depends on the program alone.
        let read = response_is_read && engine.reads_responses;
        if read && self.head.has_accept_encoding {
            out.push(Command::RemoveRequestHeader {
                name: "accept-encoding".to_owned(),
            });
        }
    }

    /// Takes the caller's credentials away where they must not go on, and puts minted ones in.
    pub(super) fn credentials(&self, engine: &Engine, delegates: bool, out: &mut Out) {
        let minted = self
            .work
            .as_ref()
            .map(|work| work.minted.as_slice())
            .unwrap_or_default();
        if delegates || engine.program.program().settings.never_forward_credentials {
            for (name, _) in &self.head.credentials {
                if !minted.iter().any(|minted| minted.header == *name) {
                    out.push(Command::RemoveRequestHeader { name: name.clone() });
                }
            }
        }
        for (at, one) in minted.iter().enumerate() {
            // Of two for one header the one that policy asked for last counts.
            if !minted
                .iter()
                .skip(at.saturating_add(1))
                .any(|later| later.header == one.header)
            {
                out.push(Command::SetRequestHeader {
                    name: one.header.clone(),
                    value: one.value.clone(),
                });
            }
        }
    }

    fn edited_body(&self, out: &mut Out) {
        let edited = self
            .work
            .as_ref()
            .and_then(|work| work.document.as_ref())
            .filter(|document| document.is_edited());
        let Some(document) = edited else { return };
        let bytes = document.render();
        if self.head.content_length.is_some() {
            out.push(Command::SetRequestHeader {
                name: "content-length".to_owned(),
                value: bytes.len().to_string(),
            });
        }
        out.push(Command::ReplaceRequestBody { bytes });
    }
}
