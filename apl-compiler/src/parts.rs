//! The layers of the compiler by themselves, for the fuzz targets. No promise is made to anybody else.

use crate::diagnostics::{Diagnostic, Reports};
use crate::source::{Source, Span, to_u32};
use crate::syntax::{Text, parse_field, parse_predicate};
use crate::yaml::{self, Style};

/// The YAML layer: whether there is a tree, and what was said.
#[must_use]
pub fn yaml(text: &str) -> (bool, Vec<Diagnostic>) {
    let mut reports = Reports::default();
    let tree = yaml::load(&Source::new("policy.yaml", text), 0, &mut reports);
    (tree.is_some(), reports.finish())
}

/// A predicate by itself; what is wrong with it.
///
/// # Errors
///
/// If it does not parse.
pub fn predicate(text: &str) -> Result<(), Vec<Diagnostic>> {
    parse_predicate(alone(text).all())
        .map(|_| ())
        .map_err(|fault| vec![*fault])
}

/// A field's pipeline by itself; what is wrong with it.
///
/// # Errors
///
/// If it does not parse.
pub fn pipeline(text: &str) -> Result<(), Vec<Diagnostic>> {
    let name = Span {
        file: 0,
        start: 0,
        end: 0,
    };
    parse_field(apl_bytecode::Side::Args, "field", name, alone(text).all()).map(|_| ())
}

/// A text that is a whole file.
fn alone(text: &str) -> Text {
    let span = Span {
        file: 0,
        start: 0,
        end: to_u32(text.len()),
    };
    Text::new(text, Style::Plain, span, text)
}
