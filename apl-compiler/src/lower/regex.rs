//! Patterns to automata that the proxy only runs.
//!
//! Patterns are Unicode-aware in what `.` and `[^x]` match, but the classes `\d`, `\s`, `\w` and `\b` are ASCII unless the
//! pattern says `(?u)`: Unicode classes make automata of megabytes (`design/execution.md` rule 20).

use apl_bytecode::RegexId;
use regex_automata::dfa::{StartKind, dense};
use regex_automata::nfa::thompson;
use regex_automata::util::syntax;

use super::tables::Tables;
use crate::diagnostics::{Code, Reports, error};
use crate::source::Span;

/// Largest automaton, in bytes.
const MAX_DFA: usize = 1024 * 1024;
/// Working memory for building one.
const MAX_WORK: usize = 32 * 1024 * 1024;
/// Automata up to this size are minimised. Minimising takes time with the square of the states: a pattern of thirty
/// characters could hold the compiler for half a minute (found by the fuzz target `pipeline`).
const MAX_MINIMISED: usize = 64 * 1024;

/// Compiles a pattern; errors are reported.
pub(crate) fn compile(
    pattern: &str,
    span: Span,
    tables: &mut Tables,
    reports: &mut Reports,
) -> Option<RegexId> {
    if let Some(id) = tables.known_regex(pattern) {
        return Some(id);
    }
    match build(pattern) {
        Ok(dfa) => Some(tables.regex(pattern, dfa)),
        Err(Fault::Syntax(message)) => {
            let diagnostic = error(
                Code::BadRegex,
                span,
                format!("the pattern does not compile: {message}"),
            );
            reports.push(diagnostic.help("look-around and back-references do not exist; a backslash must be doubled in a quoted argument"));
            None
        }
        Err(Fault::TooLarge) => {
            reports.push(
                error(
                    Code::RegexTooLarge,
                    span,
                    format!("the pattern's automaton is larger than {MAX_DFA} bytes"),
                )
                .help("replace large counted repetitions such as `.{1,1000}` by a `len(..1000)` stage"),
            );
            None
        }
    }
}

enum Fault {
    Syntax(String),
    TooLarge,
}

fn build(pattern: &str) -> Result<Vec<u8>, Fault> {
    let ascii = ascii_classes(pattern);
    let config = dense::Config::new()
        .start_kind(StartKind::Unanchored)
        .dfa_size_limit(Some(MAX_DFA * 4))
        .determinize_size_limit(Some(MAX_WORK));
    // Parsed on its own first: the builder's message for a syntax error is the same, but its kind is not public.
    regex_automata::nfa::thompson::NFA::compiler()
        .syntax(syntax::Config::new())
        .configure(thompson::Config::new().nfa_size_limit(Some(MAX_WORK)))
        .build(&ascii)
        .map_err(|fault| {
            if fault.size_limit().is_some() {
                Fault::TooLarge
            } else {
                Fault::Syntax(root_cause(&fault))
            }
        })?;
    let build = |minimise: bool| {
        dense::Builder::new()
            .syntax(syntax::Config::new())
            .thompson(thompson::Config::new().nfa_size_limit(Some(MAX_WORK)))
            .configure(config.clone().minimize(minimise))
            .build(&ascii)
            .map_err(|fault| {
                if fault.is_size_limit_exceeded() {
                    Fault::TooLarge
                } else {
                    Fault::Syntax(root_cause(&fault))
                }
            })
    };
    let mut dfa = build(false)?;
    if dfa.memory_usage() <= MAX_MINIMISED {
        dfa = build(true)?;
    }
    let sparse = dfa.to_sparse().map_err(|_| Fault::TooLarge)?;
    let bytes = sparse.to_bytes_little_endian();
    if bytes.len() > MAX_DFA {
        Err(Fault::TooLarge)
    } else {
        Ok(bytes)
    }
}

/// The innermost message, on one line: outer ones only say that something failed.
fn root_cause(fault: &dyn std::error::Error) -> String {
    let mut cause = fault;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    let text = cause.to_string();
    let last = text
        .lines()
        .rev()
        .find(|line| !line.trim().is_empty())
        .unwrap_or("unknown");
    last.trim().trim_start_matches("error: ").to_owned()
}

/// Replaces Perl classes by their ASCII meaning, unless the pattern turns Unicode on itself.
fn ascii_classes(pattern: &str) -> String {
    if pattern.contains("(?u") {
        return pattern.to_owned();
    }
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut chars = pattern.chars();
    while let Some(ch) = chars.next() {
        if ch != '\\' {
            out.push(ch);
            continue;
        }
        match chars.next() {
            Some('d') => out.push_str("[0-9]"),
            Some('D') => out.push_str("[^0-9]"),
            Some('w') => out.push_str("[0-9A-Za-z_]"),
            Some('W') => out.push_str("[^0-9A-Za-z_]"),
            Some('s') => out.push_str(r"[\t\n\x0B\x0C\r ]"),
            Some('S') => out.push_str(r"[^\t\n\x0B\x0C\r ]"),
            Some('b') => out.push_str(r"(?-u:\b)"),
            Some(other) => {
                out.push('\\');
                out.push(other);
            }
            None => out.push('\\'),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{Fault, ascii_classes, build};
    use regex_automata::{
        Input,
        dfa::{Automaton, sparse::DFA},
    };

    fn matches(pattern: &str, text: &str) -> bool {
        let Ok(bytes) = build(pattern) else {
            panic!("`{pattern}` must build")
        };
        let (dfa, _) = DFA::from_bytes(&bytes).expect("what was written can be read");
        dfa.try_search_fwd(&Input::new(text))
            .expect("searches do not give up")
            .is_some()
    }

    #[test]
    fn searches_unanchored_and_counts_characters_not_bytes() {
        assert!(matches("b+", "abc"));
        assert!(!matches("^b", "abc"));
        assert!(matches("^.{3}$", "äöü"));
        assert!(matches(r"^[^,]+$", "größe"));
    }

    #[test]
    fn classes_are_ascii_unless_asked_otherwise() {
        assert!(!matches(r"^\d$", "٣"));
        assert!(matches(r"(?u)^\d$", "٣"));
        assert!(matches(r"^[\w-]+$", "a-b_9"));
        assert!(!matches(r"^\w+$", "é"));
        assert!(matches(r"\bcat\b", "a cat."));
        assert_eq!(ascii_classes(r"\\d"), r"\\d");
    }

    #[test]
    fn size_is_bounded() {
        assert!(matches!(
            build(r"(?u)^\w{1,200}[a-z]*\w{50}$"),
            Err(Fault::TooLarge)
        ));
        assert!(matches!(build("("), Err(Fault::Syntax(_))));
    }
}
