//! Approvals: looked up by the ids that the client came back with, begun when there are none, spent before the operation is
//! let through.
//!
//! The companion finds a request that was begun for the same binding again, so a client that carries no id may simply
//! call again. An id that is good for something else is an error all the same: it says that the call has changed. Only
//! when every id that came was taken by an earlier step of the phase does a further step begin a request of its own.

use apl_bytecode::ElicitKind as Verb;
use apl_vm::{Answer, Approval, ElicitCall};
use companion_protocol::{
    Binding, Effect, EffectResult, ElicitAsk, ElicitBegin, ElicitKind, ElicitState, Elicitation, Requester,
    Shown,
};

use super::plan::{Asked, Asker, Call, Plan, Planned, Way, failed, here};
use crate::json_text;

/// What the answer to an elicitation needs.
#[derive(Debug)]
pub(crate) struct ElicitAsked {
    /// Looked up, in this order; empty: begun.
    pub(super) ids: Vec<String>,
    handler: String,
    from: String,
    binding: Binding,
}

/// An approval that a step has found.
#[derive(Debug, Clone)]
pub(crate) struct Approved {
    pub(crate) id: String,
    pub(crate) handler: String,
    pub(crate) approver: Option<String>,
    from: String,
    binding: Binding,
}

pub(super) fn plan(call: ElicitCall, asker: &Asker<'_>) -> (Planned, Call) {
    let label = format!("elicit:{}", call.handler);
    let Some(binding) = asker.binding else {
        let answer = refused(
            "elicitation.no_requester",
            "nobody is identified for whom one could approve",
        );
        return (here(true, label, answer), Vec::new());
    };
    let binding = Binding {
        step: call.rule.clone(),
        ..binding.clone()
    };
    let free = |id: &&String| !asker.approvals.iter().any(|taken| taken.id == **id);
    let ids: Vec<String> = asker.elicitations.iter().filter(free).cloned().collect();
    let effects = if ids.is_empty() {
        vec![(begin(&call, &binding, asker), call.rule.clone())]
    } else {
        let check = |id: &String| {
            let ask = ElicitAsk {
                plugin: call.handler.clone(),
                id: id.clone(),
                from: call.from.clone(),
                binding: binding.clone(),
            };
            (Effect::ElicitCheck(Box::new(ask)), call.rule.clone())
        };
        ids.iter().map(check).collect()
    };
    let asked = ElicitAsked {
        ids,
        handler: call.handler,
        from: call.from,
        binding,
    };
    let planned = Planned {
        stops: call.stops,
        label,
        way: Way::Ask(Asked::Elicit(Box::new(asked))),
    };
    (planned, effects)
}

fn begin(call: &ElicitCall, binding: &Binding, asker: &Asker<'_>) -> Effect {
    let shown = call.shown.iter().map(|(name, value)| Shown {
        name: name.clone(),
        value: value.clone(),
    });
    Effect::ElicitBegin(Box::new(ElicitBegin {
        plugin: call.handler.clone(),
        verb: match call.kind {
            Verb::Approval => ElicitKind::Approval,
            Verb::Confirm => ElicitKind::Confirm,
            Verb::StepUp => ElicitKind::StepUp,
            Verb::Attestation => ElicitKind::Attestation,
            Verb::Info => ElicitKind::Info,
            Verb::Review => ElicitKind::Review,
        },
        requester: requester(asker),
        from: call.from.clone(),
        channel: call.channel.clone(),
        purpose: call.purpose.clone(),
        scope_text: call.scope.clone(),
        timeout_s: (call.timeout_s > 0).then_some(u64::from(call.timeout_s)),
        binding: binding.clone(),
        shown: shown.collect(),
    }))
}

fn requester(asker: &Asker<'_>) -> Requester {
    use apl_bytecode::TokenRole::{Client, User};
    let principal = asker.principal;
    let claim = |name: &str| match principal.facts.get(&format!("claim.{name}")) {
        Some(apl_vm::Fact::Str(text)) => Some(text.clone()),
        Some(_) | None => None,
    };
    let credential = principal.of(User).or_else(|| principal.of(Client));
    let id = credential.map_or("", |credential| credential.speaker.id.as_str());
    let known_as: Vec<String> = ["preferred_username", "email"]
        .into_iter()
        .filter_map(claim)
        .collect();
    Requester {
        subject: credential
            .map_or("", |credential| credential.sub.as_str())
            .to_owned(),
        name: claim("name")
            .or_else(|| known_as.first().cloned())
            .unwrap_or_else(|| id.to_owned()),
        known_as,
    }
}

