//! Taking answers.

use apl_bytecode::{Attenuate, Count, Decision, Delegate, Effect, EffectId, Elicit, OnError, Program};

use super::{Stop, bind, denial};
use crate::{
    facts::set_of,
    facts::{Fact, Facts, Told},
    outcome::{Answer, Approval, Origin, Pending},
};

/// Writes the answers into the facts.
///
/// # Errors
///
/// The first failure of an effect that stops; or answers that do not fit what was asked.
pub(super) fn take(
    program: &Program,
    asked: &[Origin],
    answers: &[Answer],
    facts: &mut Facts,
) -> Result<(), Stop> {
    if asked.len() != answers.len() {
        return Err(denial::bad_answer().into());
    }
    let mut failure = None;
    for (origin, answer) in asked.iter().zip(answers) {
        // Behind a failure that stops, nothing is taken: the phase is denied, and what was skipped has no answer.
        if failure.is_none() {
            failure = one(program, *origin, answer, facts).err();
        }
    }
    failure.map_or(Ok(()), Err)
}

/// Writes down what a shadow run was told; yields the questions that stay open.
pub(super) fn note(asked: &[Origin], answers: &[Answer], facts: &mut Facts) -> Vec<Origin> {
    let mut open = Vec::new();
    for (at, origin) in asked.iter().enumerate() {
        match (origin, answers.get(at)) {
            (_, Some(Answer::Labels(labels))) => {
                facts.labels.known.extend(labels.iter().cloned());
                facts.labels.loaded = true;
            }
            (Origin::Effect(id), Some(Answer::Decided { allow, code, reason })) => {
                decided_so(facts, *id, *allow, code, reason);
            }
            (origin, _) => open.push(*origin),
        }
    }
    open
}

fn one(program: &Program, origin: Origin, answer: &Answer, facts: &mut Facts) -> Result<(), Stop> {
    let id = match origin {
        Origin::Pipeline(id) => {
            let pipeline = program.pipelines.get(id.at()).ok_or_else(denial::bad_answer)?;
            return match answer {
                Answer::Done => Ok(()),
                Answer::Failed { code, reason } => {
                    Err(denial::failed(program, pipeline.denial, code, reason).into())
                }
                Answer::Labels(_)
                | Answer::Granted { .. }
                | Answer::Approved(_)
                | Answer::Pending(_)
                | Answer::Decided { .. }
                | Answer::Refused { .. }
                | Answer::Skipped => Err(denial::bad_answer().into()),
            };
        }
        Origin::Effect(id) => id,
    };
    let effect = program.effects.get(id.at()).ok_or_else(denial::bad_answer)?;
    match (effect, answer) {
        (Effect::Taint { .. } | Effect::Audit { .. } | Effect::Count(_), Answer::Done) => Ok(()),
        (Effect::LoadLabels { .. }, Answer::Labels(labels)) => {
            facts.labels.known.extend(labels.iter().cloned());
            facts.labels.loaded = true;
            Ok(())
        }
        (Effect::Delegate(delegate) | Effect::Attenuate(Attenuate { delegate, .. }), _) => delegated(program, delegate, answer, facts),
        (Effect::Elicit(elicit), _) => elicited(program, id, elicit, answer, facts),
        (Effect::Decide(decision), _) => decided(program, id, decision, answer, facts),
        (
            Effect::Taint { denial, .. }
            | Effect::LoadLabels { denial }
            | Effect::Count(Count { denial, .. }),
            Answer::Failed { code, reason } | Answer::Refused { code, reason },
        ) => Err(denial::failed(program, *denial, code, reason).into()),
        (
            Effect::Audit { code: position, .. },
            Answer::Failed { code, reason } | Answer::Refused { code, reason },
        ) => Err(denial::unaudited(program, position, code, reason).into()),
        (
            Effect::Taint { .. }
            | Effect::Audit { .. }
            | Effect::Count(_)
            | Effect::LoadLabels { .. }
            // Done at once, so nobody answers it.
            | Effect::Restrict(_),
            _,
        ) => Err(denial::bad_answer().into()),
    }
}

