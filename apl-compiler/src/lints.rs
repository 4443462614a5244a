//! Checks of what compiles, but cannot mean what was meant. Each kind has a file.

mod absent;
mod attributes;
mod comparisons;
mod dialect;
mod flow;
mod labels;
mod schema;
mod walk;

use apl_bytecode::{EntityKind, Phase};

use crate::attribute_files::Attributes;
use crate::diagnostics::Reports;
use crate::document::{Document, RouteDecl};
use crate::options::Options;
use crate::source::Source;
use crate::syntax::{Path, Predicate, Step, StepKind};
use crate::yaml::Node;

/// Checks a whole document: what only shows when sections are seen together.
pub(crate) fn document(
    document: &Document,
    root: &Node,
    sources: &[Source],
    options: &Options,
    reports: &mut Reports,
) {
    labels::check(document, reports);
    for section in walk::sections(document) {
        flow::unreachable(&section.pre, reports);
        flow::unreachable(&section.post, reports);
    }
    for route in &document.routes {
        let layers = walk::layers(document, route);
        flow::ungated(&layers, document, reports);
        let required = options
            .tools
            .as_ref()
            .map(|tools| required(route, tools))
            .unwrap_or_default();
        absent::Present::new(required).check(&layers, reports);
    }
    unjoined(document, reports);
    if let Some(tools) = &options.tools {
        schema::check(document, tools, reports);
    }
    if let Some(from) = options.from {
        dialect::check(document, root, sources, from, reports);
    }
}

/// What every tool that the route governs requires.
fn required(route: &RouteDecl, tools: &crate::tools::Tools) -> Vec<String> {
    if route.selector.entity != EntityKind::Tool {
        return Vec::new();
    }
    let mut governed = schema::governed(route, tools).into_iter();
    let Some(first) = governed.next() else {
        return Vec::new();
    };
    let mut names: Vec<String> = first.required();
    for tool in governed {
        let other = tool.required();
        names.retain(|name| other.contains(name));
    }
    names.into_iter().map(|name| format!("args.{name}")).collect()
}

/// Sections that no route brings in are checked by themselves.
fn unjoined(document: &Document, reports: &mut Reports) {
    let joined = |name: &str| {
        document
            .routes
            .iter()
            .any(|route| route.groups.iter().any(|(group, _, _)| group == name))
    };
    let groups = document
        .groups
        .iter()
        .filter(|(name, _, _)| !joined(name))
        .map(|(_, _, section)| section);
    let defaults = document
        .defaults
        .iter()
        .filter(|(kind, _)| !document.routes.iter().any(|route| route.selector.entity == *kind))
        .map(|(_, section)| section);
    let global = document.routes.is_empty().then_some(&document.global);
    for section in groups.chain(defaults).chain(global) {
        absent::Present::new([]).check(&[section], reports);
    }
}

/// Checks a predicate.
pub(crate) fn predicate(predicate: &Predicate, phase: Phase, reports: &mut Reports) {
    let mut paths = Vec::new();
    predicate.paths(&mut paths);
    paths
        .into_iter()
        .for_each(|path| self::path(path, phase, reports));
    comparisons::check(predicate, reports);
}

/// Checks an attribute path.
pub(crate) fn path(path: &Path, phase: Phase, reports: &mut Reports) {
    attributes::path(path, phase, reports);
}

/// Checks that a static attribute is there.
pub(crate) fn data(path: &Path, attributes: &Attributes, reports: &mut Reports) {
    attributes::data(path, attributes, reports);
}

/// Whether a step asks who the caller is.
pub(crate) fn asks_who(step: &Step) -> bool {
    let StepKind::When(condition, _) = &step.kind else {
        return false;
    };
    let mut paths = Vec::new();
    condition.paths(&mut paths);
    paths.iter().any(|path| {
        matches!(
            path.root(),
            "subject" | "role" | "perm" | "team" | "claim" | "authenticated"
        )
    })
}
