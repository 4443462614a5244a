//! `engine_settings.audit: durable`: what is released waits until its record is on disk.
//!
//! A request whose answer is not judged waits for the record of its verdict. Of one whose answer is judged the verdict is
//! not known yet: it waits for a record of kind `step`, named `release`, and its answer for the verdict's. Denials release
//! nothing, and wait for nothing.

use apl_vm::{Answer, Mode};
use companion_protocol::{AuditRecord, StepRecord, VerdictKind};

use super::{
    Exchange, Out, Stage, record,
    run::{self, Context, Step},
    work::Work,
};
use crate::{
    Engine, audit,
    codec::Codec,
    effects::{Plan, record_of},
    refusal::Refusal,
};

/// The name of the step that stands for a release.
const RELEASE: &str = "release";

impl Exchange {
    /// Stores the records that the release waits for. False: there are none.
    pub(super) fn record_first(&mut self, engine: &mut Engine, now_ms: u64, out: &mut Out) -> bool {
        let mut records = Vec::new();
        let cx = Context {
            head: &self.head,
            decision_id: &self.decision_id,
            now_ms,
        };
        let works = self.work.iter_mut().chain(&mut self.batch.passed);
        // What is in shadow goes on, recorded or not; what is resumed was recorded when it was performed.
        for work in works.filter(|work| work.entity.is_some() && !work.lifted && !work.resumed) {
            let mut record = if work.law.post.is_some() || work.is_watched() {
                let mut step = record::of_step(engine, work, &cx);
                step.step = Some(StepRecord {
                    plugin: RELEASE.to_owned(),
                    source: String::new(),
                });
                step
            } else {
                work.recorded = true;
                let mut record = record::record(engine, work, &cx);
                record.verdict = Some(VerdictKind::Allow);
                record
            };
            engine.audit.stamp(&mut record);
            records.push(record);
        }
        if records.is_empty() {
            return false;
        }
        let sent = run::send(engine, false, plan(&records), &cx, out);
        let flight = match sent {
            Ok(flight) => flight,
            Err(_) => {
                self.on_recorded(engine, records, &[], now_ms, out);
                return true;
            }
        };
        self.flight = Some(Box::new(flight));
        self.releasing = Some(records);
        self.stage = Stage::Asking;
        out.pause();
        true
    }

    /// The companion has answered. What it did not acknowledge waits in the queue.
    pub(super) fn on_recorded(
        &mut self,
        engine: &mut Engine,
        records: Vec<AuditRecord>,
        answers: &[Answer],
        now_ms: u64,
        out: &mut Out,
    ) {
        let mut stored = true;
        for (at, record) in records.into_iter().enumerate() {
            if !matches!(answers.get(at), Some(Answer::Done)) {
                stored = false;
                engine.audit.requeue(record);
            }
        }
        self.released = true;
        if stored {
            self.forward(engine, now_ms, out);
        } else {
            self.refuse(engine, &unrecorded(), now_ms, out);
        }
    }
}

/// A phase has come to an end. After the call the verdict is stored before the answer is released.
pub(super) fn judged(
    engine: &mut Engine,
    work: &mut Work,
    step: Step,
    cx: &Context<'_>,
    out: &mut Out,
) -> Step {
    // A task of A2A has as many answers as it likes and one verdict, which is known at the end.
    let waits = engine.waits_for_records()
        && work.mode == Mode::Enforce
        && !work.lifted
        && !work.flows
        && cx.head.codec != Codec::A2a;
    let Some(seq) = work
        .reserved
        .filter(|_| waits && matches!(step, Step::Verdict(None)))
    else {
        return step;
    };
    let mut record = record::record(engine, work, cx);
    record.verdict = Some(VerdictKind::Allow);
    engine.audit.stamp_reserved(seq, &mut record);
    (work.reserved, work.recorded) = (None, true);
    match run::send(engine, false, plan(std::slice::from_ref(&record)), cx, out) {
        Ok(flight) => {
            work.recording = Some(Box::new(record));
            Step::Asked(Box::new(flight))
        }
        Err(_) => recorded(engine, record, &[]),
    }
}

/// The companion has answered.
pub(super) fn recorded(engine: &mut Engine, record: AuditRecord, answers: &[Answer]) -> Step {
    if matches!(answers, [Answer::Done]) {
        return Step::Verdict(None);
    }
    engine.audit.requeue(record);
    Step::Verdict(Some(unrecorded()))
}

fn plan(records: &[AuditRecord]) -> Plan {
    Plan {
        effects: records.iter().map(|_| record_of()).collect(),
        calls: records.iter().map(audit::append).collect(),
    }
}

fn unrecorded() -> Refusal {
    Refusal::operation("audit.unavailable", "the operation cannot be recorded")
}
