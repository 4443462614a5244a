//! `tests/data/traces.jsonl`: a program, what it is run on, its verdict, and what it does on the way.
//!
//! One case a line: `code` (steps in the assembler's words), `bodies` (expression blocks before it, from 0), `facts`,
//! `args`, `result`, `labels`, `mode` (`probe`, else for real), `fuel`, `answers` (a list for each suspension), `is`
//! (`allow`, `unknown`, or the code of the denial) and `trace`. A line of a trace is one of
//!
//! ```text
//! 1.0 role.hr=true -> true        instruction 0 of block 1 read this and left that
//! 1.2 true => 3                   step 2 took true and went to 3
//! 1.2 false => deny no            and denied with this code
//! stage 0, redact 1 true, absent  of a field pipeline
//! answer granted                  a suspension ended
//! ```
//!
//! With `APL_BLESS=1` the traces are written anew; the verdicts are the author's.

use std::{collections::BTreeSet, path::Path};

use apl_bytecode::{BlockKind, Instr};
use apl_vm::{
    Answer, Document, Env, Limits, Machine, Mode, Outcome, Prepared, Verdict, View,
    trace::{self, Seen, TraceEvent, Went},
};
use serde_json::Value;

use crate::assembler::{Assembler, facts};

/// Instructions that the cases must run, all of them.
const INSTRUCTIONS: &[&str] = &[
    "Truth",
    "Exists",
    "Compare",
    "Contains",
    "In",
    "And",
    "Or",
    "Not",
    "Const",
    "Load",
    "Has",
    "Cel",
    "CelIn",
    "Arith",
    "Neg",
    "Index",
    "Select",
    "HasField",
    "Choose",
    "List",
    "Call",
    "Matches",
    "Local",
    "Fold",
    "DenyIf",
    "SkipUnless",
    "Decide",
    "Deny",
    "Jump",
    "Pipeline",
    "Scan",
    "Effect",
    "Await",
];

