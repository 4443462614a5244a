//! Single stages.

use super::*;

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
