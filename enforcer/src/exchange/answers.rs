//! Judging one payload of a response: a JSON document or the data of one event. It holds one message, or several in an
//! array; each answer among them is matched with its request and goes through that request's phase after the call.

use apl_bytecode::EntityKind;
use apl_vm::{Answer as Told, Document, Kind, Node, NodeId};

use super::{
    Exchange, Out, capture, pins,
    request::json_limits,
    run::{self, Context, Step},
    work::Work,
};
use crate::{
    Counter, Engine,
    codec::Codec,
    config::ServerRequests,
    engine::count,
    mcp::response::{Answer, GovernedResult, asks_client, classify, updated},
    refusal::Refusal,
};

/// A payload that is being judged; while the companion is asked it waits with the place that it has come to.
#[derive(Debug)]
pub(super) struct Payload {
    /// `None` while its only message is being judged.
    document: Option<Document>,
    array: bool,
    messages: Vec<NodeId>,
    pieces: Vec<Piece>,
}

/// What becomes of one message of a payload.
#[derive(Debug)]
enum Piece {
    Keep,
    Replace(Vec<u8>),
    Drop,
    Deny(Refusal),
}

/// What a payload has come to.
#[derive(Debug)]
pub(super) enum Judged {
    /// As it is.
    Pass,
    /// So.
    Replace(Vec<u8>),
    /// Nothing in it may pass.
    Drop,
    /// The answer that it is was denied.
    Deny(Refusal),
    /// The companion was asked.
    Asked(Payload),
}

impl Payload {
    /// The body of a resource is one value, whatever it is.
    pub(super) fn new(document: Document, codec: Codec) -> Self {
        let root = document.node(document.root());
        let array = root.kind() == Kind::Array && !codec.is_plain();
        let messages = if array {
            root.elements().map(apl_vm::Node::id).collect()
        } else {
            vec![root.id()]
        };
        Self {
            document: Some(document),
            array,
            messages,
            pieces: Vec::new(),
        }
    }

    pub(super) const fn is_array(&self) -> bool {
        self.array
    }

    fn finish(mut self) -> Judged {
        if !self.array {
            return match self.pieces.pop() {
                Some(Piece::Keep) => Judged::Pass,
                Some(Piece::Replace(bytes)) => Judged::Replace(bytes),
                Some(Piece::Deny(refusal)) => Judged::Deny(refusal),
                Some(Piece::Drop) | None => Judged::Drop,
            };
        }
        if !self.pieces.is_empty() && self.pieces.iter().all(|piece| matches!(piece, Piece::Keep)) {
            return Judged::Pass;
        }
        let mut out = b"[".to_vec();
        for (id, piece) in self.messages.iter().zip(&self.pieces) {
            let bytes = match (piece, &self.document) {
                (Piece::Keep, Some(document)) => document.node(*id).raw(),
                (Piece::Replace(bytes), _) => bytes,
                (Piece::Keep, None) | (Piece::Drop | Piece::Deny(_), _) => continue,
            };
            if out.len() > 1 {
                out.push(b',');
            }
            out.extend_from_slice(bytes);
        }
        if out.len() == 1 {
            return Judged::Drop;
        }
        out.push(b']');
        Judged::Replace(out)
    }
}

impl Exchange {
    /// Judges what is left of a payload.
    pub(super) fn judge(
        &mut self,
        engine: &mut Engine,
        mut payload: Payload,
        now_ms: u64,
        out: &mut Out,
    ) -> Judged {
        while let Some(id) = payload.messages.get(payload.pieces.len()).copied() {
            let Some(document) = &payload.document else { break };
            let alone = !self.batch.array && self.head.method == "POST";
            let asked: Vec<Option<&[u8]>> = self.works().map(|work| work.id.as_deref()).collect();
            let answer = if self.head.codec.is_plain() {
                Answer::Response(0)
            } else {
                classify(document.node(id), &asked, alone)
            };
            let piece = match answer {
                Answer::Other => Some(self.notification(engine, &document.node(id), now_ms, out)),
                Answer::Foreign => Some(self.foreign(out)),
                Answer::Request => Some(self.server_request(engine, payload.array, now_ms, out)),
                Answer::Response(number) => {
                    let raw = self.is_watched().then(|| document.node(id).raw().to_vec());
                    self.select(number);
                    if let Some(raw) = raw {
                        self.shadow_after(engine, &raw, out);
                    }
                    match self.answer(engine, &mut payload, id, now_ms, out) {
                        Some(step) => self.piece(engine, step, payload.array, now_ms, out),
                        None => Some(self.ungoverned(engine, now_ms, out)),
                    }
                }
            };
            match piece {
                Some(piece) => payload.pieces.push(piece),
                None => return Judged::Asked(payload),
            }
        }
        payload.finish()
    }

