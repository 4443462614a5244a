//! Entries of a phase list that are strings, and effects that are strings.

use apl_bytecode::Side;

use super::ast::{Effect, EffectKind, Predicate, StepKind};
use super::field_path::segments;
use super::scan::{Parsed, call, last_colon, split};
use super::step::Context;
use super::{Slice, effect, pipeline, predicate};
use crate::diagnostics::{Code, error, note, warning};
use crate::vocabulary::{DIALECTS, ELICITATIONS, STEP_CALLS};

/// Parses a string step.
pub(crate) fn step(text: Slice<'_>, cx: &mut Context<'_>) -> Parsed<StepKind> {
    let text = text.trim();
    if let Some(kind) = called(text, cx) {
        return kind.map(|kind| {
            StepKind::Do(Effect {
                span: text.span(),
                kind,
            })
        });
    }
    yaml_only(text)?;
    field_in_rule(text)?;
    match last_colon(text)? {
        Some(colon) => {
            let (condition, action) = (text.sub(0, colon).trim(), text.from(colon + 1).trim());
            let predicate = predicate::parse(condition)?;
            let effect = action_of(action)?;
            only_denies(condition, std::slice::from_ref(&effect))?;
            Ok(StepKind::When(predicate, vec![effect]))
        }
        None => match text.as_str() {
            "deny" => Ok(StepKind::Do(Effect {
                span: text.span(),
                kind: EffectKind::Deny(None, None),
            })),
            "allow" => Ok(StepKind::Do(Effect {
                span: text.span(),
                kind: EffectKind::Allow,
            })),
            _ => {
                let predicate = predicate::parse(text).map_err(|fault| misspelt_call(text, fault))?;
                looks_like_require(text, &predicate, cx);
                let deny = Effect {
                    span: text.span(),
                    kind: EffectKind::Deny(None, None),
                };
                Ok(StepKind::When(predicate, vec![deny]))
            }
        },
    }
}

/// A rule whose whole condition is `require(...)` may only deny.
pub(crate) fn only_denies(condition: Slice<'_>, effects: &[Effect]) -> Parsed<()> {
    if !predicate::is_require(condition)
        || effects
            .iter()
            .all(|effect| matches!(effect.kind, EffectKind::Deny(..)))
    {
        return Ok(());
    }
    Err(error(
        Code::Require,
        condition.span(),
        "a rule that is `require(...)` may only deny",
    )
    .help("`require(p)` holds when p does not; to act when p holds, write p itself as the condition")
    .into())
}

/// Effects written as calls. `None`: the text is none of them.
fn called(text: Slice<'_>, cx: &mut Context<'_>) -> Option<Parsed<EffectKind>> {
    let (name, arguments) = call(text)?;
    let known = STEP_CALLS.contains(&name) || ELICITATIONS.contains(&name);
    // `require(...)` is a predicate; `deny(...)` alone is an action.
    if !known || name == "require" {
        return None;
    }
    let arguments = match arguments {
        Ok(arguments) => arguments,
        Err(fault) => return Some(Err(fault)),
    };
    if name == "plugin" {
        cx.reports.push(
            note(
                Code::OldSpelling,
                text.sub(0, name.len()).span(),
                "`plugin(...)` is an old spelling",
            )
            .help("write `run(...)`"),
        );
    }
    effect::call(name, arguments)
}

fn yaml_only(text: Slice<'_>) -> Parsed<()> {
    let source = text.as_str();
    let words = DIALECTS
        .iter()
        .chain(&["sequential", "parallel", "restrict", "pdp"]);
    for word in words {
        let rest = source.strip_prefix(*word);
        if rest.is_some_and(|rest| rest.starts_with([':', '('])) {
            return Err(error(
                Code::YamlOnly,
                text.sub(0, word.len()).span(),
                format!("`{word}` is written as a YAML map, not as text"),
            )
            .help(format!("- {word}:\n    ..."))
            .into());
        }
    }
    Ok(())
}

/// `result.x | redact` in a phase list.
fn field_in_rule(text: Slice<'_>) -> Parsed<()> {
    let Ok(pieces) = split(text, '|') else {
        return Ok(());
    };
    let [head, rest @ ..] = pieces.as_slice() else {
        return Ok(());
    };
    let Some((side, name)) = field_path(head.as_str()) else {
        return Ok(());
    };
    if !rest
        .iter()
        .any(|piece| pipeline::looks_like_stage(piece.as_str()))
    {
        return Ok(());
    }
    let side = match side {
        Side::Args => "args",
        Side::Result => "result",
    };
    let name = if name.contains('[') {
        format!("'{name}'")
    } else {
        name.to_owned()
    };
    Err(error(
        Code::FieldInRule,
        text.span(),
        "a field operation is no rule; here it would be read as a predicate and do nothing",
    )
    .help(format!(
        "put it under `{side}:` as `{name}: \"...\"`, or into the `do:` of a `when:`"
    ))
    .into())
}

fn action_of(text: Slice<'_>) -> Parsed<Effect> {
    let kind = match text.as_str() {
        "deny" => EffectKind::Deny(None, None),
        "allow" => EffectKind::Allow,
        _ => match call(text) {
            Some(("deny", arguments)) => match effect::call("deny", arguments?) {
                Some(kind) => kind?,
                None => return Err(unsupported(text)),
            },
            _ => return Err(unsupported(text)),
        },
    };
    Ok(Effect {
        span: text.span(),
        kind,
    })
}

