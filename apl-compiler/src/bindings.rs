//! What a deployment binds: the settings that differ between staging and production, from a file outside the policy.
//!
//! A plugin or decision point says `bind: NAME`; the deployment's file gives the settings under `bindings: {NAME: {...}}`.
//! They are laid into the tree before the document is read, so that one reader checks both. Only settings that are not in
//! the program can be bound: the digest that was tested is the digest that runs.

mod tree;

use crate::diagnostics::{Code, Reports, error};
use crate::document::keys::{Reader, check};
use crate::source::{Source, Span};
use crate::vocabulary::{Section, nearest};
use crate::yaml::{Entry, Node};
use tree::{entry_mut, list_mut, map_mut, placeholder};

/// What may be bound, by kind of plugin or decision point: nothing of it is in the program.
const BINDABLE: &[(&str, &[&str])] = &[
    ("identity/jwt", &["trusted_issuers"]),
    ("identity/mesh-jwt", &["trusted_issuers"]),
    ("identity/spiffe", &["trust_domain", "trust_domains"]),
    ("identity/api-key", &["provider", "directory"]),
    (
        "delegator/oauth",
        &[
            "token_endpoint",
            "insecure_http",
            "client_id",
            "client_auth_method",
            "client_secret_source",
            "client_key_source",
            "client_key_id",
            "assertion_audience",
            "introspection_endpoint",
            "timeout_seconds",
            "subject_token_type",
            "default_outbound_header",
            "outbound_prefix",
        ],
    ),
    (
        "delegator/secret",
        &[
            "secret_source",
            "default_outbound_header",
            "outbound_prefix",
            "ttl_seconds",
        ],
    ),
    (
        "delegator/biscuit",
        &[
            "root_public_key",
            "default_outbound_header",
            "outbound_prefix",
            "default_ttl_seconds",
        ],
    ),
    (
        "elicitation/ciba",
        &[
            "backchannel_endpoint",
            "token_endpoint",
            "insecure_http",
            "issuer",
            "client_id",
            "client_secret_source",
            "scope",
            "approver_claim",
            "timeout_seconds",
            "delivery",
        ],
    ),
    ("elicitation/page", &["timeout_seconds", "webhook"]),
    (
        "cedar-direct",
        &[
            "policy_text",
            "policy_file",
            "schema_text",
            "schema_file",
            "entity_namespace",
        ],
    ),
    (
        "opa",
        &["modules", "module_files", "data", "data_files", "decision_field"],
    ),
    ("authzen", REMOTE),
    ("nemo", REMOTE),
];

const REMOTE: &[&str] = &[
    "url",
    "insecure_http",
    "token_source",
    "config_id",
    "timeout_seconds",
];

/// What was bound.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bound {
    /// Plugins and decision points with the names of their bindings, in written order.
    pub uses: Vec<BoundUse>,
    /// A deployment's file was given: every use has its settings from there.
    pub by_file: bool,
    /// Where the companion is, and names of variables.
    pub target: Target,
}

/// One plugin or decision point whose settings the deployment gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BoundUse {
    /// The plugin's name, or the decision point's kind.
    pub of: String,
    /// The binding's name.
    pub binding: String,
}

/// What the filter's configuration says of its surroundings. What is `None` has its default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Target {
    /// The Envoy cluster of the companion.
    pub companion_cluster: Option<String>,
    /// `:authority` of calls to it.
    pub companion_authority: Option<String>,
    /// What stands before `/v1/`.
    pub companion_path: Option<String>,
    /// The variable with the token for it.
    pub companion_token_env: Option<String>,
    /// The variable with the key of `hash`.
    pub hash_key_env: Option<String>,
    /// The variable with the key of session and event ids.
    pub seal_key_env: Option<String>,
}