#[test]
fn programs_do_what_the_suite_says_step_by_step() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/traces.jsonl");
    let text = std::fs::read_to_string(&path).unwrap();
    let mut cases: Vec<Value> = text
        .lines()
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}")))
        .collect();
    let bless = std::env::var_os("APL_BLESS").is_some();
    let (mut ran, mut probed, mut wrong) = (BTreeSet::new(), 0, vec![]);
    for case in &mut cases {
        let (verdict, lines) = run(case, &mut ran);
        probed += usize::from(case["mode"] == "probe");
        let lines = Value::from(lines);
        if case["is"] != verdict.as_str() {
            wrong.push(format!(
                "{}: is {verdict}, not {}\n{lines:#}",
                case["name"], case["is"]
            ));
        } else if bless {
            case["trace"] = lines;
        } else if case["trace"] != lines {
            wrong.push(format!(
                "{}: does {lines:#}, not {:#}",
                case["name"], case["trace"]
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    if bless {
        let text: String = cases.iter().map(|case| format!("{case}\n")).collect();
        std::fs::write(path, text).unwrap();
    }
    assert!(
        cases.len() >= 60 && probed >= 15,
        "{} cases, {probed} in a probe",
        cases.len()
    );
    for name in INSTRUCTIONS {
        assert!(ran.contains(*name), "no case runs `{name}`");
    }
}

fn run(case: &Value, ran: &mut BTreeSet<String>) -> (String, Vec<String>) {
    let mut assembler = Assembler::default();
    let texts = |list: &Value| -> Vec<String> {
        list.as_array()
            .into_iter()
            .flatten()
            .map(|line| line.as_str().unwrap().to_owned())
            .collect()
    };
    for body in case["bodies"].as_array().into_iter().flatten() {
        assembler.block(BlockKind::Expr, &texts(body));
    }
    let block = assembler.block(BlockKind::Steps, &texts(&case["code"]));
    let program = assembler.finish();
    let mut facts = facts(&case["facts"]);
    if let Some(labels) = case["labels"].as_array() {
        facts.labels.known = labels
            .iter()
            .map(|label| label.as_str().unwrap().to_owned())
            .collect();
        facts.labels.loaded = true;
    }
    let parse = |side: &str| {
        let text = case.get(side)?.to_string();
        Some(Document::parse(text.into_bytes(), &Limits::default()).unwrap())
    };
    let (mut args, mut result) = (parse("args"), parse("result"));
    let mode = if case["mode"] == "probe" {
        Mode::Probe
    } else {
        Mode::Enforce
    };
    let mut edits = vec![];
    trace::start();
    let outcome = {
        let (args, result) = (view(&mut args), view(&mut result));
        let mut env = Env {
            facts: &mut facts,
            args,
            result,
            hash_key: None,
            mode,
            edits: &mut edits,
        };
        let mut machine = Machine::new(block, case["fuel"].as_u64().unwrap_or(100_000));
        let mut outcome = machine.run(&program, &mut env);
        for answers in case["answers"].as_array().into_iter().flatten() {
            let answers: Vec<Answer> = answers.as_array().unwrap().iter().map(answer).collect();
            outcome = machine.resume(&program, &mut env, &answers);
        }
        outcome
    };
    let lines = trace::take()
        .iter()
        .filter_map(|event| line(event, &program, ran))
        .collect();
    let verdict = match outcome {
        Outcome::Done(Verdict::Allow) => "allow".to_owned(),
        Outcome::Done(Verdict::Unknown) => "unknown".to_owned(),
        Outcome::Done(Verdict::Pending(pending)) => format!("pending {}", pending.approval.id),
        Outcome::Done(Verdict::Deny(denied)) if denied.reason == "condition cannot be evaluated" => {
            "unevaluable".to_owned()
        }
        Outcome::Done(Verdict::Deny(denied)) => denied.code,
        Outcome::Await(batch) => format!("waits for {}", batch.effects.len()),
    };
    (verdict, lines)
}

fn view(document: &mut Option<Document>) -> Option<View<'_>> {
    let document = document.as_mut()?;
    let root = document.root();
    Some(View::of(document, root))
}

fn answer(value: &Value) -> Answer {
    match value.as_str() {
        Some("done") => Answer::Done,
        Some("skipped") => Answer::Skipped,
        Some("failed") => Answer::Failed {
            code: "idp.down".into(),
            reason: "no answer".into(),
        },
        Some("granted") => Answer::Granted {
            permissions: vec!["pay".into()],
            audience: "api".into(),
            expires_at: "2026-01-01T00:00:00Z".into(),
        },
        Some(other) => panic!("no answer `{other}`"),
        None => {
            let labels = value["labels"].as_array().unwrap();
            Answer::Labels(
                labels
                    .iter()
                    .map(|label| label.as_str().unwrap().to_owned())
                    .collect(),
            )
        }
    }
}

fn line(event: &TraceEvent, program: &Prepared, ran: &mut BTreeSet<String>) -> Option<String> {
    let model = program.program();
    let mut instr = |block: apl_bytecode::BlockId, at: usize| {
        let name = format!("{:?}", model.blocks[block.at()].code[at]);
        ran.insert(name.split(['(', ' ']).next().unwrap().to_owned());
    };
    Some(match event {
        TraceEvent::Began { .. } | TraceEvent::Resumed { .. } | TraceEvent::Ended(_) => return None,
        TraceEvent::Answered { answer, .. } => match answer {
            Answer::Done => "answer done".to_owned(),
            Answer::Labels(labels) => format!("answer labels {}", labels.join(",")),
            Answer::Granted { .. } => "answer granted".to_owned(),
            Answer::Failed { code, .. } => format!("answer failed {code}"),
            Answer::Approved(approval) => format!("answer approved {}", approval.id),
            Answer::Pending(approval) => format!("answer pending {}", approval.id),
            Answer::Decided { allow, .. } => format!("answer decided {allow}"),
            Answer::Refused { code, .. } => format!("answer refused {code}"),
            Answer::Skipped => "answer skipped".to_owned(),
        },
        TraceEvent::Value {
            block,
            at,
            reads,
            value,
        } => {
            instr(*block, *at);
            let reads: String = reads
                .iter()
                .map(|(id, seen)| format!("{}={} ", spelled(program, *id), show(seen)))
                .collect();
            format!("{}.{at} {reads}-> {}", block.0, show(value))
        }
        TraceEvent::Step {
            block,
            at,
            taken,
            went,
        } => {
            instr(*block, *at);
            let taken = taken.map_or_else(String::new, |taken| format!("{taken:?} ").to_lowercase());
            let to = match went {
                Went::To(at) => at.to_string(),
                Went::Denied(denied) => format!("deny {}", denied.code),
                Went::Waits => "wait".to_owned(),
            };
            format!("{}.{at} {taken}=> {to}", block.0)
        }
        TraceEvent::Condition { stage, truth, .. } => format!("redact {stage} {truth:?}").to_lowercase(),
        TraceEvent::Stage { stage, .. } => format!("stage {stage}"),
        TraceEvent::Absent { .. } => "absent".to_owned(),
    })
}

fn spelled(program: &Prepared, id: apl_bytecode::AttrId) -> String {
    let model = program.program();
    let segs = model.attrs[id.at()].segs.iter().map(|seg| match seg {
        apl_bytecode::Seg::Name(name) => model.strings[name.at()].clone(),
        apl_bytecode::Seg::Value(inner) => format!("[{}]", spelled(program, *inner)),
    });
    segs.collect::<Vec<_>>().join(".")
}

fn show(seen: &Seen) -> String {
    match seen {
        Seen::Absent => "absent".to_owned(),
        Seen::Unknown => "unknown".to_owned(),
        Seen::Error => "error".to_owned(),
        Seen::Null => "null".to_owned(),
        Seen::Bool(value) => value.to_string(),
        Seen::Number(text) => text.clone(),
        Seen::Text(text) => format!("{text:?}"),
        Seen::List(_, text) | Seen::Opaque(text) => text.clone(),
    }
}

#[test]
fn nothing_is_recorded_unless_it_was_asked_for() {
    let mut assembler = Assembler::default();
    let block = assembler.block(BlockKind::Steps, &["truth x", "deny-if no"]);
    assert!(matches!(assembler.program.blocks[0].code[0], Instr::Truth(_)));
    let program = assembler.finish();
    let mut env = Env {
        facts: &mut facts(&Value::Null),
        args: None,
        result: None,
        hash_key: None,
        mode: Mode::Enforce,
        edits: &mut vec![],
    };
    Machine::new(block, 10).run(&program, &mut env);
    assert!(trace::take().is_empty());
}
