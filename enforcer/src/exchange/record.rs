//! Audit records: one for every verdict.

use companion_protocol::{AuditRecord, VerdictKind};

use super::{Exchange, Out, Stage, capture, run::Context, work::Work};
use crate::{
    Counter, Engine,
    engine::count,
    refusal::{Refusal, RefusalKind},
};

/// A record with everything that is known of the operation; number, stream, verdict and step are still to come.
pub(super) fn record(engine: &Engine, work: &Work, cx: &Context<'_>) -> AuditRecord {
    use apl_bytecode::TokenRole::{CallerWorkload, Client, User};
    let mut labels_of_policy = std::collections::BTreeMap::new();
    if let Some(owner) = &work.law.owner {
        labels_of_policy.insert("owner".to_owned(), owner.clone());
    }
    AuditRecord {
        at_ms: cx.now_ms,
        decision_id: cx.decision_id.to_owned(),
        policy_digest: engine.of(work.beside).digest.clone(),
        missing: work.unmet.missing.clone(),
        untrue: work.unmet.untrue.clone(),
        entity_type: work
            .entity
            .map_or("housekeeping", apl_bytecode::EntityKind::name)
            .to_owned(),
        entity_name: work.name.clone(),
        method: (!work.method.is_empty()).then(|| work.method.clone()),
        subject: work
            .principal
            .of(User)
            .map(|credential| credential.speaker.id.clone()),
        client: work
            .principal
            .of(Client)
            .map(|credential| credential.speaker.id.clone())
            .or_else(|| {
                work.principal
                    .of(User)
                    .and_then(|credential| credential.speaker.client.clone())
            }),
        workload: work
            .principal
            .of(CallerWorkload)
            .map(|credential| credential.speaker.id.clone()),
        session: work.session.as_ref().map(|session| session.session.clone()),
        effects: work.performed.clone(),
        calls: work.calls.clone(),
        took_ms: (cx.head.began_ms > 0).then(|| cx.now_ms.saturating_sub(cx.head.began_ms)),
        labels: work.facts.labels.known.iter().cloned().collect(),
        labels_added: work.labels_added.clone(),
        edits: edits(work),
        request_digest: work.request_digest.clone(),
        response_digest: work.response_digest.clone(),
        trace_id: cx.head.trace_id().map(str::to_owned),
        labels_of_policy,
        shadow: work
            .shadows
            .iter()
            .filter_map(|shadow| shadow.shadow_verdict(engine))
            .collect(),
        facts: engine.captures().then(|| capture::of(engine, work)).flatten(),
        ..AuditRecord::default()
    }
}

/// The same for a step, which says nothing of verdicts.
pub(super) fn of_step(engine: &Engine, work: &Work, cx: &Context<'_>) -> AuditRecord {
    let mut record = record(engine, work, cx);
    record.shadow.clear();
    record.facts = None;
    record
}

/// Fields edited, as `args.ssn:redact`.
pub(super) fn edits(work: &Work) -> Vec<String> {
    let spelled = work
        .edits
        .iter()
        .map(|edit| format!("{}:{}", edit.field, edit.kind));
    spelled.collect()
}

impl Exchange {
    /// Records a refusal before the call. What could not be read as a message is counted only: it is no verdict.
    pub(super) fn record_refusal(&self, engine: &mut Engine, refusal: &Refusal, now_ms: u64, out: &mut Out) {
        if matches!(refusal.kind, RefusalKind::Operation | RefusalKind::Waiting) {
            self.record_others(engine, now_ms, out);
        }
        let cx = Context {
            head: &self.head,
            decision_id: &self.decision_id,
            now_ms,
        };
        let blank = Work::refused(None);
        let mut record = record(engine, self.work.as_deref().unwrap_or(&blank), &cx);
        record.verdict = Some(match refusal.kind {
            RefusalKind::Waiting => VerdictKind::Pending,
            RefusalKind::Message | RefusalKind::Identity | RefusalKind::Operation => VerdictKind::Deny,
        });
        record.code = Some(refusal.code.clone());
        record.rule.clone_from(&refusal.rule);
        let kept = match refusal.kind {
            RefusalKind::Message => return,
            RefusalKind::Identity => {
                "identity".clone_into(&mut record.entity_type);
                let room = engine.audit.has_room_for_strangers();
                if room {
                    engine.audit.push(record)
                } else {
                    engine.audit.skip();
                    false
                }
            }
            RefusalKind::Operation | RefusalKind::Waiting => engine.audit.push(record),
        };
        out.push(count(
            if kept {
                Counter::AuditQueued
            } else {
                Counter::AuditFull
            },
            1,
        ));
    }

