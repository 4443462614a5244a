//! Comparisons that can never hold, or that always do.

use apl_bytecode::CmpOp;

use super::attributes::shape;
use super::walk::shown;
use crate::diagnostics::{Code, Reports, warning};
use crate::source::Span;
use crate::syntax::{Literal, Path, Predicate, Test};
use crate::vocabulary::Shape;

/// Checks a predicate, its leaves and how they go together.
pub(super) fn check(predicate: &Predicate, reports: &mut Reports) {
    match predicate {
        Predicate::Not(inner) => check(inner, reports),
        Predicate::And(parts) => {
            parts.iter().for_each(|part| check(part, reports));
            pairs(parts, false, reports);
        }
        Predicate::Or(parts) => {
            parts.iter().for_each(|part| check(part, reports));
            pairs(parts, true, reports);
        }
        Predicate::Test(test) => leaf(test, reports),
    }
}

fn leaf(test: &Test, reports: &mut Reports) {
    match test {
        Test::Exists(_) => {}
        Test::Truth(path) => truth(path, reports),
        Test::Compare(op, path, literal) => compare(*op, path, literal, reports),
        Test::Contains(path, literal) => {
            if !matches!(literal, Literal::Str(_)) {
                never(
                    path.span,
                    "sets hold text, so `contains` needs text in quotes",
                    "put the value in quotes",
                    reports,
                );
            } else if let Some(other @ (Shape::Bool | Shape::Number | Shape::Text)) = shape(path) {
                never(
                    path.span,
                    &format!(
                        "`{}` is {}, and `contains` looks into sets only",
                        shown(path),
                        what(other)
                    ),
                    "compare it with `==`",
                    reports,
                );
            }
        }
        Test::In(member, set) => {
            if let Some(other @ (Shape::Bool | Shape::Number | Shape::Text)) = shape(set) {
                never(
                    set.span,
                    &format!(
                        "`{}` is {}, and `in` needs a set on its right",
                        shown(set),
                        what(other)
                    ),
                    "compare two attributes by `a in b` only where b is a set",
                    reports,
                );
            } else if let Some(other @ (Shape::Bool | Shape::Number | Shape::Set)) = shape(member) {
                never(
                    member.span,
                    &format!("`{}` is {}, and sets hold text", shown(member), what(other)),
                    "put an attribute that is text on the left of `in`",
                    reports,
                );
            }
        }
    }
}

fn truth(path: &Path, reports: &mut Reports) {
    if let Some(other @ (Shape::Number | Shape::Text | Shape::Set)) = shape(path) {
        let name = shown(path);
        never(
            path.span,
            &format!("`{name}` is {}, and only a boolean holds by itself", what(other)),
            &format!("write `exists({name})` to ask whether it is there, or compare it"),
            reports,
        );
    }
}

fn compare(op: CmpOp, path: &Path, literal: &Literal, reports: &mut Reports) {
    let numeric = match literal {
        Literal::Int(_) | Literal::Float(_) => true,
        Literal::Str(text) => text.trim().parse::<f64>().is_ok_and(f64::is_finite),
        Literal::Bool(_) => false,
    };
    let order = matches!(op, CmpOp::Lt | CmpOp::Le | CmpOp::Gt | CmpOp::Ge);
    if order && !numeric {
        never(
            path.span,
            "an order comparison needs a number",
            "compare text with `==`; an order comparison with it never holds, and denies the phase where the value is there",
            reports,
        );
        return;
    }
    let Some(shape) = shape(path) else { return };
    let name = shown(path);
    if order {
        if matches!(shape, Shape::Bool | Shape::Set) {
            never(
                path.span,
                &format!(
                    "`{name}` is {}, which has no order; the phase denies",
                    what(shape)
                ),
                "compare numbers only",
                reports,
            );
        }
        return;
    }
    let fits = match (shape, literal) {
        (Shape::Bool, Literal::Bool(_))
        | (Shape::Text, Literal::Str(_))
        | (Shape::Number, Literal::Int(_) | Literal::Float(_))
        | (Shape::Json, _) => true,
        (Shape::Bool | Shape::Text | Shape::Number | Shape::Set, _) => false,
    };
    if fits {
        return;
    }
    let message = format!("`{name}` is {}, and this is {}", what(shape), kind(literal));
    let help = match shape {
        Shape::Set => format!("write `{name} contains \"...\"`"),
        Shape::Bool => format!("write `{name}` or `!{name}`"),
        Shape::Number => "write a number without quotes".to_owned(),
        Shape::Text => "put the value in quotes".to_owned(),
        Shape::Json => String::new(),
    };
    if op == CmpOp::Eq {
        never(path.span, &message, &help, reports);
    } else {
        always(path.span, &message, &help, reports);
    }
}

