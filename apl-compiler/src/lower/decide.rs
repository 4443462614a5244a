//! Steps that ask a decision point outside the program.

use apl_bytecode::{AttrId, Const, Decision, Dialect, Effect as Outside, Instr, Phase};

use super::labels::{self, Reads};
use super::phase::{Emitter, Place};
use super::policy::Lowering;
use super::steps;
use crate::diagnostics::{self, error, warning};
use crate::source::Span;
use crate::syntax::{Pdp, parse_path};
use crate::vocabulary::NAMESPACES;
use crate::yaml::{Node, Value};

/// Asks, waits, and goes on with the steps for the answer. A denied decision denies whatever those do.
pub(super) fn decision(pdp: &Pdp, span: Span, place: &Place, out: &mut Emitter<'_, '_>) {
    let (dialect, error_code) = match pdp.dialect.as_str() {
        "cedar" => (Dialect::Cedar, "pdp:Cedar".to_owned()),
        "opa" => (Dialect::Opa, "pdp:Opa".to_owned()),
        "authzen" => (Dialect::AuthZen, "pdp:AuthZen".to_owned()),
        "nemo" => (Dialect::NeMo, "pdp:NeMo".to_owned()),
        name => (Dialect::Custom, format!("pdp:Custom(\"{name}\")")),
    };
    let error_code = out.named(&error_code, place);
    let Some(call) = arguments(pdp, span, out.lowering) else {
        return;
    };
    let mut point = out
        .lowering
        .document
        .points
        .iter()
        .find(|point| point.name == pdp.dialect);
    if let Some(point) = &mut point {
        out.lowering.asked.insert(point.name.clone());
    }
    let Some(point) = point else {
        let message = format!("no decision point `{}` is declared", pdp.dialect);
        out.lowering.reports.push(
            warning(diagnostics::Code::UnknownPlugin, span, message).help(format!(
                "declare it under `global: {{pdp: [...]}}`; until then this step denies with `{}`",
                apl_bytecode::spell_code(&out.lowering.tables.program, &error_code)
            )),
        );
        let denial = out
            .lowering
            .tables
            .denial(error_code, Some("the decision point is not deployed"));
        return out.push(Instr::Deny(denial), span);
    };
    let position = out.position(place);
    let reads = labels::code(&out.lowering.tables.program, &call);
    // Labels cost a question of their own, so they go along only where somebody can want them.
    let wants_labels = point.reads_labels || out.has_labels() || reads.labels;
    out.provide(
        Reads {
            labels: wants_labels,
            granted: true,
        },
        &position,
        span,
    );
    let input = input(out, wants_labels);
    let tables = &mut out.lowering.tables;
    let call = tables.expr(call);
    let failed = tables.denial(error_code, None);
    let decision = Decision {
        dialect,
        point: tables.str(&pdp.dialect),
        call,
        input,
        denial: failed,
    };
    let effect = tables.effect(Outside::Decide(decision));
    let denied = tables.denial(position, None);
    out.push(Instr::Effect(effect), span);
    out.wait(span);
    out.push(Instr::Answer(effect), span);
    let jump = out.code.len();
    out.push(Instr::Decide(0), span);
    out.branch(|out| {
        for inner in &pdp.on_deny {
            steps::step(inner, &place.reaction(false, inner.index), out);
        }
    });
    out.push(Instr::DenyAs(effect, denied), span);
    let here = out.here();
    if let Some(instr) = out.code.get_mut(jump) {
        *instr = Instr::Decide(here);
    }
    for inner in &pdp.on_allow {
        steps::step(inner, &place.reaction(true, inner.index), out);
    }
}

/// Whole namespaces: what the decision point's policies read is not known here. Credentials are in none of them, and of
/// request headers only those that this policy names.
fn input(out: &mut Emitter<'_, '_>, labels: bool) -> Vec<AttrId> {
    let post = out.phase == Phase::Post;
    let tables = &mut out.lowering.tables;
    NAMESPACES
        .iter()
        .map(|(name, _, _)| *name)
        .filter(|name| (post || *name != "result") && (labels || *name != "security") && *name != "data")
        .map(|name| tables.attr_of(&[name]))
        .collect()
}

/// The call's arguments as an expression. What stands in parentheses is the argument that the dialect has most use for.
fn arguments(pdp: &Pdp, span: Span, lowering: &mut Lowering<'_>) -> Option<Vec<Instr>> {
    let mut code = Vec::new();
    let mut count = 0_u16;
    if let Some((argument, at)) = &pdp.argument {
        let key = match pdp.dialect.as_str() {
            "opa" => "query",
            "cedar" | "authzen" => "action",
            _ => "args",
        };
        if pdp.body.iter().any(|(known, _, _)| known == key) {
            let message = format!("`{key}` stands in parentheses and in the map");
            lowering
                .reports
                .error(diagnostics::Code::TwoSpellings, *at, message);
            return None;
        }
        text(key, lowering, &mut code);
        text(argument, lowering, &mut code);
        count += 1;
    }
    for (key, _, node) in &pdp.body {
        text(key, lowering, &mut code);
        value(node, lowering, &mut code)?;
        count = count.saturating_add(1);
    }
    if count == 0 && matches!(pdp.dialect.as_str(), "cedar" | "opa") {
        let (key, example) = if pdp.dialect == "opa" {
            ("query", "- opa: {query: data.tools.allow}")
        } else {
            (
                "action",
                "- cedar: {action: 'Action::\"read\"', resource: {type: Tool, id: \"${meta.entity_name}\"}}",
            )
        };
        let message = format!("`{}` needs `{key}`", pdp.dialect);
        lowering
            .reports
            .push(error(diagnostics::Code::MissingKey, span, message).help(example));
        return None;
    }
    code.push(Instr::Map(count));
    Some(code)
}

fn text(text: &str, lowering: &mut Lowering<'_>, code: &mut Vec<Instr>) {
    let id = lowering.tables.str(text);
    let constant = lowering.tables.constant(Const::Str(id));
    code.push(Instr::Const(constant));
}

/// A YAML value; a text that is nothing but `${attribute}` is that attribute's value.
fn value(node: &Node, lowering: &mut Lowering<'_>, code: &mut Vec<Instr>) -> Option<()> {
    let constant = match &node.value {
        Value::Null => Const::Null,
        Value::Bool(value) => Const::Bool(*value),
        Value::Int(value) => Const::Int(*value),
        Value::Float(value) => Const::Float(*value),
        Value::Str(written, _) => {
            let Some(inner) = written.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')) else {
                text(written, lowering, code);
                return Some(());
            };
            let whole = node.text(lowering.text_of(node.span))?;
            let slice = whole.all().sub(2, 2 + inner.len()).trim();
            if slice.is_empty() {
                text(written, lowering, code);
                return Some(());
            }
            return match parse_path(slice) {
                Ok(path) => {
                    lowering.check_path(&path);
                    let attr = lowering.tables.attr(&path);
                    code.push(Instr::Load(attr));
                    Some(())
                }
                Err(fault) => {
                    lowering.reports.push(*fault);
                    None
                }
            };
        }
        Value::List(items) => {
            for item in items {
                value(item, lowering, code)?;
            }
            code.push(Instr::List(u16::try_from(items.len()).ok()?));
            return Some(());
        }
        Value::Map(entries) => {
            for entry in entries {
                text(&entry.key, lowering, code);
                value(&entry.node, lowering, code)?;
            }
            code.push(Instr::Map(u16::try_from(entries.len()).ok()?));
            return Some(());
        }
    };
    let constant = lowering.tables.constant(constant);
    code.push(Instr::Const(constant));
    Some(())
}
