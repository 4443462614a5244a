//! What a route in shadow would do, and does not.

use apl_bytecode::{Effect, Enforcement, Instr, Route};

use super::policy::Lowering;
use crate::diagnostics::{Code, note, warning};
use crate::document::{Document, EnforcementDecl, RouteDecl};

/// Says what the route does without, so that nobody takes a shadow for the whole.
pub(crate) fn left_out(decl: &RouteDecl, route: &Route, lowering: &mut Lowering<'_>) {
    let program = &lowering.tables.program;
    let blocks = [route.pre, route.post].into_iter().flatten();
    let code = blocks
        .filter_map(|id| program.blocks.get(id.at()))
        .flat_map(|block| &block.code);
    let (mut mints, mut unknown) = (false, false);
    for instr in code {
        let Instr::Effect(id) = instr else { continue };
        match program.effects.get(id.at()) {
            Some(Effect::Delegate(_) | Effect::Attenuate(_)) => mints = true,
            Some(Effect::Elicit(_) | Effect::Count(_)) => unknown = true,
            Some(
                Effect::Taint { .. }
                | Effect::LoadLabels { .. }
                | Effect::Audit { .. }
                | Effect::Decide(_)
                | Effect::Restrict(_),
            )
            | None => {}
        }
    }
    let mut without = Vec::new();
    if route.assertions.is_some() {
        without.push("its headers are neither asserted nor removed from what the client sends");
    }
    if mints {
        without.push("no token is minted, and the caller's own credentials go on");
    }
    if unknown {
        without.push("behind an approval, a `limit` or a `budget` its verdict is unknown");
    }
    if !without.is_empty() {
        let message = format!("`{}` is in shadow: {}", decl.selector.name, without.join("; "));
        lowering.reports.push(
            note(Code::InShadow, decl.span, message)
                .help("that begins when it is enforced: at `until`, or when `enforcement: shadow` goes"),
        );
    }
}

/// Shadows that are over by `now`.
pub(crate) fn ended(document: &Document, now: u64, reports: &mut crate::diagnostics::Reports) {
    let all = document.routes.iter().filter_map(|route| route.enforcement);
    let mut seen = Vec::new();
    for EnforcementDecl { value, span } in all.chain(document.enforcement) {
        // One for each name of a list.
        let over = matches!(value, Enforcement::Shadow(until) if until > 0 && until <= now);
        if over && !seen.contains(&span) {
            seen.push(span);
            reports.push(
                warning(
                    Code::Shadow,
                    span,
                    "this shadow is over: the policy is enforced at once",
                )
                .help("remove `enforcement` and `until`, or name a later moment"),
            );
        }
    }
}
