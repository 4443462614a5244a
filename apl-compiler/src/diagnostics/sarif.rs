//! Diagnostics as SARIF 2.1.0, the OASIS format that code hosts and editors read.

use serde_json::{Value, json};

use super::{Code, Diagnostic, PAGES, Severity};
use crate::source::{Source, Span};

/// Where the pages of the codes are, relative to the repository that `REPOSITORY` stands for.
const PAGE: &str = "docs/diagnostics.md";
/// Base of help URIs unless the caller gives another: an absolute URI that says which project is meant without naming a host
/// (RFC 2606 reserves the domain).
pub const HELP_BASE: &str = "https://aplomb.example/";

/// One run with these diagnostics. `help_base` is what stands in front of `docs/diagnostics.md` in help URIs.
#[must_use]
pub fn to_sarif(diagnostics: &[Diagnostic], sources: &[Source], help_base: &str) -> Value {
    let rules: Vec<Value> = PAGES
        .iter()
        .zip(Code::ALL)
        .map(|(page, code)| {
            json!({
                "id": page.id,
                "name": format!("{code:?}"),
                "shortDescription": { "text": page.title },
                "fullDescription": { "text": page.text },
                "helpUri": format!("{}{PAGE}#{}", slashed(help_base), page.id.to_lowercase()),
            })
        })
        .collect();
    let results: Vec<Value> = diagnostics
        .iter()
        .map(|diagnostic| result(diagnostic, sources))
        .collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "aplc",
                "version": env!("CARGO_PKG_VERSION"),
                "informationUri": format!("{}{PAGE}", slashed(help_base)),
                "rules": rules,
            }},
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

fn slashed(base: &str) -> String {
    if base.ends_with('/') {
        base.to_owned()
    } else {
        format!("{base}/")
    }
}

fn result(diagnostic: &Diagnostic, sources: &[Source]) -> Value {
    let index = Code::ALL
        .iter()
        .position(|code| *code == diagnostic.code)
        .unwrap_or(0);
    let text = match &diagnostic.help {
        Some(help) => format!("{}\nhelp: {help}", diagnostic.message),
        None => diagnostic.message.clone(),
    };
    let mut result = json!({
        "ruleId": diagnostic.code.id(),
        "ruleIndex": index,
        "level": match diagnostic.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
        },
        "message": { "text": text },
        "locations": [{ "physicalLocation": physical(diagnostic.span, sources) }],
    });
    let Some(map) = result.as_object_mut() else {
        return result;
    };
    if let Some((span, why)) = &diagnostic.related {
        map.insert(
            "relatedLocations".to_owned(),
            json!([{ "id": 0, "physicalLocation": physical(*span, sources), "message": { "text": why } }]),
        );
    }
    if let Some(fix) = &diagnostic.fix {
        map.insert(
            "fixes".to_owned(),
            json!([{
                "description": { "text": diagnostic.help.as_deref().unwrap_or("replace it") },
                "artifactChanges": [{
                    "artifactLocation": { "uri": uri(fix.span, sources) },
                    "replacements": [{
                        "deletedRegion": region(fix.span, sources),
                        "insertedContent": { "text": fix.text },
                    }],
                }],
            }]),
        );
    }
    result
}

fn physical(span: Span, sources: &[Source]) -> Value {
    json!({ "artifactLocation": { "uri": uri(span, sources) }, "region": region(span, sources) })
}

/// Columns are characters from 1, the end one past the last.
fn region(span: Span, sources: &[Source]) -> Value {
    let Some(source) = sources.get(usize::from(span.file)) else {
        return json!({ "startLine": 1 });
    };
    let (start, end) = (source.position(span.start), source.position(span.end));
    json!({
        "startLine": start.line,
        "startColumn": start.column,
        "endLine": end.line,
        "endColumn": end.column,
    })
}

/// The file's name as a URI reference (RFC 3986): separators of other systems turned, the rest percent-encoded.
fn uri(span: Span, sources: &[Source]) -> String {
    let name = sources
        .get(usize::from(span.file))
        .map_or("", |source| source.name.as_str());
    let mut out = String::new();
    for byte in name.replace('\\', "/").bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    if name.starts_with('/') {
        format!("file://{out}")
    } else {
        out
    }
}
