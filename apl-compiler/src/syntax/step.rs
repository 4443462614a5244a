//! Entries of a phase list that are YAML maps.

use apl_bytecode::Side;

use super::ast::{Effect, EffectKind, Step, StepKind};
use super::scan::Parsed;
use super::value::{Argument, Keyword};
use super::{attenuation, decision, effect, predicate, restrict, rule};
use crate::diagnostics::{Code, Reports, error};
use crate::source::Source;
use crate::vocabulary::{DIALECTS, nearest};
use crate::yaml::{Entry, Node, Value};

/// What parsing needs to know and to fill.
pub(crate) struct Context<'a> {
    /// The file.
    pub source: &'a Source,
    /// Where diagnostics go.
    pub reports: &'a mut Reports,
    /// What the phase can change.
    pub side: Side,
}

/// Most steps of one list.
const MAX_STEPS: usize = u16::MAX as usize;

/// Parses a phase list or reaction list; every bad step is reported.
pub(crate) fn parse_steps(node: &Node, what: &str, cx: &mut Context<'_>) -> Vec<Step> {
    let Some(items) = node.as_list() else {
        cx.reports.push(
            error(
                Code::WrongType,
                node.span,
                format!("`{what}` is a list of steps, this is {}", node.kind()),
            )
            .help("begin each step with `- `"),
        );
        return Vec::new();
    };
    if items.len() > MAX_STEPS {
        cx.reports.error(
            Code::Limit,
            node.span,
            format!("a list has at most {MAX_STEPS} steps"),
        );
        return Vec::new();
    }
    items
        .iter()
        .zip(0_u16..)
        .filter_map(|(item, index)| {
            Some(Step {
                span: item.span,
                index,
                kind: step(item, cx)?,
            })
        })
        .collect()
}

fn step(node: &Node, cx: &mut Context<'_>) -> Option<StepKind> {
    if let Some(text) = node.text(&cx.source.text) {
        return keep(rule::step(text.all(), cx), cx);
    }
    let Some(entries) = node.as_map() else {
        let message = format!("a step is text or a map, this is {}", node.kind());
        cx.reports.push(
            error(Code::StepShape, node.span, message)
                .help("put a rule into quotes if YAML reads it as something else"),
        );
        return None;
    };
    if node.get("when").is_some() || node.get("do").is_some() {
        return when_do(node, entries, cx);
    }
    let reactions = |entry: &&Entry| matches!(entry.key.as_str(), "on_allow" | "on_deny");
    let mut own = entries.iter().filter(|entry| !reactions(entry));
    let (Some(main), None) = (own.next(), own.next()) else {
        let message = "a step that is a map has one key";
        cx.reports.push(
            error(Code::StepShape, node.span, message).help("if this was meant as a rule, put it into quotes; begin each step with `- `; `when` goes with `do`"),
        );
        return None;
    };
    let beside: Vec<&Entry> = entries.iter().filter(reactions).collect();
    map_step(main, &beside, cx)
}

pub(super) fn keep<T>(parsed: Parsed<T>, cx: &mut Context<'_>) -> Option<T> {
    parsed.map_err(|fault| cx.reports.push(*fault)).ok()
}

fn map_step(main: &Entry, beside: &[&Entry], cx: &mut Context<'_>) -> Option<StepKind> {
    let key = main.key_text(&cx.source.text);
    let head = main.key.split('(').next().unwrap_or("").trim();
    let is_pdp = DIALECTS.contains(&head) || head == "pdp";
    if !is_pdp && let Some(stray) = beside.first() {
        let message = format!("`{}` belongs to a decision point", stray.key);
        cx.reports.error(Code::StepShape, stray.key_span, message);
        return None;
    }
    if is_pdp {
        return decision::parse(main, beside, cx).map(StepKind::Pdp);
    }
    if matches!(head, "delegate" | "sequential" | "parallel" | "restrict") {
        return effect_map(main, cx).map(StepKind::Do);
    }
    if main.node.as_list().is_some() {
        let condition = key.all();
        let predicate = keep(predicate::parse(condition), cx);
        let effects = effects(&main.node, &main.key, cx);
        keep(rule::only_denies(condition, &effects), cx)?;
        return Some(StepKind::When(predicate?, effects));
    }
    let words = DIALECTS.iter().copied().chain([
        "when",
        "do",
        "delegate",
        "restrict",
        "sequential",
        "parallel",
        "pdp",
    ]);
    let help = match nearest(head, words) {
        Some(guess) => format!("did you mean `{guess}`?"),
        None => "a map is `when` with `do`, `delegate`, `restrict`, `sequential`, `parallel`, `cel`, `cedar`, `opa`, `authzen`, `nemo`, `pdp(name)`, or a predicate with a list of effects; a rule such as `role.hr: deny` must be in quotes".to_owned(),
    };
    cx.reports.push(
        error(
            Code::StepShape,
            main.key_span,
            format!("`{}` is no step", main.key),
        )
        .help(help),
    );
    None
}

