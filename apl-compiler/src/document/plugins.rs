//! Plugin declarations. One reader per kind of plugin, each in a file of its own.

mod api_key;
mod approvals;
mod biscuit;
mod claims;
mod decoding_key;
mod elicitor;
mod jwt;
mod oauth;
mod pdp;
mod pii;
mod spiffe;
mod store;
mod url;

pub(crate) use approvals::approvals;
pub(crate) use pdp::decision_points;
pub(crate) use store::session_store;

use super::identity::IdentityDecl;
use super::keys::{Reader, check};
use super::plugin::{Plugin, PluginKind};
use crate::diagnostics::{Code, error, warning};
use crate::vocabulary::{Section, nearest};
use crate::yaml::Node;

const KINDS: &[&str] = &[
    "identity/jwt",
    "identity/mesh-jwt",
    "identity/spiffe",
    "identity/api-key",
    "delegator/oauth",
    "delegator/secret",
    "delegator/biscuit",
    "validator/pii-scan",
    "audit/logger",
    "elicitation/ciba",
    "elicitation/page",
];

/// Kinds that upstream has and this build has not, and what to do instead.
const LATER: &[(&str, &str)] = &[
    (
        "delegator/vault",
        "a `delegator/secret` with `secret_source: {kind: vault, ...}` reads a backend's secret from Vault; paths by caller are not in this build",
    ),
    (
        "quota/limitador",
        "the steps `limit(100 per 1h)` and `budget(50k per 1d, cost: args.amount)` count in the companion, without a plugin",
    ),
];

/// Reads the list of plugins.
pub(crate) fn read(node: &Node, reader: &mut Reader<'_>) -> Vec<Plugin> {
    if node.is_null() {
        return Vec::new();
    }
    let mut plugins: Vec<Plugin> = Vec::new();
    for item in reader.list(node, "plugins") {
        if item.as_map().is_none() {
            reader.wrong(item, "a plugin", "a map");
            continue;
        }
        check(item, Section::Plugin, reader);
        let Some(name) = reader.required(item, "name", "a plugin", item.span) else {
            continue;
        };
        let span = item.get("name").map_or(item.span, |entry| entry.node.span);
        if let Some(first) = plugins.iter().find(|plugin| plugin.name == name) {
            let message = format!("two plugins are called `{name}`");
            reader
                .reports
                .push(error(Code::Duplicate, span, message).related(first.span, "the first one"));
            continue;
        }
        let mut kind = kind(item, reader);
        if let PluginKind::Identity(decl) = &mut kind {
            decl.bound = item.get("bind").is_some();
        }
        behaviour(item, &kind, reader);
        plugins.push(Plugin {
            name: name.to_owned(),
            span,
            word: reader.text(item, "kind").unwrap_or_default().to_owned(),
            config: item.get("config").map(|entry| entry.node.clone()),
            hooks: hooks(item, reader),
            kind,
        });
    }
    plugins
}

fn hooks(item: &Node, reader: &mut Reader<'_>) -> Option<(crate::source::Span, Vec<String>)> {
    let entry = item.get("hooks")?;
    let mut names = Vec::new();
    for name in reader.list(&entry.node, "hooks") {
        match name.as_str() {
            Some(name) => names.push(name.to_owned()),
            None => reader.wrong(name, "a hook", "a name such as `cmf.tool_pre_invoke`"),
        }
    }
    Some((entry.key_span, names))
}

fn kind(item: &Node, reader: &mut Reader<'_>) -> PluginKind {
    let Some(word) = reader.required(item, "kind", "a plugin", item.span) else {
        return PluginKind::Broken;
    };
    let span = item.get("kind").map_or(item.span, |entry| entry.node.span);
    configured(word, item.get("config").map(|entry| &entry.node), span, reader)
}

