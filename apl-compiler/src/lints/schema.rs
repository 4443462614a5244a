//! A policy against the schemas of the tools that it is about.

use apl_bytecode::{CmpOp, EntityKind, Phase, Stage, TypeCheck};

use super::walk::{self, shown};
use crate::diagnostics::{Code, Reports, note, warning};
use crate::document::{Document, RouteDecl};
use crate::glob;
use crate::source::Span;
use crate::syntax::{AttrSeg, Field, Literal, Path, Predicate, StageKind, Test};
use crate::tools::{Lookup, Tool, Tools, lookup, types};
use crate::vocabulary::nearest;

/// The tools that a route governs, by its name or pattern alone.
pub(super) fn governed<'t>(route: &RouteDecl, tools: &'t Tools) -> Vec<&'t Tool> {
    let name = route.selector.name.as_str();
    let pattern = !route.selector.listed && glob::is_glob(name);
    let literal = |tool: &Tool| tool.name == name;
    // A tool's name holds no wildcard, so overlapping the pattern is matching it.
    let matched = |tool: &Tool| !glob::is_glob(&tool.name) && glob::overlap(name, &tool.name);
    tools
        .list
        .iter()
        .filter(|tool| if pattern { matched(tool) } else { literal(tool) })
        .collect()
}

/// Checks routes, arguments and result fields.
pub(super) fn check(document: &Document, tools: &Tools, reports: &mut Reports) {
    let routes = || {
        document
            .routes
            .iter()
            .filter(|route| route.selector.entity == EntityKind::Tool)
    };
    for route in routes() {
        let governed = governed(route, tools);
        if governed.is_empty() {
            unknown_tool(route, tools, reports);
            continue;
        }
        let layers = walk::layers(document, route);
        for phase in [Phase::Pre, Phase::Post] {
            for field in walk::fields(&layers, phase) {
                self::field(field, &governed, reports);
            }
        }
        for layer in layers {
            walk::predicates(layer, &mut |found, _| predicate(found, &governed, reports));
        }
    }
    for tool in &tools.list {
        let covered =
            routes().any(|route| governed(route, tools).iter().any(|known| known.name == tool.name));
        if !covered {
            // There is no place in the policy for what is not in it: the note stands at its beginning.
            let span = Span {
                file: 0,
                start: 0,
                end: 0,
            };
            let what = match document.settings.unmatched {
                apl_bytecode::Unmatched::Deny => "its calls are denied",
                apl_bytecode::Unmatched::Allow => "its calls are allowed after the global rules",
            };
            reports.push(
                note(
                    Code::ToolWithoutRoute,
                    span,
                    format!("no route governs the tool `{}`; {what}", tool.name),
                )
                .help(format!("add `- tool: {}` under `routes:`", tool.name)),
            );
        }
    }
}

fn unknown_tool(route: &RouteDecl, tools: &Tools, reports: &mut Reports) {
    let name = route.selector.name.as_str();
    let names = tools.list.iter().map(|tool| tool.name.as_str());
    let mut diagnostic = warning(
        Code::UnknownTool,
        route.span,
        format!("no tool of the list is called `{name}`"),
    );
    diagnostic = match nearest(name, names.clone()) {
        Some(guess) => diagnostic.suggest(route.span, guess),
        None => diagnostic.help(format!(
            "the tools are {}",
            names
                .take(12)
                .map(|name| format!("`{name}`"))
                .collect::<Vec<_>>()
                .join(", ")
        )),
    };
    reports.push(diagnostic);
}

/// The schema that a document has in a tool.
fn schema<'t>(root: &str, tool: &'t Tool) -> Option<&'t serde_json::Value> {
    match root {
        "args" => Some(&tool.input),
        "result" => tool.output.as_ref(),
        _ => None,
    }
}

/// Looks a path up in every tool: it is missing if every tool lacks it, and of a type if every tool agrees.
fn find<'t>(root: &str, path: &[&str], governed: &[&'t Tool]) -> Option<Found<'t>> {
    let mut known = Vec::new();
    let mut near = Vec::new();
    for tool in governed {
        match lookup(schema(root, tool)?, path) {
            Lookup::Known(schema) => known.push(schema),
            Lookup::Open => return None,
            Lookup::Missing(names) => near.extend(names.keys().map(String::as_str)),
        }
    }
    Some(if known.is_empty() {
        Found::Nowhere(near)
    } else {
        Found::At(known)
    })
}

