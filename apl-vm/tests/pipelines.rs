//! Field pipelines over documents, through the public API.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

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
fn every_check_accepts_and_refuses_what_it_should() {
    use Stage::{Email, Enum, Len, Range, Regex, Type, Url, Uuid};
    let cases: &[(Stage, &[&str], &[&str])] = &[
        (Type(TypeCheck::Str), &[r#""x""#], &["5", "null", "[]", "true"]),
        (
            Type(TypeCheck::Int),
            &["7", "-9223372036854775808"],
            &["7.0", r#""7""#, "9223372036854775808", "1e2", "null"],
        ),
        (Type(TypeCheck::Float), &["7", "7.5", "1e3"], &["1e999", r#""7""#]),
        (Type(TypeCheck::Bool), &["true", "false"], &[r#""true""#, "0"]),
        (
            Email,
            &[
                r#""a@b.c""#,
                r#""o'neil+x@sub.example.co.uk""#,
                r#""a\u0040b.c""#,
                r#""a@localhost""#,
            ],
            &[
                r#""@b.c""#,
                r#""a@""#,
                r#""a@b..c""#,
                r#""a@-b.c""#,
                r#""a b@c.d""#,
                r#""a@b@c.d""#,
                r#""é@b.c""#,
                r#""a@b.c\n""#,
                "5",
            ],
        ),
        (
            Url,
            &[
                r#""https://x""#,
                r#""http://a.example:8080/p?q=%20#f""#,
                r#""https://[::1]/""#,
                r#""https://127.0.0.1""#,
            ],
            &[
                r#""https://""#,
                r#""HTTPS://x""#,
                r#""ftp://x""#,
                r#""//x""#,
                r#""https://u:p@x""#,
                r#""https://x\\y""#,
                r#""https://x y""#,
                r#""https://x:99999""#,
                r#""https://x/%2""#,
                r#""https://1.2.3""#,
                r#""https://a..b""#,
                r#""https://[::1""#,
                r#""https://x\n""#,
                r#""https://é""#,
                r#""https://x/a#b#c""#,
                "7",
            ],
        ),
        (
            Uuid,
            &[
                r#""550E8400-e29b-41d4-a716-446655440000""#,
                r#""00000000-0000-0000-0000-000000000000""#,
            ],
            &[
                r#""{550e8400-e29b-41d4-a716-446655440000}""#,
                r#""550e8400-e29b-01d4-a716-446655440000""#,
                r#""550e8400-e29b-41d4-2716-446655440000""#,
                r#""550e8400e29b41d4a716446655440000""#,
            ],
        ),
        (
            Range(Some(1), Some(10)),
            &["1", "10"],
            &["0", "11", "5.0", r#""5""#],
        ),
        (Range(None, Some(-1)), &["-5"], &["0"]),
        (
            Len(Some(2), Some(3)),
            &[r#""éé""#, r#""\ud83d\ude00ab""#],
            &[r#""a""#, r#""abcd""#, r#"["a","b"]"#],
        ),
        (
            Enum(vec![StrId(0)]),
            &[r#""low""#, r#""l\u006fw""#],
            &[r#""Low""#, "1"],
        ),
        (Regex(RegexId(0)), &[r#""xx12yy""#], &[r#""xy""#, "12"]),
    ];
    for (stage, good, bad) in cases {
        for (values, pass) in [(good, true), (bad, false)] {
            for value in *values {
                let mut maker = Maker::default();
                maker.text("low");
                maker.regex("[0-9]{2}");
                let json = format!(r#"{{"f":{value}}}"#);
                let ran = run_with(&maker.build("f", vec![stage.clone()]), &json, None);
                match &ran.outcome {
                    PipelineOutcome::Pass { .. } => assert!(pass, "{stage:?} {value}"),
                    PipelineOutcome::Deny { reason, code, .. } => {
                        assert!(!pass, "{stage:?} {value}: {reason}");
                        assert!(reason.starts_with("result.f: ") && code.is_none(), "{reason}");
                        let inner = value.trim_matches('"');
                        assert!(
                            inner.len() < 4 || inner == "null" || !reason.contains(inner),
                            "{reason} holds {inner}"
                        );
                    }
                }
                assert_eq!(ran.output, json);
                assert!(ran.edits.is_empty());
            }
        }
    }
}

#[test]
fn mask_hides_at_least_half() {
    for (shown, text, wanted) in [
        (4, "abcd", "**cd"),
        (4, "ab", "*b"),
        (4, "1", "*"),
        (2, "héllö", "***lö"),
        (4, "4111111111111111", "************1111"),
        (0, "ab", "**"),
        (4, "", ""),
        (4, "123456789", "*****6789"),
    ] {
        let json = format!(r#"{{"f":"{text}"}}"#);
        assert_eq!(
            plain(run("f", vec![Stage::Mask(shown)], &json)).unwrap(),
            format!(r#"{{"f":"{wanted}"}}"#)
        );
    }
    assert!(plain(run("f", vec![Stage::Mask(4)], r#"{"f":1234}"#)).is_err());
}

#[test]
fn hash_is_keyed_and_needs_its_key() {
    let program = Maker::default().build("f", vec![Stage::Hash]);
    let hashed = plain(run_with(&program, r#"{"f":"123-45-6789"}"#, None)).unwrap();
    assert_eq!(
        hashed,
        plain(run_with(&program, r#"{"f":"123\u002d45-6789"}"#, None)).unwrap(),
        "one spelling"
    );
    // HMAC-SHA-256(key, "\"123-45-6789\""), computed with Python's hmac module.
    assert_eq!(hashed, r#"{"f":"hash:070a2c2d5572ba9f26c985b019a64793"}"#);
    let of = |json: &str| plain(run_with(&program, json, None)).unwrap();
    assert_ne!(of(r#"{"f":"5"}"#), of(r#"{"f":5}"#));
    assert_eq!(
        of(r#"{"f":{"a":[1, 2],"b":"\u0041"}}"#),
        of(r#"{"f":{ "a" : [1,2] , "b":"A"}}"#)
    );
    assert_eq!(
        of(r#"{"f":{"a":[1, 2],"b":"\u0041"}}"#),
        r#"{"f":"hash:6627211670a524b72078fe18748d1735"}"#
    );
    for key in [None, Some(&b""[..])] {
        let mut document = Document::parse(br#"{"f":1}"#.to_vec(), &Limits::default()).unwrap();
        let root = document.root();
        let mut cx = PipelineCx {
            hash_key: key,
            condition: &mut |_, _| None,
            edits: &mut Vec::new(),
        };
        let outcome = run_pipeline(
            &program,
            PipelineId(0),
            &mut View::of(&mut document, root),
            &mut cx,
        );
        assert!(matches!(outcome, PipelineOutcome::Deny { .. }));
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
fn paths_fan_out_over_arrays() {
    let redact = || vec![Stage::Redact(None)];
    for (path, json, wanted) in [
        (
            "items.ssn",
            r#"{"items":[{"ssn":1},{"x":2},[{"ssn":3}]]}"#,
            r#"{"items":[{"ssn":"[REDACTED]"},{"x":2},[{"ssn":"[REDACTED]"}]]}"#,
        ),
        (
            "items.1.ssn",
            r#"{"items":[{"ssn":1},{"ssn":2}]}"#,
            r#"{"items":[{"ssn":1},{"ssn":"[REDACTED]"}]}"#,
        ),
        (
            "items.1",
            r#"{"items":{"1":1}}"#,
            r#"{"items":{"1":"[REDACTED]"}}"#,
        ),
        (
            "items.99999999999999999999",
            r#"{"items":[1]}"#,
            r#"{"items":[1]}"#,
        ),
        (
            "ssn",
            r#"[{"ssn":1},{"ssn":2}]"#,
            r#"[{"ssn":"[REDACTED]"},{"ssn":"[REDACTED]"}]"#,
        ),
        ("ssn", r#"{"ssn":[1,2]}"#, r#"{"ssn":"[REDACTED]"}"#),
        (
            "ssn",
            r#"{"SSN":1,"s\u0073n":2,"ſſn":3,"sn":4}"#,
            r#"{"SSN":"[REDACTED]","s\u0073n":"[REDACTED]","ſſn":"[REDACTED]","sn":4}"#,
        ),
        (
            "**.ssn",
            r#"{"a":[{"ssn":1},[[{"b":{"Ssn":2}}]]],"ssn":{"ssn":3}}"#,
            r#"{"a":[{"ssn":"[REDACTED]"},[[{"b":{"Ssn":"[REDACTED]"}}]]],"ssn":"[REDACTED]"}"#,
        ),
        (
            "a.**.x.**.ssn",
            r#"{"a":{"x":{"y":{"ssn":1}},"ssn":2},"ssn":3}"#,
            r#"{"a":{"x":{"y":{"ssn":"[REDACTED]"}},"ssn":2},"ssn":3}"#,
        ),
        ("**.0", r#"{"a":[[1,2],3]}"#, r#"{"a":["[REDACTED]",3]}"#),
    ] {
        assert_eq!(plain(run(path, redact(), json)).unwrap(), wanted, "{path}");
    }
    // Without a redaction keys are compared as they are.
    assert_eq!(
        plain(run("f", vec![Stage::Mask(1)], r#"{"F":"abc"}"#)).unwrap(),
        r#"{"F":"abc"}"#
    );
}

#[test]
fn required_denies_absence_everywhere_it_could_stand() {
    let stages = || vec![Stage::Type(TypeCheck::Int), Stage::Required];
    for (path, json, passes) in [
        ("f", r#"{"f":1}"#, true),
        ("f", r#"{"g":1}"#, false),
        ("f", "[]", false),
        ("f", "5", false),
        ("a.f", r#"{"a":[{"f":1},{"f":2}]}"#, true),
        ("a.f", r#"{"a":[{"f":1},{}]}"#, false),
        ("a.f", r#"{"a":[]}"#, false),
        ("a.1", r#"{"a":[1]}"#, false),
    ] {
        assert_eq!(plain(run(path, stages(), json)).is_ok(), passes, "{path} {json}");
    }
    assert_eq!(
        plain(run("f", vec![Stage::Required], r#"{"f":null}"#)).unwrap(),
        r#"{"f":null}"#,
        "null is present"
    );
}

#[test]
fn limits_deny_instead_of_skipping() {
    let many = format!("[{}]", vec![r#"{"f":1}"#; 60_000].join(","));
    let limits = Limits {
        max_nodes: 1_000_000,
        ..Limits::default()
    };
    let run = |path: &str, json: &str| {
        let program = Maker::default().build(path, vec![Stage::Redact(None)]);
        let mut document = Document::parse(json.as_bytes().to_vec(), &limits).unwrap();
        let root = document.root();
        let mut cx = PipelineCx {
            hash_key: None,
            condition: &mut |_, _| None,
            edits: &mut Vec::new(),
        };
        run_pipeline(
            &program,
            PipelineId(0),
            &mut View::of(&mut document, root),
            &mut cx,
        )
    };
    assert!(matches!(run("f", &many), PipelineOutcome::Pass { .. }));
    assert!(
        matches!(run("**.f", &many), PipelineOutcome::Deny { .. }),
        "100,000 values looked at"
    );
    let more = format!("[{}]", vec![r#"{"f":1}"#; 100_001].join(","));
    assert!(
        matches!(run("f", &more), PipelineOutcome::Deny { .. }),
        "100,000 values named"
    );
    let wide = format!("{{\"f\":[{}]}}", vec!["1"; 500_000].join(","));
    assert!(
        matches!(run("f.g", &wide), PipelineOutcome::Deny { .. }),
        "stack bounded"
    );
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