/// A leaf, possibly negated.
fn as_leaf(predicate: &Predicate) -> Option<(&Test, bool)> {
    match predicate {
        Predicate::Test(test) => Some((test, false)),
        Predicate::Not(inner) => match &**inner {
            Predicate::Test(test) => Some((test, true)),
            Predicate::Not(_) | Predicate::And(_) | Predicate::Or(_) => None,
        },
        Predicate::And(_) | Predicate::Or(_) => None,
    }
}

fn pairs(parts: &[Predicate], any: bool, reports: &mut Reports) {
    let leaves: Vec<(&Test, bool)> = parts.iter().filter_map(as_leaf).collect();
    for (index, (first, first_not)) in leaves.iter().enumerate() {
        for (second, second_not) in leaves.iter().skip(index + 1) {
            let complement = first_not != second_not && alike(first, second);
            let (found, path) = match (first, second) {
                (Test::Truth(_) | Test::Exists(_), Test::Truth(path) | Test::Exists(path)) => {
                    (complement, path)
                }
                (Test::Compare(op, a, x), Test::Compare(other, b, y)) if shown(a) == shown(b) => {
                    let clash = !first_not
                        && !second_not
                        && if any {
                            *op == CmpOp::Ne && *other == CmpOp::Ne && x != y
                        } else {
                            exclude(*op, x, *other, y)
                        };
                    (clash || complement, b)
                }
                (Test::Contains(..), Test::Contains(path, _)) => (complement, path),
                _ => continue,
            };
            if !found {
                continue;
            }
            if any {
                always(
                    path.span,
                    "one of the two parts always holds",
                    "was `&` meant?",
                    reports,
                );
            } else {
                never(
                    path.span,
                    "the two parts exclude each other",
                    "was `|` meant?",
                    reports,
                );
            }
        }
    }
}

fn alike(a: &Test, b: &Test) -> bool {
    match (a, b) {
        (Test::Truth(a), Test::Truth(b)) | (Test::Exists(a), Test::Exists(b)) => shown(a) == shown(b),
        (Test::Contains(a, x), Test::Contains(b, y)) => shown(a) == shown(b) && x == y,
        (Test::Compare(op, a, x), Test::Compare(other, b, y)) => {
            // An order comparison and its negation are both unknown where there is no number.
            matches!(op, CmpOp::Eq | CmpOp::Ne) && op == other && shown(a) == shown(b) && x == y
        }
        _ => false,
    }
}

/// Whether no value fulfils both.
fn exclude(op: CmpOp, x: &Literal, other: CmpOp, y: &Literal) -> bool {
    match (op, other) {
        (CmpOp::Eq, CmpOp::Eq) => x != y,
        (CmpOp::Eq, CmpOp::Ne) | (CmpOp::Ne, CmpOp::Eq) => x == y,
        _ => {
            let (Some(x), Some(y)) = (number(x), number(y)) else {
                return false;
            };
            let (mut low, mut low_open) = (f64::NEG_INFINITY, false);
            let (mut high, mut high_open) = (f64::INFINITY, false);
            for (op, value) in [(op, x), (other, y)] {
                let (lower, upper, open) = match op {
                    CmpOp::Eq => (true, true, false),
                    CmpOp::Ne => (false, false, false),
                    CmpOp::Lt => (false, true, true),
                    CmpOp::Le => (false, true, false),
                    CmpOp::Gt => (true, false, true),
                    CmpOp::Ge => (true, false, false),
                };
                if lower && (value > low || value == low && open) {
                    (low, low_open) = (value, open);
                }
                if upper && (value < high || value == high && open) {
                    (high, high_open) = (value, open);
                }
            }
            low > high || low == high && (low_open || high_open)
        }
    }
}

fn number(literal: &Literal) -> Option<f64> {
    match literal {
        #[expect(clippy::cast_precision_loss, reason = "a lint may miss what lies beyond 2^53")]
        Literal::Int(value) => Some(*value as f64),
        Literal::Float(value) => Some(*value),
        Literal::Str(_) | Literal::Bool(_) => None,
    }
}

const fn what(shape: Shape) -> &'static str {
    match shape {
        Shape::Bool => "a boolean",
        Shape::Number => "a number",
        Shape::Text => "text",
        Shape::Set => "a set",
        Shape::Json => "any value",
    }
}

const fn kind(literal: &Literal) -> &'static str {
    match literal {
        Literal::Str(_) => "text",
        Literal::Int(_) | Literal::Float(_) => "a number",
        Literal::Bool(_) => "a boolean",
    }
}

fn never(span: Span, message: &str, help: &str, reports: &mut Reports) {
    reports.push(warning(Code::NeverMatches, span, message).help(help));
}

fn always(span: Span, message: &str, help: &str, reports: &mut Reports) {
    reports.push(warning(Code::NeverFalse, span, message).help(help));
}
