//! `engine_settings.capture: facts`: what the program read goes with the record, so that another one can be run on it.

use apl_vm::{Fact, Facts};
use companion_protocol::{AuditRecord, Captured, Json};

use super::work::Work;
use crate::Engine;

/// The largest document that is captured, in bytes. Of a larger one the record says only that there was one.
pub(super) const MOST_DOCUMENT: usize = 16 << 10;

/// What the operation's program read; `None`: it is no operation.
pub(super) fn of(engine: &Engine, work: &Work) -> Option<Box<Captured>> {
    work.entity?;
    let mut left_out = Vec::new();
    let args = match (&work.document, work.args) {
        (Some(document), Some(node)) if work.law.reads_body() => {
            text("args", document.received(node).raw(), &mut left_out)
        }
        (Some(_) | None, _) => None,
    };
    if work.result.as_deref() == Some("") {
        left_out.push("result".to_owned());
    }
    let facts = &work.facts;
    Some(Box::new(Captured {
        scope: work.scope.clone(),
        attributes: attributes(facts),
        everything: engine.knows_all(),
        labels: work.loaded.clone(),
        args,
        result: work.result.clone().filter(|result| !result.is_empty()),
        decisions: work.decisions.clone(),
        left_out,
    }))
}

/// A document's text; empty when it is too large.
pub(super) fn result(raw: &[u8]) -> String {
    text("", raw, &mut Vec::new()).unwrap_or_default()
}

fn text(name: &str, raw: &[u8], left_out: &mut Vec<String>) -> Option<String> {
    let text = (raw.len() <= MOST_DOCUMENT).then(|| String::from_utf8_lossy(raw).into_owned());
    if text.is_none() {
        left_out.push(name.to_owned());
    }
    text
}

fn attributes(facts: &Facts) -> std::collections::BTreeMap<String, Json> {
    let mut all = std::collections::BTreeMap::new();
    // The exchange's own come last, so that they win.
    for (key, fact) in facts.base.iter().chain(&facts.own) {
        let value = match fact {
            Fact::Bool(value) => Json::Bool(*value),
            Fact::Int(value) => Json::Int(*value),
            Fact::Float(value) => Json::Float(*value),
            Fact::Str(text) => Json::Text(text.clone()),
            Fact::Set(texts) => Json::List(texts.iter().cloned().map(Json::Text).collect()),
            Fact::Opaque | Fact::Unknown => Json::Null,
        };
        all.insert(key.clone(), value);
    }
    all
}

/// About what a record takes in a request, in bytes.
pub(crate) fn size(record: &AuditRecord) -> usize {
    /// A record without anything captured, generously.
    const PLAIN: usize = 4 << 10;
    let Some(facts) = &record.facts else {
        return PLAIN;
    };
    let documents = [&facts.args, &facts.result];
    // A quotation mark takes two bytes, and a control character six, but there are none in JSON text.
    let texts = documents
        .into_iter()
        .flatten()
        .map(|text| text.len().saturating_mul(2));
    let attributes = facts.attributes.iter().map(|(key, value)| {
        let value = match value {
            Json::Text(text) => text.len(),
            Json::List(items) => items.len().saturating_mul(64),
            _ => 16,
        };
        key.len().saturating_add(value).saturating_add(8)
    });
    texts.chain(attributes).fold(PLAIN, usize::saturating_add)
}
