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
    /// Where the mark, and the related place in the same file, are in the source shown.
    places: Vec<(usize, usize)>,
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
    let nothing = Source::new("", "");
    let shown = |file: u16, spans: &[Span]| {
        let source = sources.get(usize::from(file)).unwrap_or(&nothing);
        let shown = excerpt(source, spans);
        let name = match spans.first().filter(|_| shown.cut) {
            Some(span) => {
                let at = source.position(span.start);
                format!("{} (line {} is cut, column {})", source.name, at.line, at.column)
            }
            None => source.name.clone(),
        };
        (
            NamedSource::new(name, shown.text).with_language("yaml"),
            shown.places,
        )
    };
    let own = diagnostic.span;
    let (here, there): (Vec<_>, Vec<_>) = diagnostic
        .related
        .iter()
        .partition(|(span, _)| span.file == own.file);
    let spans: Vec<Span> = std::iter::once(own)
        .chain(here.iter().map(|(span, _)| *span))
        .collect();
    let (source, places) = shown(own.file, &spans);
    miette::Report::new(Report {
        diagnostic: diagnostic.clone(),
        source,
        places,
        elsewhere: there.first().map(|(span, why)| {
            let (source, places) = shown(span.file, &[*span]);
            Elsewhere {
                why: why.clone(),
                span: places.first().copied().unwrap_or((0, 0)).into(),
                source,
            }
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
        let place = |index: usize| -> SourceSpan { self.places.get(index).copied().unwrap_or((0, 0)).into() };
        let own = LabeledSpan::new_primary_with_span(label(&self.diagnostic.label), place(0));
        let related = self.diagnostic.related.as_ref();
        let related = related.filter(|(span, _)| span.file == self.diagnostic.span.file);
        let related = related.map(|(_, why)| LabeledSpan::new_with_span(label(why), place(1)));
        Some(Box::new(std::iter::once(own).chain(related)))
    }

    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn miette::Diagnostic> + 'a>> {
        let elsewhere = self.elsewhere.as_ref()?;
        Some(Box::new(std::iter::once(elsewhere as &dyn miette::Diagnostic)))
    }
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
