//! Runs each case once in a process, whoever asks, and writes the list.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::OnceLock,
};

use aplomb_test_harness::programs;

use crate::{
    cases::{CASES, Host},
    proof::{Proof, Verdict},
};

type Outcome = Result<Proof, String>;

static OUTCOMES: [OnceLock<Outcome>; 100] = [const { OnceLock::new() }; 100];

/// What came of a case; its panic is the reason why it failed.
pub(crate) fn outcome(number: usize) -> &'static Outcome {
    let case = CASES.iter().find(|case| case.number == number).unwrap();
    OUTCOMES[number - 1].get_or_init(|| attempt(case.run))
}

/// Runs something that panics when it fails.
pub(crate) fn attempt(run: impl FnOnce() -> Proof) -> Outcome {
    catch_unwind(AssertUnwindSafe(run)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        text.or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("a panic")
            .to_owned()
    })
}

/// A case as a test of its own.
pub(crate) fn prove(number: usize) {
    if let Err(why) = outcome(number) {
        panic!("case {number}: {why}");
    }
}

const INTRODUCTION: &str = "# Ways around a filter that reads bodies

A hundred attempts to get past a policy filter, what each one sent and what came of it. `make bypass` runs them all against the compiled
module and prints this list; each is also a test of its own (`test-harness/tests/bypass`). *abi* is a small proxy-wasm host, where a case runs
in both ways of holding headers, which must agree; *envoy* is the real one. In all of them a denied operation and a
removed value must stand in no byte at the other end, there must be an answer, and the module must not trap.

*refused*: answered, nothing reached the other end. *governed*: it passed under policy. *not ours*: prevented elsewhere, or not at all, with the
reason. *not testable here*: it takes what a test cannot have.

A test writes this page (`BLESS=1 make bypass`) and fails when it differs.

| | case | where | sent | came of it | verdict |
|---|---|---|---|---|---|
";

#[test]
fn the_list_is_complete_and_nothing_got_through() {
    assert!(
        CASES.iter().map(|case| case.number).eq(1..=100),
        "the numbers are not 1 to 100"
    );
    let (mut page, mut failed, mut counts) = (INTRODUCTION.to_owned(), Vec::new(), [0_usize; 4]);
    for case in CASES {
        let host = match case.host {
            Host::Abi => "abi",
            Host::Envoy => "envoy",
        };
        match outcome(case.number) {
            Ok(proof) => {
                let cell = |text: &str| text.replace('|', "\\|").replace('\n', " ");
                println!(
                    "{:>3} {} [{host}]\n      sent: {}\n      came: {}\n      {}",
                    case.number, case.title, proof.sent, proof.came, proof.verdict
                );
                page.push_str(&format!(
                    "| {} | {} | {host} | {} | {} | {} |\n",
                    case.number,
                    case.title,
                    cell(&proof.sent),
                    cell(&proof.came),
                    proof.verdict
                ));
                counts[match proof.verdict {
                    Verdict::Refused => 0,
                    Verdict::Governed => 1,
                    Verdict::NotOurs(_) => 2,
                    Verdict::NotTestable(_) => 3,
                }] += 1;
            }
            Err(why) => {
                println!("{:>3} {} [{host}]\n      FAILED: {why}", case.number, case.title);
                failed.push(case.number);
            }
        }
    }
    let [refused, governed, not_ours, not_testable] = counts;
    println!(
        "{refused} refused, {governed} governed, {not_ours} not ours, {not_testable} not testable here, {} failed",
        failed.len()
    );
    assert!(failed.is_empty(), "got through or went wrong: {failed:?}");
    page.push_str(&format!(
        "\n{refused} refused, {governed} governed, {not_ours} not ours, {not_testable} not testable here.\n"
    ));
    let path = programs::root().join("docs/bypass.md");
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == page,
        "docs/bypass.md is not what came of it; fix: `BLESS=1 make bypass`"
    );
}
