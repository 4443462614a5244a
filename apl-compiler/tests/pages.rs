//! Each page of `aplc explain`: its wrong example has the code and nothing else, its right example has not.

use std::collections::BTreeSet;

use apl_compiler::diagnostics::{Code, PAGES, TOOLS, examples};
use apl_compiler::{Compilation, Dialect, Options, Tools, compile_with};

/// Compiles an example as its first line says.
fn compiled(text: &str) -> Compilation {
    let mut options = Options::default();
    let first = text.lines().next().unwrap_or("");
    if let Some(arguments) = first.strip_prefix("# aplc check ") {
        match arguments {
            "--tools tools.json" => options.tools = Some(Tools::parse(TOOLS).expect("a list")),
            "--from cpex-0.2" => options.from = Some(Dialect::Cpex02),
            other => panic!("unknown arguments `{other}`"),
        }
    }
    compile_with("policy.yaml", text, &options)
}

fn codes(compilation: &Compilation) -> BTreeSet<Code> {
    compilation
        .diagnostics
        .iter()
        .map(|diagnostic| diagnostic.code)
        .collect()
}

#[test]
fn each_wrong_example_has_exactly_its_code_and_each_right_one_nothing() {
    let mut faults = Vec::new();
    for example in examples() {
        let id = example.code.id();
        if example.wrong != "..." {
            let wrong = compiled(example.wrong);
            let mut found = codes(&wrong);
            if example.code == Code::BesideWrapper {
                // The wrapper itself is an old spelling.
                found.remove(&Code::OldSpelling);
            }
            if found != BTreeSet::from([example.code]) {
                faults.push(format!("{id} wrong:\n{}{:#?}", example.wrong, wrong.diagnostics));
            }
        }
        let right = compiled(example.right);
        if !right.diagnostics.is_empty() || right.output.is_none() {
            faults.push(format!("{id} right:\n{}{:#?}", example.right, right.diagnostics));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn each_code_has_a_page_with_an_example_and_only_two_are_too_large_to_show() {
    let examples = examples();
    let listed: Vec<Code> = examples.iter().map(|example| example.code).collect();
    let missing: Vec<&Code> = Code::ALL.iter().filter(|code| !listed.contains(code)).collect();
    assert!(missing.is_empty(), "no example for {missing:?}");
    assert_eq!(listed.len(), Code::ALL.len(), "one example each");
    for page in PAGES {
        let example = page.example().expect("just checked");
        assert!(
            !example.why.is_empty() && !example.why.ends_with('.'),
            "{}",
            page.id
        );
        assert_ne!(example.wrong, example.right, "{}", page.id);
    }
    let large = examples.iter().filter(|example| example.wrong == "...");
    assert_eq!(
        large.map(|example| example.code).collect::<Vec<_>>(),
        [Code::FileTooLarge, Code::Limit]
    );
}

/// The page of the book, generated. `BLESS=1` writes it.
#[test]
fn the_book_has_every_page() {
    let mut book = "# Diagnostics\n\nEvery code of the compiler, as `aplc explain` shows it. This page is generated from the compiler's own table\n(`BLESS=1 cargo test -p apl-compiler --test pages`); every example on it is compiled by a test.\n".to_owned();
    let fenced = |text: &str| {
        if text == "..." {
            return "A file that is too large to show.\n".to_owned();
        }
        let shown: String = text
            .chars()
            .map(|ch| {
                if ch.is_control() && ch != '\n' {
                    ch.escape_default().to_string()
                } else {
                    ch.to_string()
                }
            })
            .collect();
        format!("```yaml\n{}\n```\n", shown.trim_end())
    };
    for page in PAGES {
        let example = page.example().expect("each has one");
        book.push_str(&format!(
            "\n## {}\n\n**{}**\n\n{}\n\n*Why:* {}.\n\nWrong:\n\n{}\nRight:\n\n{}",
            page.id,
            page.title,
            page.text,
            example.why,
            fenced(example.wrong),
            fenced(example.right)
        ));
    }
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/diagnostics.md");
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, &book).expect("can be written");
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == book,
        "docs/diagnostics.md differs from the source: run with BLESS=1"
    );
}
