//! `plugins:` inside a section: other settings of declared plugins, for what the section governs.
//!
//! As upstream: a narrower section's entry replaces an outer one's whole entry, and its `config` replaces the declared one
//! whole, not key by key. Validators and audit loggers can be overridden, the plugins that steps run.

use super::Document;
use super::keys::{Reader, check};
use super::plugin::PluginKind;
use super::plugins;
use super::section::SectionDecl;
use crate::diagnostics::{Code, error, note};
use crate::source::Span;
use crate::vocabulary::{Section, nearest};
use crate::yaml::{Node, Value};

/// An override, as written and, once all plugins are known, as meant.
#[derive(Debug, Clone)]
pub(crate) struct Override {
    /// Of which plugin.
    pub name: String,
    /// Where the name is.
    pub span: Span,
    node: Node,
    /// What the plugin is here.
    pub kind: PluginKind,
}

/// Reads the overrides of a section.
pub(super) fn read(node: &Node, reader: &mut Reader<'_>) -> Vec<Override> {
    let Some(entry) = node.get("plugins") else {
        return Vec::new();
    };
    match &entry.node.value {
        Value::Null => Vec::new(),
        Value::List(items) if items.is_empty() => Vec::new(),
        Value::List(_) => {
            reader.reports.push(
                error(
                    Code::NotInBuild,
                    entry.key_span,
                    "a list of `plugins` in a section is not in this build",
                )
                .help("plugins run where a step names them: write `run(name)` in `pre_invocation`"),
            );
            Vec::new()
        }
        Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Str(..) | Value::Map(_) => {
            let mut found = Vec::new();
            for part in reader.map(&entry.node, "plugins") {
                if part.node.as_map().is_none() {
                    reader.wrong(&part.node, "an override", "a map with `config` or `on_error`");
                    continue;
                }
                check(&part.node, Section::Override, reader);
                found.push(Override {
                    name: part.key.clone(),
                    span: part.key_span,
                    node: part.node.clone(),
                    kind: PluginKind::Broken,
                });
            }
            found
        }
    }
}

/// Gives every override its meaning.
pub(super) fn resolve(document: &mut Document, reader: &mut Reader<'_>) {
    let declared = std::mem::take(&mut document.plugins);
    let mut resolve = |section: &mut SectionDecl| {
        section.overrides.retain_mut(|entry| {
            let Some(plugin) = declared.iter().find(|plugin| plugin.name == entry.name) else {
                let names = declared.iter().map(|plugin| plugin.name.as_str());
                let message = format!("no plugin is called `{}`", entry.name);
                let report = error(Code::UnknownPlugin, entry.span, message);
                reader.reports.push(match nearest(&entry.name, names) {
                    Some(guess) => report.suggest(entry.span, guess),
                    None => {
                        report.help("an override changes a plugin that is declared under top-level `plugins`")
                    }
                });
                return false;
            };
            match &plugin.kind {
                PluginKind::Broken => return false,
                PluginKind::Pii(_) | PluginKind::Audit { .. } => {}
                other @ (PluginKind::Identity(_)
                | PluginKind::Oauth(_)
                | PluginKind::BackendSecret(_)
                | PluginKind::Elicitor(_)) => {
                    let message = format!("`{}` is {}, which no section overrides", entry.name, other.what());
                    reader
                        .reports
                        .push(note(Code::NoMeaning, entry.span, message).help(
                            "CPEX ignores such an override too; declare a second plugin and name that one",
                        ));
                    return false;
                }
            }
            entry.kind = match entry.node.get("config") {
                None => plugin.kind.clone(),
                Some(config) => plugins::configured(&plugin.word, Some(&config.node), entry.span, reader),
            };
            plugins::behaviour(&entry.node, &entry.kind, reader);
            true
        });
    };
    resolve(&mut document.global);
    document
        .defaults
        .iter_mut()
        .for_each(|(_, section)| resolve(section));
    document
        .groups
        .iter_mut()
        .for_each(|(_, _, section)| resolve(section));
    document
        .routes
        .iter_mut()
        .for_each(|route| resolve(&mut route.section));
    document.plugins = declared;
}
