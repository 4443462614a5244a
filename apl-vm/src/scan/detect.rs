//! The one pass: triggers by byte class, then verifiers.

use apl_bytecode::{Detector, RegexId};
use regex_automata::{Anchored, Input, dfa::Automaton as _};

use crate::prepared::Prepared;

use super::{injection, pii, secrets};

/// A set of built-in detectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Set(u16);

impl Set {
    const SSN: Self = Self(1);
    const CARD: Self = Self(1 << 1);
    const IBAN: Self = Self(1 << 2);
    const EMAIL: Self = Self(1 << 3);
    const PHONE: Self = Self(1 << 4);
    const IP: Self = Self(1 << 5);
    const API_KEY: Self = Self(1 << 6);
    const PRIVATE_KEY: Self = Self(1 << 7);
    const JWT: Self = Self(1 << 8);
    const INJECTION: Self = Self(1 << 9);

    /// The detector as a set; `None` for a custom one.
    pub(super) const fn of(detector: Detector) -> Option<Self> {
        Some(match detector {
            Detector::Ssn => Self::SSN,
            Detector::CreditCard => Self::CARD,
            Detector::Iban => Self::IBAN,
            Detector::Email => Self::EMAIL,
            Detector::Phone => Self::PHONE,
            Detector::IpAddress => Self::IP,
            Detector::ApiKey => Self::API_KEY,
            Detector::PrivateKey => Self::PRIVATE_KEY,
            Detector::Jwt => Self::JWT,
            Detector::PromptInjection => Self::INJECTION,
            Detector::Custom(..) => return None,
        })
    }

    pub(super) const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// Which detectors a byte can start (or, for `@`, reveal).
static TRIGGERS: [Set; 256] = {
    let mut table = [Set(0); 256];
    let mut byte = 0_usize;
    while byte < 256 {
        let letter = (byte as u8).to_ascii_lowercase();
        let mut set = match byte as u8 {
            b'0'..=b'9' => Set::SSN.with(Set::CARD).with(Set::PHONE).with(Set::IP),
            b'a'..=b'f' | b'A'..=b'F' => Set::IP.with(Set::IBAN),
            b'g'..=b'z' | b'G'..=b'Z' => Set::IBAN,
            b':' => Set::IP,
            b'+' | b'(' => Set::PHONE,
            b'@' => Set::EMAIL,
            b'-' => Set::PRIVATE_KEY,
            b'<' | b'[' => Set::INJECTION,
            _ => Set(0),
        };
        if byte as u8 == b'e' {
            set = set.with(Set::JWT);
        }
        if secrets::starts_key(byte as u8) {
            set = set.with(Set::API_KEY);
        }
        if injection::starts_phrase(letter) {
            set = set.with(Set::INJECTION);
        }
        #[expect(clippy::indexing_slicing, reason = "evaluated at compile time")]
        {
            table[byte] = set;
        }
        byte = byte.wrapping_add(1);
    }
    table
};

/// Something found between two positions.
#[derive(Debug, Clone, Copy)]
pub(super) struct Find {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) what: What,
}

/// By what.
#[derive(Debug, Clone, Copy)]
pub(super) enum What {
    BuiltIn(&'static str),
    /// The how-manieth custom detector.
    Custom(usize),
}

/// The byte at a position, NUL outside the text: no letter, digit or separator.
pub(super) fn byte(bytes: &[u8], at: usize) -> u8 {
    bytes.get(at).copied().unwrap_or(0)
}

/// Runs the built-in detectors of `set`; `false` when the sink has enough. `context` is the key of the value.
pub(super) fn built_in(bytes: &[u8], context: &str, set: Set, sink: &mut dyn FnMut(Find) -> bool) -> bool {
    let mut wants = true;
    from(bytes, 0, context, set, false, &mut |find| {
        wants = sink(find);
        wants
    });
    wants
}

/// The same from a position on; where it stopped. `open`: more bytes will come, and it stops before the first trigger that
/// they could have a say in.
pub(super) fn from(
    bytes: &[u8],
    mut at: usize,
    context: &str,
    set: Set,
    open: bool,
    sink: &mut dyn FnMut(Find) -> bool,
) -> usize {
    let mut before = match at {
        0 => 0,
        at => byte(bytes, at.saturating_sub(1)),
    };
    while let Some(here) = bytes.get(at) {
        let triggered = Set(TRIGGERS.get(usize::from(*here)).map_or(0, |set| set.0) & set.0);
        let inside_token = if here.is_ascii_digit() {
            before.is_ascii_digit()
        } else {
            here.is_ascii_alphabetic() && before.is_ascii_alphanumeric()
        };
        let find = if triggered.0 == 0 || inside_token {
            None
        } else {
            if open && is_open(bytes, at, triggered) {
                return at;
            }
            verify(bytes, at, context, triggered)
        };
        let next = at.saturating_add(1);
        let end = find.map_or(next, |find| find.end.max(next));
        if let Some(find) = find
            && !sink(find)
        {
            return end;
        }
        before = byte(bytes, end.saturating_sub(1));
        at = end;
    }
    at
}

/// Whether bytes behind the end could change what the verifiers of these detectors say at `at`: what they read on in
/// touches the end.
fn is_open(bytes: &[u8], at: usize, set: Set) -> bool {
    let rest = bytes.get(at..).unwrap_or_default();
    let touches = |most: usize, part: &dyn Fn(u8) -> bool| {
        let run = rest.iter().take(most).take_while(|byte| part(**byte)).count();
        run < most && run == rest.len()
    };
    let numbers = Set::SSN.with(Set::CARD).with(Set::PHONE);
    (set.has(numbers) && touches(64, &|byte| byte.is_ascii_digit() || b" -./()+".contains(&byte)))
        || (set.has(Set::IP)
            && touches(64, &|byte| {
                byte.is_ascii_hexdigit() || matches!(byte, b'.' | b':')
            }))
        || (set.has(Set::IBAN)
            && pii::may_be_iban(rest)
            && touches(72, &|byte| byte.is_ascii_alphanumeric() || byte == b' '))
        || (set.has(Set::EMAIL) && {
            let domain = rest.get(1..).unwrap_or_default();
            let run = domain
                .iter()
                .take(256)
                .take_while(|byte| is_of_domain(**byte))
                .count();
            run < 256 && run == domain.len()
        })
        || (set.has(Set::JWT.with(Set::API_KEY))
            && secrets::may_be_token(rest)
            && touches(usize::MAX, &secrets::is_of_token))
        || (set.has(Set::PRIVATE_KEY) && secrets::private_key_is_open(rest))
        || (set.has(Set::INJECTION) && injection::is_open(rest))
}

/// A byte of an e-mail address behind its `@`.
pub(super) const fn is_of_domain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte >= 0x80 || matches!(byte, b'.' | b'-')
}

