//! Steps that work on documents.

use apl_bytecode::*;
use apl_vm::{
    Bound, Document, Edit, Env, Fact, Facts, Limits, Machine, Mode, Origin, Outcome, Verdict, View,
};

use crate::assembler::Assembler;

struct Seen {
    outcome: Outcome,
    sent: String,
    edits: Vec<Edit>,
    labels: Vec<String>,
}

/// Runs one pipeline and then one scan over the arguments.
fn run(stages: impl FnOnce(&mut Assembler) -> Vec<Stage>, facts: &[(&str, Fact)], args: &str) -> Seen {
    let mut assembler = Assembler::default();
    let stages = stages(&mut assembler);
    let (ssn, denial, name) = (
        assembler.text("ssn"),
        assembler.denial("field"),
        assembler.text("pii-scan"),
    );
    let code = assembler.text("pii.detected");
    let p = &mut assembler.program;
    p.pipelines.push(Pipeline {
        side: Side::Args,
        path: vec![PathSeg::Key(ssn)],
        stages,
        denial,
    });
    p.scanners.push(Scanner {
        name,
        detectors: vec![Detector::Ssn],
        code,
    });
    let code = vec![Instr::Pipeline(PipelineId(0)), Instr::Scan(ScannerId(0), denial)];
    p.blocks.push(Block {
        kind: BlockKind::Steps,
        code,
    });
    let block = BlockId(p.blocks.len() as u32 - 1);
    let program = assembler.finish();

    let mut document = Document::parse(args.as_bytes().to_vec(), &Limits::default()).unwrap();
    let root = document.root();
    let own = facts
        .iter()
        .map(|(key, fact)| ((*key).to_owned(), fact.clone()))
        .collect();
    let mut known = Facts {
        own,
        ..Facts::default()
    };
    let mut edits = vec![];
    let mut env = Env {
        facts: &mut known,
        args: Some(View::of(&mut document, root)),
        result: None,
        hash_key: None,
        mode: Mode::Enforce,
        edits: &mut edits,
    };
    let outcome = Machine::new(block, 1_000).run(&program, &mut env);
    let labels = known.labels.known.into_iter().collect();
    Seen {
        outcome,
        sent: String::from_utf8(document.render()).unwrap(),
        edits,
        labels,
    }
}

fn redact(assembler: &mut Assembler) -> Vec<Stage> {
    let condition = assembler.block(BlockKind::Expr, &["compare level < 3"]);
    vec![Stage::Type(TypeCheck::Str), Stage::Redact(Some(condition))]
}

const SSN: &str = r#"{ "ssn" : "219-09-9999", "x":1 }"#;

#[test]
fn a_redaction_hides_the_value_from_the_scan_behind_it() {
    let seen = run(redact, &[("level", Fact::Int(2))], SSN);
    assert_eq!(seen.outcome, Outcome::Done(Verdict::Allow));
    assert_eq!(seen.sent, r#"{ "ssn" : "[REDACTED]", "x":1 }"#);
    assert_eq!(
        seen.edits,
        [Edit {
            field: "args.ssn".into(),
            kind: "redact"
        }]
    );
}

#[test]
fn a_find_denies_and_names_detector_and_place_but_not_the_value() {
    let seen = run(redact, &[("level", Fact::Int(5))], SSN);
    let Outcome::Done(Verdict::Deny(denied)) = seen.outcome else {
        panic!("{:?}", seen.outcome)
    };
    assert_eq!(
        (denied.code.as_str(), denied.reason.as_str()),
        ("pii.detected", "pii-scan: ssn in args.ssn")
    );
    assert_eq!(denied.rule, "test.pre_invocation[0]");
    assert_eq!(seen.sent, SSN);
}

#[test]
fn a_redaction_that_cannot_be_decided_hides_and_denies() {
    let seen = run(redact, &[("level", Fact::Str("high".into()))], SSN);
    let Outcome::Done(Verdict::Deny(denied)) = seen.outcome else {
        panic!("{:?}", seen.outcome)
    };
    assert_eq!(denied.reason, "condition cannot be evaluated");
    assert!(!seen.sent.contains("219"));
    // Nothing to hide, nothing to decide.
    let seen = run(redact, &[("level", Fact::Str("high".into()))], "{}");
    assert_eq!(seen.outcome, Outcome::Done(Verdict::Allow));
}

#[test]
fn a_failing_validator_denies_with_a_reason_that_names_the_field() {
    let seen = run(redact, &[], r#"{"ssn":5}"#);
    let Outcome::Done(Verdict::Deny(denied)) = seen.outcome else {
        panic!("{:?}", seen.outcome)
    };
    assert_eq!(denied.code, "field");
    assert!(denied.reason.starts_with("args.ssn: "), "{}", denied.reason);
}

#[test]
fn a_pipelines_label_is_stored_even_before_a_denial_behind_it() {
    let stages = |assembler: &mut Assembler| vec![Stage::Taint(assembler.text("seen"), Scopes::SESSION)];
    let seen = run(stages, &[], SSN);
    assert_eq!(seen.labels, ["seen"]);
    let Outcome::Await(batch) = seen.outcome else {
        panic!("{:?}", seen.outcome)
    };
    let [(Origin::Pipeline(PipelineId(0)), Bound::Taint { label, .. })] = &batch.effects[..] else {
        panic!("{batch:?}");
    };
    assert_eq!(label, "seen");
}
