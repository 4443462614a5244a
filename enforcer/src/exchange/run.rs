//! Running one phase: the machine, and the effects that it suspends for.

use apl_bytecode::BlockId;
use apl_vm::{Answer, Bound, Machine, Mode, Outcome, Unmet, Verdict};
use companion_protocol::{AuditRecord, EffectCall, EffectsRequest, MAX_EFFECTS, WouldKind};

use super::{Out, durable, pins, record, work::Work};
use crate::{
    CallToken, Command, Counter, Engine, audit,
    effects::{Asker, Plan, answers, plan, read_response, redeem, unacknowledged},
    engine::count,
    http::head::Head,
    mcp::response::GovernedResult,
    refusal::Refusal,
};

/// Queued records that travel with a call that is made anyway.
const PASSENGERS: usize = 16;

/// What a phase has come to.
#[derive(Debug)]
pub(super) enum Step {
    /// It is over: denied, or `None`.
    Verdict(Option<Refusal>),
    /// The companion was asked; its call is the last command of the reaction.
    Asked(Box<Flight>),
}

/// A call that is under way.
#[derive(Debug)]
pub(super) struct Flight {
    pub(super) token: CallToken,
    plan: Plan,
    /// Effects of the plan in the call.
    asked: usize,
    /// Records behind them.
    passengers: Vec<AuditRecord>,
}

impl Flight {
    /// Nobody waits for the answer any more. Its records may have arrived or not; they are sent again, and their
    /// idempotency keys make that harmless.
    pub(super) fn abandon(self, engine: &mut Engine) {
        let flown = self.passengers.len();
        engine.audit.settle(flown, self.passengers);
    }
}

/// What a phase takes from its exchange.
pub(super) struct Context<'a> {
    pub(super) head: &'a Head,
    pub(super) decision_id: &'a str,
    pub(super) now_ms: u64,
}

/// Starts a phase, if there is one.
pub(super) fn start(
    engine: &mut Engine,
    work: &mut Work,
    block: Option<BlockId>,
    mut result: Option<&mut GovernedResult>,
    cx: &Context<'_>,
    out: &mut Out,
) -> Step {
    let Some(block) = block else {
        return Step::Verdict(None);
    };
    work.approvals.clear();
    work.machine = Some(Machine::new(block, engine.config.limits.fuel));
    let program = &engine.of(work.beside).program;
    let outcome = work.with_machine(engine, result.as_deref_mut(), |machine, env| {
        machine.run(program, env)
    });
    drive(engine, work, result, outcome, cx, out)
}

/// Goes on with answers.
pub(super) fn resume(
    engine: &mut Engine,
    work: &mut Work,
    mut result: Option<&mut GovernedResult>,
    answers: &[Answer],
    cx: &Context<'_>,
    out: &mut Out,
) -> Step {
    if let Some(asking) = work.asking.take() {
        return pins::answered(engine, work, result, asking, answers, cx, out);
    }
    if let Some(record) = work.recording.take() {
        return durable::recorded(engine, *record, answers);
    }
    if std::mem::take(&mut work.redeeming) {
        let step = spent(work, answers);
        return durable::judged(engine, work, step, cx, out);
    }
    let program = &engine.of(work.beside).program;
    let outcome = work.with_machine(engine, result.as_deref_mut(), |machine, env| {
        machine.resume(program, env, answers)
    });
    drive(engine, work, result, outcome, cx, out)
}

/// Nothing denies: the approvals that were found are spent now, and with that the phase is allowed. One that only wanted
/// to know is told so.
fn spend(engine: &mut Engine, work: &mut Work, cx: &Context<'_>, out: &mut Out) -> Step {
    let Some(last) = work.approvals.last() else {
        return durable::judged(engine, work, Step::Verdict(None), cx, out);
    };
    if cx.head.peeks {
        let ids = ids_of(work, None);
        let refusal = Refusal::peeked(&ids, &last.handler, last.approver.as_deref());
        return Step::Verdict(Some(refusal));
    }
    let plan = redeem(&work.approvals, cx.decision_id, &mut work.position);
    match send(engine, false, plan, cx, out) {
        Ok(flight) => {
            work.redeeming = true;
            Step::Asked(Box::new(flight))
        }
        Err(plan) => {
            let answers = settle(engine, work, plan, None, cx.now_ms, out);
            let step = spent(work, &answers);
            durable::judged(engine, work, step, cx, out)
        }
    }
}

