//! The document: tree to sections, plugins and routes, with every key checked against its closed table.

mod assertions;
mod enforcement;
mod identity;
pub(crate) mod keys;
mod overrides;
mod pins;
mod plugin;
mod plugins;
mod point;
mod route;
mod section;
mod store;
mod teams;

pub(crate) use assertions::{AssertionsDecl, ContractDecl, HeaderDecl, SecretDecl, SourceDecl};
pub(crate) use enforcement::EnforcementDecl;
pub(crate) use identity::{ClaimMapDecl, CredentialDecl, DirectoryDecl, IdentityDecl, JwtIssuer, Keys};
pub(crate) use overrides::Override;
pub(crate) use pins::PinsDecl;
pub use plugin::{ClientProof, RootKey};
pub(crate) use plugin::{DetectorDecl, Oauth, Pii, Plugin, PluginKind, Secret};
pub use point::TextSource;
pub(crate) use point::{Approvals, Elicitor, Point, PointKind, Webhook};
pub(crate) use route::{HttpSelector, ResponseDecl, RouteDecl};
pub(crate) use section::SectionDecl;
pub use store::{Store, Valkey};
pub(crate) use teams::{platform_route, read as teams, takes_away};

use apl_bytecode::{Delivery, EntityKind, Settings, Unmatched};

use crate::attribute_files::Attributes;
use crate::diagnostics::{Code, Reports, error, note};
use crate::source::{Source, Span};
use crate::vocabulary::Section;
use crate::yaml::Node;
use keys::{Reader, check};

/// A policy, before layering.
#[derive(Debug, Default)]
pub(crate) struct Document {
    /// Declared plugins.
    pub plugins: Vec<Plugin>,
    /// `global`.
    pub global: SectionDecl,
    /// `global.defaults`.
    pub defaults: Vec<(EntityKind, SectionDecl)>,
    /// `groups`.
    pub groups: Vec<(String, Span, SectionDecl)>,
    /// Routes: the platform's, then each team's.
    pub routes: Vec<RouteDecl>,
    /// Teams that the platform declares.
    pub teams: Vec<teams::Team>,
    /// `secrets.values`.
    pub secrets: Vec<SecretDecl>,
    /// `engine_settings`.
    pub settings: Settings,
    /// `engine_settings.public_paths`; `None`: the defaults.
    pub public_paths: Option<Vec<String>>,
    /// `pins`.
    pub pins: Vec<PinsDecl>,
    /// `global.enforcement`.
    pub enforcement: Option<EnforcementDecl>,
    /// `global.response`.
    pub response: Option<ResponseDecl>,
    /// `global.attribute_files`, merged.
    pub attributes: Attributes,
    /// `global.session_store`.
    pub store: Option<Store>,
    /// `global.approvals`.
    pub approvals: Option<Approvals>,
    /// `global.pdp`, but for CEL.
    pub points: Vec<Point>,
}

/// Reads a document; what is wrong with it is in `reports`.
pub(crate) fn read(root: &Node, source: &Source, reports: &mut Reports) -> Document {
    let mut reader = Reader {
        source,
        reports,
        noted: Vec::new(),
    };
    let mut document = Document::default();
    if root.as_map().is_none() {
        let message = format!("a policy is a map, this is {}", root.kind());
        reader
            .reports
            .push(error(Code::WrongType, root.span, message).help("begin with `routes:`"));
        return document;
    }
    check(root, Section::Top, &mut reader);
    if let Some(entry) = root.get("plugins") {
        document.plugins = plugins::read(&entry.node, &mut reader);
    }
    if let Some(entry) = root.get("plugin_settings") {
        check(&entry.node, Section::PluginSettings, &mut reader);
    }
    if let Some(entry) = root.get("engine_settings") {
        document.settings = settings(&entry.node, &mut reader);
        document.public_paths = pins::public_paths(&entry.node, &mut reader);
    }
    if let Some(entry) = root.get("pins") {
        document.pins = pins::read(&entry.node, &mut reader);
    }
    if let Some(entry) = root.get("secrets") {
        document.secrets = assertions::secrets(&entry.node, &mut reader);
    }
    if let Some(entry) = root.get("global") {
        global(&entry.node, &mut document, &mut reader);
    }
    if let Some(entry) = root.get("groups") {
        groups(&entry.node, &mut document, &mut reader);
    }
    if let Some(entry) = root.get("teams") {
        document.teams = teams::declared(&entry.node, &mut reader);
    }
    if let Some(entry) = root.get("routes") {
        document.routes = route::read(&entry.node, &mut reader);
    }
    overrides::resolve(&mut document, &mut reader);
    document
}

