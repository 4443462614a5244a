//! `aplc inspect`: what is in a program, a filter configuration or an Envoy `config_dump`.

use std::path::PathBuf;

use apl_bytecode::CredentialSource;
use apl_compiler::outline::{ChallengeView, Operation, Outline, Step, StepKind, outline};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use serde_json::{Map, Value, json};

use super::command::Format;
use super::{End, Fault, input};

/// `aplc inspect`.
#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// A program (`.aplb`), a `filter-config.json`, or an Envoy `config_dump` as JSON.
    pub file: PathBuf,
    /// How it is written.
    #[arg(long, value_enum, default_value = "text")]
    pub format: Format,
}

/// Deepest JSON that is searched.
const MAX_DEPTH: usize = 100;

/// Looks.
pub(crate) fn run(inspect: &Inspect) -> Result<End, Fault> {
    let bytes = input::read(&inspect.file)?;
    let mut found = Vec::new();
    if bytes.starts_with(&apl_bytecode::MAGIC) {
        found.push(json!({ "at": inspect.file.display().to_string(), "program": program(&bytes) }));
    } else {
        let document: Value = serde_json::from_slice(&bytes).map_err(|_| nothing(inspect))?;
        search(&document, "$", 0, &mut found);
    }
    if found.is_empty() {
        return Err(nothing(inspect));
    }
    match inspect.format {
        Format::Json => println!("{}", serde_json::to_string_pretty(&json!({ "found": found }))?),
        Format::Text => {
            for entry in &found {
                print(entry, 0);
                println!();
            }
        }
    }
    let broken = found.iter().any(|entry| entry["program"].get("fault").is_some());
    Ok(if broken { End::PolicyAtFault } else { End::Fine })
}

fn nothing(inspect: &Inspect) -> Fault {
    Fault::Argument(format!(
        "`{}` holds no Aplomb policy: give a program that `aplc build` wrote (it begins with APLB), a filter-config.json, or \
         the JSON of Envoy's /config_dump",
        inspect.file.display()
    ))
}

/// What is in a program.
fn program(bytes: &[u8]) -> Value {
    let loaded = match apl_bytecode::load(bytes) {
        Ok(loaded) => loaded,
        Err(fault) => return json!({ "bytes": bytes.len(), "fault": fault.to_string() }),
    };
    let model = loaded.program();
    let sections: Map<String, Value> = apl_bytecode::sections(bytes)
        .unwrap_or_default()
        .iter()
        .map(|section| (section.name().to_owned(), (section.end - section.start).into()))
        .collect();
    let outline = outline(model);
    let signed = matches!(apl_bytecode::signature(bytes), Ok(Some(_)));
    let mut kinds: Map<String, Value> = Map::new();
    for route in &model.routes {
        let count = kinds
            .get(route.entity.name())
            .and_then(Value::as_u64)
            .unwrap_or(0);
        kinds.insert(route.entity.name().to_owned(), (count + 1).into());
    }
    let routes: Vec<&str> = outline
        .operations
        .iter()
        .filter(|operation| operation.route)
        .map(|operation| operation.name.as_str())
        .collect();
    json!({
        "bytes": bytes.len(),
        "digest": loaded.digest_hex(),
        "signature": if signed { "Ed25519; `aplc verify` checks it" } else { "none" },
        "compiler": model.debug.as_ref().map(|debug| debug.compiler.clone()),
        "sections": sections,
        "unmatched": if outline.unmatched_allowed { "allow" } else { "deny" },
        "audit": if outline.waits_for_records { "durable" } else { "batched" },
        "capture": if outline.captures { "facts" } else { "none" },
        "open_identities": open(model),
        "identities": outline.identities.iter().map(|identity| format!("{}: {}", identity.name, identity.what)).collect::<Vec<_>>(),
        "companion": companion(&loaded),
        "labels": labels(model),
        "pins": outline.pins.iter().map(|pins| {
            let others = if pins.hides_unpinned { "others hidden" } else { "others as the routes say" };
            format!("{} tools {}, {others}", pins.tools.len(), pins.server())
        }).collect::<Vec<_>>(),
        "public_paths": outline.public_paths,
        "in_shadow": told(&outline, |operation| {
            operation.shadow.map(|until| match until {
                0 => String::new(),
                until => format!("until second {until} of the Unix epoch"),
            })
        }),
        "challenges": told(&outline, |operation| operation.challenge.as_ref().map(ChallengeView::words)),
        "responses": told(&outline, |operation| operation.response.clone()),
        "assertions": told(&outline, |operation| operation.assertions.clone()),
        "restricts": told(&outline, |operation| restricts(&operation.pre).then(String::new)),
        "routes_by_kind": kinds,
        "routes": routes,
    })
}

/// Operations of which something is to be said.
fn told(outline: &Outline, what: impl Fn(&Operation) -> Option<String>) -> Vec<String> {
    let line = |operation: &Operation| {
        what(operation).map(|what| match what.as_str() {
            "" => operation.name.clone(),
            what => format!("{}: {what}", operation.name),
        })
    };
    outline.operations.iter().filter_map(line).collect()
}

/// Whether a step narrows where requests go.
fn restricts(steps: &[Step]) -> bool {
    steps.iter().any(|step| match &step.kind {
        StepKind::Ask(words) => words.starts_with("restrict"),
        StepKind::When { then, .. } => restricts(then),
        _ => false,
    })
}

