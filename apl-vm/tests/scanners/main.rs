//! What detectors find and what they leave alone. Every number here is a published example or made up.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod detectors;
mod hostile;
mod running;

use std::time::Duration;

use apl_bytecode::{
    Code, Denial, DenialId, Detector, PathSeg, Pipeline, PipelineId, Program, Regex, RegexId, ScanMode,
    Scanner, ScannerId, Side, Stage, StrId, verify,
};
use apl_vm::{
    Document, Finding, Limits, PipelineCx, PipelineOutcome, Prepared, View, quote, run_pipeline, scan,
};

const ALL: [Detector; 10] = [
    Detector::Ssn,
    Detector::CreditCard,
    Detector::Iban,
    Detector::Email,
    Detector::Phone,
    Detector::IpAddress,
    Detector::ApiKey,
    Detector::PrivateKey,
    Detector::Jwt,
    Detector::PromptInjection,
];

/// A program whose scanner 0 has these detectors, and whose pipeline 0 redacts `f` with it.
fn program(detectors: &[Detector], pattern: Option<&str>) -> Prepared {
    let strings = ["scan", "pii.detected", "f", "employee_id"]
        .map(str::to_owned)
        .to_vec();
    let mut program = Program {
        strings,
        ..Program::default()
    };
    let mut detectors = detectors.to_vec();
    if let Some(pattern) = pattern {
        let dfa = regex_automata::dfa::sparse::DFA::new(pattern)
            .unwrap()
            .to_bytes_little_endian();
        program.regexes.push(Regex {
            pattern: StrId(2),
            dfa,
        });
        detectors.push(Detector::Custom(StrId(3), RegexId(0)));
    }
    program.scanners.push(Scanner {
        name: StrId(0),
        detectors,
        code: StrId(1),
    });
    program.denials.push(Denial {
        code: Code::Text(StrId(1)),
        reason: None,
    });
    program.pipelines.push(Pipeline {
        side: Side::Result,
        path: vec![PathSeg::Key(StrId(2))],
        stages: vec![Stage::Scan {
            scanner: ScannerId(0),
            mode: ScanMode::Redact,
            label: None,
        }],
        denial: DenialId(0),
    });
    Prepared::new(verify(program).unwrap()).unwrap()
}

fn find_in(program: &Prepared, json: &str) -> Option<Finding> {
    let mut document = Document::parse(json.as_bytes().to_vec(), &Limits::default()).unwrap();
    let root = document.root();
    scan(program, ScannerId(0), &View::of(&mut document, root))
}

fn json_of(text: &str) -> String {
    let mut json = br#"{"f":"#.to_vec();
    quote(text, &mut json);
    json.push(b'}');
    String::from_utf8(json).unwrap()
}

fn detectors_in(program: &Prepared, text: &str) -> Option<String> {
    find_in(program, &json_of(text)).map(|finding| finding.detector)
}

fn redact_json(program: &Prepared, json: &str) -> Result<String, String> {
    let mut document = Document::parse(json.as_bytes().to_vec(), &Limits::default()).unwrap();
    let root = document.root();
    let mut cx = PipelineCx {
        hash_key: None,
        condition: &mut |_, _| None,
        edits: &mut Vec::new(),
    };
    match run_pipeline(
        program,
        PipelineId(0),
        &mut View::of(&mut document, root),
        &mut cx,
    ) {
        PipelineOutcome::Pass { .. } => Ok(String::from_utf8(document.render()).unwrap()),
        PipelineOutcome::Deny { reason, .. } => Err(reason),
    }
}

fn redact(program: &Prepared, text: &str) -> String {
    let output = redact_json(program, &json_of(text)).unwrap();
    let document = Document::parse(output.into_bytes(), &Limits::default()).unwrap();
    document
        .node(document.root())
        .get("f")
        .unwrap()
        .as_str()
        .unwrap()
        .into_owned()
}

