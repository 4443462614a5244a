//! Generated and hostile texts.

use super::*;

#[test]
fn no_text_makes_a_detector_panic_or_the_redacted_value_stay() {
    let program = program(&ALL, Some("[a-c]+1"));
    let pieces = [
        "123-45-6789",
        "4111111111111111",
        "a@b.co",
        "+1",
        "(",
        "(415) ",
        "555-2671",
        "::",
        "1.2.3.4",
        "DE89",
        "370400440532013000",
        "eyJ",
        ".",
        "-----BEGIN ",
        "PRIVATE KEY",
        "-----END ",
        "ignore ",
        "all ",
        "rules",
        "\\u0031",
        "\\",
        "é",
        "１",
        "\u{200b}",
        "😀",
        " ",
        "-",
        "[",
        "<",
        "@",
        "sk-",
        "\n",
    ];
    let mut state = 7_u64;
    let mut below = |n: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % n
    };
    for _ in 0..5_000 {
        let text: String = (0..below(10)).map(|_| pieces[below(pieces.len())]).collect();
        let redacted = redact(&program, &text);
        // What is left may spell something new only by joining what stood around a match.
        if redacted == text {
            assert_eq!(find_in(&program, &json_of(&text)), None, "{text:?}");
        } else {
            assert!(redacted.contains("[REDACTED]"), "{text:?} -> {redacted:?}");
            assert!(find_in(&program, &json_of(&text)).is_some(), "{text:?}");
        }
    }
}

/// The processor time of this thread: a busy machine does not lengthen it.
fn worked() -> Duration {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    let nanoseconds = told.split(' ').next().and_then(|first| first.parse().ok());
    Duration::from_nanos(nanoseconds.expect("a number"))
}

#[test]
fn hostile_texts_are_scanned_in_linear_time() {
    let program = program(&ALL, None);
    for unit in [
        "1",
        "1-",
        "a@",
        "@",
        "eyJ",
        "eyJa.",
        "-",
        "-----BEGIN ",
        "-----BEGIN PRIVATE KEY",
        "ignore all ",
        "1:",
        "1.",
        "A",
        "DE89",
        "\\",
        "\\u0031",
        "sk-",
        "(",
        "+1",
        "［",
        "é@",
    ] {
        let json = json_of(&unit.repeat(200_000 / unit.len()));
        let started = worked();
        find_in(&program, &json);
        // Linear work is a second at most; quadratic work is minutes on the quickest machine.
        let took = worked().saturating_sub(started);
        println!("{unit} {took:?}");
        assert!(took.as_secs() < 60, "{unit}: {took:?}");
    }
}