/// What the companion must provide.
fn companion(loaded: &apl_bytecode::VerifiedProgram) -> Vec<&'static str> {
    let model = loaded.program();
    let routes = (0..model.routes.len()).map(|at| loaded.needs(at));
    let fallbacks = model
        .fallbacks
        .iter()
        .map(|fallback| loaded.needs_of(fallback.pre, fallback.post));
    let all: Vec<_> = routes
        .chain(fallbacks)
        .flat_map(|needs| [needs.pre, needs.post])
        .collect();
    let keys = model
        .identities
        .iter()
        .flat_map(apl_bytecode::Identity::issuers)
        .any(|issuer| issuer.jwks.is_none());
    [
        ("keys of issuers", keys),
        ("token exchange", all.iter().any(|needs| needs.delegates)),
        ("reading labels", all.iter().any(|needs| needs.loads_labels)),
        ("storing labels", all.iter().any(|needs| needs.taints)),
        ("audit", true),
    ]
    .into_iter()
    .filter(|(_, used)| *used)
    .map(|(name, _)| name)
    .collect()
}

/// Identities whose issuers the deployment names.
fn open(model: &apl_bytecode::Program) -> Vec<String> {
    let mut names: Vec<String> = model
        .identities
        .iter()
        .filter(|identity| match &identity.source {
            CredentialSource::Token { issuers, .. } => issuers.is_empty(),
            CredentialSource::Metadata { issuers, .. } => issuers.is_empty(),
            CredentialSource::Peer { .. } => identity.trust_domains.is_empty(),
            CredentialSource::ApiKey { .. } => false,
        })
        .filter_map(|identity| model.strings.get(identity.name.at()).cloned())
        .collect();
    names.sort();
    names
}

/// Labels that effects set.
fn labels(model: &apl_bytecode::Program) -> Vec<String> {
    let mut labels: Vec<String> = model
        .effects
        .iter()
        .filter_map(|effect| match effect {
            apl_bytecode::Effect::Taint { label, .. } => model.strings.get(label.at()).cloned(),
            _ => None,
        })
        .collect();
    labels.sort();
    labels.dedup();
    labels
}

/// Every filter configuration in a document, wherever it stands: as an object, or as JSON text in an Envoy `StringValue`.
fn search(value: &Value, at: &str, depth: usize, found: &mut Vec<Value>) {
    if depth > MAX_DEPTH {
        return;
    }
    match value {
        Value::Object(map) => {
            if let Some(entry) = configuration(map, at) {
                found.push(entry);
                return;
            }
            for (key, inner) in map {
                search(inner, &format!("{at}.{key}"), depth + 1, found);
            }
        }
        Value::Array(items) => {
            for (index, inner) in items.iter().enumerate() {
                // A resource's name says more than its number.
                let name = inner.get("name").and_then(Value::as_str);
                let at = name.map_or_else(|| format!("{at}[{index}]"), |name| format!("{at}[{name}]"));
                search(inner, &at, depth + 1, found);
            }
        }
        Value::String(text) if text.trim_start().starts_with('{') => {
            if let Ok(inner) = serde_json::from_str::<Value>(text) {
                search(&inner, at, depth + 1, found);
            }
        }
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn configuration(map: &Map<String, Value>, at: &str) -> Option<Value> {
    let install = map.get("install").filter(|install| install.get("mode").is_some());
    let bytes = map
        .get("policy")
        .and_then(Value::as_str)
        .and_then(|policy| STANDARD.decode(policy.trim()).ok())
        .filter(|bytes| bytes.starts_with(&apl_bytecode::MAGIC));
    if bytes.is_none() && install.is_none() {
        return None;
    }
    let mut entry = Map::new();
    entry.insert("at".to_owned(), at.into());
    for (key, value) in map
        .iter()
        .filter(|(key, _)| !matches!(key.as_str(), "policy" | "shadow_policy" | "identities"))
    {
        entry.insert(key.clone(), value.clone());
    }
    if let Some(identities) = map.get("identities").and_then(Value::as_array) {
        entry.insert("bindings".to_owned(), identities.iter().map(binding).collect());
    }
    if let Some(bytes) = bytes {
        entry.insert("program".to_owned(), program(&bytes));
    }
    Some(Value::Object(entry))
}

/// An identity with who vouches for it in this deployment.
fn binding(identity: &Value) -> Value {
    let texts = |value: &Value| {
        let items = value.as_array().into_iter().flatten();
        items.filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
    };
    let issuers = identity["issuers"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|issuer| {
            format!(
                "{} for {} ({})",
                issuer["issuer"].as_str().unwrap_or("?"),
                texts(&issuer["audiences"]),
                texts(&issuer["algorithms"]),
            )
        });
    format!(
        "{}: {}",
        identity["name"].as_str().unwrap_or("?"),
        issuers.collect::<Vec<_>>().join("; ")
    )
    .into()
}

/// JSON as indented lines.
fn print(value: &Value, indent: usize) {
    let Value::Object(map) = value else { return };
    for (key, inner) in map {
        let space = " ".repeat(indent);
        match inner {
            Value::Object(_) => {
                println!("{space}{key}");
                print(inner, indent + 2);
            }
            Value::Array(items) if items.is_empty() => {}
            Value::Array(items) => {
                let items: Vec<String> = items
                    .iter()
                    .map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned))
                    .collect();
                println!("{space}{key}  {}", items.join(", "));
            }
            Value::String(text) => println!("{space}{key}  {text}"),
            Value::Null => {}
            Value::Bool(_) | Value::Number(_) => println!("{space}{key}  {inner}"),
        }
    }
}
