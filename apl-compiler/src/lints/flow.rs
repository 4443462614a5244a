//! Steps that are never reached, and delegations that nothing guards.

use apl_bytecode::Phase;

use super::walk;
use crate::diagnostics::{Code, Reports, warning};
use crate::document::{Document, PluginKind, SectionDecl};
use crate::source::Span;
use crate::syntax::{Effect, EffectKind, Predicate, Step, StepKind};

/// Checks a list of steps, its effects and reactions.
pub(super) fn unreachable(steps: &[Step], reports: &mut Reports) {
    let mut ended: Option<Span> = None;
    let mut denied: Vec<(&Predicate, Span)> = Vec::new();
    for step in steps {
        if let Some(before) = ended {
            never(step.span, before, "every operation is denied before", reports);
            return;
        }
        match &step.kind {
            StepKind::Do(effect) => {
                if effect_denies(effect, reports) {
                    ended = Some(step.span);
                }
            }
            StepKind::When(condition, effects) => {
                if let Some((_, before)) = denied.iter().find(|(known, _)| same(known, condition)) {
                    never(step.span, *before, "the same condition denies before", reports);
                }
                if sequence(effects, reports) {
                    denied.push((condition, step.span));
                }
            }
            StepKind::Pdp(pdp) => {
                unreachable(&pdp.on_allow, reports);
                unreachable(&pdp.on_deny, reports);
            }
        }
    }
}

/// Whether a list of effects always denies; reports what stands behind the denial.
fn sequence(effects: &[Effect], reports: &mut Reports) -> bool {
    let mut ended: Option<Span> = None;
    for effect in effects {
        if let Some(before) = ended {
            never(
                effect.span,
                before,
                "the denial before it ends the phase",
                reports,
            );
            return true;
        }
        if effect_denies(effect, reports) {
            ended = Some(effect.span);
        }
    }
    ended.is_some()
}

fn effect_denies(effect: &Effect, reports: &mut Reports) -> bool {
    match &effect.kind {
        EffectKind::Deny(..) => true,
        EffectKind::Sequential(inner) => sequence(inner, reports),
        _ => false,
    }
}

fn never(span: Span, before: Span, why: &str, reports: &mut Reports) {
    reports.push(
        warning(Code::Unreachable, span, "this is never reached")
            .related(before, why)
            .help("remove it, or put it before the denial"),
    );
}

/// Whether two conditions are written alike; spans do not count.
fn same(a: &Predicate, b: &Predicate) -> bool {
    use crate::syntax::Test;
    let path = walk::same;
    match (a, b) {
        (Predicate::Not(a), Predicate::Not(b)) => same(a, b),
        (Predicate::And(a), Predicate::And(b)) | (Predicate::Or(a), Predicate::Or(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Predicate::Test(a), Predicate::Test(b)) => match (a, b) {
            (Test::Truth(a), Test::Truth(b)) | (Test::Exists(a), Test::Exists(b)) => path(a, b),
            (Test::Compare(op, a, x), Test::Compare(other, b, y)) => op == other && x == y && path(a, b),
            (Test::Contains(a, x), Test::Contains(b, y)) => path(a, b) && x == y,
            (Test::In(a, x), Test::In(b, y)) => path(a, b) && path(x, y),
            _ => false,
        },
        _ => false,
    }
}

/// Reports delegations of a phase before which nothing can deny.
pub(super) fn ungated(layers: &[&SectionDecl], document: &Document, reports: &mut Reports) {
    for layer in layers {
        for step in walk::phase(layer, Phase::Pre) {
            let mut gate = matches!(step.kind, StepKind::Pdp(_));
            let conditional = matches!(step.kind, StepKind::When(..));
            walk::effects(step, &mut |effect| match &effect.kind {
                EffectKind::Deny(..) => gate = true,
                EffectKind::Elicit(..) => gate = true,
                EffectKind::Run(name) => {
                    gate |= document
                        .plugins
                        .iter()
                        .any(|plugin| plugin.name == *name && matches!(plugin.kind, PluginKind::Pii(_)));
                }
                EffectKind::Delegate(_) if !conditional => reports.push(
                    warning(
                        Code::DelegateBeforeGate,
                        effect.span,
                        "a token is minted before any rule could deny",
                    )
                    .help("put a gate such as `require(role.hr)` first: whoever gets here gets a token"),
                ),
                _ => {}
            });
            if gate {
                return;
            }
        }
    }
}
