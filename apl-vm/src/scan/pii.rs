//! Verifiers for personal data. Each takes the position of its trigger and gives the end of the match.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::detect::{byte, is_of_domain};

fn digit_at(bytes: &[u8], at: usize) -> bool {
    byte(bytes, at).is_ascii_digit()
}

/// The number that `count` digits from `at` make, `None` when they are not all digits.
fn number(bytes: &[u8], at: usize, count: usize) -> Option<u32> {
    let digits = bytes.get(at..at.checked_add(count)?)?;
    digits.iter().try_fold(0_u32, |value, digit| {
        digit
            .is_ascii_digit()
            .then(|| value.wrapping_mul(10).wrapping_add(u32::from(digit & 15)))
    })
}

/// A US social security number (SSA's rules for numbers that were never issued).
pub(super) fn ssn(bytes: &[u8], at: usize, context: &str) -> Option<usize> {
    let area = number(bytes, at, 3)?;
    let i = at.saturating_add(3);
    let (group_at, serial_at) = match byte(bytes, i) {
        separator @ (b'-' | b' ') if byte(bytes, i.saturating_add(3)) == separator => {
            (i.saturating_add(1), i.saturating_add(4))
        }
        b'0'..=b'9' if says_ssn(bytes, at, context) => (i, i.saturating_add(2)),
        _ => return None,
    };
    let (group, serial) = (number(bytes, group_at, 2)?, number(bytes, serial_at, 4)?);
    let end = serial_at.saturating_add(4);
    let issued = area != 0 && area != 666 && area < 900 && group != 0 && serial != 0;
    (issued && !digit_at(bytes, end)).then_some(end)
}

/// Whether the key, or the 32 bytes before, say that a number is a social security number.
fn says_ssn(bytes: &[u8], at: usize, context: &str) -> bool {
    const WORDS: [&[u8]; 4] = [b"ssn", b"social security", b"social_security", b"socialsecurity"];
    let before = bytes.get(at.saturating_sub(32)..at).unwrap_or_default();
    [before, context.as_bytes()].iter().any(|text| {
        WORDS.iter().any(|word| {
            text.windows(word.len())
                .any(|window| window.eq_ignore_ascii_case(word))
        })
    })
}

/// A payment card number.
pub(super) fn credit_card(bytes: &[u8], at: usize) -> Option<usize> {
    const MOST: usize = 19;
    // The first six digits tell the network; Luhn needs the parity of the length, so both sums are kept.
    let (mut count, mut prefix, mut i) = (0_usize, 0_u32, at);
    let (mut even, mut odd) = (0_u32, 0_u32);
    let mut end = None;
    while count < MOST {
        if count > 0 && matches!(byte(bytes, i), b' ' | b'-') && digit_at(bytes, i.saturating_add(1)) {
            i = i.saturating_add(1);
        }
        let digit = byte(bytes, i);
        if !digit.is_ascii_digit() {
            break;
        }
        let digit = u32::from(digit & 15);
        let doubled = digit.wrapping_mul(2);
        let doubled = if doubled > 9 {
            doubled.wrapping_sub(9)
        } else {
            doubled
        };
        // After this digit, `even` is the sum if it is the last digit; `odd` if one more follows.
        (even, odd) = (odd.wrapping_add(digit), even.wrapping_add(doubled));
        if count < 6 {
            prefix = prefix.wrapping_mul(10).wrapping_add(digit);
        }
        count = count.saturating_add(1);
        i = i.saturating_add(1);
        if even % 10 == 0 && !digit_at(bytes, i) && issued(prefix, count) {
            end = Some(i);
        }
    }
    end
}

/// Whether a card network uses this prefix of six digits with this length.
fn issued(prefix: u32, length: usize) -> bool {
    match prefix {
        400_000..=499_999 => matches!(length, 13 | 16 | 19),
        510_000..=559_999 | 222_100..=272_099 => length == 16,
        340_000..=349_999 | 370_000..=379_999 => length == 15,
        601_100..=601_199 | 622_126..=622_925 | 644_000..=659_999 => (16..=19).contains(&length),
        620_000..=629_999 | 810_000..=817_199 => (16..=19).contains(&length),
        352_800..=358_999 => (16..=19).contains(&length),
        300_000..=305_999 | 309_500..=309_599 | 360_000..=369_999 | 380_000..=399_999 => {
            (14..=19).contains(&length)
        }
        // Maestro, without the ranges that collide with everything.
        501_800..=501_899 | 502_000..=502_099 | 503_800..=503_899 | 589_300..=589_399 => {
            (13..=19).contains(&length)
        }
        630_400..=630_499 | 675_900..=676_399 => (13..=19).contains(&length),
        _ => false,
    }
}

