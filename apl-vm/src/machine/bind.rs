//! Asking for effects: what is looked up and what is visible at once.

use apl_bytecode::{DenialId, Effect, EffectId, OnError, Program, Scopes, StrId, spell_code, spell_position};

use super::text;
use crate::{
    facts::Facts,
    outcome::{Bound, DelegateCall, Origin},
};

/// Facts that a delegation writes, besides `delegation.granted` itself.
const GRANTED: &str = "delegation.granted";

/// An effect of the program with everything filled in; `None` when nothing has to happen outside.
pub(super) fn effect(program: &Program, id: EffectId, facts: &mut Facts) -> Option<(Origin, Bound)> {
    let bound = match program.effects.get(id.at())? {
        Effect::Taint {
            label,
            scopes,
            ttl_s,
            denial,
        } => {
            let rule = position(program, *denial);
            taint(text(program, *label), *scopes, *ttl_s, rule, facts)?
        }
        Effect::LoadLabels { denial } => Bound::LoadLabels {
            rule: position(program, *denial),
        },
        Effect::Delegate(delegate) => {
            clear_grant(facts);
            let owned = |id: StrId| text(program, id).to_owned();
            Bound::Delegate(DelegateCall {
                delegator: owned(delegate.delegator),
                target: owned(delegate.target),
                audience: owned(delegate.audience),
                permissions: delegate.permissions.iter().map(|id| owned(*id)).collect(),
                subject: delegate.subject,
                actor: delegate.actor,
                stops: delegate.on_error == OnError::Deny,
                rule: position(program, delegate.denial),
            })
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
    };
    Some((Origin::Effect(id), bound))
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

/// Forgets what an earlier delegation granted (`design/language.md` row 19).
pub(super) fn clear_grant(facts: &mut Facts) {
    facts.own.retain(|key, _| {
        key.strip_prefix(GRANTED)
            .is_none_or(|rest| !rest.is_empty() && !rest.starts_with('.'))
    });
}

fn position(program: &Program, id: DenialId) -> String {
    program
        .denials
        .get(id.at())
        .map_or_else(String::new, |denial| spell_position(program, &denial.code))
}
