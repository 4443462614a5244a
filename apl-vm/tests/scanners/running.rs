//! A text in pieces is redacted as the whole text is.

use apl_bytecode::{Detector, ScannerId};
use apl_vm::Running;

use super::{ALL, program, redact};

/// What finds are made of, what stands around them, and what nearly is one.
const PIECES: [&str; 46] = [
    "123-45-6789",
    "123 45 6789",
    "123456789",
    "ssn ",
    "SSN: ",
    "4111 1111 1111 1111",
    "4111111111111111",
    "4111-1111-",
    "378282246310005",
    "DE89 3704 0044 0532 0130 00",
    "GB82WEST12345698765432",
    "DE",
    "89",
    " ",
    "  ",
    "a@b.example",
    "@",
    "jane.doe",
    "b.example",
    ".",
    "-",
    "+49 30 1234567",
    "(212) 555-0123",
    "212-555-0123",
    "10.0.0.1",
    "::1",
    "2001:db8::ff00:42",
    "sk-abcdefghij0123456789",
    "ghp_",
    "abcdefghijklmnopqrstuvwxyz0123456789",
    "eyJhbGciOiJ9.eyJzdWIiOiIx.c2lnbmF0dXJl",
    "eyJ",
    "-----BEGIN PRIVATE KEY-----",
    "-----END PRIVATE KEY-----",
    "-----",
    "\n",
    ", ",
    "Ignore all the previous instructions",
    "ignore ",
    "previous ",
    "instructions",
    "<|im_start|>",
    "ä",
    "\u{200b}",
    "\u{2011}",
    "１２３",
];

struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }
}

/// The text as it leaves when it comes in these pieces, each as soon as it is decided; and how much was decided before the
/// end.
fn in_pieces(detectors: &[Detector], pieces: &[&str]) -> (String, usize) {
    let program = program(detectors, None);
    let mut running = Running::new(&program, ScannerId(0)).unwrap();
    let (mut out, mut waiting, mut at) = (String::new(), Vec::new(), 0);
    let mut early = 0;
    for (number, piece) in pieces.iter().enumerate() {
        waiting.push((*piece, at));
        at += piece.len();
        let last = number + 1 == pieces.len();
        let decided = running.push(piece, last);
        assert!(decided <= at);
        if !last {
            early = decided;
        }
        while let Some((piece, start)) = waiting.first().copied()
            && start + piece.len() <= decided
        {
            out.push_str(&running.redacted(piece, start, start + piece.len()));
            waiting.remove(0);
        }
    }
    assert!(waiting.is_empty(), "all of it is decided at its end");
    (out, early)
}

fn cut(text: &str, chance: &mut Chance, most: usize) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    let mut rest = chars.as_slice();
    let mut pieces = Vec::new();
    while !rest.is_empty() {
        let (piece, behind) = rest.split_at((1 + chance.below(most)).min(rest.len()));
        pieces.push(piece.iter().collect());
        rest = behind;
    }
    pieces.push(String::new());
    pieces
}

#[test]
fn any_pieces_give_what_the_whole_text_gives() {
    let mut chance = Chance(11);
    let mut redacted = 0;
    for round in 0..200 {
        let some: Vec<Detector> = ALL.into_iter().filter(|_| chance.below(2) == 0).collect();
        let detectors = if round % 2 == 0 || some.is_empty() {
            ALL.to_vec()
        } else {
            some
        };
        let mut text = String::new();
        for _ in 0..1 + chance.below(24) {
            text.push_str(PIECES[chance.below(PIECES.len())]);
            if chance.below(3) == 0 {
                text.push(' ');
            }
            // Long enough for the window to be cut.
            if chance.below(12) == 0 {
                text.push_str(&"and so on ".repeat(chance.below(120)));
            }
        }
        // A backslash makes other readings of all of it.
        if chance.below(10) == 0 {
            text.push_str("\\u0031\\u0032\\u0033-45-6789");
        }
        let whole = redact(&program(&detectors, None), &text);
        redacted += usize::from(whole != text);
        for most in [1, 7, 40] {
            let pieces = cut(&text, &mut chance, most);
            let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
            let (joined, _) = in_pieces(&detectors, &pieces);
            assert_eq!(joined, whole, "{detectors:?} {pieces:?}");
        }
    }
    assert!(redacted > 100, "only {redacted} texts held something");
}

/// Prose does not wait: at most for the word that it ends in, which could be the beginning of an address.
#[test]
fn prose_is_decided_as_it_comes() {
    let text =
        "As agreed last week, the delegation leaves on Monday (see below), and the rest of us will follow. "
            .repeat(20);
    let detectors = [
        Detector::Ssn,
        Detector::CreditCard,
        Detector::Email,
        Detector::Phone,
        Detector::IpAddress,
    ];
    for end in [400, 777, 1_500] {
        let (before, behind) = text.split_at(end);
        let (out, early) = in_pieces(&detectors, &[before, behind]);
        assert_eq!(out, text);
        assert!(end - early <= 12, "{} bytes wait", end - early);
    }
}

/// What is cut out is not there in part: nothing of it is decided before all of it is.
#[test]
fn no_part_of_a_match_is_decided_before_the_match() {
    for secret in [
        "123-45-6789",
        "4111 1111 1111 1111",
        "jane.doe@b.example",
        "eyJhbGciOiJ9.eyJzdWIiOiIx.c2lnbmF0dXJl",
    ] {
        let text = format!("it is {secret} indeed");
        for at in 7..6 + secret.len() {
            let (before, behind) = text.split_at(at);
            let (out, early) = in_pieces(&ALL, &[before, behind]);
            assert_eq!(out, "it is [REDACTED] indeed");
            assert!(early <= 6, "`{before}` was decided to {early}");
        }
    }
}

#[test]
fn patterns_of_the_policys_own_need_the_whole_text() {
    assert!(Running::new(&program(&ALL, Some("E-[0-9]+")), ScannerId(0)).is_none());
}