/// What a plugin of a kind is with this configuration. `span`: for what is missing in it.
pub(super) fn configured(
    word: &str,
    config: Option<&Node>,
    span: crate::source::Span,
    reader: &mut Reader<'_>,
) -> PluginKind {
    let empty = Node {
        span,
        value: crate::yaml::Value::Map(Vec::new()),
    };
    let config = config.filter(|config| !config.is_null()).unwrap_or(&empty);
    match word {
        "identity/jwt" => identity(jwt::jwt(config, span, reader)),
        "identity/mesh-jwt" => identity(jwt::mesh(config, span, reader)),
        "identity/spiffe" => identity(spiffe::spiffe(config, span, reader)),
        "identity/api-key" => identity(api_key::api_key(config, span, reader)),
        "delegator/oauth" => oauth::oauth(config, span, reader)
            .map_or(PluginKind::Broken, |oauth| PluginKind::Oauth(Box::new(oauth))),
        "delegator/secret" => {
            oauth::backend_secret(config, span, reader).map_or(PluginKind::Broken, PluginKind::BackendSecret)
        }
        "delegator/biscuit" => {
            biscuit::biscuit(config, span, reader).map_or(PluginKind::Broken, PluginKind::Biscuit)
        }
        "validator/pii-scan" => PluginKind::Pii(pii::pii(config, reader)),
        "audit/logger" => {
            check(config, Section::AuditConfig, reader);
            PluginKind::Audit {
                durable: reader.boolean(config, "durable").unwrap_or(false),
            }
        }
        "elicitation/ciba" => {
            elicitor::ciba(config, span, reader).map_or(PluginKind::Broken, PluginKind::Elicitor)
        }
        "elicitation/page" => PluginKind::Elicitor(elicitor::page(config, reader)),
        _ if let Some((_, instead)) = LATER.iter().find(|(kind, _)| *kind == word) => {
            let message = format!("the plugin kind `{word}` is not in this build");
            reader
                .reports
                .push(error(Code::NotInBuild, span, message).help(*instead));
            PluginKind::Broken
        }
        _ => {
            let help = match nearest(word, KINDS.iter().copied()) {
                Some(guess) => format!("did you mean `{guess}`?"),
                None => format!(
                    "a plugin with code of its own cannot run in the proxy; use {}, or ask a decision point",
                    KINDS.join(", ")
                ),
            };
            reader.reports.push(
                error(
                    Code::UnknownKind,
                    span,
                    format!("there is no plugin kind `{word}`"),
                )
                .help(help),
            );
            PluginKind::Broken
        }
    }
}

fn identity(read: Option<IdentityDecl>) -> PluginKind {
    read.map_or(PluginKind::Broken, |decl| PluginKind::Identity(Box::new(decl)))
}

/// `mode` and `on_error`, which upstream lets weaken a guard.
pub(super) fn behaviour(item: &Node, kind: &PluginKind, reader: &mut Reader<'_>) {
    let modes = [
        "sequential",
        "transform",
        "audit",
        "concurrent",
        "fire_and_forget",
        "disabled",
    ];
    let mode = reader.word(item, "mode", &modes);
    let guard = !matches!(kind, PluginKind::Audit { .. });
    if let (Some(mode @ ("transform" | "audit" | "fire_and_forget" | "disabled")), true, Some(entry)) =
        (mode, guard, item.get("mode"))
    {
        reader.reports.push(
            warning(
                Code::NoMeaning,
                entry.node.span,
                format!("`mode: {mode}` would drop this plugin's denials; here they count"),
            )
            .help("remove the steps that name the plugin to switch it off"),
        );
    }
    let on_error = reader.word(item, "on_error", &["fail", "ignore", "disable"]);
    if let (Some(word @ ("ignore" | "disable")), true, Some(entry)) = (on_error, guard, item.get("on_error"))
    {
        reader.reports.push(
            warning(
                Code::NoMeaning,
                entry.node.span,
                format!("`on_error: {word}` would let a failing guard pass; here it denies"),
            )
            .help("a single `delegate` step can say `on_error: continue`"),
        );
    }
}
