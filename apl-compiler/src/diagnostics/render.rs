//! Diagnostics for people (`miette`) and for tools (JSON).

use std::fmt;

use miette::{LabeledSpan, NamedSource, SourceCode, SourceSpan};
use serde_json::{Value, json};

use super::excerpt::excerpt;
use super::{Diagnostic, Severity};
use crate::source::{Source, Span};

/// A diagnostic with the text it is about, for `miette`'s report handlers.
struct Report {
    diagnostic: Diagnostic,
    source: NamedSource<String>,
    /// Where the mark and the related place are in the source shown.
    places: Vec<(usize, usize)>,
}

/// Joins a diagnostic with its source, for `{:?}`, which prints the report.
#[must_use]
pub fn to_report(diagnostic: &Diagnostic, sources: &[Source]) -> miette::Report {
    let nothing = Source::new("", "");
    let source = sources.get(usize::from(diagnostic.span.file)).unwrap_or(&nothing);
    let related = diagnostic.related.iter().map(|(span, _)| *span);
    let spans: Vec<Span> = std::iter::once(diagnostic.span).chain(related).collect();
    let shown = excerpt(source, &spans);
    let name = if shown.cut {
        let at = source.position(diagnostic.span.start);
        format!("{} (line {} is cut, column {})", source.name, at.line, at.column)
    } else {
        source.name.clone()
    };
    miette::Report::new(Report {
        diagnostic: diagnostic.clone(),
        source: NamedSource::new(name, shown.text).with_language("yaml"),
        places: shown.places,
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
        let place = |index: usize| -> SourceSpan { self.places.get(index).copied().unwrap_or((0, 0)).into() };
        let own = LabeledSpan::new_primary_with_span(label(&self.diagnostic.label), place(0));
        let related = self.diagnostic.related.as_ref();
        let related = related.map(|(_, why)| LabeledSpan::new_with_span(label(why), place(1)));
        Some(Box::new(std::iter::once(own).chain(related)))
    }
}

/// One diagnostic as a JSON object: `code`, `severity`, `file`, `line`, `column`, `end_line`, `end_column`, `message`, `help`.
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
    object
}
