//! The request goes on: header edits, body edits, release.

use super::{Exchange, Out, Stage, after::After, work::Work};
use crate::{Command, Counter, Engine, codec::Codec, engine::count, http::arguments, refusal::Refusal};

impl Exchange {
    /// Nothing denied.
    pub(super) fn forward(&mut self, engine: &mut Engine, now_ms: u64, out: &mut Out) {
        if self.has_credential_conflict() {
            let refusal = Refusal::operation(
                "batch.credential_conflict",
                "the batch needs different credentials in one header: send its messages one by one",
            );
            return self.refuse(engine, &refusal, now_ms, out);
        }
        if self.has_constraint_conflict() {
            let refusal = Refusal::operation(
                "policy.restrict_conflict",
                "the batch's operations may go to different places: send its messages one by one",
            );
            return self.refuse(engine, &refusal, now_ms, out);
        }
        let (request, response) = match self.assertions(engine) {
            Ok(edits) => edits,
            Err(refusal) => return self.refuse(engine, &refusal, now_ms, out),
        };
        let body = match self.edited_body() {
            Ok(body) => body,
            Err(refusal) => return self.refuse(engine, &refusal, now_ms, out),
        };
        if !self.released && engine.waits_for_records() && self.record_first(engine, now_ms, out) {
            return;
        }
        if !self.record_allow(engine, now_ms, out) {
            let refusal = Refusal::operation("audit.unavailable", "the operation cannot be recorded");
            return self.refuse(engine, &refusal, now_ms, out);
        }
        let delegates = self.works().any(|work| work.law.pre_needs.delegates);
        self.seals.ids =
            self.seals_ids(engine) && engine.reads_responses && self.head.revision.has_sessions();
        let read = self.is_governed(engine) || self.seals.ids;
        if !self.head_left {
            self.strip(engine, read, out);
            self.unsealed(engine, out);
            // Before credentials: a minted one is never replaced.
            self.assert_request(&request, out);
            if !self.works().all(|work| work.lifted) {
                self.credentials(engine, delegates, out);
            }
            self.restrictions(out);
        }
        if let Some(bytes) = body {
            self.replace_body(bytes, out);
        }
        let performed = self.works().filter(|work| work.entity.is_some() && !work.resumed);
        let performed = u64::try_from(performed.count()).unwrap_or(u64::MAX);
        out.push(count(Counter::Allowed, performed));
        let edits: usize = self.works().map(|work| work.edits.len()).sum();
        if edits > 0 {
            out.push(count(Counter::Edits, u64::try_from(edits).unwrap_or(u64::MAX)));
        }
        out.push(Command::FilterState {
            key: "aplomb.decision_id",
            value: self.decision_id.clone(),
        });
        out.push(Command::ResumeRequest);
        out.go();
        self.stage = Stage::Forwarded;
        let read = read || self.seals_ids(engine) || self.is_watched();
        self.after = After::of(read, response);
        if !read {
            self.let_go(engine);
        }
    }

    /// Whether something of the response is judged.
    pub(super) fn is_governed(&self, engine: &Engine) -> bool {
        // A GET stream may carry whatever the backend wants to say.
        (self.is_get_stream() && engine.reads_responses && !self.seals.off)
            || self.works().any(|work| work.is_judged(engine))
    }

    /// One header carries one credential for all operations of a batch (`execution.md` rule 16): each of them must have
    /// been given the same one, or none of them any.
    fn has_credential_conflict(&self) -> bool {
        let given = |work: &Work, header: &str| {
            let last = work.minted.iter().rfind(|minted| minted.header == header);
            last.map(|minted| minted.value.clone())
        };
        self.works().flat_map(|work| &work.minted).any(|minted| {
            let mut all = self
                .works()
                .filter(|work| work.entity.is_some())
                .map(|work| given(work, &minted.header));
            let first = all.next().flatten();
            all.any(|other| other != first)
        })
    }

    /// All operations of a batch go to one place.
    fn has_constraint_conflict(&self) -> bool {
        let mut constraints = self
            .works()
            .filter(|work| work.entity.is_some())
            .map(|work| &work.facts.constraint);
        let first = constraints.next();
        constraints.any(|other| Some(other) != first)
    }

    /// Removes what no backend may get from a client, and asks for a plain response when it will be read.
    pub(super) fn strip(&self, engine: &Engine, response_is_read: bool, out: &mut Out) {
        for name in &self.head.internal {
            out.push(Command::RemoveRequestHeader { name: name.clone() });
        }
        // In mode `single` the route is not known yet, so it depends on the program alone.
        let read = response_is_read && (engine.reads_responses || engine.can_deny);
        if read && self.head.has_accept_encoding {
            out.push(Command::RemoveRequestHeader {
                name: "accept-encoding".to_owned(),
            });
        }
    }

    /// Takes the caller's credentials away where they must not go on, and puts minted ones in.
    pub(super) fn credentials(&self, engine: &Engine, delegates: bool, out: &mut Out) {
        let minted: Vec<_> = self.works().flat_map(|work| &work.minted).collect();
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

    /// Where the request may go, for Envoy's routes and subset load balancing. The client's copies are gone already.
    fn restrictions(&self, out: &mut Out) {
        let mut constraints = self.works().map(|work| &work.facts.constraint);
        let Some(constraint) = constraints.find(|constraint| !constraint.is_empty()) else {
            return;
        };
        let headers = crate::restrict::headers(constraint);
        let all = headers.iter().map(|(name, value)| format!("{name}={value}"));
        let all = all.collect::<Vec<_>>().join(";");
        out.push(Command::FilterState {
            key: "aplomb.restrict",
            value: all.clone(),
        });
        for (name, value) in headers.into_iter().chain([("all", all)]) {
            out.push(Command::SetRequestHeader {
                name: format!("x-policy-restrict-{name}"),
                value,
            });
        }
    }

    fn edited_body(&self) -> Result<Option<Vec<u8>>, Refusal> {
        // In a batch the document has wandered to the last operation, which is the one at work.
        let document = self.work.as_ref().and_then(|work| work.document.as_ref());
        match document.filter(|document| document.is_edited()) {
            None => Ok(None),
            Some(document) if self.head.codec == Codec::Http => arguments::edited_body(document),
            Some(document) => Ok(Some(document.render())),
        }
    }

    fn replace_body(&self, bytes: Vec<u8>, out: &mut Out) {
        if self.head.content_length.is_some() {
            out.push(Command::SetRequestHeader {
                name: "content-length".to_owned(),
                value: bytes.len().to_string(),
            });
        }
        out.push(Command::ReplaceRequestBody { bytes });
    }
}
