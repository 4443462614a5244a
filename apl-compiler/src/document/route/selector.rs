//! What a route governs.

use std::collections::HashSet;

use apl_bytecode::{A2A_METHODS, EntityKind, a2a_operation, captured, glob_matches};

use super::{HttpSelector, Selector};
use crate::diagnostics::{Code, error};
use crate::document::keys::{Reader, check};
use crate::glob;
use crate::source::Span;
use crate::vocabulary::{Section, nearest};
use crate::yaml::{Entry, Node, Value};

/// The selectors of one key: as many as it lists names.
pub(super) fn names(entry: &Entry, reader: &mut Reader<'_>) -> Vec<(Selector, Span)> {
    let Some(entity) = crate::document::entity(&entry.key) else {
        return Vec::new();
    };
    if entity == EntityKind::Http && entry.node.as_map().is_some() {
        return http_map(&entry.node, reader).into_iter().collect();
    }
    let listed = matches!(entry.node.value, Value::List(_));
    let texts = reader.texts(&entry.node, &entry.key);
    if listed && texts.is_empty() {
        reader.reports.error(
            Code::Selector,
            entry.node.span,
            format!("the list of `{}` names is empty", entry.key),
        );
    }
    let mut names: Vec<(Selector, Span)> = Vec::new();
    let mut seen = HashSet::new();
    for (name, span) in texts {
        if !seen.insert(name.clone()) {
            reader.reports.error(
                Code::Duplicate,
                span,
                format!("`{name}` stands twice in this list"),
            );
            continue;
        }
        let selector = match entity {
            EntityKind::Http if listed && name.contains(['*', '{']) => {
                let message = format!("in a list a path is literal, and `{name}` is a pattern");
                reader.reports.push(
                    error(Code::Selector, span, message)
                        .help("write a route for each pattern, or a group that they join"),
                );
                None
            }
            EntityKind::Http => http(&name, Vec::new(), span, reader),
            EntityKind::A2a => a2a(&name, listed, span, reader),
            EntityKind::Tool | EntityKind::Prompt | EntityKind::Resource | EntityKind::Llm => {
                Some(Selector {
                    entity,
                    name,
                    listed,
                    http: None,
                })
            }
        };
        names.extend(selector.map(|selector| (selector, span)));
    }
    names
}

/// A method of A2A by either of its names, or a pattern over the older ones. One that matches no method would govern
/// nothing, and the methods that it was meant for would stay without rules.
fn a2a(name: &str, listed: bool, span: Span, reader: &mut Reader<'_>) -> Option<Selector> {
    let pattern = !listed && glob::is_glob(name);
    let found = if pattern {
        A2A_METHODS
            .iter()
            .any(|(old, _)| glob_matches(name, old))
            .then(|| name.to_owned())
    } else {
        a2a_operation(name).map(str::to_owned)
    };
    if found.is_none() {
        let known = A2A_METHODS.iter().flat_map(|(old, new)| [*old, *new]);
        let message = format!("A2A has no method `{name}`");
        let diagnostic = error(Code::Selector, span, message);
        reader
            .reports
            .push(match nearest(name, known).filter(|_| !pattern) {
                Some(guess) => diagnostic.suggest(span, guess),
                None => diagnostic.help("patterns match the names of A2A 0.3, as `message/*` and `tasks/*`"),
            });
    }
    found.map(|name| Selector {
        entity: EntityKind::A2a,
        name,
        listed,
        http: None,
    })
}

/// `http: {path | path_prefix, method}`.
fn http_map(node: &Node, reader: &mut Reader<'_>) -> Option<(Selector, Span)> {
    check(node, Section::HttpSelector, reader);
    let methods = node
        .get("method")
        .map_or_else(Vec::new, |entry| reader.texts(&entry.node, "method"));
    let mut upper: Vec<String> = Vec::new();
    for (method, span) in methods {
        if !method
            .bytes()
            .all(|byte| byte.is_ascii_alphabetic() || byte == b'-')
        {
            reader
                .reports
                .error(Code::BadValue, span, format!("`{method}` is no HTTP method"));
        }
        upper.push(method.to_ascii_uppercase());
    }
    upper.sort();
    upper.dedup();
    let wrong = |message: &str| {
        error(Code::Selector, node.span, message.to_owned())
            .help("write `http: {path: \"/orders/{id}\", method: GET}`, or `path_prefix: /orders`")
    };
    let (path, span) = match (reader.text(node, "path"), reader.text(node, "path_prefix")) {
        (Some(path), None) => (path.to_owned(), node.get("path")?.node.span),
        (None, Some(prefix)) if prefix.contains(['*', '{']) => {
            reader
                .reports
                .push(wrong("`path_prefix` is literal: a pattern stands under `path`"));
            return None;
        }
        (None, Some(prefix)) => (
            format!("{}/**", prefix.trim_end_matches('/')),
            node.get("path_prefix")?.node.span,
        ),
        (Some(_), Some(_)) => {
            reader
                .reports
                .push(wrong("`http` has a `path` and a `path_prefix`"));
            return None;
        }
        (None, None) => {
            reader.reports.push(wrong("`http` names no path"));
            return None;
        }
    };
    http(&path, upper, span, reader).map(|selector| (selector, span))
}

fn http(text: &str, methods: Vec<String>, span: Span, reader: &mut Reader<'_>) -> Option<Selector> {
    let (path, prefix) = match text.strip_suffix("/**") {
        Some(path) => (path, true),
        None => (text, false),
    };
    let path = path.trim_end_matches('/');
    if let Some(fault) = fault(text, path) {
        reader.reports.push(
            error(Code::Selector, span, format!("`{text}` is no path that a route can govern: {fault}"))
                .help("write it decoded and absolute; `{name}` is one segment, `*` any run within one, `/**` at the end everything below"),
        );
        return None;
    }
    let shown = if path.is_empty() && !prefix { "/" } else { path };
    let below = if prefix { "/**" } else { "" };
    let name = if methods.is_empty() {
        format!("{shown}{below}")
    } else {
        format!("{} {shown}{below}", methods.join(","))
    };
    Some(Selector {
        entity: EntityKind::Http,
        name,
        // Nothing of it is a glob over names.
        listed: true,
        http: Some(HttpSelector {
            path: path.to_owned(),
            prefix,
            methods,
        }),
    })
}

/// Why a path matches no request: the filter refuses those that could be read in more than one way.
fn fault(text: &str, path: &str) -> Option<&'static str> {
    if !text.starts_with('/') {
        return Some("it does not begin with `/`");
    }
    if path.contains(['?', '#']) {
        return Some("a query is no part of it: rules read `args.query`");
    }
    if path.contains(['%', '\\', ';']) || path.contains(char::is_control) {
        return Some("`%`, `\\`, `;` and control characters do not stand in it");
    }
    let mut names = HashSet::new();
    for segment in path.split('/').skip(1) {
        if matches!(segment, "" | "." | "..") {
            return Some("a segment is empty or made of dots");
        }
        if segment.contains("**") {
            return Some("`**` stands at the end only, as `/**`");
        }
        match captured(segment) {
            Some(name) => {
                let fine = !name.is_empty()
                    && name
                        .bytes()
                        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
                if !fine {
                    return Some("a name in braces is made of letters, digits and `_`");
                }
                if !names.insert(name) {
                    return Some("two segments have one name");
                }
            }
            None if segment.contains(['{', '}']) => return Some("`{name}` stands for a whole segment"),
            None => {}
        }
    }
    None
}
