//! `enforcement: shadow` and `until`.

use apl_bytecode::Enforcement;

use super::keys::Reader;
use crate::diagnostics::{Code, error};
use crate::source::Span;
use crate::yaml::{Node, Value};

/// Whether a section's verdict counts, as written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EnforcementDecl {
    /// What is said.
    pub value: Enforcement,
    /// Where `until` is, or else the word.
    pub span: Span,
}

/// Reads both keys; `None`: nothing is said.
pub(super) fn read(node: &Node, reader: &mut Reader<'_>) -> Option<EnforcementDecl> {
    let until = node.get("until");
    let word = reader.word(node, "enforcement", &["enforce", "shadow"]);
    let span = node.get("enforcement").map(|entry| entry.node.span);
    match (word, until) {
        (Some("shadow"), Some(entry)) => Some(EnforcementDecl {
            value: Enforcement::Shadow(moment(&entry.node, reader)?),
            span: entry.node.span,
        }),
        (Some("shadow"), None) => Some(EnforcementDecl {
            value: Enforcement::Shadow(0),
            span: span?,
        }),
        (word, Some(entry)) => {
            if word.is_some() || span.is_none() {
                reader.reports.push(
                    error(
                        Code::Shadow,
                        entry.key_span,
                        "`until` without `enforcement: shadow`",
                    )
                    .help("`until` ends a shadow; what is enforced is enforced for good"),
                );
            }
            None
        }
        (Some(_), None) => Some(EnforcementDecl {
            value: Enforcement::Enforce,
            span: span?,
        }),
        (None, None) => None,
    }
}

/// A moment after 1970, in seconds.
fn moment(node: &Node, reader: &mut Reader<'_>) -> Option<u64> {
    let found = match &node.value {
        Value::Str(text, ..) => apl_vm::rfc3339_seconds(text).and_then(|at| u64::try_from(at).ok()),
        _ => None,
    };
    let found = found.filter(|at| *at > 0);
    if found.is_none() {
        reader.reports.push(
            error(Code::Shadow, node.span, "`until` is no date with a time")
                .help("write it as RFC 3339 does: `until: 2027-01-31T12:00:00Z`"),
        );
    }
    found
}