fn settings(node: &Node, reader: &mut Reader<'_>) -> Settings {
    check(node, Section::EngineSettings, reader);
    let unmatched = match reader.word(node, "unmatched", &["deny", "allow"]) {
        Some("allow") => Unmatched::Allow,
        _ => Unmatched::Deny,
    };
    let forward = reader.word(
        node,
        "forward_inbound_credentials",
        &["never", "unless_delegated"],
    );
    let delivery = match reader.word(node, "audit", &["batched", "durable"]) {
        Some("durable") => Delivery::Durable,
        _ => Delivery::Batched,
    };
    let capture = reader.word(node, "capture", &["none", "facts"]);
    Settings {
        unmatched,
        never_forward_credentials: forward == Some("never"),
        delivery,
        capture: capture == Some("facts"),
        ..Settings::default()
    }
}

fn global(node: &Node, document: &mut Document, reader: &mut Reader<'_>) {
    document.global = section::read(node, Section::Global, "global", reader);
    document.enforcement = enforcement::read(node, reader);
    document.response = route::response(node, reader);
    if let Some(entry) = node.get("defaults") {
        for default in reader.map(&entry.node, "defaults") {
            let Some(kind) = entity(&default.key) else {
                let message = format!("`{}` is no kind of operation", default.key);
                reader.reports.push(
                    error(Code::UnknownKey, default.key_span, message)
                        .help("`tool`, `prompt`, `resource`, `llm`, `a2a` or `http`"),
                );
                continue;
            };
            let source = format!("global.defaults.{}", default.key);
            let section = section::read(&default.node, Section::Defaults, &source, reader);
            document.defaults.push((kind, section));
        }
    }
    if let Some(entry) = node.get("policies") {
        groups(&entry.node, document, reader);
    }
    if let Some(entry) = node.get("approvals") {
        document.approvals = plugins::approvals(&entry.node, reader);
    }
    let wiring = node.get("apl").map_or(node, |apl| &apl.node);
    if let Some(entry) = wiring.get("pdp") {
        document.points = plugins::decision_points(&entry.node, reader);
    }
    if let Some(entry) = wiring.get("session_store") {
        document.store = plugins::session_store(&entry.node, reader);
    }
}

fn groups(node: &Node, document: &mut Document, reader: &mut Reader<'_>) {
    for entry in reader.map(node, "groups") {
        if let Some((_, first, _)) = document.groups.iter().find(|(name, _, _)| *name == entry.key) {
            let message = format!("the group `{}` is defined twice", entry.key);
            reader.reports.push(
                error(Code::Duplicate, entry.key_span, message).related(*first, "the first definition"),
            );
            continue;
        }
        if entry.key == "all" {
            reader.reports.push(
                note(
                    Code::NoMeaning,
                    entry.key_span,
                    "the group `all` is not special here",
                )
                .help("it governs the routes that name it; rules for every route go under `global`"),
            );
        }
        let section = section::read(
            &entry.node,
            Section::Bundle,
            &format!("groups.{}", entry.key),
            reader,
        );
        document.groups.push((entry.key.clone(), entry.key_span, section));
    }
}

/// The kinds of operation that this build routes.
pub(crate) fn entity(word: &str) -> Option<EntityKind> {
    match word {
        "tool" => Some(EntityKind::Tool),
        "prompt" => Some(EntityKind::Prompt),
        "resource" => Some(EntityKind::Resource),
        "llm" => Some(EntityKind::Llm),
        "a2a" => Some(EntityKind::A2a),
        "http" => Some(EntityKind::Http),
        _ => None,
    }
}