fn spent(work: &mut Work, answers: &[Answer]) -> Step {
    let approvals = std::mem::take(&mut work.approvals);
    let fault = answers.iter().find_map(|answer| match answer {
        Answer::Done => None,
        Answer::Failed { code, reason } | Answer::Refused { code, reason } => {
            Some(Refusal::operation(code, reason))
        }
        Answer::Labels(_)
        | Answer::Granted { .. }
        | Answer::Approved(_)
        | Answer::Pending(_)
        | Answer::Decided { .. }
        | Answer::Skipped => Some(Refusal::operation(
            "engine.bad_answer",
            "an effect was answered with something else",
        )),
    });
    if fault.is_none() && answers.len() != approvals.len() {
        return Step::Verdict(Some(Refusal::operation(
            "engine.bad_answer",
            "an effect was answered with something else",
        )));
    }
    Step::Verdict(fault)
}

/// What of the denying condition did not hold.
fn unmet(engine: &Engine, work: &mut Work, result: Option<&mut GovernedResult>) -> Unmet {
    let program = &engine.of(work.beside).program;
    work.with_machine(engine, result, |machine, env| machine.unmet(program, env))
        .unwrap_or_default()
}

/// Everything that the client is to come back with: approvals that it has, and the one that is asked for now.
fn ids_of(work: &Work, now: Option<&str>) -> String {
    let had = work.approvals.iter().map(|approved| approved.id.as_str());
    had.chain(now).collect::<Vec<_>>().join(",")
}

fn drive(
    engine: &mut Engine,
    work: &mut Work,
    mut result: Option<&mut GovernedResult>,
    mut outcome: Option<Outcome>,
    cx: &Context<'_>,
    out: &mut Out,
) -> Step {
    loop {
        let batch = match outcome {
            Some(Outcome::Await(batch)) => batch,
            Some(Outcome::Done(verdict)) if work.mode == Mode::Shadow => {
                work.found(verdict, WouldKind::WouldDeny);
                return Step::Verdict(None);
            }
            Some(Outcome::Done(Verdict::Allow)) => return spend(engine, work, cx, out),
            Some(Outcome::Done(Verdict::Pending(pending))) => {
                let ids = ids_of(work, Some(&pending.approval.id));
                return Step::Verdict(Some(Refusal::pending(&pending, &ids)));
            }
            Some(Outcome::Done(Verdict::Deny(denied))) => {
                work.unmet = unmet(engine, work, result);
                return Step::Verdict(Some(
                    Refusal::operation(&denied.code, &denied.reason).at(&denied.rule),
                ));
            }
            // A real run never ends unknown; nothing is let through on a misunderstanding.
            Some(Outcome::Done(Verdict::Unknown)) | None => {
                return Step::Verdict(Some(Refusal::operation(
                    "engine.misuse",
                    "the policy could not be run",
                )));
            }
        };
        let mut position = work.position;
        let loads = |effect: &(_, Bound)| matches!(effect.1, Bound::LoadLabels { .. });
        let preloaded = if batch.effects.iter().any(loads) {
            work.preloaded.take()
        } else {
            None
        };
        let plan = {
            let blank = || record::of_step(engine, work, cx);
            let asker = Asker {
                principal: &work.principal,
                credentials: &cx.head.credentials,
                session: work.session.as_ref(),
                decision_id: cx.decision_id,
                record: &blank,
                elicitations: &cx.head.elicitations,
                approvals: &work.approvals,
                binding: work.binding.as_ref(),
                labels: preloaded.as_deref(),
                captures: engine.captures(),
                now_ms: cx.now_ms,
            };
            plan(batch, &asker, &engine.caches, &mut position)
        };
        work.position = position;
        let plan = if plan.calls.is_empty() {
            plan
        } else {
            match send(engine, work.beside, plan, cx, out) {
                Ok(flight) => return Step::Asked(Box::new(flight)),
                Err(plan) => plan,
            }
        };
        let answers = settle(engine, work, plan, None, cx.now_ms, out);
        let program = &engine.of(work.beside).program;
        outcome = work.with_machine(engine, result.as_deref_mut(), |machine, env| {
            machine.resume(program, env, &answers)
        });
    }
}

