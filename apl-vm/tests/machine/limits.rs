//! Whatever the operation holds, a run ends.

use apl_bytecode::BlockKind;
use apl_vm::{Answer, Document, Env, Facts, Limits, Machine, Mode, Outcome, Prepared, Verdict, View};

use crate::assembler::Assembler;

fn run(machine: &mut Machine, program: &Prepared, args: &str, mode: Mode) -> Outcome {
    let mut document = Document::parse(args.as_bytes().to_vec(), &Limits::default()).unwrap();
    let root = document.root();
    let mut env = Env {
        facts: &mut Facts::default(),
        args: Some(View::of(&mut document, root)),
        result: None,
        hash_key: None,
        mode,
        edits: &mut vec![],
    };
    machine.run(program, &mut env)
}

fn out_of_fuel(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Done(Verdict::Deny(denied)) if denied.code == "limit.fuel")
}

#[test]
fn denies_when_the_fuel_is_used_up() {
    let mut assembler = Assembler::default();
    let block = assembler.block(BlockKind::Steps, &["truth args.x", "deny-if no"]);
    let program = assembler.finish();
    for (fuel, ends) in [(0, true), (1, true), (2, false)] {
        let outcome = run(&mut Machine::new(block, fuel), &program, "{}", Mode::Enforce);
        assert_eq!(out_of_fuel(&outcome), ends, "{fuel}");
    }
    // A probe that runs dry has proved nothing.
    assert_eq!(
        run(&mut Machine::new(block, 1), &program, "{}", Mode::Probe),
        Outcome::Done(Verdict::Unknown)
    );
}

#[test]
fn nested_comprehensions_cost_by_the_element() {
    let mut assembler = Assembler::default();
    let mut inner = assembler.block(BlockKind::Expr, &["const true"]);
    for _ in 0..6 {
        inner = assembler.block(
            BlockKind::Expr,
            &["load args.l", &format!("fold all {}", inner.0)],
        );
    }
    let block = assembler.block(
        BlockKind::Steps,
        &["load args.l", &format!("fold all {}", inner.0), "deny-if no"],
    );
    let program = assembler.finish();
    let args = format!("{{\"l\":[{}]}}", ["1"; 100].join(","));
    assert!(out_of_fuel(&run(
        &mut Machine::new(block, 100_000),
        &program,
        &args,
        Mode::Enforce
    )));
}

#[test]
fn growing_texts_and_lists_cost_by_their_size() {
    for literal in ["args.s", "args.l"] {
        let mut assembler = Assembler::default();
        let load = format!("load {literal}");
        let mut inner = assembler.block(BlockKind::Expr, &["local 0", "local 1", "arith +"]);
        for slot in (0..6).rev() {
            let (slot, fold) = (format!("local {slot}"), format!("fold map {}", inner.0));
            inner = assembler.block(
                BlockKind::Expr,
                &[&slot, &slot, "arith +", "list 1", &fold, "const 0", "index"],
            );
        }
        let fold = format!("fold map {}", inner.0);
        let code = [
            &load,
            &load,
            "arith +",
            "list 1",
            &fold,
            "const 0",
            "index",
            "const 1",
            "cel ==",
            "deny-if no",
        ];
        let block = assembler.block(BlockKind::Steps, &code);
        let program = assembler.finish();
        let args = format!(
            "{{\"s\":\"{}\",\"l\":[{}]}}",
            "x".repeat(100_000),
            vec!["1"; 50_000].join(",")
        );
        assert!(
            out_of_fuel(&run(
                &mut Machine::new(block, 10_000),
                &program,
                &args,
                Mode::Enforce
            )),
            "{literal}"
        );
    }
}

#[test]
fn lists_in_lists_in_lists_become_an_error_and_not_a_deep_recursion() {
    let mut assembler = Assembler::default();
    let mut code = vec!["const true".to_owned()];
    code.extend((0..1_000).map(|_| "list 1".to_owned()));
    code.extend([
        "call size".to_owned(),
        "const 1".into(),
        "cel ==".into(),
        "deny-if yes".into(),
    ]);
    let block = assembler.block(BlockKind::Steps, &code);
    let program = assembler.finish();
    let outcome = run(&mut Machine::new(block, 100_000), &program, "{}", Mode::Enforce);
    assert!(
        matches!(&outcome, Outcome::Done(Verdict::Deny(denied)) if denied.reason == "condition cannot be evaluated")
    );
}

#[test]
fn fuel_spans_resumptions() {
    let mut assembler = Assembler::default();
    let block = assembler.block(
        BlockKind::Steps,
        &["audit a", "await", "audit b", "await", "audit c", "await"],
    );
    let program = assembler.finish();
    let mut machine = Machine::new(block, 5);
    let mut facts = Facts::default();
    let mut edits = vec![];
    let mut env = Env {
        facts: &mut facts,
        args: None,
        result: None,
        hash_key: None,
        mode: Mode::Enforce,
        edits: &mut edits,
    };
    let mut outcome = machine.run(&program, &mut env);
    for _ in 0..2 {
        assert!(matches!(outcome, Outcome::Await(_)));
        outcome = machine.resume(&program, &mut env, &[Answer::Done]);
    }
    // The third record was asked for before the fuel ran out, so it is written first.
    assert!(matches!(outcome, Outcome::Await(_)), "{outcome:?}");
    assert!(out_of_fuel(&machine.resume(&program, &mut env, &[Answer::Done])));
    assert_eq!(machine.fuel_left(), 0);
}

#[test]
fn a_block_that_is_not_there_or_no_list_of_steps_denies() {
    let mut assembler = Assembler::default();
    let expression = assembler.block(BlockKind::Expr, &["const true"]);
    let program = assembler.finish();
    for block in [expression, apl_bytecode::BlockId(7)] {
        let outcome = run(&mut Machine::new(block, 100), &program, "{}", Mode::Enforce);
        assert!(matches!(outcome, Outcome::Done(Verdict::Deny(denied)) if denied.code == "engine.misuse"));
    }
}
