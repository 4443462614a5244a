//! Asking for effects: what is looked up and what is visible at once.

use apl_bytecode::{
    Delegate, DenialId, Effect, EffectId, OnError, Program, Restrict, Scopes, StrId, spell_code,
    spell_position,
};

use super::{Env, denial, question, text};
use crate::{
    facts::Facts,
    fuel::{Exhausted, Fuel},
    outcome::{Bound, DelegateCall, DenialInfo, Origin},
    prepared::Prepared,
    restrict::Refused,
};

/// Facts that a delegation writes, with those below it.
pub(super) const GRANTED: &str = "delegation.granted";
/// Facts that an elicitation writes stand below this.
pub(super) const ELICITATION: &str = "elicitation";

/// An effect of the program with everything filled in; `None` when nothing has to happen outside. `Err`: it cannot be
/// filled in, and denies.
pub(super) fn effect(
    prepared: &Prepared,
    id: EffectId,
    env: &mut Env<'_>,
    fuel: &mut Fuel,
) -> Result<Result<Option<(Origin, Bound)>, DenialInfo>, Exhausted> {
    let program = prepared.program();
    let Some(effect) = program.effects.get(id.at()) else {
        return Ok(Err(denial::misuse()));
    };
    let facts = &mut *env.facts;
    let bound = match effect {
        Effect::Taint {
            label,
            scopes,
            ttl_s,
            denial,
        } => {
            let rule = position(program, *denial);
            match taint(text(program, *label), *scopes, *ttl_s, rule, facts) {
                Some(bound) => bound,
                None => return Ok(Ok(None)),
            }
        }
        Effect::LoadLabels { denial } => Bound::LoadLabels {
            rule: position(program, *denial),
        },
        Effect::Delegate(delegate) => {
            clear(facts, GRANTED);
            Bound::Delegate(delegated(program, delegate))
        }
        Effect::Attenuate(attenuate) => {
            clear(facts, GRANTED);
            let mut call = delegated(program, &attenuate.delegate);
            if let Err(denied) = question::attenuate(prepared, attenuate, env, &mut call) {
                return Ok(Err(denied));
            }
            Bound::Delegate(call)
        }
        Effect::Audit {
            plugin,
            durable,
            code,
        } => Bound::Audit {
            plugin: text(program, *plugin).to_owned(),
            durable: *durable,
            rule: spell_code(program, code),
        },
        Effect::Elicit(elicit) => {
            clear(facts, ELICITATION);
            facts.answers.remove(&id);
            match question::elicit(prepared, elicit, env, fuel)? {
                Ok(call) => Bound::Elicit(Box::new(call)),
                Err(denied) => return Ok(Err(denied)),
            }
        }
        Effect::Decide(decision) => {
            facts.answers.remove(&id);
            match question::decide(prepared, decision, None, env, fuel)? {
                Ok(call) => Bound::Decide(Box::new(call)),
                Err(denied) => return Ok(Err(denied)),
            }
        }
        Effect::Count(count) => match question::count(prepared, count, env) {
            Ok(call) => Bound::Count(call),
            Err(denied) => return Ok(Err(denied)),
        },
        Effect::Restrict(restrict) => return Ok(narrow(prepared, restrict, env).map(|()| None)),
    };
    Ok(Ok(Some((Origin::Effect(id), bound))))
}

fn delegated(program: &Program, delegate: &Delegate) -> DelegateCall {
    let owned = |id: StrId| text(program, id).to_owned();
    DelegateCall {
        delegator: owned(delegate.delegator),
        target: owned(delegate.target),
        audience: owned(delegate.audience),
        permissions: delegate.permissions.iter().map(|id| owned(*id)).collect(),
        subject: delegate.subject,
        actor: delegate.actor,
        ttl_s: delegate.ttl_s,
        stops: delegate.on_error == OnError::Deny,
        rule: position(program, delegate.denial),
        header: String::new(),
        checks: Vec::new(),
    }
}

/// Adds a constraint to those of the phase.
pub(super) fn narrow(prepared: &Prepared, restrict: &Restrict, env: &mut Env<'_>) -> Result<(), DenialInfo> {
    let mut constraint = std::mem::take(&mut env.facts.constraint);
    let added = constraint.add(restrict, &env.scope(prepared, None));
    let impossible = constraint.impossible();
    env.facts.constraint = constraint;
    let deny =
        |code: &str, reason: String| Err(denial::failed(prepared.program(), restrict.denial, code, &reason));
    match (added, impossible) {
        (Err(Refused::Unresolved(kind)), _) => deny(
            "",
            format!("`restrict`: the reference of {} names nothing", kind.name()),
        ),
        (Err(Refused::Conflict(label)), _) => deny(
            "policy.restrict_conflict",
            format!("`restrict`: two rules want different values of `{label}`"),
        ),
        (Ok(()), Some(kind)) => deny(
            "policy.restrict_empty",
            format!("`restrict`: nothing is left in {}", kind.name()),
        ),
        (Ok(()), None) => Ok(()),
    }
}

/// A label is visible to later rules at once. One of `message` scope alone ends with the exchange, so nobody else has to
/// hear of it.
pub(super) fn taint(
    label: &str,
    scopes: Scopes,
    ttl_s: u32,
    rule: String,
    facts: &mut Facts,
) -> Option<Bound> {
    facts.labels.known.insert(label.to_owned());
    let outlives = scopes.has(Scopes::SESSION) || scopes.has(Scopes::SUBJECT);
    outlives.then(|| Bound::Taint {
        label: label.to_owned(),
        scopes,
        ttl_s,
        rule,
    })
}

/// Forgets what an earlier effect of the kind was answered (`design/language.md` row 19).
pub(super) fn clear(facts: &mut Facts, name: &str) {
    facts.own.retain(|key, _| {
        key.strip_prefix(name)
            .is_none_or(|rest| !rest.is_empty() && !rest.starts_with('.'))
    });
}

pub(super) fn position(program: &Program, id: DenialId) -> String {
    program
        .denials
        .get(id.at())
        .map_or_else(String::new, |denial| spell_position(program, &denial.code))
}