fn when_do(node: &Node, entries: &[Entry], cx: &mut Context<'_>) -> Option<StepKind> {
    let mut good = true;
    for entry in entries
        .iter()
        .filter(|entry| !matches!(entry.key.as_str(), "when" | "do" | "id"))
    {
        cx.reports.push(
            error(
                Code::StepShape,
                entry.key_span,
                format!("`{}` does not belong beside `when` and `do`", entry.key),
            )
            .help("a conditional step has `when`, `do` and, if you like, `id`"),
        );
        good = false;
    }
    let (Some(when), Some(body)) = (node.get("when"), node.get("do")) else {
        let missing = if node.get("when").is_none() { "when" } else { "do" };
        cx.reports
            .error(Code::StepShape, node.span, format!("`{missing}` is missing"));
        return None;
    };
    let condition = when.node.text(&cx.source.text);
    let predicate = match &condition {
        Some(text) => keep(predicate::parse(text.all()), cx),
        None => {
            let message = format!("`when` is a predicate in quotes, this is {}", when.node.kind());
            cx.reports.error(Code::WrongType, when.node.span, message);
            None
        }
    };
    let effects = effects(&body.node, "do", cx);
    if let Some(text) = &condition {
        keep(rule::only_denies(text.all(), &effects), cx)?;
    }
    (good && !effects.is_empty()).then_some(())?;
    Some(StepKind::When(predicate?, effects))
}

/// One effect, or a list of them; empty when there are errors, which are reported.
fn effects(node: &Node, what: &str, cx: &mut Context<'_>) -> Vec<Effect> {
    let items = match &node.value {
        Value::List(items) => items.as_slice(),
        Value::Str(..) | Value::Map(_) => std::slice::from_ref(node),
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) => {
            cx.reports.error(
                Code::WrongType,
                node.span,
                format!(
                    "`{what}` is an effect or a list of effects, this is {}",
                    node.kind()
                ),
            );
            return Vec::new();
        }
    };
    if items.is_empty() {
        cx.reports
            .error(Code::StepShape, node.span, format!("`{what}` has no effects"));
    }
    items.iter().filter_map(|item| effect_node(item, cx)).collect()
}

fn effect_node(node: &Node, cx: &mut Context<'_>) -> Option<Effect> {
    if let Some(text) = node.text(&cx.source.text) {
        return rule::effect_text(text.all(), cx);
    }
    match node.as_map() {
        Some([entry])
            if matches!(
                entry.key.as_str(),
                "delegate" | "sequential" | "parallel" | "restrict"
            ) =>
        {
            effect_map(entry, cx)
        }
        Some(_) => {
            cx.reports.push(
                error(Code::NotAnEffect, node.span, "conditions and decision points cannot stand inside effects")
                    .help("put it into the phase list as a step of its own, with the outer condition joined to its own by `&`"),
            );
            None
        }
        None => {
            cx.reports.error(
                Code::WrongType,
                node.span,
                format!("an effect is text or a map, this is {}", node.kind()),
            );
            None
        }
    }
}

