//! Steps that ask a human.

use apl_bytecode::{Effect as Outside, Elicit, Instr, OnError, Operand};

use super::phase::{Emitter, Place};
use super::{expression, labels};
use crate::diagnostics::{Code, error, warning};
use crate::document::PluginKind;
use crate::source::Span;
use crate::syntax::{ElicitCall, From};

/// Asks, waits, and then evaluates the scope: an approval of something else is none.
pub(super) fn elicit(call: &ElicitCall, span: Span, place: &Place, out: &mut Emitter<'_, '_>) {
    let verb = call.kind.verb();
    let Some(plugin) = out.lowering.plugin(&call.plugin, call.plugin_span) else {
        return;
    };
    if !matches!(plugin.kind, PluginKind::Elicitor(_) | PluginKind::Broken) {
        let message = format!(
            "`{}` is {}, not an approval handler",
            call.plugin,
            plugin.kind.what()
        );
        out.lowering
            .reports
            .push(error(Code::WrongKind, call.plugin_span, message).help(format!(
                "`{verb}` needs a plugin of kind `elicitation/ciba` or `elicitation/page`"
            )));
        return;
    }
    if place.phase == apl_bytecode::Phase::Post {
        out.lowering.reports.push(
            warning(
                Code::NeverPresent,
                span,
                "after the call an approval only decides about the answer: the operation has run",
            )
            .help("move the step to `pre_invocation`"),
        );
    }
    let position = out.position(place);
    let reads = labels::effect_of_elicit(call);
    out.provide(reads, &position, span);
    let from = match &call.from {
        From::Text(text) => Operand::Text(out.lowering.tables.str(text)),
        From::Path(path) => {
            out.lowering.check_path(path);
            Operand::Attr(out.lowering.tables.attr(path))
        }
    };
    for path in call.show.iter().flatten() {
        out.lowering.check_path(path);
    }
    let tables = &mut out.lowering.tables;
    let denial = tables.denial(position.clone(), None);
    let elicit = Elicit {
        kind: call.kind,
        handler: tables.str(&call.plugin),
        from,
        channel: call.channel.as_ref().map(|text| tables.str(text)),
        purpose: call.purpose.as_ref().map(|text| tables.str(text)),
        scope: call.scope.as_ref().map(|(text, _)| tables.str(text)),
        timeout_s: call.timeout_s,
        show: call
            .show
            .as_ref()
            .map(|shown| shown.iter().map(|path| tables.attr(path)).collect()),
        on_error: if call.goes_on {
            OnError::Continue
        } else {
            OnError::Deny
        },
        denial,
    };
    let effect = tables.effect(Outside::Elicit(elicit));
    out.push(Instr::Effect(effect), span);
    out.wait(span);
    let Some((_, scope)) = &call.scope else { return };
    out.lowering.check_predicate(scope);
    let unmet = out.lowering.tables.denial(
        position,
        Some("the approval is for a narrower scope than this call"),
    );
    // A step that was passed over has no approval whose scope could be asked about.
    let skip = call.goes_on.then(|| {
        out.push(Instr::Answer(effect), span);
        let at = out.code.len();
        out.push(Instr::SkipUnless(0, denial), span);
        at
    });
    let mut code = Vec::new();
    expression::predicate(scope, true, &mut out.lowering.tables, &mut code);
    out.extend(code, span);
    out.push(Instr::DenyIf(unmet), span);
    let here = out.here();
    if let Some(instr) = skip.and_then(|at| out.code.get_mut(at)) {
        *instr = Instr::SkipUnless(here, denial);
    }
}