/// Countries of the IBAN registry and their lengths.
const IBAN_LENGTHS: &[u8] = b"AD24AE23AL28AT20AZ28BA20BE16BG22BH22BI27BR29BY28CH21CR22CY28CZ24DE22DJ27DK18DO28EE20EG29ES24FI18FK18FO18FR27GB22GE22GI23GL18GR27GT28HN28HR21HU28IE22IL23IQ23IS26IT27JO30KW30KZ20LB28LC32LI21LT20LU20LV21LY25MC27MD24ME22MK19MN20MR27MT31MU30NI28NL18NO15OM23PK24PL28PS29PT25QA29RO24RS22RU33SA24SC31SD18SE24SI19SK24SM27SO23ST25SV28TL23TN24TR26UA29VA22VG24XK20YE30";

/// Whether a text that may go on could begin with a bank account number: a letter, another, and two digits.
pub(super) fn may_be_iban(rest: &[u8]) -> bool {
    let fits = |(at, byte): (usize, &u8)| {
        if at < 2 {
            byte.is_ascii_alphabetic()
        } else {
            byte.is_ascii_digit()
        }
    };
    rest.iter().take(4).enumerate().all(fits)
}

/// An international bank account number (ISO 13616).
pub(super) fn iban(bytes: &[u8], at: usize) -> Option<usize> {
    let country = [
        byte(bytes, at).to_ascii_uppercase(),
        byte(bytes, at.saturating_add(1)).to_ascii_uppercase(),
    ];
    number(bytes, at.saturating_add(2), 2)?;
    let (entries, _) = IBAN_LENGTHS.as_chunks::<4>();
    let entry = entries.iter().find(|entry| entry.starts_with(&country))?;
    let length = number(entry, 2, 2)?;
    // Remainder of the body, then of country and check digits behind it, each letter as two digits.
    let step = |remainder: u32, byte: u8| match byte {
        b'0'..=b'9' => Some(remainder.wrapping_mul(10).wrapping_add(u32::from(byte & 15)) % 97),
        b'a'..=b'z' | b'A'..=b'Z' => {
            let value = u32::from(byte.to_ascii_uppercase())
                .wrapping_sub(u32::from(b'A'))
                .wrapping_add(10);
            Some(remainder.wrapping_mul(100).wrapping_add(value) % 97)
        }
        _ => None,
    };
    let (mut remainder, mut i) = (0, at.saturating_add(4));
    for _ in 4..length {
        if byte(bytes, i) == b' ' {
            i = i.saturating_add(1);
        }
        remainder = step(remainder, byte(bytes, i))?;
        i = i.saturating_add(1);
    }
    for byte in bytes.get(at..at.saturating_add(4))? {
        remainder = step(remainder, *byte)?;
    }
    (remainder == 1 && !byte(bytes, i).is_ascii_alphanumeric()).then_some(i)
}

/// A byte of an e-mail address before its `@`.
pub(super) fn is_of_local_part(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte >= 0x80 || b".!#$%&'*+/=?^_`{|}~-".contains(&byte)
}

/// An e-mail address around an `@`: start and end.
pub(super) fn email(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    let local = |byte: &&u8| is_of_local_part(**byte);
    let before = bytes.get(at.saturating_sub(64)..at)?;
    let length = before.iter().rev().take_while(local).count();
    let behind = bytes.get(at.saturating_add(1)..)?;
    let domain = |byte: &&u8| is_of_domain(**byte);
    let reach = behind.iter().take(255).take_while(domain).count();
    let mut end = 0;
    let (mut labels, mut start) = (0_u32, 0_usize);
    while start < reach {
        let label = behind.get(start..reach)?.split(|byte| *byte == b'.').next()?;
        if label.is_empty() || label.first() == Some(&b'-') {
            break;
        }
        labels = labels.saturating_add(1);
        start = start.saturating_add(label.len());
        let letters = label
            .iter()
            .take_while(|byte| byte.is_ascii_alphabetic() || **byte >= 0x80)
            .count();
        if labels > 1 && (letters == label.len() && letters >= 2 || label.starts_with(b"xn--")) {
            end = start;
        }
        start = start.saturating_add(1);
    }
    (length > 0 && end > 0).then(|| {
        (
            at.saturating_sub(length),
            at.saturating_add(1).saturating_add(end),
        )
    })
}

