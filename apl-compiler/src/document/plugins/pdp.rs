//! `global.pdp`: decision points.

use apl_vm::Tree;

use super::oauth::secret;
use super::url::url;
use crate::diagnostics::{Code, error, warning};
use crate::document::keys::{Reader, check};
use crate::document::point::{Point, PointKind, TextSource};
use crate::source::Span;
use crate::vocabulary::Section;
use crate::yaml::{Node, Value};

/// `global.pdp`.
pub(crate) fn decision_points(node: &Node, reader: &mut Reader<'_>) -> Vec<Point> {
    let items = match node.as_map() {
        // CPEX accepts one map in place of a list of one.
        Some(_) => std::slice::from_ref(node),
        None => reader.list(node, "pdp"),
    };
    let mut points: Vec<Point> = Vec::new();
    for item in items {
        check(item, Section::Pdp, reader);
        let Some(word) = reader.required(item, "kind", "a decision point", item.span) else {
            continue;
        };
        let span = item.get("kind").map_or(item.span, |entry| entry.node.span);
        if let Some("allow") = reader.word(item, "on_error", &["deny", "allow"]) {
            let span = item.get("on_error").map_or(span, |entry| entry.node.span);
            reader.reports.push(warning(
                Code::NoMeaning,
                span,
                "`on_error: allow` would let an error pass; here it denies",
            ));
        }
        let Some((default, kind)) = kind(word, item, span, reader) else {
            continue;
        };
        let name = reader.text(item, "dialect").unwrap_or(default).to_owned();
        if let Some(first) = points.iter().find(|point| point.name == name) {
            let message = format!("two decision points answer to `{name}`");
            let diagnostic = error(Code::Duplicate, span, message).related(first.span, "the first one");
            reader
                .reports
                .push(diagnostic.help("give one a `dialect` of its own, and ask it as `pdp(name)`"));
            continue;
        }
        points.push(Point {
            // What a deployment binds must not change the program.
            reads_labels: item.get("bind").is_some() || reads_labels(&kind),
            name,
            span,
            kind,
        });
    }
    points
}

/// The kind, and what steps call it unless `dialect` says otherwise.
fn kind(word: &str, item: &Node, span: Span, reader: &mut Reader<'_>) -> Option<(&'static str, PointKind)> {
    match word {
        // Compiled to the program: there is nothing to deploy.
        "cel" => None,
        "cedar-direct" | "cedar" => {
            let policies = either(item, "policy_text", "policy_file", reader);
            if policies.is_none() {
                reader.reports.push(
                    error(
                        Code::MissingKey,
                        span,
                        format!("`{word}` needs `policy_text` or `policy_file`"),
                    )
                    .help("policy_text: |\n  permit(principal, action, resource);"),
                );
            }
            Some((
                "cedar",
                PointKind::Cedar {
                    policies: policies?,
                    schema: either(item, "schema_text", "schema_file", reader),
                    namespace: reader.text(item, "entity_namespace").map(str::to_owned),
                },
            ))
        }
        "opa" => {
            let list = |key: &str, reader: &mut Reader<'_>| match item.get(key) {
                Some(entry) => reader
                    .texts(&entry.node, key)
                    .into_iter()
                    .map(|(text, _)| text)
                    .collect(),
                None => Vec::new(),
            };
            let mut modules: Vec<TextSource> = list("modules", reader)
                .into_iter()
                .map(TextSource::Text)
                .collect();
            modules.extend(list("module_files", reader).into_iter().map(TextSource::File));
            let data_files = list("data_files", reader);
            Some((
                "opa",
                PointKind::Opa {
                    modules,
                    data: item.get("data").map(|entry| tree(&entry.node)),
                    data_files,
                    decision_field: reader.text(item, "decision_field").map(str::to_owned),
                },
            ))
        }
        "authzen" | "nemo" => {
            let allow_http = reader.boolean(item, "insecure_http").unwrap_or(false);
            let timeout = reader.number(item, "timeout_seconds", 1, 300).unwrap_or(5);
            let nemo = word == "nemo";
            let remote = PointKind::Remote {
                nemo,
                url: url(item, "url", &format!("`{word}`"), allow_http, reader)?,
                allow_http,
                token: item
                    .get("token_source")
                    .and_then(|entry| secret(&entry.node, reader)),
                config_id: reader.text(item, "config_id").map(str::to_owned),
                timeout_ms: u64::try_from(timeout).unwrap_or(5) * 1000,
            };
            Some((if nemo { "nemo" } else { "authzen" }, remote))
        }
        _ => {
            let diagnostic = error(
                Code::UnknownKind,
                span,
                format!("there is no decision point `{word}`"),
            );
            reader
                .reports
                .push(diagnostic.help("`cel`, `cedar-direct`, `opa`, `authzen` or `nemo`"));
            None
        }
    }
}

fn either(item: &Node, text: &str, file: &str, reader: &mut Reader<'_>) -> Option<TextSource> {
    match (reader.text(item, text), reader.text(item, file)) {
        (Some(text), _) => Some(TextSource::Text(text.to_owned())),
        (None, Some(path)) => Some(TextSource::File(path.to_owned())),
        (None, None) => None,
    }
}

fn reads_labels(kind: &PointKind) -> bool {
    let can = |source: &TextSource| match source {
        TextSource::Text(text) => text.contains("labels"),
        TextSource::File(_) => true,
    };
    match kind {
        PointKind::Cedar { policies, .. } => can(policies),
        PointKind::Opa { modules, .. } => modules.iter().any(can),
        PointKind::Remote { .. } => true,
    }
}

fn tree(node: &Node) -> Tree {
    match &node.value {
        Value::Null => Tree::Null,
        Value::Bool(value) => Tree::Bool(*value),
        Value::Int(value) => Tree::Int(*value),
        Value::Float(value) => Tree::Float(*value),
        Value::Str(text, _) => Tree::Text(text.clone()),
        Value::List(items) => Tree::List(items.iter().map(tree).collect()),
        Value::Map(entries) => Tree::Map(
            entries
                .iter()
                .map(|entry| (entry.key.clone(), tree(&entry.node)))
                .collect(),
        ),
    }
}
