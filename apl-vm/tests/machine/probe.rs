//! A probe that denies is right, whatever turns out to be the case.

use std::collections::BTreeSet;

use apl_bytecode::*;
use apl_vm::{
    Answer, Bound, Document, Env, Fact, Facts, Limits, Machine, Mode, Outcome, Prepared, Verdict, View,
};

use crate::assembler::Assembler;

/// xorshift64*
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % end
    }

    pub(crate) fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len() as u64) as usize]
    }
}

const ATTRS: [&str; 6] = ["x", "y", "args.a", "args.b", "data[x].k", "delegation.granted"];
const LITERALS: [&str; 4] = ["\"p\"", "\"q\"", "1", "true"];
const OPS: [&str; 6] = ["==", "!=", "<", "<=", ">", ">="];

/// An expression of a few instructions that leaves one value.
fn expression(random: &mut Random, depth: u32, code: &mut Vec<String>) {
    if depth > 0 {
        match random.below(6) {
            0 | 1 => {
                expression(random, depth - 1, code);
                expression(random, depth - 1, code);
                code.push(random.pick(&["and", "or"]).into());
                return;
            }
            2 => {
                expression(random, depth - 1, code);
                code.push("not".into());
                return;
            }
            3 => {
                (0..3).for_each(|_| expression(random, depth - 1, code));
                code.push("choose".into());
                return;
            }
            _ => {}
        }
    }
    let attr = random.pick(&ATTRS);
    let literal = random.pick(&LITERALS);
    match random.below(8) {
        0 => code.push(format!("truth {attr}")),
        1 => code.push(format!("exists {attr}")),
        2 => code.push(format!("compare {attr} {} {literal}", random.pick(&OPS))),
        3 => code.push(format!("contains {attr} {literal}")),
        4 => code.push(format!("contains security.labels {literal}")),
        5 => code.push(format!("in {attr} {}", random.pick(&ATTRS))),
        6 => code.extend([
            format!("load {attr}"),
            format!("const {literal}"),
            format!("cel {}", random.pick(&OPS)),
        ]),
        _ => code.extend([
            format!("const {literal}"),
            "load security.labels".into(),
            "cel-in".into(),
        ]),
    }
}

/// A block of steps with jumps to any later boundary, crossing ones included.
pub(crate) fn steps(random: &mut Random) -> Vec<String> {
    let count = 2 + random.below(7);
    let mut code = vec![];
    for at in 0..count {
        code.push(format!("l{at}:"));
        let target = at + 1 + random.below(count - at);
        match random.below(9) {
            0 | 1 => {
                expression(random, 2, &mut code);
                code.push("deny-if no".into());
            }
            2 | 3 => {
                expression(random, 2, &mut code);
                code.push(format!("skip-unless l{target}"));
            }
            4 => {
                expression(random, 2, &mut code);
                code.push(format!("decide l{target}"));
            }
            5 => code.push("deny out".into()),
            6 => code.push(format!("jump l{target}")),
            7 => code.push(
                random
                    .pick(&["taint p session", "taint q message", "load-labels"])
                    .into(),
            ),
            _ => code.push(
                random
                    .pick(&["delegate deny", "delegate continue", "audit here"])
                    .into(),
            ),
        }
        if random.below(3) == 0 {
            code.push("await".into());
        }
    }
    code.push(format!("l{count}:"));
    code
}

/// A value for an attribute; `None`: absent.
pub(crate) fn fact(random: &mut Random) -> Option<Fact> {
    match random.below(7) {
        0 => None,
        1 => Some(Fact::Str("p".into())),
        2 => Some(Fact::Str("q".into())),
        3 => Some(Fact::Int(random.below(3) as i64)),
        4 => Some(Fact::Bool(random.below(2) == 0)),
        5 => Some(Fact::Set(BTreeSet::from(["p".into()]))),
        _ => Some(Fact::Opaque),
    }
}

pub(crate) fn args(random: &mut Random) -> String {
    let value =
        |random: &mut Random| random.pick(&["\"p\"", "\"q\"", "1", "2.5", "true", "[\"p\"]", "{}", "null"]);
    match random.below(4) {
        0 => "{}".into(),
        1 => format!("{{\"a\":{}}}", value(random)),
        2 => format!("{{\"b\":{}}}", value(random)),
        _ => format!("{{\"a\":{},\"b\":{}}}", value(random), value(random)),
    }
}

fn labels(random: &mut Random) -> BTreeSet<String> {
    ["p", "q"]
        .into_iter()
        .filter(|_| random.below(2) == 0)
        .map(str::to_owned)
        .collect()
}

