//! Field pipelines over documents, through the public API.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod checks;
mod paths;

use apl_bytecode::{
    Block, BlockId, BlockKind, Code, Const, ConstId, Denial, DenialId, Detector, Instr, PathSeg, Pipeline,
    PipelineId, Program, Regex, RegexId, ScanMode, Scanner, ScannerId, Scopes, Side, Stage, StrId, TypeCheck,
    verify,
};
use apl_vm::{Document, Edit, Limits, Part, PipelineCx, PipelineOutcome, Prepared, View, run_pipeline};

const KEY: &[u8] = b"a deployment's hash key";

/// A program with one pipeline.
#[derive(Default)]
struct Maker {
    program: Program,
}

impl Maker {
    fn text(&mut self, text: &str) -> StrId {
        self.program.strings.push(text.to_owned());
        StrId(u32::try_from(self.program.strings.len() - 1).unwrap())
    }

    fn regex(&mut self, pattern: &str) -> RegexId {
        let dfa = regex_automata::dfa::sparse::DFA::new(pattern)
            .unwrap()
            .to_bytes_little_endian();
        let pattern = self.text(pattern);
        self.program.regexes.push(Regex { pattern, dfa });
        RegexId(u32::try_from(self.program.regexes.len() - 1).unwrap())
    }

    fn condition(&mut self) -> BlockId {
        self.program.consts.push(Const::Bool(true));
        self.program.blocks.push(Block {
            kind: BlockKind::Expr,
            code: vec![Instr::Const(ConstId(0))],
        });
        BlockId(u32::try_from(self.program.blocks.len() - 1).unwrap())
    }

    fn scanner(&mut self, detectors: Vec<Detector>) -> ScannerId {
        let (name, code) = (self.text("pii-scan"), self.text("pii.detected"));
        self.program.scanners.push(Scanner {
            name,
            detectors,
            code,
        });
        ScannerId(u32::try_from(self.program.scanners.len() - 1).unwrap())
    }

    fn build(mut self, path: &str, stages: Vec<Stage>) -> Prepared {
        let path = path
            .split('.')
            .map(|seg| {
                if seg == "**" {
                    PathSeg::AnyDepth
                } else {
                    PathSeg::Key(self.text(seg))
                }
            })
            .collect();
        let code = Code::Text(self.text("t"));
        self.program.denials.push(Denial { code, reason: None });
        self.program.pipelines.push(Pipeline {
            side: Side::Result,
            path,
            stages,
            denial: DenialId(0),
        });
        Prepared::new(verify(self.program).unwrap()).unwrap()
    }
}

struct Ran {
    outcome: PipelineOutcome,
    output: String,
    edits: Vec<Edit>,
}

fn run_with(program: &Prepared, json: &str, condition: Option<bool>) -> Ran {
    let mut document = Document::parse(json.as_bytes().to_vec(), &Limits::default()).unwrap();
    let mut edits = Vec::new();
    let root = document.root();
    let mut cx = PipelineCx {
        hash_key: Some(KEY),
        condition: &mut |_, _| condition,
        edits: &mut edits,
    };
    let outcome = run_pipeline(
        program,
        PipelineId(0),
        &mut View::of(&mut document, root),
        &mut cx,
    );
    Ran {
        outcome,
        output: String::from_utf8(document.render()).unwrap(),
        edits,
    }
}

fn run(path: &str, stages: Vec<Stage>, json: &str) -> Ran {
    run_with(&Maker::default().build(path, stages), json, Some(true))
}

/// `Ok` with the output, or `Err` with the reason.
fn plain(ran: Ran) -> Result<String, String> {
    match ran.outcome {
        PipelineOutcome::Pass { .. } => Ok(ran.output),
        PipelineOutcome::Deny { reason, .. } => Err(reason),
    }
}

