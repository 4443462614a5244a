//! Teams: what a platform grants them, and their files.
//!
//! The platform's file declares each team with the operations that it may govern. A team's file holds routes and groups of
//! its own, and nothing that could loosen what the platform says: its routes add rules behind those of the platform.

use std::path::Path;

use apl_bytecode::EntityKind;

use super::keys::{Reader, check};
use super::{Document, RouteDecl, SectionDecl, entity, groups, route};
use crate::diagnostics::{Code, Diagnostic, Reports, error};
use crate::glob;
use crate::source::{Source, Span};
use crate::syntax::{Effect, EffectKind, Field, Step, StepKind};
use crate::vocabulary::Section;
use crate::yaml::{Entry, Node};

/// A team as the platform declares it.
#[derive(Debug)]
pub(crate) struct Team {
    /// The name: that of its file.
    pub name: String,
    /// Where.
    pub span: Span,
    /// Patterns of what it may govern.
    pub grants: Vec<(EntityKind, String, Span)>,
    /// Its routes are for this scope only.
    pub scope: Option<String>,
    /// Who is named in records; the team's name unless given.
    pub owner: String,
}

/// Reads `teams` of the platform's file.
pub(super) fn declared(node: &Node, reader: &mut Reader<'_>) -> Vec<Team> {
    let mut teams = Vec::new();
    for entry in reader.map(node, "teams") {
        check(&entry.node, Section::Team, reader);
        let mut grants = Vec::new();
        for part in entry.node.as_map().unwrap_or(&[]) {
            if let Some(kind) = entity(&part.key) {
                let patterns = reader.texts(&part.node, &part.key);
                grants.extend(patterns.into_iter().map(|(pattern, span)| (kind, pattern, span)));
            }
        }
        let owner = reader.text(&entry.node, "owner").unwrap_or(&entry.key).to_owned();
        teams.push(Team {
            name: entry.key.clone(),
            span: entry.key_span,
            grants,
            scope: reader.text(&entry.node, "scope").map(str::to_owned),
            owner,
        });
    }
    overlaps(&teams, reader.reports);
    teams
}

/// What two teams may govern must not overlap: one could take an operation from the other.
fn overlaps(teams: &[Team], reports: &mut Reports) {
    for (at, team) in teams.iter().enumerate() {
        for other in teams.iter().take(at).filter(|other| other.scope == team.scope) {
            for (kind, pattern, span) in &team.grants {
                let clash = other
                    .grants
                    .iter()
                    .find(|(known, rival, _)| known == kind && glob::overlap(rival, pattern));
                if let Some((_, rival, first)) = clash {
                    let message = format!(
                        "`{pattern}` of team `{}` overlaps `{rival}` of team `{}`",
                        team.name, other.name
                    );
                    reports.push(
                        error(Code::Team, *span, message)
                            .related(*first, "the other team's")
                            .help("an operation belongs to one team; give each a `scope`, or make the patterns apart"),
                    );
                }
            }
        }
    }
}

/// Reads the teams' files into the document.
pub(crate) fn read(document: &mut Document, roots: &[Node], sources: &[Source], reports: &mut Reports) {
    let platform = document.groups.len();
    for (root, source) in roots.iter().zip(sources) {
        let mut reader = Reader {
            source,
            reports,
            noted: Vec::new(),
        };
        file(document, root, &mut reader);
    }
    let own_groups = document
        .groups
        .iter()
        .skip(platform)
        .map(|(_, _, section)| section);
    let own_routes = document
        .routes
        .iter()
        .filter(|route| route.team.is_some())
        .map(|route| &route.section);
    for section in own_groups.chain(own_routes) {
        section
            .pre
            .iter()
            .chain(&section.post)
            .for_each(|step| goes_on(step, reports));
    }
    for route in document.routes.iter().filter(|route| route.team.is_some()) {
        takes_over(document, route, reports);
    }
}