    /// The rest of a denied batch: nothing of it is performed.
    fn record_others(&self, engine: &mut Engine, now_ms: u64, out: &mut Out) {
        let cx = Context {
            head: &self.head,
            decision_id: &self.decision_id,
            now_ms,
        };
        for work in self.batch.passed.iter().chain(&self.batch.waiting) {
            if work.entity.is_none() || work.resumed {
                continue;
            }
            let mut record = record(engine, work, &cx);
            record.verdict = Some(VerdictKind::Deny);
            record.code = Some("batch.denied".to_owned());
            let counter = if engine.audit.push(record) {
                Counter::AuditQueued
            } else {
                Counter::AuditFull
            };
            out.push(count(counter, 1));
        }
    }

    /// Records that the operations are forwarded; for one whose response is to be judged, only a place and a number are
    /// taken, and the record is written then. False: there is no room, so they must not be forwarded.
    pub(super) fn record_allow(&mut self, engine: &mut Engine, now_ms: u64, out: &mut Out) -> bool {
        // What is in shadow goes on, recorded or not.
        let enforced = |work: &&Work| work.entity.is_some() && !work.lifted;
        let governed = self.works().filter(enforced).count();
        if !engine.audit.has_room_for(governed) {
            out.push(count(Counter::AuditFull, 1));
            return false;
        }
        for at in 0..self.works().count() {
            self.select(at);
            self.record_one_allow(engine, now_ms, out);
        }
        true
    }

    fn record_one_allow(&mut self, engine: &mut Engine, now_ms: u64, out: &mut Out) {
        let would_deny = |work: &&mut Work| work.shadows.iter().any(Work::would_deny);
        let recorded = |work: &&mut Work| work.entity.is_some() || would_deny(work);
        let Some(work) = self.work.as_deref_mut().filter(recorded) else {
            return;
        };
        if work.law.post.is_some() || (work.is_watched() && engine.audit.has_room_for(1)) {
            work.reserved = Some(engine.audit.reserve());
            return;
        }
        // Its verdict was recorded when it was performed, or just now.
        if work.resumed || work.recorded {
            return;
        }
        let cx = Context {
            head: &self.head,
            decision_id: &self.decision_id,
            now_ms,
        };
        let mut record = record(engine, work, &cx);
        record.verdict = Some(VerdictKind::Allow);
        let counter = if engine.audit.push(record) {
            Counter::AuditQueued
        } else {
            Counter::AuditFull
        };
        out.push(count(counter, 1));
    }

    /// The same as [`Exchange::record_after`] for every operation that has no record yet.
    pub(super) fn record_all_after(&mut self, engine: &mut Engine, refusal: Option<&Refusal>, now_ms: u64) {
        for at in 0..self.works().count() {
            self.select(at);
            self.record_after(engine, refusal, now_ms);
        }
    }

    /// Writes the record for which a place was taken.
    pub(super) fn record_after(&mut self, engine: &mut Engine, refusal: Option<&Refusal>, now_ms: u64) {
        let Some(work) = self.work.as_deref_mut() else {
            return;
        };
        let seq = match work.reserved.take() {
            Some(seq) => seq,
            // It was recorded as allowed, and has come to something else.
            None if work.recorded && work.law.post.is_some() && refusal.is_some() => engine.audit.reserve(),
            None => return,
        };
        work.recorded = false;
        let cx = Context {
            head: &self.head,
            decision_id: &self.decision_id,
            now_ms,
        };
        let mut record = record(engine, work, &cx);
        match refusal {
            None => record.verdict = Some(VerdictKind::Allow),
            Some(refusal) => {
                record.verdict = Some(VerdictKind::DenyAfter);
                record.code = Some(refusal.code.clone());
                record.rule.clone_from(&refusal.rule);
            }
        }
        engine.audit.push_reserved(seq, record);
    }

    /// The stream ended although a response was to be judged: the operation was forwarded all the same.
    pub(super) fn record_unanswered(&mut self, engine: &mut Engine, now_ms: u64) {
        if self.stage == Stage::Forwarded {
            self.record_all_after(engine, None, now_ms);
        }
    }
}
