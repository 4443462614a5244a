//! `plugins:` inside a section: as a map other settings of declared plugins, for what the section governs; as a list the
//! plugins that run there.
//!
//! As upstream: a narrower section's entry replaces an outer one's whole entry. In a map its `config` replaces the declared
//! one whole, in a list key by key. Validators and audit loggers can be overridden and listed, the plugins that steps run.

mod listed;

pub(super) use listed::Listed;

use std::collections::BTreeSet;

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
    /// Its `config` is laid over the declared one, key by key.
    over: bool,
    /// What the plugin is here.
    pub kind: PluginKind,
}

/// Reads the overrides of a section, and what it lists.
pub(super) fn read(node: &Node, reader: &mut Reader<'_>) -> (Vec<Override>, Vec<Listed>) {
    let Some(entry) = node.get("plugins") else {
        return Default::default();
    };
    match &entry.node.value {
        Value::Null => Default::default(),
        Value::List(_) => listed::read(&entry.node, reader),
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
                    over: false,
                    kind: PluginKind::Broken,
                });
            }
            (found, Vec::new())
        }
    }
}

/// Gives every override its meaning.
pub(super) fn resolve(document: &mut Document, reader: &mut Reader<'_>) {
    let declared = std::mem::take(&mut document.plugins);
    let mut active = BTreeSet::new();
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
                | PluginKind::Biscuit(_)
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
                Some(config) if entry.over => {
                    let config = listed::over(&config.node, plugin.config.as_ref());
                    plugins::configured(&plugin.word, Some(&config), entry.span, reader)
                }
                Some(config) => plugins::configured(&plugin.word, Some(&config.node), entry.span, reader),
            };
            plugins::behaviour(&entry.node, &entry.kind, reader);
            true
        });
        listed::resolve(section, &declared, &mut active, reader);
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
    listed::hooks(&declared, &active, reader);
    document.plugins = declared;
}
