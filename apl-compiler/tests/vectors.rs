//! The shared vectors, through compiler and machine. `make vectors` prints one line an area.
//!
//! What CPEX 0.2 does is `expect`, what the 0.5.0 crate did is `praxis_policy_0_5_0`; where both are there the latter counts.
//! `vectors/rules.rs` has the tables of the language page as rules: what they name is a difference by design, anything else
//! that differs is wrong. `vectors/differences.txt` lists the vectors that no rule covers, with what we answer and why; a
//! listed difference that is none any more is wrong too. `vectors/more.jsonl` are cases of our own, in the same form.
//! `APL_VECTORS=FILE` runs another file of that form; `VECTORS_SHOW=1` prints what differs, and by which rule.

mod vectors {
    pub(crate) mod areas;
    pub(crate) mod effects;
    pub(crate) mod expected;
    pub(crate) mod host;
    pub(crate) mod parsed;
    pub(crate) mod rules;
    pub(crate) mod run;
}

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

const AREAS: [&str; 13] = [
    "predicate",
    "rule",
    "pipeline",
    "route",
    "step_parse",
    "pipeline_parse",
    "flatten",
    "restrict_fold",
    "host",
    "template",
    "glob",
    "accepts",
    "pdp",
];

#[derive(Default)]
struct Count {
    right: u32,
    by_design: u32,
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

/// `id answer | reason`.
fn differences() -> BTreeMap<String, String> {
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
            let (id, answer) = entry
                .split_once(' ')
                .unwrap_or_else(|| panic!("no answer: {line}"));
            (id.to_owned(), answer.trim().to_owned())
        })
        .collect()
}

/// One line of the file, or what is wrong with it.
fn read(number: usize, line: &str) -> Result<(&'static str, String, Value), String> {
    let wrong = |what: &str| format!("line {number} of the vectors: {what}");
    let vector: Value = serde_json::from_str(line).map_err(|fault| wrong(&format!("no JSON: {fault}")))?;
    let id = vector["id"].as_str().ok_or_else(|| wrong("no `id`"))?.to_owned();
    let area = vector["area"].as_str().ok_or_else(|| wrong("no `area`"))?;
    let known = AREAS.into_iter().find(|known| *known == area);
    let known =
        known.ok_or_else(|| wrong(&format!("`{area}` is no area; known are {}", AREAS.join(", "))))?;
    if vector["expect"].is_null() && area != "restrict_fold" {
        return Err(wrong("no `expect`"));
    }
    Ok((known, id, vector))
}

/// Whether two answers are the same text, or the same JSON: in which order an object's keys are written depends on what
/// else is built with `serde_json`.
fn same_answer(one: &str, other: &str) -> bool {
    one == other
        || matches!(
            (
                serde_json::from_str::<serde_json::Value>(one),
                serde_json::from_str::<serde_json::Value>(other),
            ),
            (Ok(one), Ok(other)) if one == other
        )
}

/// Runs a file; prints a line for each area.
fn prove(name: &str, text: &str) {
    let listed = differences();
    let show = std::env::var_os("VECTORS_SHOW").is_some();
    let mut counts: BTreeMap<&str, Count> = BTreeMap::new();
    let mut faults = Vec::new();
    for (at, line) in text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
    {
        let (area, id, vector) = match read(at + 1, line) {
            Ok(vector) => vector,
            Err(fault) => {
                faults.push(fault);
                continue;
            }
        };
        let ours = vectors::run::answer(area, &vector);
        let same = vectors::expected::matches(area, &vector, &ours);
        let count = counts.entry(area).or_default();
        let rule = vectors::rules::by_design(area, &vector, &ours);
        match (same, listed.get(&id), rule) {
            (true, None, _) => count.right += 1,
            (true, Some(_), _) => {
                count.wrong += 1;
                faults.push(format!("{id} is listed as different, but is not"));
            }
            (false, Some(answer), _) if same_answer(answer, &ours.to_string()) => count.by_design += 1,
            (false, None, Some(rule)) => {
                count.by_design += 1;
                if show {
                    println!("{id} {ours} | {rule}");
                }
            }
            (false, _, _) => {
                count.wrong += 1;
                faults.push(format!(
                    "{id} {ours} | {} -- {}",
                    vectors::expected::reference(&vector),
                    vector["note"]
                ));
            }
        }
    }
    println!("# {name}\narea right differs-by-design wrong");
    for (area, count) in &counts {
        println!("{area} {} {} {}", count.right, count.by_design, count.wrong);
    }
    if show {
        faults.iter().for_each(|fault| println!("{fault}"));
    }
    assert!(
        faults.is_empty(),
        "{} vectors:\n{}",
        faults.len(),
        faults.join("\n")
    );
}

#[test]
fn vectors_are_right_or_differ_by_design() {
    let Some(path) = file() else { return };
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|fault| panic!("{}: {fault}; APL_VECTORS names the file", path.display()));
    let name = path
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    prove(&name, &text);
}

/// Cases of our own: what another file could hold, area by area.
#[test]
fn more_vectors_are_right_or_differ_by_design() {
    prove("more.jsonl", include_str!("vectors/more.jsonl"));
}
