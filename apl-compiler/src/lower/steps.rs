//! Steps and effects.

use apl_bytecode::{Effect as Outside, Instr};

use super::labels;
use super::phase::{Emitter, Place};
use super::{cel, decide, delegate, elicit, expression, limit, pipeline};
use crate::diagnostics::{self, error};
use crate::document::PluginKind;
use crate::source::Span;
use crate::syntax::{Effect, EffectKind, Pdp, Predicate, Step, StepKind, TaintCall};

/// Lowers a step.
pub(crate) fn step(step: &Step, place: &Place, out: &mut Emitter<'_, '_>) {
    match &step.kind {
        StepKind::Do(inner) => effect(inner, place, out),
        StepKind::When(condition, effects) => when(condition, effects, step.span, place, out),
        StepKind::Pdp(pdp) => decision(pdp, step.span, place, out),
    }
}

fn when(condition: &Predicate, effects: &[Effect], span: Span, place: &Place, out: &mut Emitter<'_, '_>) {
    out.lowering.check_predicate(condition);
    let mut code = Vec::new();
    expression::predicate(condition, false, &mut out.lowering.tables, &mut code);
    let position = out.position(place);
    out.provide(labels::predicate(condition), &position, span);
    // `predicate: allow` does nothing, but an order comparison in it that cannot be made still denies.
    let effects: Vec<&Effect> = effects
        .iter()
        .filter(|effect| !matches!(effect.kind, EffectKind::Allow))
        .collect();
    match effects.as_slice() {
        [
            Effect {
                kind: EffectKind::Deny(reason, code_text),
                ..
            },
            ..,
        ] => {
            let denial = denial(reason.as_deref(), code_text.as_deref(), place, out);
            out.extend(code, span);
            out.push(Instr::DenyIf(denial), span);
        }
        _ => {
            let denial = out
                .lowering
                .tables
                .denial(position, Some("condition cannot be evaluated"));
            out.extend(code, span);
            let jump = out.code.len();
            out.push(Instr::SkipUnless(0, denial), span);
            out.branch(|out| effects.iter().for_each(|inner| effect(inner, place, out)));
            let here = out.here();
            if let Some(instr) = out.code.get_mut(jump) {
                *instr = Instr::SkipUnless(here, denial);
            }
        }
    }
}

fn denial(
    reason: Option<&str>,
    code: Option<&str>,
    place: &Place,
    out: &mut Emitter<'_, '_>,
) -> apl_bytecode::DenialId {
    let code = match code.filter(|code| !code.is_empty()) {
        Some(text) => out.named(text, place),
        None => out.position(place),
    };
    out.lowering
        .tables
        .denial(code, reason.filter(|reason| !reason.is_empty()))
}

fn effect(effect: &Effect, place: &Place, out: &mut Emitter<'_, '_>) {
    match &effect.kind {
        EffectKind::Allow => {}
        EffectKind::Deny(reason, code) => {
            let denial = denial(reason.as_deref(), code.as_deref(), place, out);
            out.push(Instr::Deny(denial), effect.span);
        }
        EffectKind::Run(name) => run(name, effect.span, place, out),
        EffectKind::Taint(call) => taint(call, effect.span, place, out),
        EffectKind::Delegate(call) => delegate::delegate(call, effect.span, place, out),
        EffectKind::Elicit(call) => elicit::elicit(call, effect.span, place, out),
        EffectKind::Limit(call) => limit::limit(call, effect.span, place, out),
        EffectKind::Restrict(call) => limit::restrict(call, effect.span, place, out),
        EffectKind::Field(field) => {
            let position = out.position(place);
            out.provide(labels::field(field), &position, effect.span);
            if let Some(id) = pipeline::field(field, position, out.lowering) {
                out.push(Instr::Pipeline(id), effect.span);
            }
        }
        // In a proxy nothing runs at the same time: written order is one of the orders that `parallel` allows, and its
        // reported denial is the first in written order too.
        EffectKind::Sequential(effects) | EffectKind::Parallel(effects) => {
            for inner in effects {
                self::effect(inner, place, out);
            }
        }
    }
}

fn run(name: &str, span: Span, place: &Place, out: &mut Emitter<'_, '_>) {
    let Some(kind) = out.lowering.kind(name, span) else {
        return;
    };
    match kind.clone() {
        PluginKind::Pii(pii) => {
            if !pipeline::denies(&pii) {
                let code = out.position(place);
                if let Some(id) = pipeline::everywhere(name, &pii, place.phase, code, span, out.lowering) {
                    out.push(Instr::Pipeline(id), span);
                }
                return;
            }
            let code = out.named(&pii.code, place);
            let denial = out.lowering.tables.denial(code, None);
            if let Some(scanner) = pipeline::scanner(name, &pii, out.lowering) {
                out.push(Instr::Scan(scanner, denial), span);
            }
        }
        PluginKind::Audit { durable } => {
            let code = out.position(place);
            let plugin = out.lowering.tables.str(name);
            let effect = out.lowering.tables.effect(Outside::Audit {
                plugin,
                durable,
                code,
            });
            out.push(Instr::Effect(effect), span);
        }
        PluginKind::Broken => {}
        other @ (PluginKind::Identity(_)
        | PluginKind::Oauth(_)
        | PluginKind::BackendSecret(_)
        | PluginKind::Biscuit(_)
        | PluginKind::Elicitor(_)) => {
            let help = match other {
                PluginKind::Oauth(_) | PluginKind::Biscuit(_) => {
                    format!("write `delegate({name}, target: ..., permissions: [...])`")
                }
                PluginKind::BackendSecret(_) => format!("write `delegate({name})`"),
                PluginKind::Elicitor(_) => format!("write `require_approval({name}, from: claim.manager)`"),
                _ => format!("list `{name}` under `authentication`"),
            };
            let message = format!("`{name}` is {}, which `run` cannot run", other.what());
            out.lowering
                .reports
                .push(error(diagnostics::Code::WrongKind, span, message).help(help));
        }
    }
}

fn taint(call: &TaintCall, span: Span, place: &Place, out: &mut Emitter<'_, '_>) {
    let code = out.position(place);
    let denial = out.lowering.tables.denial(code, None);
    let label = out.lowering.tables.str(&call.label);
    let effect = out.lowering.tables.effect(Outside::Taint {
        label,
        scopes: call.scopes,
        ttl_s: call.ttl_s,
        denial,
    });
    out.push(Instr::Effect(effect), span);
}

fn decision(pdp: &Pdp, span: Span, place: &Place, out: &mut Emitter<'_, '_>) {
    if pdp.dialect != "cel" {
        return decide::decision(pdp, span, place, out);
    }
    let Some(code) = cel::compile(pdp, span, out.lowering) else {
        return;
    };
    let position = out.position(place);
    out.provide(labels::code(&out.lowering.tables.program, &code), &position, span);
    out.extend(code, span);
    let jump = out.code.len();
    out.push(Instr::Decide(0), span);
    out.branch(|out| {
        for inner in &pdp.on_deny {
            step(inner, &place.reaction(false, inner.index), out);
        }
    });
    // Whatever the reactions do, a denied decision denies.
    let text = out.named("cel", place);
    let denial = out.lowering.tables.denial(text, None);
    out.push(Instr::Deny(denial), span);
    let here = out.here();
    if let Some(instr) = out.code.get_mut(jump) {
        *instr = Instr::Decide(here);
    }
    for inner in &pdp.on_allow {
        step(inner, &place.reaction(true, inner.index), out);
    }
}