#[test]
fn spelling_a_digit_differently_hides_nothing() {
    let program = program(&[Detector::Ssn, Detector::CreditCard], None);
    for json in [
        r#"{"f":"\u0031\u0032\u0033-45-6789"}"#,
        // JSON in a string, once and twice.
        r#"{"f":"{\"body\":\"\\u0031\\u0032\\u0033-45-6789\"}"}"#,
        r#"{"f":"\"{\\\"a\\\":\\\"\\\\u00312\\\\u0033-45-6789\\\"}\""}"#,
        // Full-width digits, a non-breaking hyphen, a zero-width space, a soft hyphen.
        r#"{"f":"１２３－４５－６７８９"}"#,
        r#"{"f":"123‑45‑6789"}"#,
        r#"{"f":"12\u200b3-45-67\u00ad89"}"#,
        r#"{"f":["x",{"y":[4111111111111111]}]}"#,
        r#"{"4111 1111 1111 1111":1}"#,
        r#"{"employee":{"ssn":123456789}}"#,
        r#"{"ssn":["1",{"of":1},123456789]}"#,
    ] {
        assert!(find_in(&program, json).is_some(), "{json}");
    }
    assert!(find_in(&program, r#"{"id":123456789,"of":"\\u0031 and \\n"}"#).is_none());
}

#[test]
fn findings_name_the_place_but_no_data() {
    let program = program(&[Detector::Ssn], None);
    for (json, field) in [
        (r#"{"body":{"items":["a","123-45-6789"]}}"#, "body.items.1"),
        (r#""123-45-6789""#, ""),
        (r#"[["123-45-6789"]]"#, "0.0"),
        (r#"{"a":{"123-45-6789":1}}"#, "a.(key)"),
        (r#"{"John Doe":{"id_99999":"123-45-6789"}}"#, "*.*"),
    ] {
        assert_eq!(
            find_in(&program, json),
            Some(Finding {
                detector: "ssn".into(),
                field: field.into()
            }),
            "{json}"
        );
    }
}

#[test]
fn redaction_replaces_the_match_and_keeps_the_rest() {
    let program = program(&ALL, None);
    for (text, wanted) in [
        ("x 123-45-6789, y 123-45-6780.", "x [REDACTED], y [REDACTED]."),
        ("to <a.b@c.example> now", "to <[REDACTED]> now"),
        ("x １２３－４５－６７８９ é", "x [REDACTED] é"),
        (r#"{"a":"\u0031\u0032\u0033-45-6789"}"#, r#"{"a":"[REDACTED]"}"#),
        (
            "k -----BEGIN PRIVATE KEY-----\nMII\n-----END PRIVATE KEY----- t",
            "k [REDACTED] t",
        ),
        ("4111111111111111 4111111111111111", "[REDACTED] [REDACTED]"),
        ("nothing", "nothing"),
    ] {
        assert_eq!(redact(&program, text), wanted);
    }
    // A number becomes a string, a key stays distinct.
    assert_eq!(
        redact_json(&program, r#"{"f":[4111111111111111, 5]}"#).unwrap(),
        r#"{"f":["[REDACTED]", 5]}"#
    );
    let keys = redact_json(&program, r#"{"f":{"a@b.co":1,"c@d.co":"e@f.co"}}"#).unwrap();
    assert!(
        !keys.contains('@') && keys.matches("[REDACTED]").count() == 3,
        "{keys}"
    );
    Document::parse(keys.into_bytes(), &Limits::default()).unwrap();
    assert!(redact_json(&program, r#"{"f":{"a@b.co":1,"[REDACTED]#3":2}}"#).is_err());
}

#[test]
fn custom_detectors_find_and_redact() {
    let program = program(&[], Some("EMP-[0-9]{6}"));
    assert_eq!(
        detectors_in(&program, "x EMP-001234").as_deref(),
        Some("employee_id")
    );
    assert_eq!(
        redact(&program, "é EMP-001234, EMP-00123, EMP-999999EMP-000000"),
        "é [REDACTED], EMP-00123, [REDACTED]"
    );
    let long = format!("a{}b", "x".repeat(2_000));
    let program = self::program(&[], Some("ax+b"));
    assert_eq!(
        redact(&program, &format!("pre {long} post")),
        "[REDACTED] post",
        "longer than 512: from the start"
    );
}