fn delegated(program: &Program, delegate: &Delegate, answer: &Answer, facts: &mut Facts) -> Result<(), Stop> {
    match answer {
        Answer::Granted {
            permissions,
            audience,
            expires_at,
        } => {
            bind::clear(facts, bind::GRANTED);
            let mut set = |key: &str, fact| facts.own.insert(key.to_owned(), fact);
            set("delegation.granted", Fact::Bool(true));
            set(
                "delegation.granted.permissions",
                Fact::Set(set_of(permissions.iter().cloned())),
            );
            set("delegation.granted.audience", Fact::Str(audience.clone()));
            set("delegation.granted.expires_at", Fact::Str(expires_at.clone()));
            Ok(())
        }
        Answer::Failed { code, reason } | Answer::Refused { code, reason } => match delegate.on_error {
            OnError::Deny => Err(denial::failed(program, delegate.denial, code, reason).into()),
            OnError::Continue => {
                bind::clear(facts, bind::GRANTED);
                facts
                    .own
                    .insert("delegation.granted".to_owned(), Fact::Bool(false));
                Ok(())
            }
        },
        Answer::Done
        | Answer::Labels(_)
        | Answer::Approved(_)
        | Answer::Pending(_)
        | Answer::Decided { .. }
        | Answer::Skipped => Err(denial::bad_answer().into()),
    }
}

/// `on_error: continue` passes over a channel that cannot be reached, and nothing else.
fn elicited(
    program: &Program,
    id: EffectId,
    elicit: &Elicit,
    answer: &Answer,
    facts: &mut Facts,
) -> Result<(), Stop> {
    match answer {
        Answer::Approved(approval) => {
            bind::clear(facts, bind::ELICITATION);
            tell(facts, approval, "resolved");
            facts
                .own
                .insert("elicitation.outcome".to_owned(), Fact::Str("approved".to_owned()));
            facts.answers.insert(
                id,
                Told {
                    holds: true,
                    ..Told::default()
                },
            );
            Ok(())
        }
        Answer::Pending(approval) => {
            bind::clear(facts, bind::ELICITATION);
            tell(facts, approval, "pending");
            Err(Stop::Pending(Box::new(Pending {
                handler: super::text(program, elicit.handler).to_owned(),
                approval: approval.clone(),
                rule: bind::position(program, elicit.denial),
            })))
        }
        Answer::Failed { code, reason } => match elicit.on_error {
            OnError::Deny => Err(denial::failed(program, elicit.denial, code, reason).into()),
            OnError::Continue => {
                facts.own.insert(
                    "elicitation.status".to_owned(),
                    Fact::Str("unavailable".to_owned()),
                );
                facts.answers.insert(id, Told::default());
                Ok(())
            }
        },
        Answer::Refused { code, reason } => Err(denial::failed(program, elicit.denial, code, reason).into()),
        Answer::Done
        | Answer::Labels(_)
        | Answer::Granted { .. }
        | Answer::Decided { .. }
        | Answer::Skipped => Err(denial::bad_answer().into()),
    }
}

fn tell(facts: &mut Facts, approval: &Approval, status: &str) {
    let known = [
        ("elicitation.id", Some(&approval.id)),
        ("elicitation.approver", approval.approver.as_ref()),
        ("elicitation.intent_id", approval.intent_id.as_ref()),
        ("elicitation.channel", approval.channel.as_ref()),
        ("elicitation.expires_at", approval.expires_at.as_ref()),
    ];
    for (key, value) in known {
        if let Some(value) = value {
            facts.own.insert(key.to_owned(), Fact::Str(value.clone()));
        }
    }
    facts
        .own
        .insert("elicitation.status".to_owned(), Fact::Str(status.to_owned()));
}

fn decided_so(facts: &mut Facts, id: EffectId, holds: bool, code: &str, reason: &str) {
    let told = Told {
        holds,
        code: code.to_owned(),
        reason: reason.to_owned(),
    };
    facts.answers.insert(id, told);
}

/// A decision point that cannot be asked denies at once; one that says no leaves that to the steps behind.
fn decided(
    program: &Program,
    id: EffectId,
    decision: &Decision,
    answer: &Answer,
    facts: &mut Facts,
) -> Result<(), Stop> {
    match answer {
        Answer::Decided { allow, code, reason } => {
            decided_so(facts, id, *allow, code, reason);
            Ok(())
        }
        // The code says which decision point it was (`pdp:Cedar`); what went wrong is in the reason.
        Answer::Failed { code: _, reason } => {
            Err(denial::failed(program, decision.denial, "", reason).into())
        }
        Answer::Refused { code, reason } => {
            Err(denial::failed(program, decision.denial, code, reason).into())
        }
        Answer::Done
        | Answer::Labels(_)
        | Answer::Granted { .. }
        | Answer::Approved(_)
        | Answer::Pending(_)
        | Answer::Skipped => Err(denial::bad_answer().into()),
    }
}
