//! Files that are no policies: an error with a position, quickly, in bounded memory, and without what is secret in them.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use apl_compiler::diagnostics::{Code, to_report};
use apl_compiler::{Compilation, compile};

/// Far above what any of these needs on a slow and busy machine, so that only something that grows without bound fails.
const SOON: Duration = Duration::from_secs(300);

/// Compiles, and renders everything as a person would see it.
fn shown(text: &str) -> (Compilation, String) {
    let begun = Instant::now();
    let compilation = compile("policy.yaml", text);
    let report: Vec<String> = compilation
        .diagnostics
        .iter()
        .map(|diagnostic| format!("{:?}", to_report(diagnostic, &compilation.sources)))
        .collect();
    assert!(begun.elapsed() < SOON, "took {:?}", begun.elapsed());
    (compilation, report.join("\n"))
}

/// The first diagnostic: code, line, column.
fn first(text: &str) -> (Code, u32, u32) {
    let (compilation, _) = shown(text);
    assert!(compilation.output.is_none(), "{text:.80}");
    let diagnostic = compilation.diagnostics.first().expect("a diagnostic");
    let at = compilation.sources[0].position(diagnostic.span.start);
    (diagnostic.code, at.line, at.column)
}

const FINE: &str = "routes:\n  - tool: x\n    owner: me\n";

#[test]
fn each_kind_of_bad_input_is_refused_at_its_place() {
    for (text, code, line, column) in [
        ("routes:\n  - tool: \0x\n", Code::BadCharacter, 2, 11),
        (
            "routes:\n  - tool: x # y\r    owner: z\n",
            Code::BadCharacter,
            2,
            16,
        ),
        ("routes:\n  - tool: x\u{202e}\n", Code::BadCharacter, 2, 12),
        ("routes:\n  - tool: x\u{2028}\n", Code::BadCharacter, 2, 12),
        ("routes:\n\u{feff}  - tool: x\n", Code::BadCharacter, 2, 1),
        ("routes:\n  - tool: x\n---\nroutes: []\n", Code::Documents, 3, 1),
        ("routes:\n  - tool: !!binary x\n", Code::Tag, 2, 11),
        (
            "routes:\n  - tool: x\n    args:\n      <<: {a: \"str\"}\n",
            Code::MergeKey,
            4,
            7,
        ),
        ("routes:\n  - tool: x\n    tool: y\n", Code::DuplicateKey, 3, 5),
        ("", Code::Documents, 1, 1),
        ("just text", Code::WrongType, 1, 1),
    ] {
        assert_eq!(first(text), (code, line, column), "{text:?}");
    }
    let (code, line, _) = first("routes:\n  - tool: x\n\t  owner: y\n");
    assert!(
        code == Code::YamlSyntax && (2..=3).contains(&line),
        "a tab as indentation"
    );
}

#[test]
fn line_ends_of_either_kind_mixed_and_a_mark_at_the_start_are_fine() {
    for text in [
        FINE.replace('\n', "\r\n"),
        FINE.replacen('\n', "\r\n", 1),
        format!("\u{feff}{FINE}"),
        format!("{FINE}...\n"),
        format!("%YAML 1.2\n---\n{FINE}"),
    ] {
        assert!(
            compile("p", &text).output.is_some(),
            "{text:?}: {:?}",
            compile("p", &text).diagnostics
        );
    }
}

#[test]
fn nesting_and_aliases_end_soon() {
    for (open, close) in [("[", "]"), ("{a: ", "}"), ("[{a: ", "}]")] {
        let deep = format!("routes: {}{}", open.repeat(100_000), close.repeat(100_000));
        // The YAML reader has a bound of its own for brackets, which may come first.
        assert!(
            matches!(first(&deep).0, Code::TooDeep | Code::YamlSyntax),
            "{open}"
        );
    }
    // By indentation: the text grows with the square of the depth, so that 5,000 levels are a file that is too large.
    for (levels, code, line) in [(3000, Code::TooDeep, 65), (5000, Code::FileTooLarge, 1)] {
        for item in ["-", "a:"] {
            let lists: String = (1..levels)
                .map(|depth| format!("{}{item}\n", " ".repeat(depth)))
                .collect();
            let (found, at, _) = first(&format!("routes:\n{lists}"));
            assert_eq!((found, at), (code, line), "{levels} {item}");
        }
    }
    // On one line, where each level takes two bytes.
    for item in ["- ", "? "] {
        let line = format!("routes:\n  {}x\n", item.repeat(1_000_000));
        assert_eq!((first(&line).0, first(&line).1), (Code::TooDeep, 2), "{item}");
    }
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..40 {
        let parts = vec![format!("*a{}", level - 1); 10].join(", ");
        bomb.push_str(&format!("a{level}: &a{level} [{parts}]\n"));
    }
    let (code, line, _) = first(&bomb);
    assert!(code == Code::Alias && line < 10, "{code:?} {line}");
}

#[test]
fn a_long_line_is_cut_in_the_report() {
    let long = "x".repeat(2_000_000);
    for text in [
        format!("routes: [{{tool: {long}, bogus: 1}}]\n"),
        format!("routes:\n  - tool: x\n    pre_invocation: [\"{long} =\"]\n"),
        format!("# {long}\nbogus: 1\n"),
    ] {
        let (compilation, report) = shown(&text);
        assert!(compilation.output.is_none());
        assert!(report.len() < 20_000, "{} bytes", report.len());
    }
}

#[test]
fn many_faults_in_a_large_file_are_told_soon() {
    let text = format!("routes:\n{}", "  - tool: x\n    bogus: 1\n".repeat(500));
    let (compilation, _) = shown(&text);
    assert!(
        compilation.diagnostics.len() >= 999,
        "{}",
        compilation.diagnostics.len()
    );
}

#[test]
fn a_secret_in_a_file_that_does_not_parse_is_not_shown() {
    const SECRET: &str = "hunter2-hunter2";
    for text in [
        format!(
            "plugins:\n  - config: {{client_secret_source: {{kind: literal, secret: {SECRET}}}\nroutes: [\n"
        ),
        format!("plugins:\n  - password: \"{SECRET}\n"),
        format!("secret: {SECRET}: {SECRET}\n"),
        format!("a:\n  api_key: |\n    {SECRET}\n\t\n"),
        format!("token: {SECRET}\ntoken: {SECRET}\n\u{1}"),
    ] {
        let (compilation, report) = shown(&text);
        assert!(compilation.output.is_none(), "{text}");
        assert!(!report.contains(SECRET), "{text}\n{report}");
        assert!(!compilation.sources[0].text.contains(SECRET), "{text}");
    }
}

#[test]
fn a_huge_file_and_one_that_is_not_text_are_refused_by_the_command() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("huge.yaml");
    // Sparse: 100 MB of NUL bytes that take no disk.
    fs::File::create(&path)
        .expect("made")
        .set_len(100 * 1024 * 1024)
        .expect("sized");
    let run = |name: &str| {
        let begun = Instant::now();
        let output = Command::new(env!("CARGO_BIN_EXE_aplc"))
            .args(["check", name])
            .current_dir(folder.path())
            .output()
            .expect("runs");
        assert!(begun.elapsed() < SOON);
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    let (code, said) = run("huge.yaml");
    assert!(
        code == Some(1) && said.contains("APL0004") && said.len() < 4000,
        "{said}"
    );
    fs::write(folder.path().join("latin.yaml"), b"routes:\n  - tool: caf\xe9\n").expect("written");
    let (code, said) = run("latin.yaml");
    assert!(code == Some(2) && said.contains("line 2, column 14"), "{said}");
}