    /// The companion has answered for the message at which the payload waits.
    pub(super) fn judge_on(
        &mut self,
        engine: &mut Engine,
        mut payload: Payload,
        told: &[Told],
        now_ms: u64,
        out: &mut Out,
    ) -> Judged {
        let Some(mut work) = self.work.take() else {
            return Judged::Drop;
        };
        let cx = Context {
            head: &self.head,
            decision_id: &self.decision_id,
            now_ms,
        };
        let step = run::resume(engine, &mut work, self.after.result.as_mut(), told, &cx, out);
        self.work = Some(work);
        match self.piece(engine, step, payload.array, now_ms, out) {
            None => Judged::Asked(payload),
            Some(piece) => {
                payload.pieces.push(piece);
                self.judge(engine, payload, now_ms, out)
            }
        }
    }

    /// The phase was run without a result, because there is none that can be read.
    pub(super) fn judge_unread(
        &mut self,
        engine: &mut Engine,
        step: Step,
        now_ms: u64,
        out: &mut Out,
    ) -> Judged {
        let mut payload = Payload {
            document: None,
            array: false,
            messages: Vec::new(),
            pieces: Vec::new(),
        };
        match self.piece(engine, step, false, now_ms, out) {
            None => Judged::Asked(payload),
            Some(piece) => {
                payload.pieces.push(piece);
                payload.finish()
            }
        }
    }

    /// The backend asks the client for something, as sampling and elicitation do. What it tells with that would pass the
    /// rules on results by, so where there are some the operation ends; where none waits for an answer, it is dropped.
    fn server_request(&mut self, engine: &mut Engine, array: bool, now_ms: u64, out: &mut Out) -> Piece {
        let on_get = self.is_get_stream() && engine.governs_results;
        let governed = on_get || self.works().any(|work| work.law.post.is_some());
        match engine.config.server_requests {
            ServerRequests::Allow => return Piece::Keep,
            ServerRequests::Governed if !governed => return Piece::Keep,
            ServerRequests::Governed => {}
        }
        let waits = |work: &Work| work.id.is_some() && !work.answered && work.law.post.is_some();
        let Some(number) = self.works().position(waits) else {
            return self.foreign(out);
        };
        self.select(number);
        if let Some(work) = &mut self.work {
            work.answered = true;
        }
        if array {
            Piece::Replace(self.denial_of_one(engine, &asked_client(), now_ms, out))
        } else {
            Piece::Deny(asked_client())
        }
    }

    /// A notification passes, but an update of a resource only to a caller that policy may still allow it, and on a stream
    /// that names resources only of those, or of what lies below them.
    fn notification(&self, engine: &mut Engine, message: &Node<'_>, now_ms: u64, out: &mut Out) -> Piece {
        let Some(uri) = updated(*message) else {
            return Piece::Keep;
        };
        let listens = self.works().any(|work| work.listens(engine));
        let is_governed = listens || (self.is_get_stream() && engine.can_deny && !self.seals.off);
        let resource = Some(EntityKind::Resource);
        let asked = |uri: &str| {
            let mut named = self
                .works()
                .filter(|work| work.part_of.is_some() && work.entity == resource);
            !listens || named.any(|work| is_below(uri, &work.name))
        };
        match uri {
            _ if !is_governed => Piece::Keep,
            Some(uri) if asked(&uri) && !self.withholds(engine, &uri, now_ms) => Piece::Keep,
            Some(_) | None => self.foreign(out),
        }
    }

    /// An answer to nothing that was asked here (`execution.md` rule 17).
    fn foreign(&self, out: &mut Out) -> Piece {
        out.push(count(Counter::Unasked, 1));
        Piece::Drop
    }

    /// Begins to judge the answer to the operation at work; `None`: nothing governs it, or it was answered before.
    fn answer(
        &mut self,
        engine: &mut Engine,
        payload: &mut Payload,
        id: NodeId,
        now_ms: u64,
        out: &mut Out,
    ) -> Option<Step> {
        let mut work = self.work.take()?;
        if (work.answered && self.head.codec != Codec::A2a) || !work.is_judged(engine) {
            self.work = Some(work);
            return None;
        }
        work.answered = true;
        let limits = json_limits(engine);
        let message = if payload.array {
            let raw = payload
                .document
                .as_ref()
                .map(|document| document.node(id).raw().to_vec());
            raw.and_then(|raw| Document::parse(raw, &limits).ok())
        } else {
            payload.document.take()
        };
        let step = match message {
            None => Step::Verdict(Some(unparseable("a message of the result cannot be read"))),
            Some(message) => {
                if engine.captures() && work.law.post.is_some() {
                    work.result = Some(capture::result(message.bytes()));
                }
                match self.prepared(engine, &mut work, message, now_ms, out) {
                    Err(refusal) => Step::Verdict(Some(refusal)),
                    Ok(mut result) => {
                        result.replay = self.after.replay.take();
                        self.after.result = Some(result);
                        let cx = Context {
                            head: &self.head,
                            decision_id: &self.decision_id,
                            now_ms,
                        };
                        pins::after(engine, &mut work, self.after.result.as_mut(), &cx, out)
                    }
                }
            }
        };
        self.work = Some(work);
        Some(step)
    }