/// Lays what a deployment binds into the policy. Without a deployment's file, placeholders stand in: such a policy can be
/// checked and tested, and not built.
pub(crate) fn bind(root: &mut Node, deploy: Option<(&Node, &Source)>, reports: &mut Reports) -> Bound {
    let mut bound = Bound {
        by_file: deploy.is_some(),
        ..Bound::default()
    };
    if let Some((node, source)) = deploy {
        bound.target = target(node, source, reports);
    }
    let bindings = deploy
        .and_then(|(node, _)| node.get("bindings"))
        .and_then(|entry| entry.node.as_map());
    let given = deploy.map(|(node, _)| (bindings.unwrap_or(&[]), node.span));
    if let Some(plugins) = entry_mut(root, "plugins") {
        for plugin in list_mut(plugins) {
            let of = plugin.get("name").and_then(|entry| entry.node.as_str());
            let of = of.unwrap_or("").to_owned();
            one(plugin, &of, Some("config"), given, &mut bound, reports);
        }
    }
    if let Some(global) = entry_mut(root, "global") {
        let wiring = match global.get("apl") {
            Some(_) => entry_mut(global, "apl"),
            None => Some(global),
        };
        if let Some(points) = wiring.and_then(|wiring| entry_mut(wiring, "pdp")) {
            let points = if points.as_map().is_some() {
                std::slice::from_mut(points)
            } else {
                list_mut(points)
            };
            for point in points {
                let of = point
                    .get("dialect")
                    .or_else(|| point.get("kind"))
                    .and_then(|entry| entry.node.as_str());
                let of = of.unwrap_or("").to_owned();
                one(point, &of, None, given, &mut bound, reports);
            }
        }
    }
    if let Some((node, _)) = deploy {
        unused(bindings.unwrap_or(&[]), &bound, reports);
        for key in ["session_store", "approvals"] {
            whole(root, node, key, reports);
        }
    }
    bound
}

/// One plugin or point. `below`: where its settings stand, if not in itself.
fn one(
    item: &mut Node,
    of: &str,
    below: Option<&str>,
    given: Option<(&[Entry], Span)>,
    bound: &mut Bound,
    reports: &mut Reports,
) {
    let Some(bind) = item.get("bind") else { return };
    let span = bind.node.span;
    let Some(name) = bind.node.as_str().filter(|name| !name.is_empty()) else {
        reports
            .push(error(Code::Binding, span, "`bind` is the name of a binding").help("bind: corporate-idp"));
        return;
    };
    let name = name.to_owned();
    let kind = item
        .get("kind")
        .and_then(|entry| entry.node.as_str())
        .unwrap_or("");
    let known = if kind == "cedar" { "cedar-direct" } else { kind };
    let Some((kind, keys)) = BINDABLE.iter().find(|(kind, _)| *kind == known) else {
        let message = format!("nothing of `{kind}` is bound by a deployment: all of it is in the program");
        reports.push(error(Code::Binding, span, message).help("remove `bind`"));
        return;
    };
    bound.uses.push(BoundUse {
        of: of.to_owned(),
        binding: name.clone(),
    });
    let settings = match below {
        Some(key) => map_mut(item, key, span),
        None => Some(item),
    };
    let Some(settings) = settings else { return };
    // What the policy says itself and a deployment may say too would be two answers.
    let inline: Vec<(String, Span)> = settings
        .as_map()
        .unwrap_or(&[])
        .iter()
        .filter(|entry| keys.contains(&entry.key.as_str()))
        .map(|entry| (entry.key.clone(), entry.key_span))
        .collect();
    let entries: Vec<Entry> = match given {
        None => placeholder(kind, span),
        Some((bindings, file)) => match bindings.iter().find(|entry| entry.key == name) {
            Some(binding) => binding.node.as_map().unwrap_or(&[]).to_vec(),
            None => {
                let names = bindings.iter().map(|entry| entry.key.as_str());
                let help = nearest(&name, names).map_or_else(
                    || format!("bindings: {{{name}: {{{}: ...}}}}", keys.first().unwrap_or(&"")),
                    |guess| format!("did you mean `{guess}`?"),
                );
                let message = format!("the deployment does not bind `{name}`, which `{of}` needs");
                reports.push(
                    error(Code::Binding, span, message)
                        .related(file, "this deployment")
                        .help(help),
                );
                placeholder(kind, span)
            }
        },
    };
    for entry in entries {
        if !keys.contains(&entry.key.as_str()) {
            let message = format!(
                "`{}` of `{kind}` cannot be bound: it is part of what is tested, or no setting of it",
                entry.key
            );
            reports.push(
                error(Code::Binding, entry.key_span, message)
                    .help(format!("a deployment binds {}", keys.join(", "))),
            );
            continue;
        }
        match inline.iter().find(|(key, _)| *key == entry.key) {
            // A placeholder gives way: what is inline is what the policy says.
            Some(_) if given.is_none() => {}
            Some((key, here)) => {
                let message = format!("`{key}` stands in the policy and in the deployment");
                reports.push(
                    error(Code::Binding, entry.key_span, message)
                        .related(*here, "in the policy")
                        .help("say it in one of them"),
                );
            }
            None => {
                if let crate::yaml::Value::Map(map) = &mut settings.value {
                    map.push(entry);
                }
            }
        }
    }
}

