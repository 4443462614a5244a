//! Steps that get a credential for the backend.

use apl_bytecode::{Attenuate, Delegate, Effect as Outside, Instr, OnError, Operand, Subject};

use super::labels;
use super::phase::{Emitter, Place};
use crate::diagnostics::{Code, error};
use crate::document::PluginKind;
use crate::source::Span;
use crate::syntax::{DelegateCall, From};

pub(super) fn delegate(call: &DelegateCall, span: Span, place: &Place, out: &mut Emitter<'_, '_>) {
    let Some(plugin) = out.lowering.plugin(&call.plugin, call.plugin_span) else {
        return;
    };
    let header = match &plugin.kind {
        PluginKind::Biscuit(biscuit) => Some(biscuit.header.clone()),
        PluginKind::Oauth(_) | PluginKind::BackendSecret(_) | PluginKind::Broken => None,
        other @ (PluginKind::Identity(_)
        | PluginKind::Pii(_)
        | PluginKind::Audit { .. }
        | PluginKind::Elicitor(_)) => {
            let message = format!("`{}` is {}, not a delegator", call.plugin, other.what());
            out.lowering.reports.push(
                error(Code::WrongKind, call.plugin_span, message)
                    .help("delegate needs a plugin of kind `delegator/oauth`"),
            );
            return;
        }
    };
    if !fits(call, header.is_some(), span, out) {
        return;
    }
    let position = out.position(place);
    out.provide(labels::effect_of_delegate(call), &position, span);
    let tables = &mut out.lowering.tables;
    let denial = tables.denial(position, None);
    let target = call.target.as_deref().unwrap_or(&call.plugin);
    // Without an audience the target is meant (`design/language.md` row 17).
    let audience = call.audience.as_deref().unwrap_or(target);
    let delegate = Delegate {
        delegator: tables.str(&call.plugin),
        target: tables.str(target),
        audience: tables.str(audience),
        permissions: tables.strs(&call.permissions),
        subject: call.subject,
        actor: call.actor,
        ttl_s: call.ttl_s,
        on_error: if call.goes_on {
            OnError::Continue
        } else {
            OnError::Deny
        },
        denial,
    };
    let outside = match header {
        None => Outside::Delegate(delegate),
        Some(header) => Outside::Attenuate(attenuate(call, delegate, &header, out)),
    };
    let effect = out.lowering.tables.effect(outside);
    out.push(Instr::Effect(effect), span);
    out.delegates = true;
}

/// Whether this kind of delegator can do what the step asks.
fn fits(call: &DelegateCall, narrows: bool, span: Span, out: &mut Emitter<'_, '_>) -> bool {
    let fault = match (narrows, &call.attenuation) {
        (false, Some(attenuation)) => error(
            Code::Keyword,
            attenuation.span,
            "`attenuation` holds `ttl`, and nothing else with this delegator",
        )
        .help("narrow what the token may do with `permissions`; a `delegator/biscuit` knows the other keys"),
        (true, _) if call.actor.is_some() => error(Code::Keyword, span, "a Biscuit names no actor")
            .help("remove `actor`; whom the token speaks for stands in its first block"),
        (true, _) if call.subject == Subject::ThisWorkload => error(
            Code::Keyword,
            span,
            "a Biscuit is what the caller brings, so `this_workload` has none",
        )
        .help("`subject` is `user`, `client` or `caller_workload`"),
        (true | false, _) => return true,
    };
    out.lowering.reports.push(fault);
    false
}

fn attenuate(call: &DelegateCall, delegate: Delegate, header: &str, out: &mut Emitter<'_, '_>) -> Attenuate {
    let narrowed = call.attenuation.as_ref();
    let parts = narrowed
        .map(|narrowed| narrowed.resource.as_slice())
        .unwrap_or_default();
    let resource = parts
        .iter()
        .map(|part| match part {
            From::Text(text) => Operand::Text(out.lowering.tables.str(text)),
            From::Path(path) => {
                out.lowering.check_path(path);
                Operand::Attr(out.lowering.tables.attr(path))
            }
        })
        .collect();
    let tables = &mut out.lowering.tables;
    let mut pairs = Vec::new();
    if let Some(narrowed) = narrowed {
        for (kind, values) in [
            ("action", &narrowed.actions),
            ("capability", &narrowed.capabilities),
        ] {
            pairs.extend(values.iter().map(|value| (tables.str(kind), tables.str(value))));
        }
    }
    Attenuate {
        delegate,
        header: tables.str(header),
        narrowed: pairs,
        resource,
    }
}
