//! Routes: layers, credentials, matchers, and which of two routes would win.

use std::collections::HashMap;

use apl_bytecode::{
    Challenge, Enforcement, EntityKind, IdentityId, Matcher, Phase, Position, Response, Route,
};

use super::assertions;
use super::shadow;
use super::{identities::identity, policy::Lowering};
use crate::diagnostics::{Code, error, note, warning};
use crate::document::{
    Document, HttpSelector, PluginKind, ResponseDecl, RouteDecl, SectionDecl, platform_route, takes_away,
};
use crate::glob;
use crate::source::to_u32;

/// Lowers every route.
pub(crate) fn lower(lowering: &mut Lowering<'_>) {
    let document = lowering.document;
    let mut losers = ties(&document.routes, lowering);
    losers.sort_unstable();
    for (index, route) in document.routes.iter().enumerate() {
        if losers.binary_search(&index).is_ok() {
            continue;
        }
        let above = route.team.and_then(|_| platform_route(document, route));
        let mut layers: Vec<&SectionDecl> = vec![&document.global];
        layers.extend(
            document
                .defaults
                .iter()
                .filter(|(kind, _)| *kind == route.selector.entity)
                .map(|(_, section)| section),
        );
        if let Some(above) = above {
            layers.extend(groups(above, lowering));
            layers.push(&above.section);
        }
        let mut own: Vec<&SectionDecl> = groups(route, lowering);
        own.retain(|section| !layers.iter().any(|known| std::ptr::eq(*known, *section)));
        own.push(&route.section);
        if route.team.is_some() {
            takes_away(&layers, &own, route.span, lowering.reports);
        }
        layers.extend(own);
        let identities = identities(&layers, lowering);
        if identities.is_empty() {
            without_identity(route, &layers, lowering);
        }
        let pre = lowering.phase(&layers, Phase::Pre);
        let post = lowering.phase(&layers, Phase::Post);
        let at = to_u32(lowering.tables.program.routes.len());
        lowering.tables.spans.push((Position::Route(at), route.span));
        let said = route.response.as_ref();
        let said = said.or(above.and_then(|above| above.response.as_ref()));
        let response = said.map(|said| response(said, lowering));
        let challenge = route
            .challenge
            .as_ref()
            .or(above.and_then(|above| above.challenge.as_ref()));
        if let Some(challenge) = challenge {
            let tables = &mut lowering.tables;
            let scopes = tables.strs(&challenge.scopes);
            tables.program.challenges.push(Challenge {
                route: at,
                scopes,
                annotates: challenge.annotates,
            });
        }
        let compiled = Route {
            entity: route.selector.entity,
            matcher: matcher(route, lowering),
            scope: route.scope.as_ref().map(|scope| lowering.tables.str(scope)),
            pre,
            post,
            identities,
            response,
            pass_unparseable: above.unwrap_or(route).pass_unparseable,
            enforcement: enforcement(above.unwrap_or(route), document),
            owner: route.owner.as_ref().map(|owner| lowering.tables.str(owner)),
            assertions: assertions::lower(&layers, lowering),
            tags: route
                .groups
                .iter()
                .map(|(name, _, _)| lowering.tables.str(name))
                .collect(),
            properties: route
                .properties
                .iter()
                .map(|(name, value)| (lowering.tables.str(name), lowering.tables.str(value)))
                .collect(),
        };
        if compiled.enforcement != Enforcement::Enforce {
            shadow::left_out(route, &compiled, lowering);
        }
        lowering.tables.program.routes.push(compiled);
    }
}

/// A custom denial.
pub(crate) fn response(said: &ResponseDecl, lowering: &mut Lowering<'_>) -> Response {
    let tables = &mut lowering.tables;
    Response {
        status: said.status,
        body: said.body.as_ref().map(|body| tables.str(body)),
        headers: said
            .headers
            .iter()
            .map(|(name, value)| (tables.str(name), tables.str(value)))
            .collect(),
    }
}

/// The route's own word, or that for everything.
fn enforcement(route: &RouteDecl, document: &Document) -> Enforcement {
    let said = route.enforcement.or(document.enforcement);
    said.map_or(Enforcement::Enforce, |said| said.value)
}

fn matcher(route: &RouteDecl, lowering: &mut Lowering<'_>) -> Matcher {
    let name = &route.selector.name;
    if let Some(http) = &route.selector.http {
        return Matcher::Http {
            path: lowering.tables.str(&http.path),
            prefix: http.prefix,
            methods: http
                .methods
                .iter()
                .map(|method| lowering.tables.str(method))
                .collect(),
        };
    }
    if route.selector.listed || !glob::is_glob(name) {
        return Matcher::Exact(lowering.tables.str(name));
    }
    if name == "*" {
        Matcher::Any
    } else {
        Matcher::Glob(lowering.tables.str(name))
    }
}

