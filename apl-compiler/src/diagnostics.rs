//! What the compiler tells people.
//!
//! A diagnostic has a stable code from the one table in [`codes`], a place, what is wrong in the reader's terms, and where
//! there is one, the fix. All of them are collected; nothing stops at the first.

mod codes;
mod examples;
mod excerpt;
mod render;
mod sarif;

pub use codes::{Code, PAGES, Page};
pub use examples::{Example, TOOLS, examples};
pub use render::{to_json, to_report};
pub use sarif::{HELP_BASE, to_sarif};

use crate::known::{self, Known};
use crate::source::Span;

/// How much it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing; nothing is wrong.
    Note,
    /// Compiles, and probably does not say what was meant.
    Warning,
    /// Does not compile.
    Error,
}

impl Severity {
    /// `error`, `warning` or `note`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// One thing the compiler has to say.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Diagnostic {
    /// The code; its page is in [`PAGES`].
    pub code: Code,
    /// How much it matters.
    pub severity: Severity,
    /// Where.
    pub span: Span,
    /// What is wrong: lower case, no full stop, input in back-ticks.
    pub message: String,
    /// What stands under the marked text; empty: nothing.
    pub label: String,
    /// What to do about it.
    pub help: Option<String>,
    /// Another place that belongs to it, and why.
    pub related: Option<(Span, String)>,
    /// A change of the text that follows the help, where it is mechanical.
    pub fix: Option<Fix>,
}

/// A change of the text.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Fix {
    /// What is replaced.
    pub span: Span,
    /// By what.
    pub text: String,
}

impl Diagnostic {
    /// Adds what to do about it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Adds what stands under the marked text.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// Adds a change that mends it; only where nobody needs to think about it.
    #[must_use]
    pub fn fix(mut self, span: Span, text: impl Into<String>) -> Self {
        self.fix = Some(Fix {
            span,
            text: text.into(),
        });
        self
    }

    /// Suggests another word for the one at `span`.
    #[must_use]
    pub fn suggest(self, span: Span, word: &str) -> Self {
        self.help(format!("did you mean `{word}`?")).fix(span, word)
    }

    /// Adds another place.
    #[must_use]
    pub fn related(mut self, span: Span, why: impl Into<String>) -> Self {
        self.related = Some((span, why.into()));
        self
    }
}

/// Collects diagnostics.
#[derive(Debug, Default)]
pub(crate) struct Reports {
    list: Vec<Diagnostic>,
    /// By code and place.
    seen: Known,
}

impl Reports {
    /// Adds an error.
    pub(crate) fn error(&mut self, code: Code, span: Span, message: impl Into<String>) {
        self.push(error(code, span, message));
    }

    /// Adds a diagnostic, once.
    pub(crate) fn push(&mut self, diagnostic: Diagnostic) {
        // A section that several routes inherit is read once, but lowered often.
        let hash = known::hash(&(diagnostic.code, diagnostic.span));
        let said = |at: usize| self.list.get(at) == Some(&diagnostic);
        if self.seen.find(hash, said).is_none() {
            self.seen.insert(hash, self.list.len());
            self.list.push(diagnostic);
        }
    }

    /// Makes errors of what has one of these codes.
    pub(crate) fn refuse(&mut self, codes: &[Code]) {
        for diagnostic in self
            .list
            .iter_mut()
            .filter(|diagnostic| codes.contains(&diagnostic.code))
        {
            diagnostic.severity = Severity::Error;
        }
    }

    /// Whether something does not compile.
    pub(crate) fn failed(&self) -> bool {
        self.list.iter().any(|d| d.severity == Severity::Error)
    }

    /// All of them, by place.
    pub(crate) fn finish(mut self) -> Vec<Diagnostic> {
        self.list
            .sort_by_key(|d| (d.span, std::cmp::Reverse(d.severity), d.code));
        self.list
    }
}

fn diagnostic(severity: Severity, code: Code, span: Span, message: impl Into<String>) -> Diagnostic {
    Diagnostic {
        code,
        severity,
        span,
        message: message.into(),
        label: String::new(),
        help: None,
        related: None,
        fix: None,
    }
}

/// An error.
pub(crate) fn error(code: Code, span: Span, message: impl Into<String>) -> Diagnostic {
    diagnostic(Severity::Error, code, span, message)
}

/// A warning.
pub(crate) fn warning(code: Code, span: Span, message: impl Into<String>) -> Diagnostic {
    diagnostic(Severity::Warning, code, span, message)
}

/// A note.
pub(crate) fn note(code: Code, span: Span, message: impl Into<String>) -> Diagnostic {
    diagnostic(Severity::Note, code, span, message)
}
