//! Which values a path names, and the limits.

use super::*;

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
    let wide = format!("{{\"f\":[{}]}}", vec!["[]"; 500_000].join(","));
    assert!(
        matches!(run("f.g", &wide), PipelineOutcome::Deny { .. }),
        "stack bounded"
    );
}
