//! Laws of `aplc fmt` and `aplc migrate`, over every policy that there is.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex};

use apl_compiler::layout::{format, migrate, same_program};
use apl_compiler::{Compilation, compile};

/// Policies of the repository, and those beside it.
fn policies() -> Vec<(PathBuf, String)> {
    let crate_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for folder in ["tests/cases", "tests/fixtures", "tests/commands", "tests/layout"] {
        for entry in fs::read_dir(crate_dir.join(folder)).expect("is there") {
            found.push(entry.expect("an entry").path());
        }
    }
    found.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    found.push(crate_dir.join("../examples/hr/policy.yaml"));
    let count = found.len();
    assert!(count > 8, "the policies are there");
    let demo = crate_dir
        .ancestors()
        .map(|folder| folder.join("shared/external/cpex-demo/policy.yaml"))
        .find(|path| path.exists());
    match demo {
        Some(path) => found.push(path),
        None => assert!(
            std::env::var("CI").as_deref() != Ok("true"),
            "the CPEX demo is missing"
        ),
    }
    found
        .into_iter()
        .filter_map(|path| fs::read_to_string(&path).ok().map(|text| (path, text)))
        .collect()
}

fn comments(text: &str) -> Vec<String> {
    let mut found: Vec<String> = text
        .lines()
        .map(str::trim)
        .filter(|line| line.starts_with('#'))
        .map(str::to_owned)
        .collect();
    found.sort();
    found
}

/// Each text compiled once: the cases hold a pattern whose automaton takes seconds to find too large without optimisation.
fn compiled(text: &str) -> Arc<Compilation> {
    static KNOWN: LazyLock<Mutex<HashMap<String, Arc<Compilation>>>> = LazyLock::new(Mutex::default);
    let mut known = KNOWN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let fresh = || Arc::new(compile("policy.yaml", text));
    Arc::clone(known.entry(text.to_owned()).or_insert_with(fresh))
}

/// A policy with errors means nothing, so nothing is compared; the commands leave it as it is.
fn assert_same(path: &Path, before: &Compilation, after: &str) {
    let Some(before) = &before.output else { return };
    let after = compiled(after);
    match &after.output {
        Some(after) => assert_eq!(same_program(before, after), Ok(()), "{}", path.display()),
        None => panic!("{}: {:#?}", path.display(), after.diagnostics),
    }
}

#[test]
fn layout_is_idempotent_keeps_every_comment_and_the_meaning() {
    for (path, text) in policies() {
        let Ok(laid_out) = format(&text) else { continue };
        assert_eq!(format(&laid_out).as_ref(), Ok(&laid_out), "{}", path.display());
        assert_eq!(comments(&laid_out), comments(&text), "{}", path.display());
        assert_same(&path, &compiled(&text), &laid_out);
    }
}

#[test]
fn migration_is_idempotent_keeps_every_comment_and_the_meaning() {
    for (path, text) in policies() {
        let Ok(migrated) = migrate(&text) else { continue };
        let before = compiled(&text);
        // A policy with errors may be a mess; it is refused by the command.
        if before.output.is_none() {
            continue;
        }
        assert_eq!(
            migrate(&migrated.text).map(|again| again.text).as_ref(),
            Ok(&migrated.text),
            "{}",
            path.display()
        );
        assert_eq!(comments(&migrated.text), comments(&text), "{}", path.display());
        assert_same(&path, &before, &migrated.text);
        let laid_out = format(&migrated.text).expect("still YAML");
        assert_same(&path, &before, &laid_out);
    }
}

fn pairs(file: &str) -> Vec<(String, String)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/layout")
        .join(file);
    let text = fs::read_to_string(path).expect("is there");
    text.split("\n==========\n")
        .map(|case| {
            let (before, after) = case.split_once("\n----------\n").expect("before and after");
            let line = |text: &str| format!("{}\n", text.trim_matches('\n'));
            (line(before), line(after))
        })
        .collect()
}

#[test]
fn lays_out_as_the_examples_show() {
    for (before, after) in pairs("format.txt") {
        assert_eq!(format(&before).as_deref(), Ok(after.as_str()), "{before}");
        assert_eq!(format(&after).as_deref(), Ok(after.as_str()), "{after}");
    }
}

#[test]
fn migrates_as_the_examples_show() {
    for (before, after) in pairs("migrate.txt") {
        let migrated = migrate(&before).expect("YAML");
        assert_eq!(migrated.text, after, "{before}");
        assert_eq!(migrated.left, [], "{before}");
    }
}

#[test]
fn what_cannot_be_laid_out_is_refused_with_its_line() {
    for text in ["a: 1\n? b\n: 2\n", "? [x]\n: 1\n", "a: [", ""] {
        assert!(format(text).is_err(), "{text:?}");
    }
    assert_eq!(
        format("a: 1\n? b\n: 2\n").map_err(|fault| fault.to_string().contains("line 2")),
        Err(true)
    );
}

#[test]
fn line_ends_and_a_byte_order_mark_are_made_plain() {
    assert_eq!(
        format("\u{feff}routes:\r\n- tool: x\r\n").as_deref(),
        Ok("routes:\n  - tool: x\n")
    );
}
