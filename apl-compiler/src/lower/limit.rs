//! Counters and constraints.

use apl_bytecode::{Cost, Count, Effect as Outside, Instr, Members, Phase, Restrict};

use super::labels;
use super::phase::{Emitter, Place};
use crate::source::Span;
use crate::syntax::{CostDecl, Effect, EffectKind, LimitCall, MembersDecl, RestrictCall};

/// `limit` counts and denies what no longer fits. `budget` before the call denies when it is used up already, and counts;
/// after the call it counts only, because what it cost is spent.
pub(super) fn limit(call: &LimitCall, span: Span, place: &Place, out: &mut Emitter<'_, '_>) {
    let effect = Effect {
        span,
        kind: EffectKind::Limit(Box::new(call.clone())),
    };
    let position = out.position(place);
    out.provide(labels::effect(&effect), &position, span);
    for path in &call.by {
        out.lowering.check_path(path);
    }
    let code = out.named(call.code.as_deref().unwrap_or("limit.exceeded"), place);
    let denial = out.lowering.tables.denial(code, None);
    let name = match (&call.name, call.budget) {
        (Some(name), _) => name.clone(),
        // One budget a section, so that both phases of a route share it.
        (None, true) => format!("{}.budget.{}", place.source, call.window_s),
        (None, false) => apl_bytecode::spell_position(&out.lowering.tables.program, &position),
    };
    let tables = &mut out.lowering.tables;
    let count = Count {
        name: tables.str(&name),
        limit: call.limit,
        window_s: call.window_s,
        by: call.by.iter().map(|path| tables.attr(path)).collect(),
        cost: match &call.cost {
            CostDecl::Fixed(cost) => Cost::Fixed(*cost),
            CostDecl::Path(path) => Cost::Attr(tables.attr(path)),
        },
        denial,
    };
    if let CostDecl::Path(path) = &call.cost {
        out.lowering.check_path(path);
    }
    if !call.budget {
        return push(count, span, out);
    }
    let charge = Count {
        limit: u64::MAX,
        ..count.clone()
    };
    match place.phase {
        Phase::Pre => {
            let check = Count {
                cost: Cost::Fixed(0),
                limit: call.limit - 1,
                ..count
            };
            push(check, span, out);
            if !only_after(call) {
                push(charge, span, out);
            }
        }
        Phase::Post => push(charge, span, out),
    }
}

/// Whether the cost is known after the call only: then the same step stands in `post_invocation` too.
fn only_after(call: &LimitCall) -> bool {
    match &call.cost {
        CostDecl::Fixed(_) => false,
        CostDecl::Path(path) => {
            matches!(path.root(), "result" | "completion") || path.reads(&["llm", "tokens"])
        }
    }
}

fn push(count: Count, span: Span, out: &mut Emitter<'_, '_>) {
    let effect = out.lowering.tables.effect(Outside::Count(count));
    out.push(Instr::Effect(effect), span);
}

/// Nothing is asked: the machine folds constraints as they come.
pub(super) fn restrict(call: &RestrictCall, span: Span, place: &Place, out: &mut Emitter<'_, '_>) {
    let effect = Effect {
        span,
        kind: EffectKind::Restrict(Box::new(call.clone())),
    };
    let position = out.position(place);
    out.provide(labels::effect(&effect), &position, span);
    for (_, members) in &call.lists {
        if let MembersDecl::Path(path) = members {
            out.lowering.check_path(path);
        }
    }
    let tables = &mut out.lowering.tables;
    let denial = tables.denial(position, None);
    let restrict = Restrict {
        lists: call
            .lists
            .iter()
            .map(|(kind, members)| {
                let members = match members {
                    MembersDecl::Texts(texts) => Members::Texts(tables.strs(texts)),
                    MembersDecl::Path(path) => Members::Attr(tables.attr(path)),
                };
                (*kind, members)
            })
            .collect(),
        max_cost_tier: call.tier.as_ref().map(|tier| tables.str(tier)),
        custom: call
            .custom
            .iter()
            .map(|(label, value)| (tables.str(label), tables.str(value)))
            .collect(),
        fallback: call.fallback,
        denial,
    };
    let effect = tables.effect(Outside::Restrict(restrict));
    out.push(Instr::Effect(effect), span);
}
