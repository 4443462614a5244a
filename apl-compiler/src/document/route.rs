//! Routes.

mod selector;

use apl_bytecode::EntityKind;

use super::assertions;
use super::enforcement::{self, EnforcementDecl};
use super::keys::{Reader, check};
use super::pins::{ChallengeDecl, challenge};
use super::section::{self, SectionDecl};
use crate::diagnostics::{Code, error};
use crate::source::Span;
use crate::vocabulary::Section;
use crate::yaml::{Entry, Node};

/// A route as written. One with a list of names is one of these for each name.
#[derive(Debug)]
pub(crate) struct RouteDecl {
    /// What it governs.
    pub selector: Selector,
    /// `meta.scope`.
    pub scope: Option<String>,
    /// Groups that it joins: tags first, then `groups`.
    pub groups: Vec<(String, Span, bool)>,
    /// `meta.properties`.
    pub properties: Vec<(String, String)>,
    /// Its own policy.
    pub section: SectionDecl,
    /// `response`.
    pub response: Option<ResponseDecl>,
    /// `unparseable_result: pass`.
    pub pass_unparseable: bool,
    /// `challenge`.
    pub challenge: Option<ChallengeDecl>,
    /// `enforcement`; `None`: as everything else.
    pub enforcement: Option<EnforcementDecl>,
    /// `owner`.
    pub owner: Option<String>,
    /// Whose it is; `None`: the platform's.
    pub team: Option<usize>,
    /// Where the selector is.
    pub span: Span,
}

/// What a route governs.
#[derive(Debug, Clone)]
pub(crate) struct Selector {
    /// The kind.
    pub entity: EntityKind,
    /// A name, or a pattern when it came alone.
    pub name: String,
    /// It is one of a list, where names are literal.
    pub listed: bool,
    /// The rest of it, of an `http` route; `name` shows it then.
    pub http: Option<HttpSelector>,
}

/// What HTTP requests a route governs.
#[derive(Debug, Clone)]
pub(crate) struct HttpSelector {
    /// Decoded, without a slash at its end; `{name}` is one segment, `*` any run within one.
    pub path: String,
    /// Everything below it too.
    pub prefix: bool,
    /// Upper-case, sorted; none: all.
    pub methods: Vec<String>,
}

/// A custom denial.
#[derive(Debug, Clone, Default)]
pub(crate) struct ResponseDecl {
    /// 0: the default.
    pub status: u16,
    /// The body.
    pub body: Option<String>,
    /// Headers.
    pub headers: Vec<(String, String)>,
}

/// Reads the list of routes.
pub(crate) fn read(node: &Node, reader: &mut Reader<'_>) -> Vec<RouteDecl> {
    if node.is_null() {
        return Vec::new();
    }
    let mut routes = Vec::new();
    for item in reader.list(node, "routes") {
        if item.as_map().is_none() {
            reader.wrong(item, "a route", "a map");
            continue;
        }
        routes.extend(route(item, reader));
    }
    routes
}

fn route(node: &Node, reader: &mut Reader<'_>) -> Vec<RouteDecl> {
    let kinds = ["tool", "prompt", "resource", "llm", "http", "a2a"];
    let selectors: Vec<&Entry> = kinds.iter().filter_map(|kind| node.get(kind)).collect();
    let names = match selectors.as_slice() {
        [only] => selector::names(only, reader),
        [] => {
            reader.reports.push(
                error(
                    Code::Selector,
                    node.span,
                    "this route does not say what it governs",
                )
                .help("add `tool: name`, `prompt:`, `resource:`, `llm:`, `a2a:` or `http:`"),
            );
            Vec::new()
        }
        [first, second, ..] => {
            let message = format!("`{}` and `{}` on one route", first.key, second.key);
            reader.reports.push(
                error(Code::Selector, second.key_span, message)
                    .related(first.key_span, "the other one")
                    .help("write two routes, or a group that both join"),
            );
            Vec::new()
        }
    };
    let (scope, groups) = membership(node, reader);
    let properties = properties(node, reader);
    let response = response(node, reader);
    let pass_unparseable = reader.word(node, "unparseable_result", &["deny", "pass"]) == Some("pass");
    let challenge = challenge(node, reader);
    let enforcement = enforcement::read(node, reader);
    let owner = reader.text(node, "owner").map(str::to_owned);
    let suffix = scope
        .as_ref()
        .map_or_else(String::new, |scope| format!("@{scope}"));
    if names.is_empty() {
        // Still read, so that its other mistakes are shown too.
        section::read(node, Section::Route, "routes", reader);
    }
    names
        .into_iter()
        .map(|(selector, span)| {
            let source = format!("routes.{}:{}{suffix}", selector.entity.name(), selector.name);
            RouteDecl {
                selector,
                scope: scope.clone(),
                groups: groups.clone(),
                properties: properties.clone(),
                section: section::read(node, Section::Route, &source, reader),
                response: response.clone(),
                pass_unparseable,
                challenge: challenge.clone(),
                enforcement,
                owner: owner.clone(),
                team: None,
                span,
            }
        })
        .collect()
}