/// A binding that nothing uses is a misspelt one.
fn unused(bindings: &[Entry], bound: &Bound, reports: &mut Reports) {
    for binding in bindings {
        if bound.uses.iter().any(|one| one.binding == binding.key) {
            continue;
        }
        let names = bound.uses.iter().map(|one| one.binding.as_str());
        let help = nearest(&binding.key, names).map_or_else(
            || "a plugin or decision point names it by `bind:`".to_owned(),
            |guess| format!("did you mean `{guess}`?"),
        );
        let message = format!("nothing in the policy is bound by `{}`", binding.key);
        reports.push(error(Code::Binding, binding.key_span, message).help(help));
    }
}

/// A section of `global` that the deployment may give as a whole.
fn whole(root: &mut Node, deploy: &Node, key: &str, reports: &mut Reports) {
    let Some(entry) = deploy.get(key) else { return };
    let Some(global) = map_mut(root, "global", entry.key_span) else {
        return;
    };
    let wiring = match global.get("apl") {
        Some(apl) if key == "session_store" && apl.node.as_map().is_some() => entry_mut(global, "apl"),
        _ => Some(global),
    };
    let Some(wiring) = wiring else { return };
    if let Some(inline) = wiring.get(key) {
        let message = format!("`{key}` stands in the policy and in the deployment");
        reports.push(
            error(Code::Binding, entry.key_span, message)
                .related(inline.key_span, "in the policy")
                .help("say it in one of them"),
        );
        return;
    }
    if let crate::yaml::Value::Map(map) = &mut wiring.value {
        map.push(entry.clone());
    }
}

fn target(node: &Node, source: &Source, reports: &mut Reports) -> Target {
    let mut reader = Reader {
        source,
        reports,
        noted: Vec::new(),
    };
    check(node, Section::Deploy, &mut reader);
    if let Some(entry) = node.get("bindings") {
        for binding in reader.map(&entry.node, "bindings") {
            reader.map(&binding.node, "a binding");
        }
    }
    let mut target = Target::default();
    if let Some(entry) = node.get("companion") {
        check(&entry.node, Section::DeployCompanion, &mut reader);
        let mut text = |key: &str| reader.text(&entry.node, key).map(str::to_owned);
        target.companion_cluster = text("cluster");
        target.companion_authority = text("authority");
        target.companion_path = text("path");
        target.companion_token_env = text("token_env");
    }
    if let Some(entry) = node.get("filter") {
        check(&entry.node, Section::DeployFilter, &mut reader);
        target.hash_key_env = reader.text(&entry.node, "hash_key_env").map(str::to_owned);
        target.seal_key_env = reader.text(&entry.node, "seal_key_env").map(str::to_owned);
    }
    target
}
