//! Labels: read but never written, and those that a new session sheds.

use std::collections::BTreeMap;

use apl_bytecode::Scopes;

use super::walk;
use crate::diagnostics::{Code, Reports, note, warning};
use crate::document::Document;
use crate::syntax::{EffectKind, Literal, Path, Predicate, StageKind, StepKind, Test};
use crate::vocabulary::nearest;

/// Checks every label of a document.
pub(super) fn check(document: &Document, reports: &mut Reports) {
    let written = written(document);
    for section in walk::sections(document) {
        walk::predicates(section, &mut |predicate, _| {
            reads(predicate, &mut |path, label| {
                unwritten(path, label, &written, reports)
            });
        });
        for list in [&section.pre, &section.post] {
            walk::steps(list, &mut |step| {
                let StepKind::When(condition, effects) = &step.kind else {
                    return;
                };
                if effects
                    .iter()
                    .any(|effect| matches!(effect.kind, EffectKind::Deny(..)))
                {
                    reads(condition, &mut |path, label| {
                        sheddable(path, label, &written, reports)
                    });
                }
            });
        }
    }
}

fn unwritten(path: &Path, label: &str, written: &BTreeMap<String, Scopes>, reports: &mut Reports) {
    if written.contains_key(label) {
        return;
    }
    let help = match nearest(label, written.keys().map(String::as_str)) {
        Some(guess) => format!("did you mean `{guess}`?"),
        None => format!(
            "write it where it arises: `taint({label}, session)`; a label that another policy of the same store sets is fine"
        ),
    };
    reports.push(
        warning(
            Code::UnwrittenLabel,
            path.span,
            format!("nothing in this policy sets the label `{label}`"),
        )
        .help(help),
    );
}

fn sheddable(path: &Path, label: &str, written: &BTreeMap<String, Scopes>, reports: &mut Reports) {
    let Some(scopes) = written.get(label) else { return };
    if scopes.has(Scopes::SESSION) && !scopes.has(Scopes::SUBJECT) {
        reports.push(
            note(
                Code::SheddableLabel,
                path.span,
                format!("a new session sheds the label `{label}`"),
            )
            .help(format!(
                "an agent that may open sessions can start over; write `taint({label}, [session, subject])` to keep it with the user"
            )),
        );
    }
}

/// Labels that something sets, with all their scopes.
fn written(document: &Document) -> BTreeMap<String, Scopes> {
    let mut written: BTreeMap<String, Scopes> = BTreeMap::new();
    let mut add = |label: &str, scopes: Scopes| {
        written
            .entry(label.to_owned())
            .and_modify(|known| *known = known.with(scopes))
            .or_insert(scopes);
    };
    for section in walk::sections(document) {
        for list in [&section.pre, &section.post] {
            walk::steps(list, &mut |step| {
                walk::effects(step, &mut |effect| {
                    if let EffectKind::Taint(call) = &effect.kind {
                        add(&call.label, call.scopes);
                    }
                });
            });
        }
        walk::stages(section, &mut |_, stage| match &stage.kind {
            StageKind::Taint(call) => add(&call.label, call.scopes),
            // Set by a scanner: its scope cannot be chosen, so nothing is said about it.
            StageKind::BuiltIn(_, label) => add(label, Scopes::MESSAGE),
            StageKind::Plain(_)
            | StageKind::Enum(_)
            | StageKind::Regex(_)
            | StageKind::RedactIf(_)
            | StageKind::Run(_) => {}
        });
    }
    written
}

/// Every `security.labels contains "label"`.
pub(super) fn reads<'a>(predicate: &'a Predicate, visit: &mut impl FnMut(&'a Path, &'a str)) {
    match predicate {
        Predicate::Not(inner) => reads(inner, visit),
        Predicate::And(parts) | Predicate::Or(parts) => parts.iter().for_each(|part| reads(part, visit)),
        Predicate::Test(Test::Contains(path, Literal::Str(label))) => {
            if path.dotted().as_deref() == Some("security.labels") {
                visit(path, label);
            }
        }
        Predicate::Test(
            Test::Truth(_) | Test::Exists(_) | Test::Compare(..) | Test::Contains(..) | Test::In(..),
        ) => {}
    }
}