/// Sends the plan's calls with a few queued records; the plan comes back when there is no companion or too much to ask.
pub(super) fn send(
    engine: &mut Engine,
    beside: bool,
    mut plan: Plan,
    cx: &Context<'_>,
    out: &mut Out,
) -> Result<Flight, Plan> {
    let asked = plan.calls.len();
    let Some(room) = MAX_EFFECTS.checked_sub(asked) else {
        return Err(plan);
    };
    let mut effects: Vec<EffectCall> = std::mem::take(&mut plan.calls);
    // A record that the companion is to number must be numbered before it leaves.
    for call in &mut effects {
        if let companion_protocol::Effect::AuditAppend { record } = &mut call.effect
            && record.stream.is_empty()
        {
            engine.audit.stamp(record);
        }
    }
    let passengers = engine.audit.take(room.min(PASSENGERS));
    effects.extend(passengers.iter().map(audit::append));
    let token = engine.new_token();
    let request = EffectsRequest {
        policy_digest: engine.of(beside).digest.clone(),
        decision_id: cx.decision_id.to_owned(),
        effects,
    };
    match engine.effects_callout(token, &request, cx.head.traceparent.as_deref()) {
        Some(callout) => {
            out.push(count(Counter::Callouts, 1));
            out.push(Command::Callout(callout));
            Ok(Flight {
                token,
                plan,
                asked,
                passengers,
            })
        }
        None => {
            engine.audit.settle(passengers.len(), passengers);
            Err(plan)
        }
    }
}

/// The call has been answered, or has failed: the machine's answers.
pub(super) fn land(
    flight: Flight,
    engine: &mut Engine,
    work: Option<&mut Work>,
    body: Option<&[u8]>,
    now_ms: u64,
    out: &mut Out,
) -> Vec<Answer> {
    let flown = flight.passengers.len();
    let response = read_response(body, flight.asked.saturating_add(flown));
    let lost = match &response {
        Some(response) => {
            let (_, results) = response
                .results
                .split_at_checked(flight.asked)
                .unwrap_or_default();
            unacknowledged(flight.passengers, results)
        }
        None => flight.passengers,
    };
    let shipped = flown.saturating_sub(lost.len());
    if shipped > 0 {
        out.push(count(
            Counter::AuditShipped,
            u64::try_from(shipped).unwrap_or(u64::MAX),
        ));
    }
    engine.audit.settle(flown, lost);
    match work {
        Some(work) => settle(engine, work, flight.plan, response.as_ref(), now_ms, out),
        None => Vec::new(),
    }
}

pub(super) fn settle(
    engine: &mut Engine,
    work: &mut Work,
    plan: Plan,
    response: Option<&companion_protocol::EffectsResponse>,
    now_ms: u64,
    out: &mut Out,
) -> Vec<Answer> {
    let answered = answers(plan, response, &mut engine.caches, &mut engine.audit, now_ms);
    if work.mode == Mode::Enforce {
        // In shadow something is only read.
        work.performed.extend(answered.performed);
    }
    work.minted.extend(answered.minted);
    work.approvals.extend(answered.approvals);
    work.labels_added.extend(answered.labels);
    work.calls.extend(answered.calls);
    if engine.captures() {
        let mut answers = answered.answers.iter();
        let loaded = answers.find_map(|answer| match answer {
            Answer::Labels(labels) => Some(labels.clone()),
            _ => None,
        });
        work.loaded = work.loaded.take().or(loaded);
    }
    work.decisions.extend(answered.decisions);
    for (counter, by) in [
        (Counter::TokenHits, answered.token_hits),
        (Counter::LabelHits, answered.label_hits),
        (Counter::AuditFull, answered.audit_lost),
    ] {
        if by > 0 {
            out.push(count(counter, by));
        }
    }
    answered.answers
}
