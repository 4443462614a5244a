//! `global.pdp`: decision points.

use crate::diagnostics::{Code, error, note, warning};
use crate::document::keys::{Reader, check};
use crate::vocabulary::Section;
use crate::yaml::Node;

/// `global.pdp`.
pub(crate) fn decision_points(node: &Node, reader: &mut Reader<'_>) {
    let items = match node.as_map() {
        // CPEX accepts one map in place of a list of one.
        Some(_) => std::slice::from_ref(node),
        None => reader.list(node, "pdp"),
    };
    for item in items {
        check(item, Section::Pdp, reader);
        let Some(kind) = reader.required(item, "kind", "a decision point", item.span) else {
            continue;
        };
        let span = item.get("kind").map_or(item.span, |entry| entry.node.span);
        match kind {
            "cel" => {}
            "cedar-direct" | "opa" => {
                reader.reports.push(
                    note(
                        Code::NotInBuild,
                        span,
                        format!("the decision point `{kind}` is not in this build"),
                    )
                    .help("it is accepted; steps that ask it deny"),
                );
            }
            _ => {
                let diagnostic = error(
                    Code::UnknownKind,
                    span,
                    format!("there is no decision point `{kind}`"),
                );
                reader
                    .reports
                    .push(diagnostic.help("`cel`, `cedar-direct` or `opa`"));
            }
        }
        if let Some("allow") = reader.word(item, "on_error", &["deny", "allow"]) {
            let span = item.get("on_error").map_or(span, |entry| entry.node.span);
            reader.reports.push(warning(
                Code::NoMeaning,
                span,
                "`on_error: allow` would let an error pass; here it denies",
            ));
        }
    }
}
