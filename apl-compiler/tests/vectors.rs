//! The shared vectors, through compiler and machine.
//!
//! What CPEX 0.2 does is `expect`, what the 0.5.0 crate did is `praxis_policy_0_5_0`; where both are there the latter counts.
//! `vectors/differences.txt` lists every vector on which we differ, with what we answer and why: `by-design` (the tables of
//! the language page decide so) or `not-in-build` (to come). Anything else that differs is wrong, and so is a listed
//! difference that is none any more. `APL_VECTORS=FILE` runs another file of the same form; `VECTORS_SHOW=1` prints what
//! differs in the form of the list.

mod vectors {
    pub(crate) mod expected;
    pub(crate) mod run;
}

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

const AREAS: [&str; 6] = [
    "predicate",
    "rule",
    "pipeline",
    "route",
    "step_parse",
    "pipeline_parse",
];

#[derive(Default)]
struct Count {
    right: u32,
    by_design: u32,
    not_in_build: u32,
    wrong: u32,
}

fn file() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("APL_VECTORS") {
        return Some(path.into());
    }
    // Beside the checkout, or further up when the checkout is a worktree.
    let above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let found = above
        .map(|folder| folder.join("shared/vectors/apl-vectors.jsonl"))
        .find(|path| path.is_file());
    if found.is_some() {
        return found;
    }
    assert!(
        std::env::var("CI").as_deref() != Ok("true"),
        "the shared vectors are missing"
    );
    println!("skipped: the shared vectors are not beside this checkout");
    None
}

/// `id kind answer | reason`.
fn differences() -> BTreeMap<String, (String, String)> {
    let text = include_str!("vectors/differences.txt");
    let lines = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let (entry, reason) = line
                .split_once(" | ")
                .unwrap_or_else(|| panic!("no reason: {line}"));
            assert!(reason.len() > 8, "no reason: {line}");
            let (id, rest) = entry.split_once(' ').unwrap_or_else(|| panic!("no kind: {line}"));
            let (kind, answer) = rest
                .split_once(' ')
                .unwrap_or_else(|| panic!("no answer: {line}"));
            assert!(["by-design", "not-in-build"].contains(&kind), "{line}");
            (id.to_owned(), (kind.to_owned(), answer.trim().to_owned()))
        })
        .collect()
}

#[test]
fn vectors_are_right_or_differ_by_design() {
    let Some(path) = file() else { return };
    let text = std::fs::read_to_string(&path).expect("the vectors can be read");
    let listed = differences();
    let mut counts: BTreeMap<&str, Count> = BTreeMap::new();
    let mut faults = Vec::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let vector: Value = serde_json::from_str(line).expect("a vector is JSON");
        let Some(area) = AREAS.into_iter().find(|area| vector["area"] == *area) else {
            continue;
        };
        let id = vector["id"].as_str().expect("an id");
        let ours = vectors::run::answer(area, &vector);
        let same = vectors::expected::matches(area, &vector, &ours);
        let count = counts.entry(area).or_default();
        match (same, listed.get(id)) {
            (true, None) => count.right += 1,
            (true, Some(_)) => faults.push(format!("{id} is listed as different, but is not")),
            (false, Some((kind, answer))) if *answer == ours.to_string() => match kind.as_str() {
                "by-design" => count.by_design += 1,
                _ => count.not_in_build += 1,
            },
            (false, _) => {
                count.wrong += 1;
                faults.push(format!(
                    "{id} by-design {ours} | {} -- {}",
                    vectors::expected::reference(&vector),
                    vector["note"]
                ));
            }
        }
    }
    for (area, count) in &counts {
        println!(
            "{area}: {} right, {} differ by design, {} not in this build, {} wrong",
            count.right, count.by_design, count.not_in_build, count.wrong
        );
    }
    if std::env::var_os("VECTORS_SHOW").is_some() {
        faults.iter().for_each(|fault| println!("{fault}"));
    }
    assert!(
        faults.is_empty(),
        "{} vectors:\n{}",
        faults.len(),
        faults.join("\n")
    );
}
