//! Checks of what compiles, but cannot mean what was meant.

use apl_bytecode::{CmpOp, Phase};

use crate::attribute_files::Attributes;
use crate::diagnostics::{Code, Reports, warning};
use crate::syntax::{AttrSeg, Literal, Path, Predicate, Step, StepKind, Test};
use crate::vocabulary::{NAMESPACES, nearest};

/// Checks a predicate.
pub(crate) fn predicate(predicate: &Predicate, phase: Phase, reports: &mut Reports) {
    match predicate {
        Predicate::Not(inner) => self::predicate(inner, phase, reports),
        Predicate::And(parts) | Predicate::Or(parts) => parts
            .iter()
            .for_each(|part| self::predicate(part, phase, reports)),
        Predicate::Test(test) => leaf(test, phase, reports),
    }
}

fn leaf(test: &Test, phase: Phase, reports: &mut Reports) {
    match test {
        Test::Truth(path) | Test::Exists(path) => self::path(path, phase, reports),
        Test::Compare(op, path, literal) => {
            self::path(path, phase, reports);
            let order = matches!(op, CmpOp::Lt | CmpOp::Le | CmpOp::Gt | CmpOp::Ge);
            let numeric = match literal {
                Literal::Int(_) | Literal::Float(_) => true,
                Literal::Str(text) => text.trim().parse::<f64>().is_ok_and(f64::is_finite),
                Literal::Bool(_) => false,
            };
            if order && !numeric {
                reports.push(warning(Code::NeverMatches, path.span, "an order comparison needs a number").help("compare text with `==`; an order comparison with it never holds, and denies the phase where the value is there"));
            }
        }
        Test::Contains(path, literal) => {
            self::path(path, phase, reports);
            if !matches!(literal, Literal::Str(_)) {
                reports.push(warning(
                    Code::NeverMatches,
                    path.span,
                    "sets hold text, so `contains` needs text in quotes",
                ));
            }
        }
        Test::In(member, set) => {
            self::path(member, phase, reports);
            self::path(set, phase, reports);
        }
    }
}

/// Checks an attribute path.
pub(crate) fn path(path: &Path, phase: Phase, reports: &mut Reports) {
    for seg in &path.segs {
        if let AttrSeg::Value(inner) = seg {
            self::path(inner, phase, reports);
        }
    }
    if path.root() == "result" && phase == Phase::Pre {
        reports.push(
            warning(
                Code::NeverPresent,
                path.span,
                "there is no result before the call",
            )
            .help("move the rule to `post_invocation`"),
        );
        return;
    }
    let Some((name, attributes, _)) = NAMESPACES.iter().find(|(name, _, _)| *name == path.root()) else {
        let help = match nearest(path.root(), NAMESPACES.iter().map(|(name, _, _)| *name)) {
            Some(guess) => format!("did you mean `{guess}`?"),
            None if path.root() == "session" => "the labels of a session are `security.labels`".to_owned(),
            None => format!(
                "namespaces are {}",
                NAMESPACES
                    .iter()
                    .map(|(name, _, _)| *name)
                    .collect::<Vec<_>>()
                    .join(", ")
            ),
        };
        reports.push(
            warning(
                Code::UnknownAttribute,
                path.span,
                format!("nothing provides `{}`", path.root()),
            )
            .help(help),
        );
        return;
    };
    if attributes.iter().any(|(attribute, _)| covers(attribute, path)) {
        return;
    }
    let rest = path
        .dotted()
        .and_then(|text| text.split_once('.').map(|(_, rest)| rest.to_owned()))
        .unwrap_or_default();
    let known = attributes
        .iter()
        .map(|(attribute, _)| *attribute)
        .filter(|attribute| !attribute.is_empty());
    let help = match nearest(&rest, known.clone()) {
        Some(guess) => format!("did you mean `{name}.{guess}`?"),
        None => format!(
            "`{name}` has {}",
            known
                .map(|attribute| format!("`{attribute}`"))
                .collect::<Vec<_>>()
                .join(", ")
        ),
    };
    let shown = path.dotted().unwrap_or_else(|| (*name).to_owned());
    reports.push(
        warning(
            Code::UnknownAttribute,
            path.span,
            format!("nothing provides `{shown}`"),
        )
        .help(help),
    );
}

/// Checks that a static attribute is there, as far as its path is known.
pub(crate) fn data(path: &Path, attributes: &Attributes, reports: &mut Reports) {
    for seg in &path.segs {
        if let AttrSeg::Value(inner) = seg {
            data(inner, attributes, reports);
        }
    }
    if path.root() != "data" {
        return;
    }
    let names = path
        .segs
        .get(1..)
        .unwrap_or(&[])
        .iter()
        .map_while(|seg| match seg {
            AttrSeg::Name(name) => Some(name.as_str()),
            AttrSeg::Value(_) => None,
        });
    let names: Vec<&str> = names.collect();
    if !attributes.has(&names) {
        let help = if attributes.declared {
            "no file under `attribute_files` has it"
        } else {
            "name the files with static attributes: `global: {attribute_files: [attributes.yaml]}`"
        };
        let shown = path
            .dotted()
            .unwrap_or_else(|| format!("data.{}", names.join(".")));
        reports.push(
            warning(
                Code::UnknownAttribute,
                path.span,
                format!("nothing provides `{shown}`"),
            )
            .help(help),
        );
    }
}

/// Whether an attribute of the table (`id`, `role.*`, `*`, or nothing for the namespace itself) covers a path.
fn covers(attribute: &str, path: &Path) -> bool {
    let rest = path.segs.get(1..).unwrap_or(&[]);
    if attribute.is_empty() {
        return rest.is_empty();
    }
    let mut rest = rest.iter();
    for part in attribute.split('.') {
        if part == "*" {
            return rest.next().is_some();
        }
        match rest.next() {
            Some(AttrSeg::Name(name)) if name == part => {}
            Some(AttrSeg::Value(_)) => return true,
            Some(AttrSeg::Name(_)) | None => return false,
        }
    }
    rest.next().is_none()
}

/// Whether a step asks who the caller is.
pub(crate) fn asks_who(step: &Step) -> bool {
    let StepKind::When(condition, _) = &step.kind else {
        return false;
    };
    let mut paths = Vec::new();
    condition.paths(&mut paths);
    paths.iter().any(|path| {
        matches!(
            path.root(),
            "subject" | "role" | "perm" | "team" | "claim" | "authenticated"
        )
    })
}
