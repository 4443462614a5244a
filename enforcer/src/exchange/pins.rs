//! Pins on their way through an exchange: marks are asked for before a pinned tool is called, and stored before a list
//! that shows a changed definition is released.

use apl_vm::Answer;
use companion_protocol::{Effect, EffectCall, MAX_EFFECTS, OnFail};

use super::{
    Out,
    run::{self, Context, Step},
    work::Work,
};
use crate::{
    Counter, Engine,
    effects::{Plan, idempotency_key, load_labels, mark},
    engine::count,
    mcp::response::GovernedResult,
    pins::{PinMark, Pinned, pinned},
    refusal::Refusal,
};

/// What the companion's next answer to an operation is about, besides its rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asking {
    /// Whether the tool that is called has a mark; perhaps the caller's labels with it.
    Mark,
    /// Marks that are being stored.
    Marking,
}

/// Begins the phase before the call; a pinned tool's mark is asked for first, and with it the labels that the rules load.
pub(super) fn before(
    engine: &mut Engine,
    work: &mut Work,
    scope: Option<&str>,
    cx: &Context<'_>,
    out: &mut Out,
) -> Step {
    // What is resumed was performed on an earlier exchange, and in shadow nothing is enforced.
    if work.resumed || work.lifted {
        return rules(engine, work, cx, out);
    }
    let pin = match pinned(engine.program.program(), scope, &work.name) {
        Pinned::As(pin) if work.calls_a_tool() => *pin,
        Pinned::Hidden if work.calls_a_tool() => {
            return Step::Verdict(Some(Refusal::operation(
                "tool.not_pinned",
                "the tools of this server are pinned, and this is none of them",
            )));
        }
        Pinned::As(_) | Pinned::Hidden | Pinned::Free => return rules(engine, work, cx, out),
    };
    let PinMark { session, label } = PinMark::new(scope.unwrap_or_default(), &work.name, &pin);
    let mut plan = Plan::default();
    let loads = [
        Some((session, ["session.load:", &label].concat())),
        // In the same call; the rules find the answer there.
        work.session
            .clone()
            .filter(|_| work.law.pre_needs.loads_labels)
            .map(|session| (session, String::new())),
    ];
    for (session, name) in loads.into_iter().flatten() {
        plan.effects.push(load_labels(name));
        push(
            &mut plan,
            work,
            cx,
            Effect::SessionLoad { session },
            label.clone(),
        );
    }
    ask(engine, work, None, plan, Asking::Mark, cx, out)
}

fn rules(engine: &mut Engine, work: &mut Work, cx: &Context<'_>, out: &mut Out) -> Step {
    let block = work.law.pre.filter(|_| !work.resumed);
    run::start(engine, work, block, None, cx, out)
}

/// Begins the phase after the call; marks of definitions that were hidden are stored first.
pub(super) fn after(
    engine: &mut Engine,
    work: &mut Work,
    result: Option<&mut GovernedResult>,
    cx: &Context<'_>,
    out: &mut Out,
) -> Step {
    let mut plan = Plan::default();
    while plan.effects.len() < MAX_EFFECTS {
        let Some(PinMark { session, label }) = work.marks.pop() else {
            break;
        };
        let (planned, needed) = mark(&session, &label, &engine.caches, cx.now_ms);
        plan.effects.push(planned);
        if let Some(effect) = needed {
            push(&mut plan, work, cx, effect, label);
        }
    }
    if plan.effects.is_empty() {
        let post = work.law.post;
        return run::start(engine, work, post, result, cx, out);
    }
    ask(engine, work, result, plan, Asking::Marking, cx, out)
}

fn push(plan: &mut Plan, work: &mut Work, cx: &Context<'_>, effect: Effect, source: String) {
    plan.calls.push(EffectCall {
        idempotency_key: idempotency_key(cx.decision_id, work.position),
        on_fail: OnFail::Stop,
        source,
        effect,
    });
    work.position = work.position.saturating_add(1);
}

fn ask(
    engine: &mut Engine,
    work: &mut Work,
    result: Option<&mut GovernedResult>,
    plan: Plan,
    asking: Asking,
    cx: &Context<'_>,
    out: &mut Out,
) -> Step {
    let plan = if plan.calls.is_empty() {
        plan
    } else {
        match run::send(engine, false, plan, cx, out) {
            Ok(flight) => {
                work.asking = Some(asking);
                return Step::Asked(Box::new(flight));
            }
            Err(plan) => plan,
        }
    };
    let answers = run::settle(engine, work, plan, None, cx.now_ms, out);
    answered(engine, work, result, asking, &answers, cx, out)
}

/// The companion has answered.
pub(super) fn answered(
    engine: &mut Engine,
    work: &mut Work,
    result: Option<&mut GovernedResult>,
    asking: Asking,
    answers: &[Answer],
    cx: &Context<'_>,
    out: &mut Out,
) -> Step {
    let denied = |code: &str, reason: &str| Step::Verdict(Some(Refusal::operation(code, reason)));
    let fault = answers.iter().find_map(|answer| match answer {
        Answer::Failed { code, reason } | Answer::Refused { code, reason } => Some((code, reason)),
        _ => None,
    });
    match (asking, fault, answers) {
        (_, Some((code, reason)), _) => denied(code, reason),
        (Asking::Mark, None, [Answer::Labels(marks), ..]) if !marks.is_empty() => {
            out.push(count(Counter::PinsDenied, 1));
            denied(
                "tool.definition_changed",
                "the definition of this tool is not the one that was approved",
            )
        }
        (Asking::Mark, None, [Answer::Labels(_), others @ ..]) => {
            if let [Answer::Labels(labels)] = others {
                work.preloaded = Some(labels.clone());
            }
            rules(engine, work, cx, out)
        }
        (Asking::Marking, None, done) if done.iter().all(|answer| matches!(answer, Answer::Done)) => {
            after(engine, work, result, cx, out)
        }
        (Asking::Mark | Asking::Marking, None, _) => {
            denied("engine.bad_answer", "an effect was answered with something else")
        }
    }
}