/// What a step is told, and the approval that it has found.
pub(super) fn answer(asked: &ElicitAsked, results: &[EffectResult]) -> (Answer, Option<Approved>) {
    let mut foreign = None;
    for (at, result) in results.iter().enumerate() {
        let elicitation = match result {
            EffectResult::Elicitation(elicitation) => elicitation,
            EffectResult::Denied { code, reason } => return (refused(code, reason), None),
            EffectResult::Failed { code, reason } => return (failed(code, reason), None),
            EffectResult::Skipped => return (Answer::Skipped, None),
            EffectResult::Done
            | EffectResult::Labels(_)
            | EffectResult::Granted(_)
            | EffectResult::Decision(_)
            | EffectResult::Identity { .. }
            | EffectResult::Count(_) => {
                let answer = failed(
                    "companion.bad_response",
                    "the companion answered something else than it was asked",
                );
                return (answer, None);
            }
        };
        let id = asked
            .ids
            .get(at)
            .cloned()
            .unwrap_or_else(|| elicitation.id.clone());
        match elicitation.state {
            ElicitState::Pending => return (Answer::Pending(approval(id, elicitation)), None),
            ElicitState::Approved => {
                let approved = Approved {
                    id: id.clone(),
                    handler: asked.handler.clone(),
                    approver: elicitation.approver.clone(),
                    from: asked.from.clone(),
                    binding: asked.binding.clone(),
                };
                return (Answer::Approved(approval(id, elicitation)), Some(approved));
            }
            ElicitState::Denied => return (refused("", "the approver said no"), None),
            ElicitState::Expired => return (refused("", "nobody approved in time"), None),
            ElicitState::BindingMismatch => {
                foreign = Some(("elicitation.binding_mismatch", "the approval is for another call"));
            }
            ElicitState::UnknownId => {
                foreign.get_or_insert((
                    "elicitation.unknown_id",
                    "there is no such approval, or it was used",
                ));
            }
        }
    }
    let (code, reason) = foreign.unwrap_or(("companion.bad_response", "the companion did not answer"));
    (refused(code, reason), None)
}

fn approval(id: String, elicitation: &Elicitation) -> Approval {
    Approval {
        id,
        approver: elicitation.approver.clone(),
        intent_id: elicitation.intent_id.clone(),
        channel: elicitation.channel.clone(),
        expires_at: elicitation.expires_at.map(json_text::rfc3339),
    }
}

pub(super) fn refused(code: &str, reason: &str) -> Answer {
    Answer::Refused {
        code: code.to_owned(),
        reason: reason.to_owned(),
    }
}

/// Spends the approvals of a phase: the last thing before it counts as allowed, so that a call that another gate denies
/// uses none up.
pub(crate) fn redeem(approvals: &[Approved], decision_id: &str, position: &mut u32) -> Plan {
    let mut plan = Plan {
        effects: Vec::new(),
        calls: Vec::new(),
    };
    for approved in approvals {
        let ask = ElicitAsk {
            plugin: approved.handler.clone(),
            id: approved.id.clone(),
            from: approved.from.clone(),
            binding: approved.binding.clone(),
        };
        plan.calls.push(companion_protocol::EffectCall {
            idempotency_key: format!("{decision_id}.{position}"),
            on_fail: companion_protocol::OnFail::Stop,
            source: approved.binding.step.clone(),
            effect: Effect::ElicitRedeem(Box::new(ask)),
        });
        *position = position.saturating_add(1);
        plan.effects.push(Planned {
            stops: true,
            label: format!("elicit.redeem:{}", approved.handler),
            way: Way::Ask(Asked::Redeem),
        });
    }
    plan
}

/// Whether an approval was spent.
pub(super) fn redeemed(result: &EffectResult) -> Answer {
    match result {
        EffectResult::Elicitation(elicitation) => match elicitation.state {
            ElicitState::Approved => Answer::Done,
            ElicitState::BindingMismatch => {
                refused("elicitation.binding_mismatch", "the approval is for another call")
            }
            ElicitState::Pending | ElicitState::Denied | ElicitState::Expired | ElicitState::UnknownId => {
                refused(
                    "elicitation.unknown_id",
                    "there is no such approval, or it was used",
                )
            }
        },
        EffectResult::Denied { code, reason } | EffectResult::Failed { code, reason } => {
            refused(code, reason)
        }
        EffectResult::Skipped => Answer::Skipped,
        EffectResult::Done
        | EffectResult::Labels(_)
        | EffectResult::Granted(_)
        | EffectResult::Decision(_)
        | EffectResult::Identity { .. }
        | EffectResult::Count(_) => refused(
            "companion.bad_response",
            "the companion answered something else than it was asked",
        ),
    }
}
