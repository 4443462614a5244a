//! The simple tests of cel-spec, through compiler and machine: what we accept of CEL means what CEL says.
//!
//! Each test is asked twice, as it is and negated, so that true, false and error can be told apart. One that does not compile is counted
//! as not accepted: a policy with it does not load, so nothing is misread. `CEL_SPEC_SHOW=1` prints what was not accepted.
//! The table that it prints stands in `docs/testing.md`.

mod cel_spec {
    pub(crate) mod answer;
    pub(crate) mod textproto;
}

use std::path::{Path, PathBuf};

use cel_spec::answer::{Answer, answer};
use cel_spec::textproto::{Message, parse};

/// What is different on purpose, with the reason: file, section, test.
const BY_DESIGN: &[(&str, &str, &str, &str)] = &[
    (
        "comparisons",
        "lt_literal",
        "not_lt_dyn_int_big_lossy_double",
        "an integer and a double are compared exactly, never through a double that lost digits",
    ),
    (
        "comparisons",
        "gt_literal",
        "not_gt_dyn_big_double_int",
        "an integer and a double are compared exactly, never through a double that lost digits",
    ),
    (
        "comparisons",
        "lte_literal",
        "lte_dyn_big_double_int",
        "an integer and a double are compared exactly, never through a double that lost digits",
    ),
    (
        "comparisons",
        "gte_literal",
        "gte_dyn_int_big_lossy_double",
        "an integer and a double are compared exactly, never through a double that lost digits",
    ),
    (
        "conversions",
        "type",
        "bytes_denotation",
        "JSON has no bytes: `bytes` is an attribute, here an absent one",
    ),
    (
        "fields",
        "qualified_identifier_resolution",
        "qualified_ident",
        "a variable of the step is one name; what stands behind a dot is looked for in it",
    ),
    (
        "namespace",
        "qualified",
        "self_eval_qualified_lookup",
        "a variable of the step is one name; what stands behind a dot is looked for in it",
    ),
    (
        "timestamps",
        "timestamp_conversions",
        "toType_timestamp",
        "types are told by their CEL names; a path with dots is an attribute, here an absent one",
    ),
    (
        "timestamps",
        "timestamp_conversions",
        "type_comparison",
        "types are told by their CEL names; a path with dots is an attribute, here an absent one",
    ),
    (
        "timestamps",
        "duration_conversions",
        "toType_duration",
        "types are told by their CEL names; a path with dots is an attribute, here an absent one",
    ),
    (
        "timestamps",
        "duration_conversions",
        "type_comparison",
        "types are told by their CEL names; a path with dots is an attribute, here an absent one",
    ),
    (
        "timestamps",
        "timestamp_range",
        "sub_time_duration_over",
        "a duration may be as long as RFC 3339 times are apart; the limit is that of 64-bit nanoseconds elsewhere",
    ),
    (
        "timestamps",
        "timestamp_range",
        "sub_time_duration_under",
        "a duration may be as long as RFC 3339 times are apart; the limit is that of 64-bit nanoseconds elsewhere",
    ),
];

#[derive(Default)]
struct Count {
    passed: u32,
    by_design: u32,
    not_accepted: u32,
    wrong: u32,
}

/// Beside the checkout, or further up when the checkout is a worktree.
fn folder() -> Option<PathBuf> {
    let above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let found = above
        .map(|folder| folder.join("shared/external/cel-spec/tests/simple/testdata"))
        .find(|path| path.is_dir());
    assert!(
        found.is_some() || std::env::var("CI").as_deref() != Ok("true"),
        "the tests of cel-spec are missing"
    );
    if found.is_none() {
        println!("skipped: the tests of cel-spec are not beside this checkout");
    }
    found
}

fn is_by_design(file: &str, section: &str, test: &str) -> bool {
    BY_DESIGN.iter().any(|(its_file, its_section, its_test, _)| {
        *its_file == file && *its_section == section && *its_test == test
    })
}

#[test]
fn what_is_accepted_of_cel_means_what_the_specification_says() {
    let Some(folder) = folder() else { return };
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|end| end == "textproto"))
        .collect();
    files.sort();
    let show = std::env::var_os("CEL_SPEC_SHOW").is_some();
    let mut all = Count::default();
    let mut wrong = Vec::new();
    let mut used = Vec::new();
    println!("| file | passed | differs by design | not accepted | wrong |\n|---|---|---|---|---|");
    for path in files {
        let file = path.file_stem().expect("a name").to_string_lossy().into_owned();
        let message = parse(&std::fs::read_to_string(&path).expect("text"));
        let mut count = Count::default();
        for (section, test) in tests(&message) {
            let name = test.text("name");
            match answer(test) {
                Answer::NotAccepted(why) => {
                    count.not_accepted += 1;
                    if show {
                        println!(
                            "not accepted: {file} {section} {name}: {} ({why})",
                            test.text("expr")
                        );
                    }
                }
                Answer::Right => {
                    count.passed += 1;
                    if is_by_design(&file, section, name) {
                        wrong.push(format!(
                            "{file} {section} {name} is listed as different, but is not"
                        ));
                    }
                }
                Answer::Wrong(_) if is_by_design(&file, section, name) => {
                    count.by_design += 1;
                    used.push((file.clone(), section.to_owned(), name.to_owned()));
                }
                Answer::Wrong(what) => {
                    count.wrong += 1;
                    wrong.push(format!("{file} {section} {name}: {}: {what}", test.text("expr")));
                }
            }
        }
        println!(
            "| {file} | {} | {} | {} | {} |",
            count.passed, count.by_design, count.not_accepted, count.wrong
        );
        all.passed += count.passed;
        all.by_design += count.by_design;
        all.not_accepted += count.not_accepted;
        all.wrong += count.wrong;
    }
    println!(
        "| all | {} | {} | {} | {} |",
        all.passed, all.by_design, all.not_accepted, all.wrong
    );
    for (file, section, test, reason) in BY_DESIGN {
        assert!(reason.len() > 8, "a reason for {file} {section} {test}");
        let known = used
            .iter()
            .any(|one| one.0 == *file && one.1 == *section && one.2 == *test);
        assert!(
            known,
            "{file} {section} {test} is listed as different, and is not"
        );
    }
    assert!(wrong.is_empty(), "{} tests:\n{}", wrong.len(), wrong.join("\n"));
    assert!(all.passed > 300, "hardly anything is accepted: {}", all.passed);
}

/// The tests of a file with the names of their sections.
fn tests(file: &Message) -> impl Iterator<Item = (&str, &Message)> {
    file.all("section")
        .flat_map(|section| section.all("test").map(|test| (section.text("name"), test)))
}