fn groups<'a>(route: &RouteDecl, lowering: &mut Lowering<'a>) -> Vec<&'a SectionDecl> {
    let document = lowering.document;
    let mut sections = Vec::new();
    for (name, span, must_exist) in &route.groups {
        match document.groups.iter().find(|(known, _, _)| known == name) {
            Some((_, _, section)) => sections.push(section),
            None if *must_exist => {
                let names = document.groups.iter().map(|(name, _, _)| name.as_str());
                let diagnostic = error(
                    Code::UndefinedGroup,
                    *span,
                    format!("no group is called `{name}`"),
                );
                lowering.reports.push(match crate::vocabulary::nearest(name, names) {
                    Some(guess) => diagnostic.suggest(*span, guess),
                    None => diagnostic.help(format!(
                        "define it under `groups:`, or use `meta: {{tags: [{name}]}}` for a tag that is no group"
                    )),
                });
            }
            None => {}
        }
    }
    sections
}

/// The credentials of these layers. Without any `authentication` in the whole file, every identity plugin counts everywhere.
pub(crate) fn identities(layers: &[&SectionDecl], lowering: &mut Lowering<'_>) -> Vec<IdentityId> {
    let document = lowering.document;
    let mut names = Vec::new();
    for block in layers.iter().filter_map(|layer| layer.authentication.as_ref()) {
        if block.replace_inherited {
            names.clear();
        }
        names.extend(block.steps.iter().cloned());
    }
    if !lowering.authenticates {
        let declared = document
            .plugins
            .iter()
            .filter(|plugin| matches!(plugin.kind, PluginKind::Identity(_)));
        for plugin in declared {
            lowering.reports.push(
                note(
                    Code::NoMeaning,
                    plugin.span,
                    format!(
                        "`{}` is verified on every route, because no `authentication` is given",
                        plugin.name
                    ),
                )
                .help(format!("write `global: {{authentication: [{}]}}`", plugin.name)),
            );
            names.push((plugin.name.clone(), plugin.span));
        }
    }
    let mut ids = Vec::new();
    for (name, span) in names {
        let Some(plugin) = lowering.plugin(&name, span) else {
            continue;
        };
        match &plugin.kind {
            PluginKind::Identity(decl) => {
                let id = identity(&name, decl, &mut lowering.tables);
                if !ids.contains(&id) {
                    ids.push(id);
                }
            }
            PluginKind::Broken => {}
            other @ (PluginKind::Oauth(_)
            | PluginKind::BackendSecret(_)
            | PluginKind::Biscuit(_)
            | PluginKind::Pii(_)
            | PluginKind::Audit { .. }
            | PluginKind::Elicitor(_)) => {
                let message = format!("`{name}` is {}, not an identity plugin", other.what());
                lowering.reports.push(
                    error(Code::WrongKind, span, message)
                        .help("`authentication` lists plugins of the kinds `identity/...`"),
                );
            }
        }
    }
    ids
}

/// Whether any section says whose credentials count.
pub(crate) fn authenticates(document: &Document) -> bool {
    let sections = std::iter::once(&document.global)
        .chain(document.defaults.iter().map(|(_, section)| section))
        .chain(document.groups.iter().map(|(_, _, section)| section))
        .chain(document.routes.iter().map(|route| &route.section));
    sections
        .into_iter()
        .any(|section| section.authentication.is_some())
}

/// Rules about callers on a route that verifies nobody never see one.
fn without_identity(route: &RouteDecl, layers: &[&SectionDecl], lowering: &mut Lowering<'_>) {
    let about_callers = layers
        .iter()
        .flat_map(|layer| layer.pre.iter().chain(&layer.post))
        .any(crate::lints::asks_who);
    if about_callers {
        lowering.reports.push(
            warning(
                Code::NoIdentity,
                route.span,
                format!(
                    "`{}` has rules about callers, but verifies no credential",
                    route.selector.name
                ),
            )
            .help(
                "declare a plugin of kind `identity/jwt` and list it under `global: {authentication: [...]}`",
            ),
        );
    }
}

type Key<'r> = (EntityKind, Option<&'r str>);