fn file(document: &mut Document, root: &Node, reader: &mut Reader<'_>) {
    let name = Path::new(&reader.source.name)
        .file_stem()
        .map(|stem| stem.to_string_lossy().into_owned())
        .unwrap_or_default();
    let Some(at) = document.teams.iter().position(|team| team.name == name) else {
        reader.reports.push(
            error(
                Code::Team,
                start(root),
                format!("the platform declares no team `{name}`"),
            )
            .help(format!(
                "add `teams: {{{name}: {{tool: [...]}}}}` to `platform.yaml`, or rename the file"
            )),
        );
        return;
    };
    let declared = document.teams.get(at).map_or(start(root), |team| team.span);
    allowed(root, Section::TeamFile, declared, reader);
    if let Some(entry) = root.get("groups") {
        for group in entry.node.as_map().unwrap_or(&[]) {
            allowed(&group.node, Section::TeamSection, declared, reader);
        }
        groups(&entry.node, document, reader);
    }
    if let Some(entry) = root.get("routes") {
        for item in entry.node.as_list().unwrap_or(&[]) {
            allowed(item, Section::TeamSection, declared, reader);
        }
        let routes = route::read(&entry.node, reader);
        for mut route in routes {
            let Some(team) = document.teams.get(at) else {
                continue;
            };
            if granted(&mut route, team, reader.reports) {
                route.team = Some(at);
                route.owner.get_or_insert_with(|| team.owner.clone());
                document.routes.push(route);
            }
        }
    }
}

/// The first byte of a file: a root's span may be all of it.
fn start(root: &Node) -> Span {
    Span {
        end: root.span.start,
        ..root.span
    }
}

/// Keys that belong to the platform are refused, and the place is named that gave the team its scope.
fn allowed(node: &Node, table: Section, declared: Span, reader: &mut Reader<'_>) {
    let forbidden = |entry: &&Entry| !table.keys().any(|(known, _)| known == entry.key);
    for entry in node.as_map().unwrap_or(&[]).iter().filter(forbidden) {
        let message = format!("`{}` belongs to the platform", entry.key);
        reader.reports.push(
            error(Code::Team, entry.key_span, message)
                .related(declared, "the team is declared here")
                .help("a team's file holds `routes` and `groups` with rules that tighten; ask the platform to change the rest"),
        );
    }
}

/// Whether a team may have a route.
fn granted(route: &mut RouteDecl, team: &Team, reports: &mut Reports) -> bool {
    if route.scope.is_none() {
        route.scope.clone_from(&team.scope);
    }
    let refuse = |message: String| {
        error(Code::Team, route.span, message)
            .related(team.span, "what the team may govern")
            .help("a team governs only what the platform grants it under `teams`")
    };
    if route.scope != team.scope {
        reports.push(refuse(format!(
            "the team `{}` has no say in this scope",
            team.name
        )));
        return false;
    }
    let own = &route.selector;
    let listed = own.listed;
    let inside = team.grants.iter().any(|(kind, pattern, _)| {
        *kind == own.entity && covers(pattern, &own.name, !listed && glob::is_glob(&own.name))
    });
    if !inside {
        reports.push(refuse(format!(
            "{} `{}` is outside of what the team `{}` may govern",
            own.entity.name(),
            own.name,
            team.name
        )));
    }
    inside
}

/// Whether a pattern matches everything that a name (or another pattern) matches; `false` where that is not sure.
pub(crate) fn covers(pattern: &str, name: &str, is_pattern: bool) -> bool {
    if !glob::is_glob(pattern) {
        return pattern == name;
    }
    // A wildcard of the inner pattern, taken as a character, is swallowed by `*` of the outer one; `?` would swallow only
    // one character of what it stands for.
    let safe = !is_pattern || !pattern.contains('?') || pattern == name;
    safe && apl_bytecode::glob_matches(pattern, name)
}

/// The platform's route that governs what a team's route is for; its rules stay in force.
pub(crate) fn platform_route<'d>(document: &'d Document, route: &RouteDecl) -> Option<&'d RouteDecl> {
    let own = &route.selector;
    let is_pattern = !own.listed && glob::is_glob(&own.name);
    let rank = |other: &RouteDecl| {
        let exact = other.selector.listed || !glob::is_glob(&other.selector.name);
        (
            other.scope.is_some(),
            exact,
            !other.selector.listed,
            other.selector.name.len(),
        )
    };
    platform(document, route)
        .filter(|other| {
            if other.selector.listed {
                other.selector.name == own.name && !is_pattern
            } else {
                covers(&other.selector.name, &own.name, is_pattern)
            }
        })
        .max_by_key(|other| rank(other))
}

/// The platform's routes that could govern the same operations.
fn platform<'d>(document: &'d Document, route: &RouteDecl) -> impl Iterator<Item = &'d RouteDecl> {
    let (kind, scope) = (route.selector.entity, route.scope.clone());
    document.routes.iter().filter(move |other| {
        other.team.is_none()
            && other.selector.entity == kind
            && (other.scope.is_none() || other.scope == scope)
    })
}

