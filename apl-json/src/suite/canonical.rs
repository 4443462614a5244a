//! RFC 8785: its own samples, and laws.

use crate::{Document, Limits, NotCanonical, Numbers, canonical};

fn text(json: &str, numbers: Numbers) -> Result<String, NotCanonical> {
    let document = Document::parse(
        json.as_bytes().to_vec(),
        &Limits {
            max_depth: 1000,
            max_nodes: 100_000,
        },
    )
    .unwrap();
    let mut out = Vec::new();
    canonical(document.received(document.root()), numbers, &mut out)?;
    Ok(String::from_utf8(out).unwrap())
}

fn jcs(json: &str) -> String {
    text(json, Numbers::Rfc8785).unwrap()
}

/// Appendix B, the finite ones.
const NUMBERS: [(u64, &str); 24] = [
    (0x0000_0000_0000_0000, "0"),
    (0x8000_0000_0000_0000, "0"),
    (0x0000_0000_0000_0001, "5e-324"),
    (0x8000_0000_0000_0001, "-5e-324"),
    (0x7fef_ffff_ffff_ffff, "1.7976931348623157e+308"),
    (0xffef_ffff_ffff_ffff, "-1.7976931348623157e+308"),
    (0x4340_0000_0000_0000, "9007199254740992"),
    (0xc340_0000_0000_0000, "-9007199254740992"),
    (0x4430_0000_0000_0000, "295147905179352830000"),
    (0x44b5_2d02_c7e1_4af5, "9.999999999999997e+22"),
    (0x44b5_2d02_c7e1_4af6, "1e+23"),
    (0x44b5_2d02_c7e1_4af7, "1.0000000000000001e+23"),
    (0x444b_1ae4_d6e2_ef4e, "999999999999999700000"),
    (0x444b_1ae4_d6e2_ef4f, "999999999999999900000"),
    (0x444b_1ae4_d6e2_ef50, "1e+21"),
    (0x3eb0_c6f7_a0b5_ed8c, "9.999999999999997e-7"),
    (0x3eb0_c6f7_a0b5_ed8d, "0.000001"),
    (0x41b3_de43_5555_5553, "333333333.3333332"),
    (0x41b3_de43_5555_5554, "333333333.33333325"),
    (0x41b3_de43_5555_5555, "333333333.3333333"),
    (0x41b3_de43_5555_5556, "333333333.3333334"),
    (0x41b3_de43_5555_5557, "333333333.33333343"),
    (0xbecb_f647_612f_3696, "-0.0000033333333333333333"),
    (0x4314_3ff3_c1cb_0959, "1424953923781206.2"),
];

#[test]
fn writes_the_numbers_of_appendix_b() {
    for (bits, expected) in NUMBERS {
        // All digits, so that reading is not what is tested.
        let sent = format!("{:.1100e}", f64::from_bits(bits));
        assert_eq!(jcs(&sent), expected, "{bits:016x}");
        assert_eq!(jcs(expected), expected);
    }
}

#[test]
fn writes_the_sample_of_section_3_2_2() {
    let sent = r#"{
      "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
      "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
      "literals": [null, true, false]
    }"#;
    let expected = concat!(
        r#"{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"#,
        r#""string":"€$\u000f\nA'B\"\\\\\"/"}"#
    );
    assert_eq!(jcs(sent), expected);
}

#[test]
fn orders_members_by_utf_16_code_units_as_section_3_2_3_does() {
    let sent = r#"{
      "\u20ac": "Euro Sign", "\r": "Carriage Return", "\ufb33": "Hebrew Letter Dalet With Dagesh", "1": "One",
      "\ud83d\ude00": "Emoji: Grinning Face", "\u0080": "Control", "\u00f6": "Latin Small Letter O With Diaeresis"
    }"#;
    let order = ["Carriage", "One", "Control", "Latin", "Euro", "Emoji", "Hebrew"];
    let written = jcs(sent);
    let at: Vec<_> = order.iter().map(|word| written.find(word).unwrap()).collect();
    assert!(at.is_sorted(), "{written}");
}

#[test]
fn escapes_what_must_be_and_nothing_else() {
    assert_eq!(
        jcs(r#""\u0000\u0008\u0009\u000a\u000b\u000c\u000d\u001f\u007f\u0080\u2028\/""#),
        "\"\\u0000\\b\\t\\n\\u000b\\f\\r\\u001f\u{7f}\u{80}\u{2028}/\""
    );
}

#[test]
fn is_its_own_canonical_form() {
    for json in [
        r#"{"b":[1.0,{"z":-0,"a":1e2}],"a":{}}"#,
        "[]",
        r#"["",{"":[[]]}]"#,
        "-1.5E-9",
    ] {
        let once = jcs(json);
        assert_eq!(jcs(&once), once);
    }
}

#[test]
fn refuses_a_number_that_no_double_holds_unless_numbers_stay_as_sent() {
    assert_eq!(text("[1e999]", Numbers::Rfc8785), Err(NotCanonical::Number));
    assert_eq!(text("[1e999, 1.0]", Numbers::AsSent).unwrap(), "[1e999,1.0]");
}

#[test]
fn two_integers_that_a_double_confuses_differ_as_sent() {
    let (a, b) = ("9007199254740992", "9007199254740993");
    assert_eq!(jcs(a), jcs(b));
    assert_ne!(text(a, Numbers::AsSent), text(b, Numbers::AsSent));
}

#[test]
fn refuses_to_go_too_deep() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(text(&nested(128), Numbers::Rfc8785).is_ok());
    assert_eq!(text(&nested(129), Numbers::Rfc8785), Err(NotCanonical::Depth));
}