/// Reports routes that match the same operation equally well. Yields routes that lose to a better match of the very same
/// name: an entry of a list gives way to a route of its own.
fn ties(routes: &[RouteDecl], lowering: &mut Lowering<'_>) -> Vec<usize> {
    let mut exact: HashMap<(Key<'_>, &str), usize> = HashMap::new();
    let mut globs: HashMap<(Key<'_>, usize), glob::Rivals> = HashMap::new();
    let mut losers = Vec::new();
    http_ties(routes, lowering);
    for (index, route) in routes.iter().enumerate() {
        if route.selector.http.is_some() {
            continue;
        }
        let key: Key<'_> = (route.selector.entity, route.scope.as_deref());
        let name = route.selector.name.as_str();
        if !route.selector.listed && glob::is_glob(name) {
            let rivals = globs.entry((key, name.chars().count())).or_default();
            let rival = rivals.of(name).into_iter().find(|rival| {
                routes
                    .get(*rival)
                    .is_some_and(|rival| glob::overlap(&rival.selector.name, name))
            });
            if let Some(rival) = rival {
                // A team's route on the platform's own pattern adds to it.
                let adds = routes.get(rival).is_some_and(|rival| {
                    rival.team.is_none() && route.team.is_some() && rival.selector.name == name
                });
                if adds {
                    losers.push(rival);
                } else {
                    tie(routes, rival, route, lowering);
                }
            }
            rivals.insert(name, index);
            continue;
        }
        match exact
            .get(&(key, name))
            .and_then(|rival| routes.get(*rival).map(|route| (*rival, route)))
        {
            None => {
                exact.insert((key, name), index);
            }
            // A team's route on an operation of the platform adds to the platform's.
            Some((rival, other)) if other.team.is_none() && route.team.is_some() => {
                losers.push(rival);
                exact.insert((key, name), index);
            }
            Some((rival, other)) if other.selector.listed && !route.selector.listed => {
                losers.push(rival);
                exact.insert((key, name), index);
            }
            Some((_, other)) if !other.selector.listed && route.selector.listed => losers.push(index),
            Some((rival, _)) => tie(routes, rival, route, lowering),
        }
    }
    losers
}

/// HTTP routes of one rank, and their places among all routes.
type Rivals<'r> = Vec<(usize, &'r HttpSelector)>;

/// Reports HTTP routes of one rank that match the same request.
fn http_ties(routes: &[RouteDecl], lowering: &mut Lowering<'_>) {
    let mut ranks: HashMap<(Option<&str>, apl_bytecode::HttpRank), Rivals<'_>> = HashMap::new();
    for (index, route) in routes.iter().enumerate() {
        let Some(http) = &route.selector.http else {
            continue;
        };
        let rank = apl_bytecode::http_rank(&http.path, http.prefix, http.methods.len());
        let rivals = ranks.entry((route.scope.as_deref(), rank)).or_default();
        if let Some((rival, _)) = rivals.iter().find(|(_, other)| same_requests(other, http)) {
            tie(routes, *rival, route, lowering);
        }
        rivals.push((index, http));
    }
}

/// Whether some request matches both, given that they are of one rank.
fn same_requests(a: &HttpSelector, b: &HttpSelector) -> bool {
    let methods = a.methods.is_empty() || a.methods.iter().any(|method| b.methods.contains(method));
    let (mut ours, mut theirs) = (a.path.split('/'), b.path.split('/'));
    methods
        && loop {
            let glob = |segment: &'_ str| {
                apl_bytecode::captured(segment).map_or_else(|| segment.to_owned(), |_| "*".to_owned())
            };
            match (ours.next(), theirs.next()) {
                (None, None) => break true,
                (Some(a), Some(b)) if glob::overlap(&glob(a), &glob(b)) => {}
                (Some(_), Some(_)) => break false,
                // A longer prefix of the same rank: the shorter one matches below it.
                (Some(_), None) | (None, Some(_)) => break a.prefix,
            }
        }
}

fn tie(routes: &[RouteDecl], rival: usize, route: &RouteDecl, lowering: &mut Lowering<'_>) {
    let Some(other) = routes.get(rival) else { return };
    let (a, b) = (&other.selector.name, &route.selector.name);
    let message = if a == b {
        format!("two routes for {} `{b}`", route.selector.entity.name())
    } else {
        format!("`{a}` and `{b}` match the same names equally well")
    };
    lowering.reports.push(
        error(Code::Duplicate, route.span, message)
            .related(other.span, "the other route")
            .help("join them, give one a `meta: {scope: ...}`, or make one pattern longer"),
    );
}