    /// The result as the phase after the call gets it: a list without what is hidden from its caller.
    fn prepared(
        &self,
        engine: &mut Engine,
        work: &mut Work,
        mut message: Document,
        now_ms: u64,
        out: &mut Out,
    ) -> Result<GovernedResult, Refusal> {
        if work.is_sifted(engine) {
            let sifted = self.sift(engine, work, &mut message, now_ms)?;
            let changed = u64::try_from(sifted.changed.len()).unwrap_or(u64::MAX);
            for (counter, by) in [(Counter::Hidden, sifted.hidden), (Counter::PinsChanged, changed)] {
                if by > 0 {
                    out.push(count(counter, by));
                }
            }
            work.marks = sifted.changed;
        }
        if work.law.post.is_none() {
            return Ok(GovernedResult::whole(message));
        }
        if self.head.codec == Codec::Mcp
            && engine.config.server_requests == ServerRequests::Governed
            && asks_client(&message)
        {
            return Err(asked_client());
        }
        govern(work, message, self.head.codec, &json_limits(engine))
    }

    fn ungoverned(&mut self, engine: &mut Engine, now_ms: u64, out: &mut Out) -> Piece {
        let Some(work) = &mut self.work else {
            return Piece::Drop;
        };
        let again = std::mem::replace(&mut work.answered, true);
        // A task of A2A tells of itself in as many answers as it likes.
        if self.head.codec == Codec::A2a {
            return Piece::Keep;
        }
        if again {
            return self.foreign(out);
        }
        self.record_after(engine, None, now_ms);
        Piece::Keep
    }

    /// What a step makes of its message; `None`: the companion was asked.
    fn piece(
        &mut self,
        engine: &mut Engine,
        step: Step,
        array: bool,
        now_ms: u64,
        out: &mut Out,
    ) -> Option<Piece> {
        let refusal = match step {
            Step::Asked(flight) => {
                self.flight = Some(flight);
                return None;
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
        // The verdict on a task is that on all of its answers.
        if edited.is_ok() && self.head.codec != Codec::A2a {
            self.record_after(engine, None, now_ms);
        }
        Some(match edited {
            Ok(None) => Piece::Keep,
            Ok(Some(bytes)) => {
                let edits = self.work.as_ref().map_or(0, |work| work.edits.len());
                out.push(count(Counter::Edits, u64::try_from(edits).unwrap_or(u64::MAX)));
                Piece::Replace(bytes)
            }
            // One answer of several: an error takes its place, and the others stand.
            Err(refusal) if array => Piece::Replace(self.denial_of_one(engine, &refusal, now_ms, out)),
            Err(refusal) => Piece::Deny(refusal),
        })
    }
}

/// The result that the phase after the call works on.
///
/// # Errors
///
/// It holds what cannot be read, and must not pass.
pub(super) fn govern(
    work: &Work,
    document: Document,
    codec: Codec,
    limits: &apl_vm::Limits,
) -> Result<GovernedResult, Refusal> {
    let entity = work.entity.unwrap_or(apl_bytecode::EntityKind::Tool);
    let result = if codec.is_plain() {
        let root = document.root();
        GovernedResult::tree(document, root, limits)
    } else {
        GovernedResult::new(document, entity, &work.method, limits)
    };
    let needs = &work.law.post_needs;
    let by_field = needs.reads_result || needs.edits_result || needs.pipelines;
    if by_field && result.is_opaque() && !work.law.pass_unparseable {
        return Err(unparseable("a part of the result cannot be read as JSON"));
    }
    Ok(result)
}

/// Whether a URI is this one, or of a part of what it names.
fn is_below(uri: &str, named: &str) -> bool {
    uri.strip_prefix(named)
        .is_some_and(|rest| rest.is_empty() || named.ends_with('/') || rest.starts_with(['/', '?', '#']))
}

fn asked_client() -> Refusal {
    Refusal::operation(
        "server_request.denied",
        "the backend asks the client for something, which is not allowed where policy governs results",
    )
}

pub(super) fn unparseable(reason: &str) -> Refusal {
    Refusal::operation("result.unparseable", reason)
}
