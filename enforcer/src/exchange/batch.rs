//! Several operations in one exchange: a JSON-RPC batch, or the requests that a resumed stream answers
//! (`execution.md` rules 16 and 17).
//!
//! Elements run in order, each with its own law, facts and labels of scope `message`; what one stores in the session the
//! next one loads. The document, which edits change, wanders from one to the next.

use std::collections::VecDeque;

use super::{Exchange, Out, work::Work};
use crate::{
    Engine,
    mcp::{batch::Messages, request::Refused},
    refusal::Refusal,
};

/// The operations of an exchange beside the one at work.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// They stood in an array, and so do their answers.
    pub(super) array: bool,
    /// Their turn comes.
    pub(super) waiting: VecDeque<Box<Work>>,
    /// Judged before the call; after it: all but the one that is being judged.
    #[expect(
        clippy::vec_box,
        reason = "they change places with the one at work, which is boxed"
    )]
    pub(super) passed: Vec<Box<Work>>,
}

impl Exchange {
    /// Takes the messages of a body; the first of them is at work.
    pub(super) fn take_messages(
        &mut self,
        messages: Messages,
        document: apl_vm::Document,
        digest: Option<String>,
    ) {
        self.batch.array = messages.array;
        self.batch.waiting = messages
            .all
            .into_iter()
            .flat_map(Work::all_of)
            .map(|mut work| {
                work.request_digest.clone_from(&digest);
                Box::new(work)
            })
            .collect();
        self.work = self.batch.waiting.pop_front();
        if let Some(work) = &mut self.work {
            work.document = Some(document);
        }
    }

    /// Messages that cannot be judged, but whose ids are answered.
    pub(super) fn take_refused(&mut self, refused: &Refused) {
        self.batch.array = refused.array;
        let at = refused.at.unwrap_or(0);
        for (index, id) in refused.ids.iter().enumerate() {
            let work = id.as_ref().map(|id| Box::new(Work::refused(Some(id.clone()))));
            if index == at {
                self.work = work;
            } else if index < at {
                self.batch.passed.extend(work);
            } else {
                self.batch.waiting.extend(work);
            }
        }
    }

    /// Nothing denies the operation at work: the next one, or the request goes on.
    pub(super) fn next_operation(&mut self, engine: &mut Engine, now_ms: u64, out: &mut Out) {
        let Some(mut next) = self.batch.waiting.pop_front() else {
            return self.forward(engine, now_ms, out);
        };
        if let Some(mut done) = self.work.take() {
            // Rules after the call may read the arguments: they need a copy, and it is paid for.
            let reads = done.law.post.is_some() && done.law.post_needs.reads_args;
            let size = done
                .document
                .as_ref()
                .map_or(0, |document| document.bytes().len());
            if reads && !self.charge(engine, size) {
                self.work = Some(done);
                self.batch.waiting.push_front(next);
                return self.refuse(engine, &Refusal::memory(), now_ms, out);
            }
            next.document = if reads {
                done.document.clone()
            } else {
                done.document.take()
            };
            self.batch.passed.push(done);
        }
        self.work = Some(next);
        self.decide(engine, now_ms, out);
    }

    /// All operations, in no particular order.
    pub(super) fn works(&self) -> impl Iterator<Item = &Work> {
        let boxed = self
            .work
            .iter()
            .chain(&self.batch.passed)
            .chain(&self.batch.waiting);
        boxed.map(|work| &**work)
    }

    /// Does something to every operation.
    pub(super) fn each_work(&mut self, mut change: impl FnMut(&mut Work)) {
        let boxed = self.work.iter_mut().chain(&mut self.batch.passed);
        boxed.for_each(|work| change(work));
    }

    /// Puts the operation with this number among [`Exchange::works`] to work.
    pub(super) fn select(&mut self, number: usize) {
        let Some(at) = number.checked_sub(usize::from(self.work.is_some())) else {
            return;
        };
        if let Some(chosen) = self.batch.passed.get_mut(at) {
            match &mut self.work {
                Some(work) => std::mem::swap(work, chosen),
                None => self.work = Some(self.batch.passed.remove(at)),
            }
        }
    }

    /// The envelope, or the array of them, that tells the client of a refusal; `None`: nobody waits for an answer.
    pub(super) fn batch_envelope(
        &self,
        engine: &Engine,
        refusal: &Refusal,
        executed: bool,
    ) -> Option<Vec<u8>> {
        let others = Refusal::operation(
            "batch.denied",
            "another operation of the batch was denied, so none was performed",
        );
        let mut out = b"[".to_vec();
        let before = self.batch.passed.iter().map(|work| (work, false));
        let now = self.work.iter().map(|work| (work, true));
        let after = self.batch.waiting.iter().map(|work| (work, false));
        for (work, at_fault) in before.chain(now).chain(after) {
            if work.id.is_none() || work.answered {
                continue;
            }
            if out.len() > 1 {
                out.push(b',');
            }
            // After the call each of them has lost its answer for the same reason.
            let said = if at_fault || executed { refusal } else { &others };
            let shape = work.shape(engine, &self.head);
            out.extend(said.envelope(shape, &self.decision_id, executed));
        }
        out.push(b']');
        (out.len() > 2).then_some(out)
    }
}