fn effect_map(entry: &Entry, cx: &mut Context<'_>) -> Option<Effect> {
    let span = entry.key_span;
    let kind = match entry.key.as_str() {
        "delegate" => EffectKind::Delegate(delegate_map(entry, cx)?),
        "restrict" => {
            let call = restrict::parse(entry, cx)?;
            if cx.side == Side::Result {
                cx.reports.push(
                    error(
                        Code::WrongPhase,
                        span,
                        "the request has gone on: there is nothing left to restrict",
                    )
                    .help("move it to `pre_invocation`"),
                );
                return None;
            }
            EffectKind::Restrict(Box::new(call))
        }
        word => {
            if entry.node.as_list().is_none() {
                cx.reports.error(
                    Code::WrongType,
                    entry.node.span,
                    format!("`{word}` is a list of effects, this is {}", entry.node.kind()),
                );
                return None;
            }
            let effects = effects(&entry.node, word, cx);
            if word == "parallel" {
                effects.iter().for_each(|effect| check_parallel(effect, cx));
                EffectKind::Parallel(effects)
            } else {
                EffectKind::Sequential(effects)
            }
        }
    };
    Some(Effect { span, kind })
}

fn check_parallel(effect: &Effect, cx: &mut Context<'_>) {
    let what = match &effect.kind {
        EffectKind::Field(_) => "a field operation",
        EffectKind::Delegate(_) => "a delegation",
        EffectKind::Elicit(_) => "an approval",
        EffectKind::Sequential(inner) | EffectKind::Parallel(inner) => {
            inner.iter().for_each(|effect| check_parallel(effect, cx));
            return;
        }
        EffectKind::Allow
        | EffectKind::Deny(..)
        | EffectKind::Run(_)
        | EffectKind::Taint(_)
        | EffectKind::Limit(_)
        | EffectKind::Restrict(_) => return,
    };
    cx.reports.push(
        error(
            Code::Parallel,
            effect.span,
            format!("{what} cannot run in `parallel`"),
        )
        .help("use `sequential`, or put it into a step of its own"),
    );
}

fn delegate_map(entry: &Entry, cx: &mut Context<'_>) -> Option<super::ast::DelegateCall> {
    let Some(plugin) = entry
        .node
        .get("plugin")
        .filter(|plugin| plugin.node.as_str().is_some_and(|name| !name.is_empty()))
    else {
        cx.reports.push(
            error(
                Code::BadArgument,
                entry.key_span,
                "`delegate` needs `plugin`, the delegator's name",
            )
            .help("delegate: {plugin: workday-oauth, config: {target: workday-api}}"),
        );
        return None;
    };
    let name = plugin.node.as_str().unwrap_or("").to_owned();
    let mut call = effect::delegation(name, plugin.node.span);
    let mut settings: Vec<&Entry> = Vec::new();
    for part in entry.node.as_map().unwrap_or(&[]) {
        match part.key.as_str() {
            "plugin" => {}
            "on_error" => settings.push(part),
            "config" => settings.extend(part.node.as_map().unwrap_or(&[])),
            other => {
                cx.reports.push(
                    error(Code::Keyword, part.key_span, format!("`{other}` does not belong here")).help("`delegate:` has `plugin`, `config` and `on_error`; target, audience and permissions go under `config`"),
                );
            }
        }
    }
    for part in settings {
        if part.key == "attenuation" {
            attenuation::read(&part.node, &mut call, cx)?;
            continue;
        }
        let Some(value) = argument(&part.node) else {
            cx.reports.error(
                Code::WrongType,
                part.node.span,
                format!("`{}` is text or a list, this is {}", part.key, part.node.kind()),
            );
            continue;
        };
        let keyword = Keyword {
            key: part.key.clone(),
            key_span: part.key_span,
            value,
            value_span: part.node.span,
        };
        keep(effect::set(&mut call, &keyword), cx);
    }
    Some(call)
}

fn argument(node: &Node) -> Option<Argument> {
    match &node.value {
        Value::Str(text, _) => Some(Argument::Text(text.clone())),
        Value::Bool(_) | Value::Int(_) | Value::Float(_) => node.scalar().map(Argument::Other),
        Value::List(items) => items
            .iter()
            .map(argument)
            .collect::<Option<_>>()
            .map(Argument::List),
        Value::Null | Value::Map(_) => None,
    }
}
