//! Every diagnostic has a policy that produces it, and what it says about that policy stands beside it.
//!
//! `cases/NAME.yaml` is compiled; `cases/NAME.expected` holds its diagnostics, one a line: `line:column severity code
//! message`, and under it `  help: ...`. `BLESS=1` rewrites them: read the difference before committing it.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use apl_compiler::diagnostics::{Code, PAGES, examples};
use apl_compiler::{Compilation, Severity, compile};

fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let entries = fs::read_dir(folder).expect("tests/cases is there");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    assert!(files.len() > 6, "the cases are there");
    files
}

fn transcript(compilation: &Compilation) -> String {
    let mut out = String::new();
    for diagnostic in &compilation.diagnostics {
        let at = compilation.sources[0].position(diagnostic.span.start);
        let (severity, code) = (diagnostic.severity.name(), diagnostic.code.id());
        writeln!(
            out,
            "{}:{} {severity} {code} {}",
            at.line, at.column, diagnostic.message
        )
        .expect("to a string");
        if let Some(help) = &diagnostic.help {
            writeln!(out, "  help: {}", help.replace('\n', "\n        ")).expect("to a string");
        }
    }
    out
}

#[test]
fn every_case_says_what_stands_beside_it() {
    let bless = std::env::var_os("BLESS").is_some();
    let mut wrong = Vec::new();
    for path in cases() {
        let text = fs::read_to_string(&path).expect("cases are text");
        let compilation = compile("policy.yaml", &text);
        let failed = compilation
            .diagnostics
            .iter()
            .any(|diagnostic| diagnostic.severity == Severity::Error);
        assert_eq!(
            failed,
            compilation.output.is_none(),
            "{}: errors and output exclude each other",
            path.display()
        );
        let found = transcript(&compilation);
        let beside = path.with_extension("expected");
        if bless {
            fs::write(&beside, &found).expect("can be written");
        } else if fs::read_to_string(&beside).unwrap_or_default() != found {
            wrong.push(format!("{}:\n{found}", path.display()));
        }
    }
    assert!(
        wrong.is_empty(),
        "these say something else now:\n{}",
        wrong.join("\n")
    );
}

/// Codes that a file of a reasonable size cannot produce; tests below produce them. What only the examples of the pages produce
/// is tested in `pages.rs`.
const GENERATED: &[Code] = &[Code::FileTooLarge, Code::TooDeep, Code::Limit, Code::Alias];

#[test]
fn every_code_has_a_case_and_a_page() {
    let mut seen = BTreeSet::new();
    for path in cases() {
        let expected = fs::read_to_string(path.with_extension("expected")).unwrap_or_default();
        let words = expected
            .split_whitespace()
            .filter(|word| word.starts_with("APL"))
            .map(str::to_owned);
        seen.extend(words);
    }
    let shown: BTreeSet<&str> = examples().iter().map(|example| example.code.id()).collect();
    let missing: Vec<&str> = Code::ALL
        .iter()
        .filter(|code| !GENERATED.contains(code))
        .map(|code| code.id())
        .filter(|id| !seen.contains(*id) && !shown.contains(*id))
        .collect();
    assert!(missing.is_empty(), "no case produces {missing:?}");
    for (page, code) in PAGES.iter().zip(Code::ALL) {
        assert_eq!(page.id, code.id());
        assert!(
            page.text.len() > 20 && page.title.len() > 5,
            "{} has a page",
            page.id
        );
    }
    let ids: BTreeSet<&str> = Code::ALL.iter().map(|code| code.id()).collect();
    assert_eq!(ids.len(), Code::ALL.len(), "codes are unique");
}

fn codes(text: &str) -> Vec<Code> {
    compile("policy.yaml", text)
        .diagnostics
        .iter()
        .map(|diagnostic| diagnostic.code)
        .collect()
}

#[test]
fn refuses_files_that_are_too_large_or_too_deep() {
    assert_eq!(codes(&"#".repeat(10 * 1024 * 1024 + 1)), [Code::FileTooLarge]);
    assert_eq!(
        codes(&format!("routes: {}{}", "[".repeat(200), "]".repeat(200))),
        [Code::TooDeep]
    );
    let nested = format!(
        "routes: [{{tool: x, policy: [\"{}a{}: deny\"]}}]",
        "(".repeat(2000),
        ")".repeat(2000)
    );
    assert!(codes(&nested).contains(&Code::PredicateSyntax));
}

#[test]
fn refuses_aliases_that_explode() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let parts = vec![format!("*a{}", level - 1); 10].join(", ");
        writeln!(text, "a{level}: &a{level} [{parts}]").expect("to a string");
    }
    assert!(codes(&text).contains(&Code::Alias));
}

#[test]
fn refuses_more_than_a_program_can_hold() {
    let text = format!("routes: [{{tool: {}}}]", "x".repeat(300_000));
    assert!(codes(&text).contains(&Code::Limit));
}

#[test]
fn line_ends_and_a_byte_order_mark_change_nothing() {
    let plain = "routes:\n  - tool: x\n    policy:\n      - \"x = 1\"\n";
    let place = |text: &str| {
        let compilation = compile("policy.yaml", text);
        let fault = compilation
            .diagnostics
            .iter()
            .find(|diagnostic| diagnostic.code == Code::BadToken)
            .expect("the fault");
        let at = compilation.sources[0].position(fault.span.start);
        (at.line, at.column)
    };
    assert_eq!(place(plain), (4, 12));
    assert_eq!(place(&plain.replace('\n', "\r\n")), (4, 12));
    assert_eq!(place(&format!("\u{feff}{plain}")), (4, 12));
}
