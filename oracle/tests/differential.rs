//! Generated policies, documents and facts through our compiler and machine and through `praxis-policy-apl-core` 0.5.0:
//! same verdict, code, reason, edits and labels, or a rule of `differential/differences.rs` says why not.
//!
//! `DIFFERENTIAL_SEED` and `DIFFERENTIAL_CASES` choose another run, `DIFFERENTIAL_SHOW=1` prints what both refuse; a failure prints the case's own seed.

#[path = "differential/differences.rs"]
mod differences;
#[path = "differential/generate.rs"]
mod generate;
#[path = "differential/ours.rs"]
mod ours;
#[path = "differential/theirs.rs"]
mod theirs;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// What an engine makes of a case.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Answer {
    /// The policy does not load.
    Refused(String),
    /// It ran.
    Ran {
        /// Code and reason of the denial.
        denied: Option<(String, String)>,
        /// Labels of the session, each once, in order.
        taints: Vec<String>,
        /// Labels of any scope.
        labels: BTreeSet<String>,
        /// The document of the phase afterwards; of a denied call it does not matter.
        document: Value,
    },
}

fn number(name: &str, otherwise: u64) -> u64 {
    let given = std::env::var(name).ok();
    given.map_or(otherwise, |text| {
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is no number: {text}"))
    })
}

#[test]
fn our_engine_answers_as_the_reference_or_differs_by_design() {
    let first = number("DIFFERENTIAL_SEED", 1);
    let cases = number("DIFFERENTIAL_CASES", 5_000);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    let mut faults = Vec::new();
    for seed in first..first + cases {
        let case = generate::case(seed);
        let ours = ours::answer(&case);
        let theirs = runtime.block_on(theirs::answer(&case));
        let verdict = match (&ours, &theirs) {
            (Answer::Refused(_), Answer::Refused(_)) => "both refuse",
            _ if same(&ours, &theirs) => match &ours {
                Answer::Ran { denied: Some(_), .. } => "both deny",
                Answer::Ran { .. } | Answer::Refused(_) => "both allow",
            },
            _ => match differences::reason(&case, &ours, &theirs) {
                Some(reason) => reason,
                None => {
                    faults.push(format!(
                        "seed {seed}\n{case}\nours   {ours:?}\ntheirs {theirs:?}\n"
                    ));
                    "wrong"
                }
            },
        };
        if let (Answer::Refused(a), Answer::Refused(b)) = (&ours, &theirs)
            && std::env::var_os("DIFFERENTIAL_SHOW").is_some()
        {
            println!("refused, seed {seed}: {a}\n  theirs: {b}");
        }
        *counts.entry(verdict).or_default() += 1;
    }
    println!("differential: seeds {first} to {}", first + cases - 1);
    for (verdict, count) in &counts {
        println!("{count:>6} {verdict}");
    }
    faults.sort_by_key(String::len);
    let shown: Vec<&str> = faults.iter().take(12).map(String::as_str).collect();
    assert!(
        faults.is_empty(),
        "{} cases differ; the shortest:\n{}",
        faults.len(),
        shown.join("\n")
    );
    // Otherwise the run would prove little.
    for wanted in ["both allow", "both deny"] {
        let share = counts.get(wanted).copied().unwrap_or(0) * 100 / cases.max(1);
        assert!(
            cases < 1_000 || share >= 10,
            "only {share} of a hundred cases: {wanted}"
        );
    }
}

/// Labels form a set: a second time changes nothing.
pub(crate) fn once(labels: impl Iterator<Item = String>) -> Vec<String> {
    let mut seen = Vec::new();
    for label in labels {
        if !seen.contains(&label) {
            seen.push(label);
        }
    }
    seen
}

/// Equal, the document of a denied call aside.
fn same(ours: &Answer, theirs: &Answer) -> bool {
    match (ours, theirs) {
        (
            Answer::Ran {
                denied: Some(a),
                taints: x,
                labels: l,
                ..
            },
            Answer::Ran {
                denied: Some(b),
                taints: y,
                labels: m,
                ..
            },
        ) => a == b && x == y && l == m,
        _ => ours == theirs,
    }
}
