//! Writing JSON text: replies and re-encoded text blocks.

/// Appends `text` as a JSON string.
pub(crate) fn push_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    for byte in text.bytes() {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x00..=0x1f => {
                out.extend_from_slice(b"\\u00");
                out.extend_from_slice(&hex_digits(byte));
            }
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}

/// Lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().saturating_mul(2));
    for byte in bytes {
        for digit in hex_digits(*byte) {
            out.push(char::from(digit));
        }
    }
    out
}

const fn hex_digits(byte: u8) -> [u8; 2] {
    const fn digit(nibble: u8) -> u8 {
        // A nibble is at most 15, so neither sum leaves ASCII.
        if nibble < 10 {
            b'0'.wrapping_add(nibble)
        } else {
            b'a'.wrapping_sub(10).wrapping_add(nibble)
        }
    }
    [digit(byte >> 4), digit(byte & 15)]
}

/// RFC 3339 in UTC of a second of the Unix epoch.
pub(crate) fn rfc3339(second: u64) -> String {
    // Civil-from-days over the proleptic Gregorian calendar; the year is bounded so that no step can overflow.
    let second = second.min(253_402_300_799);
    let days = second.checked_div(86_400).unwrap_or(0);
    let rest = second.checked_rem(86_400).unwrap_or(0);
    let (hour, minute, sec) = (rest / 3600, rest / 60 % 60, rest % 60);
    let shifted = days.saturating_add(719_468);
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era = (day_of_era
        .saturating_sub(day_of_era / 1460)
        .saturating_add(day_of_era / 36_524)
        .saturating_sub(day_of_era / 146_096))
        / 365;
    let day_of_year = day_of_era.saturating_sub(
        year_of_era
            .saturating_mul(365)
            .saturating_add(year_of_era / 4)
            .saturating_sub(year_of_era / 100),
    );
    let month_index = day_of_year.saturating_mul(5).saturating_add(2) / 153;
    let day = day_of_year
        .saturating_sub(month_index.saturating_mul(153).saturating_add(2) / 5)
        .saturating_add(1);
    let (month, carry) = if month_index < 10 {
        (month_index.saturating_add(3), 0)
    } else {
        (month_index.saturating_sub(9), 1)
    };
    let year = era
        .saturating_mul(400)
        .saturating_add(year_of_era)
        .saturating_add(carry);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{sec:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_strings_that_a_parser_reads_back() {
        for text in ["", "a\"b\\c", "\u{0}\u{1f}\n\r\t", "ß€😀"] {
            let mut json = Vec::new();
            push_string(&mut json, text);
            assert_eq!(
                serde_json::from_slice::<String>(&json).ok().as_deref(),
                Some(text)
            );
        }
    }

    #[test]
    fn writes_dates() {
        for (second, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_767_225_600, "2026-01-01T00:00:00Z"),
            (u64::MAX, "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(rfc3339(second), text);
        }
    }
}
