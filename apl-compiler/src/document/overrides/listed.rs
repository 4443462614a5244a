//! A list of `plugins` in a section: each runs before the section's steps, in the list's order.
//!
//! CPEX calls a listed plugin at those of its `hooks` that lie around the operation. Here a hook says in which phase it
//! runs: before the call (`cmf.tool_pre_invoke`, `cmf.llm_input`), after it (`cmf.tool_post_invoke`, `cmf.llm_output`), or,
//! without hooks, both.

use std::collections::BTreeSet;

use super::{Override, Reader};
use crate::diagnostics::{Code, error, note};
use crate::document::keys::check;
use crate::document::plugin::{Plugin, PluginKind};
use crate::document::section::SectionDecl;
use crate::source::Span;
use crate::syntax::{Effect, EffectKind, Step, StepKind};
use crate::vocabulary::{Section, nearest};
use crate::yaml::{Node, Value};

/// A plugin that a section lists.
#[derive(Debug, Clone)]
pub(crate) struct Listed {
    name: String,
    span: Span,
}

/// Reads names, and maps of one name and its settings.
pub(super) fn read(list: &Node, reader: &mut Reader<'_>) -> (Vec<Override>, Vec<Listed>) {
    let (mut overrides, mut listed) = (Vec::new(), Vec::new());
    for item in reader.list(list, "plugins") {
        let (name, span) = match (item.as_str(), item.as_map()) {
            (Some(name), _) => (name.to_owned(), item.span),
            (None, Some([entry])) => {
                match &entry.node.value {
                    Value::Null => {}
                    Value::Map(_) => {
                        check(&entry.node, Section::Override, reader);
                        overrides.push(Override {
                            name: entry.key.clone(),
                            span: entry.key_span,
                            node: entry.node.clone(),
                            over: true,
                            kind: PluginKind::Broken,
                        });
                    }
                    Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Str(..) | Value::List(_) => {
                        reader.wrong(&entry.node, "an override", "a map with `config` or `on_error`");
                    }
                }
                (entry.key.clone(), entry.key_span)
            }
            (None, _) => {
                reader.wrong(
                    item,
                    "an item of `plugins`",
                    "a plugin's name, or one name with its settings",
                );
                continue;
            }
        };
        listed.push(Listed { name, span });
    }
    (overrides, listed)
}

/// The settings of a list's item over the declared ones.
pub(super) fn over(node: &Node, declared: Option<&Node>) -> Node {
    let mut merged = node.clone();
    if let (Value::Map(entries), Some(base)) = (&mut merged.value, declared.and_then(Node::as_map)) {
        let kept = base.iter().filter(|entry| node.get(&entry.key).is_none());
        let mut all: Vec<_> = kept.cloned().collect();
        all.append(entries);
        *entries = all;
    }
    merged
}

/// Puts what a section lists before its steps. `active` gains the names.
pub(super) fn resolve(
    section: &mut SectionDecl,
    declared: &[Plugin],
    active: &mut BTreeSet<String>,
    reader: &mut Reader<'_>,
) {
    let (mut pre, mut post) = (Vec::new(), Vec::new());
    for (index, Listed { name, span }) in std::mem::take(&mut section.listed).into_iter().enumerate() {
        let Some(plugin) = declared.iter().find(|plugin| plugin.name == name) else {
            let names = declared.iter().map(|plugin| plugin.name.as_str());
            let report = error(Code::UnknownPlugin, span, format!("no plugin is called `{name}`"));
            reader.reports.push(match nearest(&name, names) {
                Some(guess) => report.suggest(span, guess),
                None => report.help("a section lists plugins that are declared under top-level `plugins`"),
            });
            continue;
        };
        match &plugin.kind {
            PluginKind::Broken => continue,
            PluginKind::Pii(_) | PluginKind::Audit { .. } => {}
            other @ (PluginKind::Identity(_)
            | PluginKind::Oauth(_)
            | PluginKind::BackendSecret(_)
            | PluginKind::Biscuit(_)
            | PluginKind::Elicitor(_)) => {
                let instead = match other {
                    PluginKind::Identity(_) => "list it under `authentication`",
                    PluginKind::Oauth(_) | PluginKind::BackendSecret(_) | PluginKind::Biscuit(_) => {
                        "a `delegate(...)` step calls it"
                    }
                    _ => "a step such as `require_approval(...)` asks it",
                };
                let message = format!(
                    "`{name}` is {}, which a list of plugins does not run",
                    other.what()
                );
                reader
                    .reports
                    .push(note(Code::NoMeaning, span, message).help(instead));
                continue;
            }
        }
        section.listed_at.push(span);
        let hooks = plugin.hooks.as_ref().map_or(&[][..], |(_, names)| names);
        let (before, after) = phases(hooks);
        active.insert(name.clone());
        let step = |name: String| Step {
            span,
            index: u16::try_from(index).unwrap_or(u16::MAX),
            kind: StepKind::Do(Effect {
                span,
                kind: EffectKind::Run(name),
            }),
        };
        pre.extend(before.then(|| step(name.clone())));
        post.extend(after.then(|| step(name.clone())));
    }
    section.pre.splice(..0, pre);
    section.post.splice(..0, post);
}

/// Before the call, after it.
fn phases(hooks: &[String]) -> (bool, bool) {
    let any = |words: &[&str]| {
        hooks
            .iter()
            .any(|hook| hook.split(['.', '_']).any(|part| words.contains(&part)))
    };
    match (any(&["pre", "input"]), any(&["post", "output"])) {
        (false, false) => (true, true),
        found => found,
    }
}

/// Says, at the first one, of which plugins the hooks change nothing.
pub(super) fn hooks(declared: &[Plugin], active: &BTreeSet<String>, reader: &mut Reader<'_>) {
    let without = declared.iter().filter(|plugin| !active.contains(&plugin.name));
    if let Some((span, _)) = without.filter_map(|plugin| plugin.hooks.as_ref()).next() {
        reader.reports.push(
            note(Code::NoMeaning, *span, "`hooks` has no meaning here")
                .help("a plugin runs where a step names it; hooks count for plugins that a section lists"),
        );
    }
}
