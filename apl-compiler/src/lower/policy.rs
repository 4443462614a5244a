//! The whole policy.

use std::collections::HashSet;

use apl_bytecode::{Debug, EntityKind, Fallback, Phase, Pin, Pins, Program};

use super::tables::Tables;
use super::{assertions, phase, routes};
use crate::deployment::{Deployment, deployment};
use crate::diagnostics::{Code, Reports, error, warning};
use crate::document::{Document, Override, Plugin, PluginKind, SectionDecl};
use crate::lints;
use crate::source::{LineColumn, Source, Span};
use crate::syntax::{Path, Predicate};
use crate::vocabulary::nearest;

/// What lowering works with.
pub(crate) struct Lowering<'a> {
    /// The policy.
    pub document: &'a Document,
    /// Its files.
    pub sources: &'a [Source],
    /// Where diagnostics go.
    pub reports: &'a mut Reports,
    /// The program under construction.
    pub tables: Tables,
    /// The phase that is being lowered.
    pub phase: Phase,
    /// Some section has an `authentication` block.
    pub authenticates: bool,
    named: HashSet<String>,
    /// Decision points that steps ask.
    pub asked: HashSet<String>,
    /// Overrides of the layers that are being lowered, outermost first.
    overrides: Vec<&'a Override>,
    /// Where overrides are that some step goes by.
    overridden: HashSet<Span>,
}

impl<'a> Lowering<'a> {
    /// The plugin that a step names; an unknown name is reported.
    pub(crate) fn plugin(&mut self, name: &str, span: Span) -> Option<&'a Plugin> {
        self.named.insert(name.to_owned());
        let document = self.document;
        let found = document.plugins.iter().find(|plugin| plugin.name == name);
        if found.is_none() {
            let names = document.plugins.iter().map(|plugin| plugin.name.as_str());
            let help = match nearest(name, names) {
                Some(guess) => format!("did you mean `{guess}`?"),
                None => format!("declare it: `plugins: [{{name: {name}, kind: ...}}]`"),
            };
            self.reports
                .push(error(Code::UnknownPlugin, span, format!("no plugin is called `{name}`")).help(help));
        }
        found
    }

    /// What a plugin that a step runs is where the step runs: the narrowest override's word counts.
    pub(crate) fn kind(&mut self, name: &str, span: Span) -> Option<&'a PluginKind> {
        let declared = &self.plugin(name, span)?.kind;
        let Some(entry) = self.overrides.iter().rfind(|entry| entry.name == name) else {
            return Some(declared);
        };
        self.overridden.insert(entry.span);
        Some(&entry.kind)
    }

    /// Lints of a predicate.
    pub(crate) fn check_predicate(&mut self, predicate: &Predicate) {
        lints::predicate(predicate, self.phase, self.reports);
        let mut paths = Vec::new();
        predicate.paths(&mut paths);
        for path in paths {
            lints::data(path, &self.document.attributes, self.reports);
        }
    }

    /// Lints of an attribute path.
    pub(crate) fn check_path(&mut self, path: &Path) {
        lints::path(path, self.phase, self.reports);
        lints::data(path, &self.document.attributes, self.reports);
    }

    /// The text of the file in which a span is.
    pub(crate) fn text_of(&self, span: Span) -> &'a str {
        self.sources
            .get(usize::from(span.file))
            .map_or("", |source| source.text.as_str())
    }
}

/// Lowers a policy. The program is complete only if no error was reported.
pub(crate) fn lower(document: &Document, sources: &[Source], reports: &mut Reports) -> (Program, Deployment) {
    let mut lowering = Lowering {
        document,
        sources,
        reports,
        tables: Tables::default(),
        phase: Phase::Pre,
        authenticates: routes::authenticates(document),
        named: HashSet::new(),
        asked: HashSet::new(),
        overrides: Vec::new(),
        overridden: HashSet::new(),
    };
    lowering.tables.program.settings = document.settings.clone();
    if let Some(said) = document.enforcement {
        lowering.tables.program.settings.enforcement = said.value;
    }
    if let Some(said) = &document.response {
        lowering.tables.program.settings.response = Some(routes::response(said, &mut lowering));
    }
    lowering.tables.program.data = document.attributes.to_json();
    routes::lower(&mut lowering);
    beside_rules(&mut lowering);
    fallbacks(&mut lowering);
    unreached(&mut lowering);
    for plugin in &document.plugins {
        if !lowering.named.contains(&plugin.name) {
            lowering.reports.push(
                warning(
                    Code::UnusedPlugin,
                    plugin.span,
                    format!("nothing uses the plugin `{}`", plugin.name),
                )
                .help("name it in a step or an `authentication` list, or remove it"),
            );
        }
    }
    unused_overrides(&mut lowering);
    let deployment = deployment(document);
    (finish(lowering), deployment)
}

