//! Taking answers.

use apl_bytecode::{Effect, OnError, Program};

use super::{bind, denial};
use crate::{
    facts::{Fact, Facts},
    outcome::{Answer, DenialInfo, Origin},
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
) -> Result<(), DenialInfo> {
    if asked.len() != answers.len() {
        return Err(denial::bad_answer());
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

fn one(program: &Program, origin: Origin, answer: &Answer, facts: &mut Facts) -> Result<(), DenialInfo> {
    let effect = match origin {
        Origin::Pipeline(id) => {
            let pipeline = program.pipelines.get(id.at()).ok_or_else(denial::bad_answer)?;
            return match answer {
                Answer::Done => Ok(()),
                Answer::Failed { code, reason } => {
                    Err(denial::failed(program, pipeline.denial, code, reason))
                }
                Answer::Labels(_) | Answer::Granted { .. } | Answer::Skipped => Err(denial::bad_answer()),
            };
        }
        Origin::Effect(id) => program.effects.get(id.at()).ok_or_else(denial::bad_answer)?,
    };
    match (effect, answer) {
        (Effect::Taint { .. } | Effect::Audit { .. }, Answer::Done) => Ok(()),
        (Effect::LoadLabels { .. }, Answer::Labels(labels)) => {
            facts.labels.known.extend(labels.iter().cloned());
            facts.labels.loaded = true;
            Ok(())
        }
        (
            Effect::Delegate(_),
            Answer::Granted {
                permissions,
                audience,
                expires_at,
            },
        ) => {
            bind::clear_grant(facts);
            let mut set = |key: &str, fact| facts.own.insert(key.to_owned(), fact);
            set("delegation.granted", Fact::Bool(true));
            set(
                "delegation.granted.permissions",
                Fact::Set(permissions.iter().cloned().collect()),
            );
            set("delegation.granted.audience", Fact::Str(audience.clone()));
            set("delegation.granted.expires_at", Fact::Str(expires_at.clone()));
            Ok(())
        }
        (Effect::Delegate(delegate), Answer::Failed { code, reason }) => match delegate.on_error {
            OnError::Deny => Err(denial::failed(program, delegate.denial, code, reason)),
            OnError::Continue => {
                bind::clear_grant(facts);
                facts
                    .own
                    .insert("delegation.granted".to_owned(), Fact::Bool(false));
                Ok(())
            }
        },
        (Effect::Taint { denial, .. } | Effect::LoadLabels { denial }, Answer::Failed { code, reason }) => {
            Err(denial::failed(program, *denial, code, reason))
        }
        (Effect::Audit { code: position, .. }, Answer::Failed { code, reason }) => {
            Err(denial::unaudited(program, position, code, reason))
        }
        (
            Effect::Taint { .. } | Effect::Audit { .. },
            Answer::Labels(_) | Answer::Granted { .. } | Answer::Skipped,
        )
        | (Effect::LoadLabels { .. }, Answer::Done | Answer::Granted { .. } | Answer::Skipped)
        | (Effect::Delegate(_), Answer::Done | Answer::Labels(_) | Answer::Skipped) => {
            Err(denial::bad_answer())
        }
    }
}