enum Found<'t> {
    Nowhere(Vec<&'t str>),
    At(Vec<&'t serde_json::Value>),
}

fn missing(root: &str, name: &str, span: Span, near: Vec<&str>, governed: &[&Tool], reports: &mut Reports) {
    let who = match governed {
        [only] => format!("the tool `{}`", only.name),
        _ => format!("none of the {} tools here", governed.len()),
    };
    let verb = if governed.len() == 1 { "has no" } else { "has" };
    let (code, what) = if root == "args" {
        (Code::UnknownArgument, "argument")
    } else {
        (Code::UnknownResultField, "result field")
    };
    let last = name.rsplit('.').next().unwrap_or(name);
    let help = match nearest(last, near.iter().copied()) {
        Some(guess) => format!("did you mean `{guess}`?"),
        None => format!(
            "its schema names {}",
            near.iter()
                .take(12)
                .map(|name| format!("`{name}`"))
                .collect::<Vec<_>>()
                .join(", ")
        ),
    };
    reports.push(warning(code, span, format!("{who} {verb} {what} `{name}`")).help(help));
}

fn field(field: &Field, governed: &[&Tool], reports: &mut Reports) {
    let root = match field.side {
        apl_bytecode::Side::Args => "args",
        apl_bytecode::Side::Result => "result",
    };
    if field.path.iter().any(|seg| seg == "**") {
        return;
    }
    // A numeric segment picks an element; the schema of arrays is gone through anyhow.
    let path: Vec<&str> = field
        .path
        .iter()
        .map(String::as_str)
        .filter(|seg| seg.parse::<usize>().is_err())
        .collect();
    let schemas = match find(root, &path, governed) {
        None => return,
        Some(Found::Nowhere(near)) => return missing(root, &field.name, field.span, near, governed, reports),
        Some(Found::At(schemas)) => schemas,
    };
    for stage in &field.stages {
        let wanted = match &stage.kind {
            StageKind::Plain(Stage::Type(TypeCheck::Str) | Stage::Email | Stage::Url | Stage::Uuid) => {
                &["string"][..]
            }
            StageKind::Plain(Stage::Type(TypeCheck::Bool)) => &["boolean"],
            StageKind::Plain(Stage::Type(TypeCheck::Int | TypeCheck::Float) | Stage::Range(..)) => {
                &["integer", "number"]
            }
            StageKind::Enum(_) | StageKind::Regex(_) => &["string"],
            _ => continue,
        };
        if let Some(found) = other_type(&schemas, wanted) {
            reports.push(
                warning(
                    Code::SchemaType,
                    stage.span,
                    format!(
                        "by its schema `{root}.{}` is {found}, so this stage denies every call",
                        field.name
                    ),
                )
                .help("take the stage that fits the schema, or mend the schema"),
            );
        }
    }
}

/// The type, when every schema rules the wanted ones out.
fn other_type<'t>(schemas: &[&'t serde_json::Value], wanted: &[&str]) -> Option<&'t str> {
    let mut found = None;
    for schema in schemas {
        let types = types(schema);
        // Through arrays fields fan out, so the element's type decides.
        if types.contains(&"array") {
            return None;
        }
        if types.is_empty() || types.iter().any(|name| wanted.contains(name)) {
            return None;
        }
        found = types.first().copied();
    }
    found
}

fn predicate(predicate: &Predicate, governed: &[&Tool], reports: &mut Reports) {
    match predicate {
        Predicate::Not(inner) => self::predicate(inner, governed, reports),
        Predicate::And(parts) | Predicate::Or(parts) => {
            parts
                .iter()
                .for_each(|part| self::predicate(part, governed, reports));
        }
        Predicate::Test(test) => match test {
            Test::Truth(path) => {
                typed(
                    path,
                    &["boolean"],
                    "holds by itself only as a boolean",
                    governed,
                    reports,
                );
            }
            Test::Exists(path) => typed(path, &[], "", governed, reports),
            Test::Contains(path, _) => {
                typed(
                    path,
                    &["array"],
                    "`contains` looks into arrays only",
                    governed,
                    reports,
                );
            }
            Test::In(member, set) => {
                typed(member, &["string"], "only text is in a set", governed, reports);
                typed(
                    set,
                    &["array"],
                    "`in` needs an array on its right",
                    governed,
                    reports,
                );
            }
            Test::Compare(op, path, literal) => {
                let (wanted, why): (&[&str], _) = match (op, literal) {
                    (CmpOp::Lt | CmpOp::Le | CmpOp::Gt | CmpOp::Ge, _) => (
                        &["integer", "number"],
                        "an order comparison with what is no number denies",
                    ),
                    (CmpOp::Eq | CmpOp::Ne, Literal::Int(_) | Literal::Float(_)) => {
                        (&["integer", "number"], "it never equals a number")
                    }
                    (CmpOp::Eq | CmpOp::Ne, Literal::Str(_)) => (&["string"], "it never equals text"),
                    (CmpOp::Eq | CmpOp::Ne, Literal::Bool(_)) => (&["boolean"], "it never equals a boolean"),
                };
                typed(path, wanted, why, governed, reports);
            }
        },
    }
}

fn typed(path: &Path, wanted: &[&str], why: &str, governed: &[&Tool], reports: &mut Reports) {
    let root = path.root();
    let names: Option<Vec<&str>> = path
        .segs
        .iter()
        .skip(1)
        .map(|seg| match seg {
            AttrSeg::Name(name) => Some(name.as_str()),
            AttrSeg::Value(_) => None,
        })
        .collect();
    let Some(names) = names.filter(|names| !names.is_empty()) else {
        return;
    };
    let name = shown(path);
    match find(root, &names, governed) {
        None => {}
        Some(Found::Nowhere(near)) => {
            let below = name.split_once('.').map_or(name.as_str(), |(_, rest)| rest);
            missing(root, below, path.span, near, governed, reports);
        }
        Some(Found::At(schemas)) => {
            if wanted.is_empty() {
                return;
            }
            if let Some(found) = mismatch(&schemas, wanted) {
                reports.push(
                    warning(
                        Code::SchemaType,
                        path.span,
                        format!("by its schema `{name}` is {found}: {why}"),
                    )
                    .help("compare it as what it is, or mend the schema"),
                );
            }
        }
    }
}

fn mismatch<'t>(schemas: &[&'t serde_json::Value], wanted: &[&str]) -> Option<&'t str> {
    let mut found = None;
    for schema in schemas {
        let types = types(schema);
        if types.is_empty() || types.iter().any(|name| wanted.contains(name)) {
            return None;
        }
        found = types.first().copied();
    }
    found
}