/// How many bytes before a position a match could begin whose trigger comes later.
pub(super) fn open_before(bytes: &[u8], at: usize, set: Set) -> usize {
    if !set.has(Set::EMAIL) {
        return 0;
    }
    let before = bytes.get(at.saturating_sub(64)..at).unwrap_or_default();
    before
        .iter()
        .rev()
        .take_while(|byte| pii::is_of_local_part(**byte))
        .count()
}

/// Tries the verifiers whose trigger stands at `at`, the most telling first.
fn verify(bytes: &[u8], at: usize, context: &str, set: Set) -> Option<Find> {
    let run = |on: Set, name: &'static str, verifier: &dyn Fn() -> Option<(usize, usize)>| {
        let (start, end) = if set.has(on) { verifier()? } else { return None };
        Some(Find {
            start,
            end,
            what: What::BuiltIn(name),
        })
    };
    let from_here = |end: Option<usize>| end.map(|end| (at, end));
    run(Set::PRIVATE_KEY, "private_key", &|| {
        from_here(secrets::private_key(bytes, at))
    })
    .or_else(|| run(Set::JWT, "jwt", &|| from_here(secrets::jwt(bytes, at))))
    .or_else(|| {
        run(Set::API_KEY, "api_key", &|| {
            from_here(secrets::api_key(bytes, at))
        })
    })
    .or_else(|| {
        run(Set::CARD, "credit_card", &|| {
            from_here(pii::credit_card(bytes, at))
        })
    })
    .or_else(|| run(Set::SSN, "ssn", &|| from_here(pii::ssn(bytes, at, context))))
    .or_else(|| run(Set::IBAN, "iban", &|| from_here(pii::iban(bytes, at))))
    .or_else(|| run(Set::EMAIL, "email", &|| pii::email(bytes, at)))
    .or_else(|| run(Set::IP, "ip_address", &|| from_here(pii::ip_address(bytes, at))))
    .or_else(|| run(Set::PHONE, "phone", &|| from_here(pii::phone(bytes, at))))
    .or_else(|| {
        run(Set::INJECTION, "prompt_injection", &|| {
            from_here(injection::phrase(bytes, at))
        })
    })
}

/// Runs a custom detector; `false` when the sink has enough. An automaton that gives up counts as a match of everything.
///
/// A forward automaton tells where a match ends. Its start is found by trying the positions before; a match longer than
/// 512 bytes, or an automaton that cannot be tried so, is reported from the end of the match before it.
pub(super) fn custom(
    program: &Prepared,
    regex: RegexId,
    which: usize,
    bytes: &[u8],
    sink: &mut dyn FnMut(Find) -> bool,
) -> bool {
    const LONGEST: usize = 512;
    let what = What::Custom(which);
    let everything = Find {
        start: 0,
        end: bytes.len(),
        what,
    };
    let Some(pattern) = program.pattern(regex) else {
        return sink(everything);
    };
    let mut from = 0;
    while from <= bytes.len() {
        let end = match pattern.try_search_fwd(&Input::new(bytes).range(from..)) {
            Ok(Some(half)) => half.offset(),
            Ok(None) => return true,
            Err(_) => return sink(everything),
        };
        if end > from {
            let first = from.max(end.saturating_sub(LONGEST));
            let starts_at = |start: &usize| {
                let input = Input::new(bytes).range(*start..end).anchored(Anchored::Yes);
                pattern
                    .try_search_fwd(&input)
                    .is_ok_and(|half| half.is_some_and(|half| half.offset() > *start))
            };
            let start = (first..end).find(starts_at).unwrap_or(from);
            if !sink(Find { start, end, what }) {
                return false;
            }
        }
        // A match of nothing is nothing to report, but must not hold the search up.
        from = end.max(from.saturating_add(1));
    }
    true
}
