//! Fuel and depth are bounded for every program that the verifier accepts.
//!
//! Programs are generated: steps with jumps, effects and suspensions, and comprehensions inside one another. Those that
//! the verifier refuses are no counter-example; that enough are accepted is checked.

use apl_bytecode::{BlockId, BlockKind, limits};
use apl_vm::{
    Answer, Bound, Document, Env, Facts, Limits, Machine, Mode, Outcome, Prepared, Verdict, View,
    trace::{self, TraceEvent},
};

use crate::{
    assembler::Assembler,
    probe::{Random, args, fact, steps},
};

struct Spent {
    verdict: Verdict,
    fuel: u64,
    /// Instructions done.
    done: u64,
    suspensions: usize,
}

fn run(program: &Prepared, block: BlockId, fuel: u64, mode: Mode, random: &mut Random) -> Spent {
    let list = (0..random.below(6))
        .map(|n| n.to_string())
        .collect::<Vec<_>>()
        .join(",");
    let text = args(random)
        .replacen('{', &format!("{{\"l\":[{list}],"), 1)
        .replace(",}", "}");
    let mut document = Document::parse(text.into_bytes(), &Limits::default()).unwrap();
    let root = document.root();
    let mut facts = Facts::default();
    for key in ["x", "y", "data.p.k"] {
        facts.own.extend(fact(random).map(|fact| (key.to_owned(), fact)));
    }
    let mut edits = vec![];
    let mut env = Env {
        facts: &mut facts,
        args: Some(View::of(&mut document, root)),
        result: None,
        hash_key: None,
        mode,
        edits: &mut edits,
    };
    trace::start();
    let mut machine = Machine::new(block, fuel);
    let mut outcome = machine.run(program, &mut env);
    let mut suspensions = 0;
    let verdict = loop {
        let batch = match outcome {
            Outcome::Done(verdict) => break verdict,
            Outcome::Await(batch) => batch,
        };
        suspensions += 1;
        assert!(!batch.effects.is_empty(), "nobody waits for nothing");
        let answer = |bound: &Bound| match bound {
            Bound::LoadLabels { .. } => Answer::Labels(vec!["p".into()]),
            Bound::Taint { .. } | Bound::Audit { .. } | Bound::Count(_) => Answer::Done,
            Bound::Elicit(_) => Answer::Approved(Default::default()),
            Bound::Decide(_) => Answer::Decided {
                allow: true,
                code: String::new(),
                reason: String::new(),
            },
            Bound::Delegate(_) => Answer::Failed {
                code: String::new(),
                reason: String::new(),
            },
        };
        let answers: Vec<Answer> = batch.effects.iter().map(|(_, bound)| answer(bound)).collect();
        outcome = machine.resume(program, &mut env, &answers);
    };
    let done = trace::take()
        .iter()
        .filter(|event| matches!(event, TraceEvent::Value { .. } | TraceEvent::Step { .. }))
        .count();
    Spent {
        verdict,
        fuel: fuel - machine.fuel_left(),
        done: done as u64,
        suspensions,
    }
}

fn out_of_fuel(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Deny(denied) if denied.code == "limit.fuel")
}

#[test]
fn without_comprehensions_a_run_does_no_more_than_its_program_has_instructions() {
    let mut random = Random(0x00f0_0d5e_ed12_3457);
    let mut suspended = 0;
    for _ in 0..3_000 {
        let mut assembler = Assembler::default();
        let code = steps(&mut random);
        let block = assembler.block(BlockKind::Steps, &code);
        let program = assembler.finish();
        let length = program.program().blocks[block.at()].code.len() as u64;
        for mode in [Mode::Enforce, Mode::Probe] {
            // Jumps go forward only. Documents and texts here are too small to cost anything, and lists have one element
            // at most, which `in` looks at.
            let fuel = 2 * length;
            let spent = run(&program, block, fuel, mode, &mut random);
            assert!(!out_of_fuel(&spent.verdict), "{code:?} {mode:?}");
            assert!(
                spent.done <= length && spent.fuel <= fuel,
                "{} {} {length} {mode:?} {code:?}",
                spent.done,
                spent.fuel
            );
            assert!(spent.suspensions as u64 <= length, "{code:#?}");
            suspended += spent.suspensions;
        }
    }
    assert!(suspended > 500, "{suspended}");
}

#[test]
fn whatever_the_fuel_a_run_ends_and_does_no_more_than_it_has_paid_for() {
    let mut random = Random(0x0bad_cafe_1234_5671);
    let (mut dry, mut whole) = (0, 0);
    for _ in 0..2_000 {
        let mut assembler = Assembler::default();
        let mut inner = assembler.block(BlockKind::Expr, &["const true"]);
        let depth = random.below(u64::from(limits::MAX_NESTING));
        for _ in 0..depth {
            let fold = random.pick(&["all", "exists", "exists_one", "filter", "map"]);
            let mut code = vec!["load args.l".to_owned(), format!("fold {fold} {}", inner.0)];
            if fold == "filter" || fold == "map" {
                code.extend(["call size".to_owned(), "const 9".into(), "cel <".into()]);
            }
            inner = assembler.block(BlockKind::Expr, &code);
        }
        let mut code = vec![
            "load args.l".to_owned(),
            format!("fold exists_one {}", inner.0),
            "deny-if no".into(),
        ];
        code.extend(steps(&mut random));
        let block = assembler.block(BlockKind::Steps, &code);
        let program = assembler.finish();
        let fuel = random.below(400);
        let spent = run(&program, block, fuel, Mode::Enforce, &mut random);
        assert!(
            spent.done <= spent.fuel && spent.fuel <= fuel,
            "{} {} {fuel}",
            spent.done,
            spent.fuel
        );
        match out_of_fuel(&spent.verdict) {
            true => dry += 1,
            false => whole += 1,
        }
        let probed = run(&program, block, fuel, Mode::Probe, &mut random);
        assert!(probed.fuel <= fuel);
    }
    assert!(dry > 100 && whole > 100, "{dry} {whole}");
}

#[test]
fn the_verifier_accepts_comprehensions_up_to_the_depth_that_it_documents_and_no_deeper() {
    for depth in 1..=limits::MAX_NESTING + 1 {
        let mut assembler = Assembler::default();
        let mut inner = assembler.block(BlockKind::Expr, &["const true"]);
        for _ in 1..depth {
            inner = assembler.block(
                BlockKind::Expr,
                &["load args.l", &format!("fold all {}", inner.0)],
            );
        }
        assembler.block(
            BlockKind::Steps,
            &["load args.l", &format!("fold all {}", inner.0), "deny-if no"],
        );
        let verified = apl_bytecode::verify(assembler.program);
        assert_eq!(verified.is_ok(), depth <= limits::MAX_NESTING, "{depth}");
    }
}

#[test]
fn the_verifier_accepts_a_stack_up_to_the_height_that_it_documents_and_no_higher() {
    for height in [limits::MAX_STACK, limits::MAX_STACK + 1] {
        let mut assembler = Assembler::default();
        let mut code = vec!["const true"; height];
        code.extend(vec!["and"; height - 1]);
        code.push("deny-if no");
        assembler.block(BlockKind::Steps, &code);
        assert_eq!(
            apl_bytecode::verify(assembler.program).is_ok(),
            height <= limits::MAX_STACK
        );
    }
}