/// A telephone number, international or North American.
pub(super) fn phone(bytes: &[u8], at: usize) -> Option<usize> {
    let next = at.saturating_add(1);
    match byte(bytes, at) {
        b'+' => international(bytes, next),
        b'(' if byte(bytes, at.saturating_add(4)) == b')' => {
            let i = at.saturating_add(5);
            let i = if matches!(byte(bytes, i), b' ' | b'-') {
                i.saturating_add(1)
            } else {
                i
            };
            north_american(bytes, next, i, |separator| {
                matches!(separator, b'-' | b' ' | b'.')
            })
        }
        b'0'..=b'9' => {
            let separator = byte(bytes, at.saturating_add(3));
            if !matches!(separator, b'-' | b'.' | b' ') {
                return None;
            }
            north_american(bytes, at, at.saturating_add(4), |other| other == separator)
        }
        _ => None,
    }
}

/// Area code and `ddd-dddd` from `exchange`, as the numbering plan assigns them.
fn north_american(
    bytes: &[u8],
    area: usize,
    exchange: usize,
    separates: impl Fn(u8) -> bool,
) -> Option<usize> {
    let line = exchange.saturating_add(4);
    let end = line.saturating_add(4);
    let assigned = number(bytes, area, 3)? >= 200 && number(bytes, exchange, 3)? >= 200;
    number(bytes, line, 4)?;
    (assigned && separates(byte(bytes, line.saturating_sub(1))) && !digit_at(bytes, end)).then_some(end)
}

/// 8 to 15 digits behind a `+` (ITU-T E.164), single separators and one pair of brackets between them.
fn international(bytes: &[u8], from: usize) -> Option<usize> {
    let (mut digits, mut end) = (0_u32, from);
    let mut separated = true;
    for i in from..from.saturating_add(32) {
        match byte(bytes, i) {
            b'1'..=b'9' => {}
            b'0' if digits > 0 => {}
            b'(' | b')' if digits > 0 => continue,
            b' ' | b'-' | b'.' | b'/' if digits > 0 && !separated => {
                separated = true;
                continue;
            }
            _ => break,
        }
        separated = false;
        digits = digits.saturating_add(1);
        end = i.saturating_add(1);
    }
    (8..=15).contains(&digits).then_some(end)
}

/// An IPv4 or IPv6 address.
pub(super) fn ip_address(bytes: &[u8], at: usize) -> Option<usize> {
    const LONGEST: usize = 45;
    // The middle of `1.2.3.4.5`, or of a longer run with colons, is no start.
    let before = if at == 0 {
        0
    } else {
        byte(bytes, at.saturating_sub(1))
    };
    if before == b'.' {
        return None;
    }
    let rest = bytes.get(at..)?;
    // Within five bytes there is a point or a colon, or it is none.
    if !rest.iter().take(5).any(|byte| matches!(byte, b'.' | b':')) {
        return None;
    }
    let run = |part: fn(&u8) -> bool| {
        let length = rest
            .iter()
            .take(LONGEST.saturating_add(1))
            .take_while(|byte| part(byte))
            .count();
        let text = rest.get(..length)?;
        // The end of a sentence is no part of it.
        let text = text
            .strip_suffix(b".")
            .or(text.strip_suffix(b":"))
            .unwrap_or(text);
        std::str::from_utf8(text).ok()
    };
    let four = run(|byte| byte.is_ascii_digit() || *byte == b'.')?;
    if four.parse::<Ipv4Addr>().is_ok() && !byte(rest, four.len()).is_ascii_alphabetic() {
        return at.checked_add(four.len());
    }
    if before.is_ascii_alphanumeric() || before == b':' {
        return None;
    }
    let six = run(|byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.'))?;
    let colons = six.bytes().filter(|byte| *byte == b':').count();
    (colons >= 3 && six.parse::<Ipv6Addr>().is_ok() && !byte(rest, six.len()).is_ascii_alphanumeric())
        .then(|| at.saturating_add(six.len()))
}