/// Runs to the verdict with arbitrary answers.
fn concrete(
    program: &Prepared,
    block: BlockId,
    mut facts: Facts,
    args: &str,
    random: &mut Random,
) -> Verdict {
    let mut document = Document::parse(args.as_bytes().to_vec(), &Limits::default()).unwrap();
    let root = document.root();
    let stored = facts.labels.known.clone();
    let mut edits = vec![];
    let mut env = Env {
        facts: &mut facts,
        args: Some(View::of(&mut document, root)),
        result: None,
        hash_key: None,
        mode: Mode::Enforce,
        edits: &mut edits,
    };
    let mut machine = Machine::new(block, 10_000);
    let mut outcome = machine.run(program, &mut env);
    loop {
        let batch = match outcome {
            Outcome::Done(verdict) => return verdict,
            Outcome::Await(batch) => batch,
        };
        let mut answers: Vec<Answer> = vec![];
        for (_, bound) in &batch.effects {
            answers.push(match bound {
                Bound::LoadLabels { .. } if env.facts.labels.loaded => {
                    Answer::Labels(stored.iter().cloned().collect())
                }
                Bound::LoadLabels { .. } => Answer::Labels(labels(random).into_iter().collect()),
                Bound::Taint { .. } | Bound::Audit { .. } | Bound::Count(_) => Answer::Done,
                Bound::Elicit(_) => Answer::Approved(Default::default()),
                Bound::Decide(_) => Answer::Decided {
                    allow: true,
                    code: String::new(),
                    reason: String::new(),
                },
                Bound::Delegate(call) if !call.stops && random.below(2) == 0 => Answer::Failed {
                    code: String::new(),
                    reason: String::new(),
                },
                Bound::Delegate(_) => Answer::Granted {
                    permissions: vec![],
                    audience: String::new(),
                    expires_at: String::new(),
                },
            });
        }
        outcome = machine.resume(program, &mut env, &answers);
    }
}

fn probe(program: &Prepared, block: BlockId, facts: &Facts, args: Option<&str>) -> Verdict {
    let mut facts = facts.clone();
    let before = facts.own.clone();
    let mut document =
        args.map(|args| Document::parse(args.as_bytes().to_vec(), &Limits::default()).unwrap());
    let args = document.as_mut().map(|document| {
        let root = document.root();
        View::of(document, root)
    });
    let mut edits = vec![];
    let mut env = Env {
        facts: &mut facts,
        args,
        result: None,
        hash_key: None,
        mode: Mode::Probe,
        edits: &mut edits,
    };
    let outcome = Machine::new(block, 100_000).run(program, &mut env);
    assert_eq!(facts.own, before, "a probe changes nothing");
    match outcome {
        Outcome::Done(verdict) => verdict,
        Outcome::Await(_) => panic!("a probe asks for nothing"),
    }
}

#[test]
fn what_a_probe_denies_is_denied_in_every_run_and_what_it_allows_is_allowed() {
    let mut random = Random(0x5eed_1234_5678_9abc);
    let (mut denials, mut allowances, mut unknowns) = (0, 0, 0);
    for _ in 0..4_000 {
        let mut assembler = Assembler::default();
        let code = steps(&mut random);
        let block = assembler.block(BlockKind::Steps, &code);
        let program = assembler.finish();

        // Some facts are known, the others are not; and so with labels and arguments.
        let mut known = Facts::default();
        let mut open = vec![];
        for key in ["x", "y", "data.p.k", "data.q.k"] {
            if random.below(2) == 0 {
                known.own.insert(key.into(), Fact::Unknown);
                open.push(key);
            } else if let Some(fact) = fact(&mut random) {
                known.own.insert(key.into(), fact);
            }
        }
        known.labels.loaded = random.below(2) == 0;
        if known.labels.loaded {
            known.labels.known = labels(&mut random);
        }
        let fixed = (random.below(2) == 0).then(|| args(&mut random));
        let verdict = probe(&program, block, &known, fixed.as_deref());
        match verdict {
            Verdict::Deny(_) => denials += 1,
            Verdict::Allow => allowances += 1,
            Verdict::Pending(_) => panic!("a probe asks nobody"),
            Verdict::Unknown => unknowns += 1,
        }

        for _ in 0..12 {
            let mut facts = known.clone();
            for key in &open {
                facts.own.remove(*key);
                if let Some(fact) = fact(&mut random) {
                    facts.own.insert((*key).into(), fact);
                }
            }
            let args = fixed.clone().unwrap_or_else(|| args(&mut random));
            let run = concrete(&program, block, facts.clone(), &args, &mut random);
            let context = || format!("{code:#?}\n{facts:?}\n{args}\nprobe: {verdict:?}\nrun: {run:?}");
            match verdict {
                Verdict::Deny(_) => assert!(matches!(run, Verdict::Deny(_)), "{}", context()),
                Verdict::Allow => assert!(matches!(run, Verdict::Allow), "{}", context()),
                Verdict::Pending(_) | Verdict::Unknown => {}
            }
        }
    }
    // All three must have been put to the test.
    assert!(
        denials > 300 && allowances > 100 && unknowns > 300,
        "{denials} {allowances} {unknowns}"
    );
}

#[test]
fn a_probe_denies_when_every_way_ends_in_a_denial() {
    let mut assembler = Assembler::default();
    let code = ["truth x", "skip-unless else", "deny one", "else:", "deny two"];
    let block = assembler.block(BlockKind::Steps, &code);
    let program = assembler.finish();
    let mut facts = Facts::default();
    facts.own.insert("x".into(), Fact::Unknown);
    assert!(matches!(probe(&program, block, &facts, None), Verdict::Deny(denied) if denied.code == "one"));
}

#[test]
fn two_conditions_that_exclude_each_other_stay_unknown() {
    let mut assembler = Assembler::default();
    let code = [
        "compare x == \"a\"",
        "compare x == \"b\"",
        "and",
        "not",
        "deny-if no",
    ];
    let block = assembler.block(BlockKind::Steps, &code);
    let program = assembler.finish();
    let mut facts = Facts::default();
    facts.own.insert("x".into(), Fact::Unknown);
    assert_eq!(probe(&program, block, &facts, None), Verdict::Unknown);
}
