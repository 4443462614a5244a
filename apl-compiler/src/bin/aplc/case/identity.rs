//! Reading identities.

use apl_compiler::yaml::Node;
use serde_json::{Map, Value};

use super::read::Reader;
use super::{Fault, Identity, Speaker};

const KEYS: &[&str] = &[
    "subject",
    "roles",
    "permissions",
    "teams",
    "claims",
    "client",
    "workload",
    "fault",
    "by",
];
const SPEAKER: &[&str] = &["id", "roles", "permissions", "teams", "scopes", "claims"];

/// Reads an identity: a name, `anonymous`, or a map.
pub(super) fn identity(node: &Node, named: &[(String, Node)], reader: &mut Reader) -> Identity {
    if let Some(name) = node.as_str() {
        if name == "anonymous" {
            return Identity::default();
        }
        return match named.iter().find(|(known, _)| known == name) {
            Some((_, found)) => identity(found, &[], reader),
            None => {
                let names = named.iter().map(|(name, _)| name.as_str()).chain(["anonymous"]);
                reader.unknown(node.span, &format!("no identity is called `{name}`"), name, names);
                Identity::default()
            }
        };
    }
    if !reader.keys(node, "an identity", KEYS) {
        return Identity::default();
    }
    let mut subject = node
        .get("subject")
        .map(|entry| speaker(&entry.node, "a subject", reader));
    for key in ["roles", "permissions", "teams"] {
        if let Some(entry) = node.get(key) {
            let names = reader.texts(&entry.node, key);
            match &mut subject {
                Some(subject) => put(&mut subject.claims, key, names),
                None => reader.error(
                    entry.key_span,
                    format!("`{key}` without a `subject`"),
                    "say who it is: `subject: bob`",
                ),
            }
        }
    }
    if let Some(entry) = node.get("claims") {
        let claims = reader.object(&entry.node, "claims");
        match &mut subject {
            Some(subject) => subject.claims.extend(claims),
            None => reader.error(
                entry.key_span,
                "`claims` without a `subject`".to_owned(),
                "say who it is: `subject: bob`",
            ),
        }
    }
    let mut of = |key: &str, what: &str| node.get(key).map(|entry| speaker(&entry.node, what, reader));
    let client = of("client", "a client");
    let workload = of("workload", "a workload");
    if let Some(workload) = &workload
        && !workload.id.starts_with("spiffe://")
        && let Some(entry) = node.get("workload")
    {
        reader.error(
            entry.node.span,
            format!("`{}` is no SPIFFE id", workload.id),
            "write `spiffe://trust-domain/path`",
        );
    }
    Identity {
        subject,
        client,
        workload,
        fault: node.get("fault").and_then(|entry| fault(&entry.node, reader)),
        by: node.get("by").map(|entry| reader.texts(&entry.node, "by")),
    }
}

fn fault(node: &Node, reader: &mut Reader) -> Option<Fault> {
    let all = [
        ("expired", Fault::Expired),
        ("audience", Fault::Audience),
        ("signature", Fault::Signature),
        ("issuer", Fault::Issuer),
    ];
    reader.word(node, "fault", &all)
}

fn speaker(node: &Node, what: &str, reader: &mut Reader) -> Speaker {
    if let Some(id) = node.as_str() {
        return Speaker {
            id: id.to_owned(),
            claims: Map::new(),
        };
    }
    let mut speaker = Speaker::default();
    if !reader.keys(node, what, SPEAKER) {
        return speaker;
    }
    match node.get("id") {
        Some(entry) => speaker.id = reader.text(&entry.node, "id"),
        None => reader.error(node.span, format!("{what} without an `id`"), "add `id: ...`"),
    }
    for key in ["roles", "permissions", "teams"] {
        if let Some(entry) = node.get(key) {
            let names = reader.texts(&entry.node, key);
            put(&mut speaker.claims, key, names);
        }
    }
    if let Some(entry) = node.get("scopes") {
        let names = reader.texts(&entry.node, "scopes");
        put(&mut speaker.claims, "authorized_scopes", names);
    }
    if let Some(entry) = node.get("claims") {
        speaker.claims.extend(reader.object(&entry.node, "claims"));
    }
    speaker
}

fn put(claims: &mut Map<String, Value>, key: &str, names: Vec<String>) {
    claims.insert(key.to_owned(), names.into());
}