type Groups = Vec<(String, Span, bool)>;

/// Scope, and groups: tags are free-form, so one without a group is fine; a name under `groups` must be defined.
fn membership(node: &Node, reader: &mut Reader<'_>) -> (Option<String>, Groups) {
    let mut groups: Groups = Vec::new();
    let mut scope = None;
    if let Some(meta) = node.get("meta") {
        check(&meta.node, Section::Meta, reader);
        scope = reader.text(&meta.node, "scope").map(str::to_owned);
        if let Some(tags) = meta.node.get("tags") {
            groups.extend(
                reader
                    .texts(&tags.node, "tags")
                    .into_iter()
                    .map(|(name, span)| (name, span, false)),
            );
        }
    }
    if let Some(entry) = node.get("groups") {
        for (name, span) in reader.texts(&entry.node, "groups") {
            match groups.iter_mut().find(|(known, _, _)| *known == name) {
                Some(known) => known.2 = true,
                None => groups.push((name, span, true)),
            }
        }
    }
    (scope, groups)
}

/// `meta.properties`: a map of texts; other scalars count as their text.
fn properties(node: &Node, reader: &mut Reader<'_>) -> Vec<(String, String)> {
    let Some(entry) = node.get("meta").and_then(|meta| meta.node.get("properties")) else {
        return Vec::new();
    };
    let mut properties = Vec::new();
    for property in reader.map(&entry.node, "properties") {
        match property.node.scalar() {
            Some(value) => properties.push((property.key.clone(), value)),
            None => reader.wrong(&property.node, "a property", "text"),
        }
    }
    properties
}

/// `response`: how an operation is denied.
pub(super) fn response(node: &Node, reader: &mut Reader<'_>) -> Option<ResponseDecl> {
    let inside = || node.get("apl").and_then(|apl| apl.node.get("response"));
    let entry = node.get("response").or_else(inside)?;
    check(&entry.node, Section::Response, reader);
    let status = reader
        .number(&entry.node, "status", 200, 599)
        .and_then(|status| u16::try_from(status).ok())
        .unwrap_or(0);
    let body = reader.text(&entry.node, "body").map(str::to_owned);
    let mut headers = Vec::new();
    if let Some(entry) = entry.node.get("headers") {
        for header in reader.map(&entry.node, "headers") {
            let name = header.key.to_ascii_lowercase();
            if !assertions::is_name(&name, false) || assertions::frames(&name) {
                reader.reports.push(
                    error(
                        Code::BadValue,
                        header.key_span,
                        format!("`{}` cannot be set here", header.key),
                    )
                    .help("headers that frame a message or are ours belong to the proxy"),
                );
                continue;
            }
            match header
                .node
                .scalar()
                .filter(|value| !value.contains(|ch: char| ch.is_control()))
            {
                Some(value) => headers.push((header.key.to_ascii_lowercase(), value)),
                None => reader.wrong(&header.node, "a header's value", "text without line breaks"),
            }
        }
    }
    Some(ResponseDecl {
        status,
        body,
        headers,
    })
}
