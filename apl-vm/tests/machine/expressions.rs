//! `suites/*.jsonl`: one expression a line, with what it reads and what it comes to.

use apl_bytecode::BlockKind;
use apl_vm::{Document, Env, Limits, Machine, Mode, Outcome, Verdict, View};
use serde_json::Value;

use crate::assembler::{Assembler, facts};

#[test]
fn predicates_mean_what_the_language_says() {
    assert!(run_suite(include_str!("suites/predicates.jsonl")) >= 80);
}

#[test]
fn cel_expressions_mean_what_cel_says() {
    assert!(run_suite(include_str!("suites/cel.jsonl")) >= 90);
}

fn run_suite(suite: &str) -> usize {
    let cases: Vec<Value> = suite
        .lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let mut wrong = vec![];
    for case in &cases {
        let found = evaluate(case);
        if case["is"] != found {
            wrong.push(format!("{case}\n  is {found}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    cases.len()
}

/// `true`, `false`, `error`, or in a probe `unknown`.
fn evaluate(case: &Value) -> &'static str {
    let mut assembler = Assembler::default();
    for body in case["bodies"].as_array().into_iter().flatten() {
        assembler.block(BlockKind::Expr, &lines(body));
    }
    let mut code = lines(&case["code"]);
    code.push("deny-if yes");
    let block = assembler.block(BlockKind::Steps, &code);
    let program = assembler.finish();

    let mut facts = facts(&case["facts"]);
    if let Some(labels) = case["labels"].as_array() {
        facts.labels.known = labels
            .iter()
            .map(|label| label.as_str().unwrap().to_owned())
            .collect();
        facts.labels.loaded = case["loaded"] != false;
    }
    let mut document = case.get("args").map(|args| {
        // A text is a document as received, for numbers that serde_json would write otherwise.
        let text = args
            .get("json")
            .and_then(Value::as_str)
            .map_or_else(|| args.to_string(), str::to_owned);
        Document::parse(text.into_bytes(), &Limits::default()).unwrap()
    });
    let args = document.as_mut().map(|document| {
        let root = document.root();
        View::of(document, root)
    });
    let mode = if case["probe"] == true {
        Mode::Probe
    } else {
        Mode::Enforce
    };
    let mut env = Env {
        facts: &mut facts,
        args,
        result: None,
        hash_key: None,
        mode,
        edits: &mut vec![],
    };
    match Machine::new(block, 100_000).run(&program, &mut env) {
        Outcome::Done(Verdict::Allow) => "false",
        Outcome::Done(Verdict::Unknown) => "unknown",
        Outcome::Done(Verdict::Deny(denied)) if denied.code == "yes" => "true",
        Outcome::Done(Verdict::Deny(denied)) if denied.reason == "condition cannot be evaluated" => "error",
        other => panic!("{case}: {other:?}"),
    }
}

fn lines(code: &Value) -> Vec<&str> {
    code.as_array()
        .unwrap()
        .iter()
        .map(|line| line.as_str().unwrap())
        .collect()
}