#[test]
fn conditional_redaction_fails_closed() {
    for (condition, wanted) in [
        (Some(true), "[REDACTED]"),
        (None, "[REDACTED]"),
        (Some(false), "1-2"),
    ] {
        let mut maker = Maker::default();
        let block = maker.condition();
        let program = maker.build(
            "ssn",
            vec![Stage::Type(TypeCheck::Str), Stage::Redact(Some(block))],
        );
        let ran = run_with(&program, r#"{"a" : 1, "ssn" :"1-2" }"#, condition);
        assert_eq!(ran.edits.len(), usize::from(condition != Some(false)));
        assert_eq!(plain(ran).unwrap(), format!(r#"{{"a" : 1, "ssn" :"{wanted}" }}"#));
    }
}

#[test]
fn stages_see_what_the_ones_before_left() {
    assert_eq!(
        plain(run(
            "f",
            vec![Stage::Redact(None), Stage::Type(TypeCheck::Int)],
            r#"{"f":5}"#
        ))
        .unwrap_err(),
        "result.f: expected int, found string"
    );
    assert_eq!(
        plain(run(
            "f",
            vec![Stage::Mask(1), Stage::Mask(4), Stage::Len(Some(2), Some(2))],
            r#"{"f":"ab"}"#
        ))
        .unwrap(),
        r#"{"f":"*b"}"#
    );
    assert_eq!(
        plain(run(
            "f",
            vec![Stage::Omit, Stage::Type(TypeCheck::Int)],
            r#"{"f":"x","g":1}"#
        ))
        .unwrap(),
        r#"{"g":1}"#
    );
}

#[test]
fn taints_come_in_order_and_survive_a_denial() {
    let mut maker = Maker::default();
    let (a, b) = (maker.text("a"), maker.text("b"));
    let stages = vec![
        Stage::Taint(a, Scopes::SESSION),
        Stage::Type(TypeCheck::Int),
        Stage::Taint(b, Scopes::MESSAGE),
    ];
    let program = maker.build("f", stages);
    assert_eq!(
        run_with(&program, r#"{"f":1}"#, None).outcome,
        PipelineOutcome::Pass {
            taints: vec![(a, Scopes::SESSION), (b, Scopes::MESSAGE)]
        }
    );
    assert_eq!(
        run_with(&program, r#"{"g":1}"#, None).outcome,
        PipelineOutcome::Pass { taints: vec![] }
    );
    let PipelineOutcome::Deny { taints, .. } = run_with(&program, r#"{"f":"x"}"#, None).outcome else {
        panic!("passes")
    };
    assert_eq!(taints, [(a, Scopes::SESSION)]);
}

#[test]
fn all_parts_of_a_view_are_edited() {
    let program = Maker::default().build("ssn", vec![Stage::Redact(None)]);
    let parse = |json: &str| Document::parse(json.as_bytes().to_vec(), &Limits::default()).unwrap();
    let (mut first, mut twin) = (parse(r#"{"ssn":"1","a":1}"#), parse(r#"{ "a":1, "ssn":"1" }"#));
    let parts = vec![
        Part {
            node: first.root(),
            document: &mut first,
        },
        Part {
            node: twin.root(),
            document: &mut twin,
        },
    ];
    let mut edits = Vec::new();
    let mut cx = PipelineCx {
        hash_key: None,
        condition: &mut |_, _| None,
        edits: &mut edits,
    };
    run_pipeline(&program, PipelineId(0), &mut View { parts }, &mut cx);
    assert_eq!(first.render(), br#"{"ssn":"[REDACTED]","a":1}"#);
    assert_eq!(twin.render(), br#"{ "a":1, "ssn":"[REDACTED]" }"#);
    assert_eq!(
        edits,
        [Edit {
            field: "result.ssn".into(),
            kind: "redact"
        }]
    );
}

#[test]
fn scan_stage_detects_redacts_or_denies() {
    let run_scan = |mode: ScanMode, json: &str| {
        let mut maker = Maker::default();
        let scanner = maker.scanner(vec![Detector::Ssn]);
        let label = Some(maker.text("PII"));
        run_with(
            &maker.build("f", vec![Stage::Scan { scanner, mode, label }]),
            json,
            None,
        )
    };
    let dirty = r#"{"f":{"a":["x 123-45-6789 y"],"b":"clean"}}"#;
    let clean = r#"{"f":"123-45-0000"}"#;
    let taints = |outcome: &PipelineOutcome| match outcome {
        PipelineOutcome::Pass { taints } | PipelineOutcome::Deny { taints, .. } => taints.len(),
    };
    for mode in [ScanMode::Detect, ScanMode::Redact, ScanMode::Deny] {
        let ran = run_scan(mode, clean);
        assert_eq!(
            (taints(&ran.outcome), ran.output.as_str(), ran.edits.len()),
            (0, clean, 0)
        );
        assert_eq!(taints(&run_scan(mode, dirty).outcome), 1);
    }
    assert_eq!(plain(run_scan(ScanMode::Detect, dirty)).unwrap(), dirty);
    assert_eq!(
        plain(run_scan(ScanMode::Redact, dirty)).unwrap(),
        r#"{"f":{"a":["x [REDACTED] y"],"b":"clean"}}"#
    );
    let PipelineOutcome::Deny { reason, code, .. } = run_scan(ScanMode::Deny, dirty).outcome else {
        panic!("passes")
    };
    assert_eq!(reason, "result.f: `pii-scan` found ssn in a.0");
    assert!(code.is_some());
}

#[test]
fn later_pipelines_see_earlier_edits() {
    // `user` was redacted whole, so nothing of it is there to be hashed or kept.
    let program = Maker::default().build("**.user", vec![Stage::Redact(None), Stage::Hash]);
    let once = plain(run_with(&program, r#"{"user":{"ssn":"1"}}"#, None)).unwrap();
    let again = plain(run_with(&program, r#"{"user":"[REDACTED]"}"#, None)).unwrap();
    assert_eq!(once, again);
}
