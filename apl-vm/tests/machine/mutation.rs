//! A program that was changed anywhere is refused, or runs to a bounded end.

use apl_bytecode::*;
use apl_vm::{
    Answer, Bound, Document, Env, Fact, Facts, Limits, Machine, Mode, Outcome, Prepared, View, scan,
};
use sha2::{Digest as _, Sha256};

use crate::assembler::Assembler;

/// A program with expressions, jumps, effects, a comprehension, a pipeline and a scanner.
fn program() -> Vec<u8> {
    let mut assembler = Assembler::default();
    assembler.block(
        BlockKind::Expr,
        &["local 0", "load x", "arith +", "const \"pq\"", "cel =="],
    );
    let condition = assembler.block(BlockKind::Expr, &["truth role.hr", "compare args.n > 3", "and"]);
    let code = [
        "truth role.hr",
        "skip-unless else",
        "load args.l",
        "fold exists 0",
        "decide else",
        "taint p session",
        "deny cel",
        "else:",
        "load-labels",
        "await",
        "contains security.labels \"q\"",
        "contains args[x].k \"p\"",
        "or",
        "not",
        "deny-if no",
        "const 1",
        "const 2",
        "list 2",
        "const 0",
        "index",
        "call string",
        "load args.s",
        "call startsWith",
        "deny-if other",
        "delegate continue",
        "audit end",
    ];
    let pre = assembler.block(BlockKind::Steps, &code);
    let (name, denial) = (assembler.text("s"), assembler.denial("field"));
    let stages = vec![
        Stage::Type(TypeCheck::Str),
        Stage::Len(Some(1), Some(50)),
        Stage::Mask(4),
        Stage::Redact(Some(condition)),
        Stage::Taint(name, Scopes::SESSION),
    ];
    let p = &mut assembler.program;
    p.pipelines.push(Pipeline {
        side: Side::Args,
        path: vec![PathSeg::Key(name)],
        stages,
        denial,
    });
    p.scanners.push(Scanner {
        name,
        detectors: vec![Detector::Ssn, Detector::Email],
        code: name,
    });
    // Behind everything that jumps stands what works on the document.
    p.blocks[pre.at()]
        .code
        .extend([Instr::Pipeline(PipelineId(0)), Instr::Scan(ScannerId(0), denial)]);
    p.routes.push(Route {
        entity: EntityKind::Tool,
        matcher: Matcher::Any,
        scope: None,
        pre: Some(pre),
        post: None,
        identities: vec![],
        response: None,
        pass_unparseable: false,
        enforcement: Enforcement::Enforce,
        owner: None,
        assertions: None,
        tags: Vec::new(),
        properties: Vec::new(),
    });
    encode(p)
}

fn reseal(bytes: &mut [u8]) {
    if let Some((head, sections)) = bytes.split_at_mut_checked(37) {
        let mut hash = Sha256::new();
        hash.update(apl_bytecode::MAGIC);
        hash.update([apl_bytecode::FORMAT]);
        hash.update(sections);
        head[5..].copy_from_slice(&hash.finalize());
    }
}

/// Runs every block of a program that loads, in both modes, answering whatever it asks.
fn run_all(bytes: &[u8]) -> bool {
    let Ok(program) = Prepared::load(bytes) else {
        return false;
    };
    let args = br#"{"l":["p","q"],"n":5,"s":"078-05-1120 or a@b.example","p":{"k":["p"]}}"#;
    for block in 0..program.program().blocks.len() {
        for mode in [Mode::Enforce, Mode::Probe] {
            let mut document = Document::parse(args.to_vec(), &Limits::default()).unwrap();
            let root = document.root();
            let mut facts = Facts::default();
            facts.own.insert("role.hr".into(), Fact::Bool(true));
            facts.own.insert("x".into(), Fact::Str("p".into()));
            let mut edits = vec![];
            let args = Some(View::of(&mut document, root));
            let mut env = Env {
                facts: &mut facts,
                args,
                result: None,
                hash_key: None,
                mode,
                edits: &mut edits,
            };
            let mut machine = Machine::new(BlockId(block as u32), 5_000);
            let mut outcome = machine.run(&program, &mut env);
            let mut rounds = 0;
            while let Outcome::Await(batch) = &outcome {
                rounds += 1;
                assert!(rounds < 5_000, "a run ends");
                let answer = |bound: &Bound| match bound {
                    Bound::LoadLabels { .. } => Answer::Labels(vec!["q".into()]),
                    Bound::Delegate(_) => Answer::Granted {
                        permissions: vec![],
                        audience: String::new(),
                        expires_at: String::new(),
                    },
                    Bound::Taint { .. } | Bound::Audit { .. } | Bound::Count(_) => Answer::Done,
                    Bound::Elicit(_) => Answer::Approved(Default::default()),
                    Bound::Decide(_) => Answer::Decided {
                        allow: true,
                        code: String::new(),
                        reason: String::new(),
                    },
                };
                let answers: Vec<Answer> = batch.effects.iter().map(|(_, bound)| answer(bound)).collect();
                outcome = machine.resume(&program, &mut env, &answers);
            }
            if let Some(view) = &env.args {
                for at in 0..program.program().scanners.len() {
                    let found = scan(&program, ScannerId(at as u32), view);
                    assert!(found.is_none_or(|finding| !finding.detector.is_empty()));
                }
            }
        }
    }
    true
}

#[test]
fn a_changed_program_is_refused_or_runs_to_an_end() {
    let bytes = program();
    assert!(run_all(&bytes));
    let mut ran = 0;
    for at in 37..bytes.len() {
        for value in [
            0,
            1,
            2,
            5,
            0x10,
            0x20,
            0x2c,
            0x41,
            0x47,
            0x7f,
            0xff,
            bytes[at] ^ 1,
            bytes[at].wrapping_add(1),
        ] {
            let mut changed = bytes.clone();
            changed[at] = value;
            reseal(&mut changed);
            ran += usize::from(run_all(&changed));
        }
        let mut shorter = bytes.clone();
        shorter.remove(at);
        reseal(&mut shorter);
        ran += usize::from(run_all(&shorter));
        let mut cut = bytes[..at].to_vec();
        reseal(&mut cut);
        ran += usize::from(run_all(&cut));
    }
    // Otherwise this would test the loader only.
    assert!(ran > 200, "{ran}");
}

#[test]
fn a_damaged_pattern_does_not_load() {
    let mut assembler = Assembler::default();
    let pattern = assembler.text("x");
    for dfa in [
        vec![],
        vec![0; 64],
        b"rust-regex-automata-dfa-sparse\0\0garbage".to_vec(),
    ] {
        assembler.program.regexes = vec![Regex { pattern, dfa }];
        let error = Prepared::load(&encode(&assembler.program)).unwrap_err();
        assert_eq!(error.to_string(), "pattern 0 of the program is damaged");
    }
}
