//! Diagnostics for people (`miette`) and for tools (JSON).

use std::fmt;

use miette::{LabeledSpan, NamedSource, SourceCode, SourceSpan};
use serde_json::{Value, json};

use super::{Diagnostic, Severity};
use crate::source::{Source, Span};

/// A diagnostic with the text it is about, for `miette`'s report handlers.
struct Report {
    diagnostic: Diagnostic,
    source: NamedSource<String>,
    /// The other place, when it is in another file.
    elsewhere: Option<Elsewhere>,
}

/// A place in another file.
#[derive(Debug)]
struct Elsewhere {
    why: String,
    span: SourceSpan,
    source: NamedSource<String>,
}

impl fmt::Display for Elsewhere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl std::error::Error for Elsewhere {}

impl miette::Diagnostic for Elsewhere {
    fn severity(&self) -> Option<miette::Severity> {
        Some(miette::Severity::Advice)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&self.source)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        Some(Box::new(std::iter::once(LabeledSpan::new_primary_with_span(
            None, self.span,
        ))))
    }
}

/// Joins a diagnostic with its source, for `{:?}`, which prints the report.
#[must_use]
pub fn to_report(diagnostic: &Diagnostic, sources: &[Source]) -> miette::Report {
    let named = |file: u16| {
        let source = sources.get(usize::from(file));
        let (name, text) = source.map_or(("", ""), |s| (s.name.as_str(), s.text.as_str()));
        NamedSource::new(name, text.to_owned()).with_language("yaml")
    };
    let other = diagnostic.related.as_ref();
    let other = other.filter(|(span, _)| span.file != diagnostic.span.file);
    miette::Report::new(Report {
        diagnostic: diagnostic.clone(),
        source: named(diagnostic.span.file),
        elsewhere: other.map(|(span, why)| Elsewhere {
            why: why.clone(),
            span: to_miette(*span),
            source: named(span.file),
        }),
    })
}

impl fmt::Debug for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.diagnostic, f)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.diagnostic.message)
    }
}

impl std::error::Error for Report {}

impl miette::Diagnostic for Report {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(self.diagnostic.code.id()))
    }

    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.diagnostic.severity {
            Severity::Note => miette::Severity::Advice,
            Severity::Warning => miette::Severity::Warning,
            Severity::Error => miette::Severity::Error,
        })
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.diagnostic
            .help
            .as_ref()
            .map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&self.source)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let label = |text: &str| {
            if text.is_empty() {
                None
            } else {
                Some(text.to_owned())
            }
        };
        let own = LabeledSpan::new_primary_with_span(
            label(&self.diagnostic.label),
            to_miette(self.diagnostic.span),
        );
        let related = self.diagnostic.related.as_ref();
        let related = related.filter(|(span, _)| span.file == self.diagnostic.span.file);
        let related = related.map(|(span, why)| LabeledSpan::new_with_span(label(why), to_miette(*span)));
        Some(Box::new(std::iter::once(own).chain(related)))
    }

    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn miette::Diagnostic> + 'a>> {
        let elsewhere = self.elsewhere.as_ref()?;
        Some(Box::new(std::iter::once(elsewhere as &dyn miette::Diagnostic)))
    }
}

fn to_miette(span: Span) -> SourceSpan {
    (span.start as usize, span.end.saturating_sub(span.start) as usize).into()
}

/// One diagnostic as a JSON object: `code`, `severity`, `file`, `line`, `column`, `end_line`, `end_column`, `message`, `help`, and `related` (`file`, `line`,
/// `column`, `message`) when another place belongs to it.
#[must_use]
pub fn to_json(diagnostic: &Diagnostic, sources: &[Source]) -> Value {
    let place = |span: Span| {
        let source = sources.get(usize::from(span.file))?;
        Some((
            source.name.clone(),
            source.position(span.start),
            source.position(span.end),
        ))
    };
    let mut object = json!({
        "code": diagnostic.code.id(),
        "severity": diagnostic.severity.name(),
        "message": diagnostic.message,
        "help": diagnostic.help,
    });
    if let (Some((file, start, end)), Some(map)) = (place(diagnostic.span), object.as_object_mut()) {
        map.insert("file".into(), file.into());
        map.insert("line".into(), start.line.into());
        map.insert("column".into(), start.column.into());
        map.insert("end_line".into(), end.line.into());
        map.insert("end_column".into(), end.column.into());
    }
    if let Some((span, why)) = &diagnostic.related
        && let (Some((file, start, _)), Some(map)) = (place(*span), object.as_object_mut())
    {
        let related = json!({ "file": file, "line": start.line, "column": start.column, "message": why });
        map.insert("related".into(), related);
    }
    object
}
