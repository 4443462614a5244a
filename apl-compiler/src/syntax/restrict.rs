//! `restrict: {allow_models: [...], ...}`.

use apl_bytecode::ListKind;

use super::ast::{MembersDecl, RestrictCall};
use super::path;
use super::step::Context;
use crate::diagnostics::{Code, error};
use crate::vocabulary::nearest;
use crate::yaml::{Entry, Node, Value};

const KEYS: &[&str] = &[
    "allow_models",
    "deny_models",
    "allow_regions",
    "allow_sites",
    "max_cost_tier",
    "custom",
    "on_empty",
];

/// Reads the map; `None`: errors, which are reported.
pub(super) fn parse(entry: &Entry, cx: &mut Context<'_>) -> Option<RestrictCall> {
    let Some(fields) = entry.node.as_map() else {
        let message = format!("`restrict` takes a map, this is {}", entry.node.kind());
        cx.reports
            .push(error(Code::WrongType, entry.node.span, message).help("restrict: {allow_regions: [eu]}"));
        return None;
    };
    let mut call = RestrictCall::default();
    let mut good = true;
    for field in fields {
        let read = match ListKind::ALL.into_iter().find(|kind| kind.name() == field.key) {
            Some(kind) => members(field, cx).map(|members| call.lists.push((kind, members))),
            None => match field.key.as_str() {
                "max_cost_tier" => trimmed(&field.node, &field.key, cx).map(|tier| call.tier = Some(tier)),
                "custom" => custom(field, cx).map(|labels| call.custom = labels),
                "on_empty" => match field.node.as_str() {
                    Some("deny") => Some(()),
                    Some("fallback") => {
                        call.fallback = true;
                        Some(())
                    }
                    _ => {
                        let message = "`on_empty` is `deny` or `fallback`";
                        cx.reports.error(Code::BadValue, field.node.span, message);
                        None
                    }
                },
                other => {
                    let help = nearest(other, KEYS.iter().copied()).map_or_else(
                        || format!("fields are {}", KEYS.join(", ")),
                        |guess| format!("did you mean `{guess}`?"),
                    );
                    let message = format!("`restrict` has no field `{other}`");
                    cx.reports
                        .push(error(Code::UnknownKey, field.key_span, message).help(help));
                    None
                }
            },
        };
        good &= read.is_some();
    }
    if good && call.lists.is_empty() && call.tier.is_none() && call.custom.is_empty() {
        cx.reports.push(
            error(Code::MissingKey, entry.key_span, "this restricts nothing")
                .help("restrict: {allow_regions: [eu]}"),
        );
        return None;
    }
    good.then_some(call)
}

/// A list of texts, or an attribute whose members are meant.
fn members(field: &Entry, cx: &mut Context<'_>) -> Option<MembersDecl> {
    match &field.node.value {
        Value::List(items) if items.is_empty() => {
            let message = format!("`{}` is an empty list, which nothing satisfies", field.key);
            cx.reports.error(Code::BadValue, field.node.span, message);
            None
        }
        Value::List(items) => items
            .iter()
            .map(|item| trimmed(item, &field.key, cx))
            .collect::<Option<_>>()
            .map(MembersDecl::Texts),
        Value::Str(..) => {
            let text = field.node.text(&cx.source.text)?;
            match path::whole(text.all()) {
                Ok(path) => Some(MembersDecl::Path(path)),
                Err(fault) => {
                    let help = format!("text names an attribute; a list of one is `{}: [...]`", field.key);
                    cx.reports.push(fault.help(help));
                    None
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Map(_) => {
            let message = format!(
                "`{}` is a list of texts or an attribute, this is {}",
                field.key,
                field.node.kind()
            );
            cx.reports.error(Code::WrongType, field.node.span, message);
            None
        }
    }
}

fn trimmed(node: &Node, what: &str, cx: &mut Context<'_>) -> Option<String> {
    match node.as_str().map(str::trim) {
        Some("") => {
            cx.reports
                .error(Code::BadValue, node.span, format!("`{what}` holds an empty text"));
            None
        }
        Some(text) => Some(text.to_owned()),
        None => {
            let message = format!("`{what}` holds {}, not text", node.kind());
            cx.reports.error(Code::WrongType, node.span, message);
            None
        }
    }
}

fn custom(field: &Entry, cx: &mut Context<'_>) -> Option<Vec<(String, String)>> {
    let entries = field.node.as_map().filter(|entries| !entries.is_empty());
    let Some(entries) = entries else {
        let message = "`custom` is a map of labels and their values";
        cx.reports.error(Code::WrongType, field.node.span, message);
        return None;
    };
    let mut labels = Vec::new();
    for entry in entries {
        match entry.node.scalar() {
            Some(value) if !entry.key.trim().is_empty() => labels.push((entry.key.trim().to_owned(), value)),
            Some(_) | None => {
                let message = format!("the label `{}` needs a text, a number or a boolean", entry.key);
                cx.reports.error(Code::WrongType, entry.node.span, message);
                return None;
            }
        }
    }
    Some(labels)
}