/// A team's pattern must not win over a platform's that it is not inside of: the platform's rules would be gone.
fn takes_over(document: &Document, route: &RouteDecl, reports: &mut Reports) {
    let own = &route.selector;
    if own.listed || !glob::is_glob(&own.name) {
        return;
    }
    for other in platform(document, route) {
        let name = &other.selector.name;
        let pattern = !other.selector.listed && glob::is_glob(name);
        let overlap = if pattern {
            glob::overlap(name, &own.name)
        } else {
            apl_bytecode::glob_matches(&own.name, name)
        };
        let scoped = route.scope.is_some() && other.scope.is_none();
        let wins = scoped || (pattern && own.name.len() > name.len());
        if overlap && wins && !covers(name, &own.name, true) {
            let message = format!(
                "`{}` would take operations from the platform's `{name}`",
                own.name
            );
            reports.push(
                error(Code::Team, route.span, message)
                    .related(other.span, "the platform's route")
                    .help("name the tools one by one, or use a pattern inside the platform's"),
            );
        }
    }
}

/// `on_error: continue` belongs to the platform.
fn goes_on(step: &Step, reports: &mut Reports) {
    match &step.kind {
        StepKind::When(_, effects) => effects.iter().for_each(|effect| effect_goes_on(effect, reports)),
        StepKind::Do(effect) => effect_goes_on(effect, reports),
        StepKind::Pdp(pdp) => pdp
            .on_allow
            .iter()
            .chain(&pdp.on_deny)
            .for_each(|step| goes_on(step, reports)),
    }
}

fn effect_goes_on(effect: &Effect, reports: &mut Reports) {
    match &effect.kind {
        EffectKind::Delegate(call) if call.goes_on => reports.push(weakens(effect.span)),
        EffectKind::Elicit(call) if call.goes_on => reports.push(weakens(effect.span)),
        EffectKind::Sequential(inner) | EffectKind::Parallel(inner) => {
            inner.iter().for_each(|effect| effect_goes_on(effect, reports));
        }
        EffectKind::Delegate(_)
        | EffectKind::Allow
        | EffectKind::Deny(..)
        | EffectKind::Run(_)
        | EffectKind::Taint(_)
        | EffectKind::Elicit(_)
        | EffectKind::Limit(_)
        | EffectKind::Restrict(_)
        | EffectKind::Field(_) => {}
    }
}

fn weakens(span: Span) -> Diagnostic {
    error(Code::Team, span, "`on_error: continue` belongs to the platform").help(
        "leave it out: the step then denies when it fails; or put the step into a group of the platform",
    )
}

/// A team's route must not take away what the layers of the platform say: pipelines (a narrower one replaces the whole of
/// an outer one) and credentials.
pub(crate) fn takes_away(
    platform: &[&SectionDecl],
    own: &[&SectionDecl],
    route: Span,
    reports: &mut Reports,
) {
    for (at, layer) in own.iter().enumerate() {
        if let Some(block) = layer
            .authentication
            .as_ref()
            .filter(|block| block.replace_inherited)
        {
            let place = block.steps.first().map_or(route, |(_, span)| *span);
            reports.push(
                error(
                    Code::Team,
                    route,
                    "the group that it joins replaces the platform's credentials",
                )
                .related(place, "the group's credentials")
                .help("a team's route keeps the credentials that the platform asks for"),
            );
        }
        let sides: [fn(&SectionDecl) -> &[Field]; 2] = [|layer| &layer.args, |layer| &layer.result];
        for side in sides {
            for field in side(layer) {
                let outer = platform.iter().flat_map(|layer| side(layer));
                let inner = own
                    .iter()
                    .take(at)
                    .flat_map(|layer| side(layer))
                    .filter(|known| known.span.file != field.span.file);
                if let Some(known) = outer.chain(inner).find(|known| known.path == field.path) {
                    reports.push(
                        error(
                            Code::Team,
                            field.span,
                            format!("the pipeline of `{}` would replace the platform's", field.name),
                        )
                        .related(known.span, "the platform's pipeline")
                        .help("a narrower pipeline replaces the whole of an outer one; leave the field to the platform"),
                    );
                }
            }
        }
    }
}