fn unsupported(text: Slice<'_>) -> Box<crate::diagnostics::Diagnostic> {
    let message = if text.is_empty() {
        "the action after the colon is missing".to_owned()
    } else {
        format!("`{}` is no action", text.as_str())
    };
    error(Code::UnsupportedAction, text.span(), message)
        .help("after the colon stands `deny`, `deny('reason', 'code')` or `allow`; other effects are written as `when:` and `do:`")
        .into()
}

/// `requires(role.hr)`, `run (x)`: a predicate error is not what the writer wants to read.
fn misspelt_call(
    text: Slice<'_>,
    fault: Box<crate::diagnostics::Diagnostic>,
) -> Box<crate::diagnostics::Diagnostic> {
    let source = text.as_str();
    let word = source.split('(').next().unwrap_or("");
    let words = STEP_CALLS.iter().chain(ELICITATIONS).copied();
    if !source.contains('(')
        || word.is_empty()
        || !word
            .trim_end()
            .chars()
            .all(|ch| ch.is_ascii_alphanumeric() || ch == '_')
    {
        return fault;
    }
    // Spelled right, the fault is in its arguments.
    let other = |guess: &&str| *guess != word.trim_end();
    match crate::vocabulary::nearest(word.trim_end(), words).filter(other) {
        Some(guess) => {
            let span = text.sub(0, word.len()).span();
            error(
                Code::PredicateSyntax,
                span,
                format!("there is no step `{}`", word.trim_end()),
            )
            .help(format!("did you mean `{guess}(...)`?"))
            .into()
        }
        None => fault,
    }
}

fn looks_like_require(text: Slice<'_>, predicate: &Predicate, cx: &mut Context<'_>) {
    let mut paths = Vec::new();
    predicate.paths(&mut paths);
    let positive = !matches!(predicate, Predicate::Not(_));
    let gates = ["role", "perm", "team", "authenticated"];
    if positive && !paths.is_empty() && paths.iter().all(|path| gates.contains(&path.root())) {
        let source = text.as_str();
        cx.reports.push(
            warning(Code::LooksLikeRequire, text.span(), format!("this denies everybody for whom `{source}` holds"))
                .label("short for `...: deny`")
                .help(format!("to let only them through, write `require({source})`; if denying is meant, write `{source}: deny`"))
                .fix(text.span(), format!("require({source})")),
        );
    }
}

/// Parses an effect that is a string.
pub(crate) fn effect_text(text: Slice<'_>, cx: &mut Context<'_>) -> Option<Effect> {
    let text = text.trim();
    let span = text.span();
    let kind = match text.as_str() {
        "deny" => EffectKind::Deny(None, None),
        "allow" => EffectKind::Allow,
        _ => {
            if let Some(field) = field_operation(text, cx) {
                return field.map(|kind| Effect { span, kind });
            }
            match called(text, cx).unwrap_or_else(|| Err(not_an_effect(text))) {
                Ok(kind) => kind,
                Err(fault) => {
                    cx.reports.push(*fault);
                    return None;
                }
            }
        }
    };
    Some(Effect { span, kind })
}

fn not_an_effect(text: Slice<'_>) -> Box<crate::diagnostics::Diagnostic> {
    error(Code::NotAnEffect, text.span(), format!("`{}` is no effect", text.as_str()))
        .help("effects are `deny(...)`, `allow`, `run(...)`, `taint(...)`, `delegate(...)`, approvals, and field operations such as `args.ssn | redact`; rules with conditions stand in the phase list")
        .into()
}

/// `args.card | mask(4)`. `None`: not a field operation; `Some(None)`: one with errors, which are reported.
fn field_operation(text: Slice<'_>, cx: &mut Context<'_>) -> Option<Option<EffectKind>> {
    let pieces = split(text, '|').ok()?;
    let [head, rest @ ..] = pieces.as_slice() else {
        return None;
    };
    let (side, name) = field_path(head.as_str())?;
    if rest.is_empty() {
        return None;
    }
    let stages = match pipeline::stages(rest, text.from(head.as_str().len())) {
        Ok(stages) => stages,
        Err(faults) => {
            faults.into_iter().for_each(|fault| cx.reports.push(fault));
            return Some(None);
        }
    };
    if cx.side != side {
        let (what, where_) = match side {
            Side::Args => ("arguments can only be changed before the call", "pre_invocation"),
            Side::Result => ("a result can only be changed after the call", "post_invocation"),
        };
        cx.reports
            .push(error(Code::WrongPhase, head.span(), what).help(format!("move it to `{where_}`")));
        return Some(None);
    }
    match pipeline::field(side, name, head.span(), stages) {
        Ok(field) => Some(Some(EffectKind::Field(field))),
        Err(fault) => {
            cx.reports.push(*fault);
            Some(None)
        }
    }
}

/// Side and name of `args.user.ssn` or `args["home.address"]`.
fn field_path(text: &str) -> Option<(Side, &str)> {
    let (side, rest) = match (text.strip_prefix("args"), text.strip_prefix("result")) {
        (Some(rest), _) => (Side::Args, rest),
        (None, Some(rest)) => (Side::Result, rest),
        (None, None) => return None,
    };
    let name = match rest.strip_prefix('.') {
        Some(name) if !name.starts_with('[') => name,
        None if rest.starts_with('[') => rest,
        Some(_) | None => return None,
    };
    let word = |seg: &str| seg == "**" || seg.chars().all(|ch| ch.is_alphanumeric() || ch == '_');
    segments(name)?
        .iter()
        .all(|(key, quoted)| *quoted || word(key))
        .then_some((side, name))
}
