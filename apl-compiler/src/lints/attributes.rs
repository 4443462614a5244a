//! Attributes that nothing provides, or that the phase never has, and keys that the caller chooses.

use apl_bytecode::Phase;

use crate::attribute_files::Attributes;
use crate::diagnostics::{Code, Reports, warning};
use crate::syntax::{AttrSeg, Path};
use crate::vocabulary::{NAMESPACES, Shape, nearest};

/// Checks an attribute path.
pub(crate) fn path(path: &Path, phase: Phase, reports: &mut Reports) {
    for seg in &path.segs {
        if let AttrSeg::Value(inner) = seg {
            self::path(inner, phase, reports);
            if inner.root() == "args" {
                reports.push(
                    warning(
                        Code::CallerIndex,
                        inner.span,
                        "the caller chooses this key, and with it which entry the rule reads",
                    )
                    .help("take the key from a verified attribute such as `subject.id`, or test the argument itself"),
                );
            }
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
        let guess = nearest(path.root(), NAMESPACES.iter().map(|(name, _, _)| *name));
        let help = match guess {
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
        let mut diagnostic = warning(
            Code::UnknownAttribute,
            path.span,
            format!("nothing provides `{}`", path.root()),
        )
        .help(help);
        if let (Some(guess), [AttrSeg::Name(_), AttrSeg::Name(_)]) = (guess, path.segs.as_slice())
            && let Some((_, rest)) = path.dotted().unwrap_or_default().split_once('.')
        {
            diagnostic = diagnostic.fix(path.span, format!("{guess}.{rest}"));
        }
        reports.push(diagnostic);
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
    let guess = nearest(&rest, known.clone()).filter(|guess| !guess.contains('*'));
    let help = match guess {
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
    let mut diagnostic = warning(
        Code::UnknownAttribute,
        path.span,
        format!("nothing provides `{shown}`"),
    )
    .help(help);
    if let (Some(guess), Some(_)) = (guess, path.dotted()) {
        diagnostic = diagnostic.fix(path.span, format!("{name}.{guess}"));
    }
    reports.push(diagnostic);
}

/// What kind of value an attribute has; `None`: any JSON, or not known.
pub(super) fn shape(path: &Path) -> Option<Shape> {
    let (_, attributes, _) = NAMESPACES.iter().find(|(name, _, _)| *name == path.root())?;
    let (_, shape) = attributes.iter().find(|(attribute, _)| covers(attribute, path))?;
    (*shape != Shape::Json).then_some(*shape)
}

/// Checks that a static attribute is there, as far as its path is known.
pub(super) fn data(path: &Path, attributes: &Attributes, reports: &mut Reports) {
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
