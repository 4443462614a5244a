//! `attenuation` of a delegation: `{ttl: 5m, actions: [...], capabilities: [...], resource_template: "hr://people/${args.id}"}`.

use super::ast::{AttenuationDecl, DelegateCall, From};
use super::step::Context;
use super::{effect, path};
use crate::diagnostics::{Code, error};
use crate::vocabulary::nearest;
use crate::yaml::{Entry, Node, Value};

const KEYS: &[&str] = &[
    "ttl",
    "ttl_seconds",
    "actions",
    "capabilities",
    "resource_template",
];

/// Reads it into the delegation.
pub(super) fn read(node: &Node, call: &mut DelegateCall, cx: &mut Context<'_>) -> Option<()> {
    let Some(entries) = node.as_map().filter(|entries| !entries.is_empty()) else {
        let report = error(
            Code::Keyword,
            node.span,
            "`attenuation` is a map that is not empty",
        );
        cx.reports.push(report.help("attenuation: {ttl: 5m}"));
        return None;
    };
    let mut narrowed = AttenuationDecl {
        span: node.span,
        actions: Vec::new(),
        capabilities: Vec::new(),
        resource: Vec::new(),
    };
    for entry in entries {
        match (entry.key.as_str(), &entry.node.value) {
            ("ttl", Value::Str(text, _)) => match effect::seconds(text) {
                Some(seconds) => call.ttl_s = seconds,
                None => return wrong(entry, "a time as `5m`", cx),
            },
            ("ttl_seconds", Value::Int(seconds)) => match u32::try_from(*seconds) {
                Ok(seconds @ 1..) => call.ttl_s = seconds,
                Ok(0) | Err(_) => return wrong(entry, "a number of seconds, at least 1", cx),
            },
            ("actions", Value::List(items)) => narrowed.actions = texts(entry, items, cx)?,
            ("capabilities", Value::List(items)) => narrowed.capabilities = texts(entry, items, cx)?,
            ("resource_template", Value::Str(text, _)) if !text.is_empty() => {
                narrowed.resource = template(&entry.node, cx)?;
            }
            ("ttl", _) => return wrong(entry, "a time as `5m`", cx),
            ("ttl_seconds", _) => return wrong(entry, "a number of seconds, at least 1", cx),
            ("actions" | "capabilities", _) => return wrong(entry, "a list of texts", cx),
            ("resource_template", _) => return wrong(entry, "text as `hr://people/${args.id}`", cx),
            (other, _) => {
                let message = format!("`attenuation` has no key `{other}`");
                let report = error(Code::Keyword, entry.key_span, message);
                cx.reports.push(match nearest(other, KEYS.iter().copied()) {
                    Some(guess) => report.help(format!("did you mean `{guess}`?")),
                    None => report.help(format!("keys are {}", KEYS.join(", "))),
                });
                return None;
            }
        }
    }
    let narrows = [&narrowed.actions, &narrowed.capabilities]
        .iter()
        .any(|list| !list.is_empty());
    if narrows || !narrowed.resource.is_empty() {
        call.attenuation = Some(narrowed);
    }
    Some(())
}

fn wrong<T>(entry: &Entry, what: &str, cx: &mut Context<'_>) -> Option<T> {
    let message = format!("`{}` of `attenuation` is {what}", entry.key);
    cx.reports.error(Code::Keyword, entry.node.span, message);
    None
}

fn texts(entry: &Entry, items: &[Node], cx: &mut Context<'_>) -> Option<Vec<String>> {
    let text = |item: &Node| item.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    match items.iter().map(text).collect::<Option<Vec<String>>>() {
        Some(texts) if !texts.is_empty() => Some(texts),
        Some(_) | None => wrong(entry, "a list of texts, none of them empty", cx),
    }
}

/// Text with `${attribute}` in it.
fn template(node: &Node, cx: &mut Context<'_>) -> Option<Vec<From>> {
    let whole = node.text(&cx.source.text)?;
    let all = whole.all();
    let text = all.as_str();
    let (mut parts, mut at) = (Vec::new(), 0);
    while let Some(open) = text.get(at..).and_then(|rest| rest.find("${")) {
        let open = at + open;
        let Some(close) = text.get(open..).and_then(|rest| rest.find('}')) else {
            let message = "`${` has no `}` behind it".to_owned();
            cx.reports
                .error(Code::BadArgument, all.sub(open, open + 2).span(), message);
            return None;
        };
        let close = open + close;
        if open > at {
            parts.push(From::Text(text.get(at..open)?.to_owned()));
        }
        match path::whole(all.sub(open + 2, close).trim()) {
            Ok(path) => parts.push(From::Path(path)),
            Err(fault) => {
                cx.reports.push(*fault);
                return None;
            }
        }
        at = close + 1;
    }
    if let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        parts.push(From::Text(rest.to_owned()));
    }
    Some(parts)
}