/// Pins and public paths.
fn beside_rules(lowering: &mut Lowering<'_>) {
    let document = lowering.document;
    let tables = &mut lowering.tables;
    for pins in &document.pins {
        let scope = pins.scope.as_ref().map(|scope| tables.str(scope));
        let tools = pins.tools.iter().map(|(name, digest)| Pin {
            name: tables.str(name),
            digest: *digest,
        });
        let tools = tools.collect();
        tables.program.pins.push(Pins {
            scope,
            hides_unpinned: pins.hides_unpinned,
            tools,
        });
    }
    tables.program.public_paths = document.public_paths.as_ref().map(|paths| tables.strs(paths));
}

/// Kinds of operation that can meet a policy without a route for them.
const KINDS: [EntityKind; 6] = [
    EntityKind::Tool,
    EntityKind::Prompt,
    EntityKind::Resource,
    EntityKind::Llm,
    EntityKind::A2a,
    EntityKind::Http,
];

fn fallbacks(lowering: &mut Lowering<'_>) {
    let document = lowering.document;
    for entity in std::iter::once(None).chain(KINDS.into_iter().map(Some)) {
        let mut layers = vec![&document.global];
        layers.extend(
            document
                .defaults
                .iter()
                .filter(|(kind, _)| Some(*kind) == entity)
                .map(|(_, section)| section),
        );
        let identities = routes::identities(&layers, lowering);
        let pre = lowering.phase(&layers, Phase::Pre);
        let post = lowering.phase(&layers, Phase::Post);
        let assertions = assertions::lower(&layers, lowering);
        lowering.tables.program.fallbacks.push(Fallback {
            entity,
            pre,
            post,
            identities,
            assertions,
        });
    }
}

/// An override that no step goes by is mostly of a plugin that runs elsewhere.
fn unused_overrides(lowering: &mut Lowering<'_>) {
    let document = lowering.document;
    let sections = std::iter::once(&document.global)
        .chain(document.defaults.iter().map(|(_, section)| section))
        .chain(document.groups.iter().map(|(_, _, section)| section))
        .chain(document.routes.iter().map(|route| &route.section));
    for entry in sections.flat_map(|section| &section.overrides) {
        if !lowering.overridden.contains(&entry.span) {
            let message = format!("no step goes by this override of `{}`", entry.name);
            lowering.reports.push(
                warning(Code::UnusedPlugin, entry.span, message)
                    .help("it counts for `run(...)` in what this section governs, unless a narrower section overrides it again"),
            );
        }
    }
}

/// Groups that no route joins are still checked, so that a mistake in them shows before one does.
fn unreached(lowering: &mut Lowering<'_>) {
    let document = lowering.document;
    for (name, _, section) in &document.groups {
        if !document
            .routes
            .iter()
            .any(|route| route.groups.iter().any(|(joined, _, _)| joined == name))
        {
            let tables = std::mem::take(&mut lowering.tables);
            routes::identities(&[section], lowering);
            assertions::lower(&[section], lowering);
            lowering.phase(&[section], Phase::Pre);
            lowering.phase(&[section], Phase::Post);
            lowering.tables = tables;
        }
    }
}

impl<'a> Lowering<'a> {
    /// Lowers a phase of these layers.
    pub(crate) fn phase(
        &mut self,
        layers: &[&'a SectionDecl],
        phase: Phase,
    ) -> Option<apl_bytecode::BlockId> {
        self.phase = phase;
        self.overrides = layers.iter().flat_map(|layer| &layer.overrides).collect();
        phase::lower(layers, phase, self)
    }
}

fn finish(lowering: Lowering<'_>) -> Program {
    let Tables {
        mut program,
        mut spans,
        ..
    } = lowering.tables;
    spans.sort_by_key(|(position, _)| *position);
    spans.dedup_by_key(|(position, _)| *position);
    let sources = lowering.sources;
    let spans = spans
        .into_iter()
        .map(|(position, span)| {
            let source = sources.get(usize::from(span.file));
            let at = source.map_or(LineColumn { line: 1, column: 1 }, |source| {
                source.position(span.start)
            });
            let length = source.map_or(0, |source| {
                crate::source::to_u32(source.slice(span).chars().count())
            });
            (
                position,
                apl_bytecode::Span {
                    file: span.file,
                    line: at.line,
                    column: at.column,
                    length,
                },
            )
        })
        .collect();
    program.debug = Some(Debug {
        files: sources.iter().map(|source| source.name.clone()).collect(),
        compiler: env!("CARGO_PKG_VERSION").to_owned(),
        spans,
    });
    program
}
