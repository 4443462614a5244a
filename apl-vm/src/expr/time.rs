//! Moments and stretches of time (cel-spec, "Timestamps" and "Durations"). All moments are in UTC; there is no table of time
//! zones here.

use apl_bytecode::{Arith, Call};

use crate::value::Value;

const SECOND: i128 = 1_000_000_000;
const DAY_S: i128 = 86_400;
/// 0001-01-01T00:00:00Z and the last nanosecond of 9999, in seconds.
const FIRST_S: i128 = -62_135_596_800;
const LAST_S: i128 = 253_402_300_799;
/// 10,000 years, as protobuf bounds durations.
const LONGEST_S: i128 = 315_576_000_000;

pub(super) fn moment<'a>(nanos: i128) -> Value<'a> {
    if (FIRST_S..=LAST_S).contains(&nanos.div_euclid(SECOND)) {
        Value::Time(nanos)
    } else {
        Value::Error
    }
}

fn stretch<'a>(nanos: i128) -> Value<'a> {
    if nanos.unsigned_abs() <= LONGEST_S.saturating_mul(SECOND).unsigned_abs() {
        Value::Span(nanos)
    } else {
        Value::Error
    }
}

/// `+` and `-`.
pub(super) fn arith<'a>(op: Arith, a: &Value<'_>, b: &Value<'_>) -> Value<'a> {
    match (op, a, b) {
        (Arith::Add, Value::Time(at), Value::Span(by)) | (Arith::Add, Value::Span(by), Value::Time(at)) => {
            moment(at.saturating_add(*by))
        }
        (Arith::Sub, Value::Time(at), Value::Span(by)) => moment(at.saturating_sub(*by)),
        (Arith::Sub, Value::Time(a), Value::Time(b)) => stretch(a.saturating_sub(*b)),
        (Arith::Add, Value::Span(a), Value::Span(b)) => stretch(a.saturating_add(*b)),
        (Arith::Sub, Value::Span(a), Value::Span(b)) => stretch(a.saturating_sub(*b)),
        _ => Value::Error,
    }
}

/// Conversions and parts.
pub(super) fn call<'a>(function: Call, value: &Value<'a>) -> Value<'a> {
    match (function, value) {
        (Call::Timestamp, Value::Time(at)) => Value::Time(*at),
        (Call::Timestamp, Value::Int(seconds)) => moment(i128::from(*seconds).saturating_mul(SECOND)),
        (Call::Timestamp, Value::Str(text)) => parse_moment(text).map_or(Value::Error, moment),
        (Call::Duration, Value::Span(length)) => Value::Span(*length),
        (Call::Duration, Value::Int(seconds)) => stretch(i128::from(*seconds).saturating_mul(SECOND)),
        (Call::Duration, Value::Str(text)) => parse_stretch(text).map_or(Value::Error, stretch),
        (function, Value::Time(at)) => part_of_moment(function, *at),
        (function, Value::Span(length)) => part_of_stretch(function, *length),
        _ => Value::Error,
    }
}

fn int<'a>(value: i128) -> Value<'a> {
    i64::try_from(value).map_or(Value::Error, Value::Int)
}

fn part_of_moment<'a>(function: Call, at: i128) -> Value<'a> {
    let seconds = at.div_euclid(SECOND);
    let day = seconds.div_euclid(DAY_S);
    let within = seconds.rem_euclid(DAY_S);
    let (year, month, of_month) = date(day);
    int(match function {
        Call::GetFullYear => year,
        Call::GetMonth => month.saturating_sub(1),
        Call::GetDate => of_month,
        Call::GetDayOfMonth => of_month.saturating_sub(1),
        // 1 January 1970 was a Thursday.
        Call::GetDayOfWeek => day.saturating_add(4).rem_euclid(7),
        Call::GetDayOfYear => day.saturating_sub(days(year, 1, 1)),
        Call::GetHours => within.div_euclid(3_600),
        Call::GetMinutes => within.div_euclid(60).rem_euclid(60),
        Call::GetSeconds => within.rem_euclid(60),
        Call::GetMilliseconds => at.rem_euclid(SECOND).div_euclid(1_000_000),
        _ => return Value::Error,
    })
}

/// Of a stretch the whole of it in that unit, and of milliseconds the part below a second.
fn part_of_stretch<'a>(function: Call, length: i128) -> Value<'a> {
    let seconds = length.checked_div(SECOND).unwrap_or(0);
    let quotient = |by: i128| seconds.checked_div(by).unwrap_or(0);
    int(match function {
        Call::GetHours => quotient(3_600),
        Call::GetMinutes => quotient(60),
        Call::GetSeconds => seconds,
        Call::GetMilliseconds => {
            let below = length.saturating_sub(seconds.saturating_mul(SECOND));
            below.checked_div(1_000_000).unwrap_or(0)
        }
        _ => return Value::Error,
    })
}

/// Days since 1970-01-01 of a date in the proleptic Gregorian calendar (Howard Hinnant, "chrono-compatible low-level date
/// algorithms").
fn days(year: i128, month: i128, day: i128) -> i128 {
    let year = if month <= 2 { year.saturating_sub(1) } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let shifted = month.saturating_add(9).rem_euclid(12);
    let of_year = shifted
        .saturating_mul(153)
        .saturating_add(2)
        .div_euclid(5)
        .saturating_add(day)
        .saturating_sub(1);
    let of_era_days = of_era
        .saturating_mul(365)
        .saturating_add(of_era.div_euclid(4))
        .saturating_sub(of_era.div_euclid(100))
        .saturating_add(of_year);
    era.saturating_mul(146_097)
        .saturating_add(of_era_days)
        .saturating_sub(719_468)
}

/// The inverse: year, month from 1, day from 1.
fn date(day: i128) -> (i128, i128, i128) {
    let day = day.saturating_add(719_468);
    let era = day.div_euclid(146_097);
    let of_era = day.rem_euclid(146_097);
    let year_of_era = of_era
        .saturating_sub(of_era.div_euclid(1_460))
        .saturating_add(of_era.div_euclid(36_524))
        .saturating_sub(of_era.div_euclid(146_096))
        .div_euclid(365);
    let before = year_of_era
        .saturating_mul(365)
        .saturating_add(year_of_era.div_euclid(4))
        .saturating_sub(year_of_era.div_euclid(100));
    let of_year = of_era.saturating_sub(before);
    let shifted = of_year.saturating_mul(5).saturating_add(2).div_euclid(153);
    let of_month = of_year
        .saturating_sub(shifted.saturating_mul(153).saturating_add(2).div_euclid(5))
        .saturating_add(1);
    let month = if shifted < 10 {
        shifted.saturating_add(3)
    } else {
        shifted.saturating_sub(9)
    };
    let year = era.saturating_mul(400).saturating_add(year_of_era);
    (
        if month <= 2 { year.saturating_add(1) } else { year },
        month,
        of_month,
    )
}

/// RFC 3339, a fraction of at most nine digits.
/// A moment as RFC 3339 writes it, in whole seconds of the Unix epoch; `None`: it is none.
#[must_use]
pub fn rfc3339_seconds(text: &str) -> Option<i64> {
    i64::try_from(parse_moment(text)?.div_euclid(SECOND)).ok()
}

fn parse_moment(text: &str) -> Option<i128> {
    let number = |range: std::ops::Range<usize>| -> Option<i128> {
        let digits = text.get(range)?;
        digits
            .bytes()
            .all(|byte| byte.is_ascii_digit())
            .then(|| digits.parse().ok())?
    };
    let mark = |at: usize, marks: &str| {
        text.get(at..at.saturating_add(1))
            .filter(|mark| marks.contains(*mark))
    };
    mark(4, "-")?;
    mark(7, "-")?;
    mark(10, "Tt")?;
    mark(13, ":")?;
    mark(16, ":")?;
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    let at = days(year, month, day);
    // A date that is none (30 February) does not come back as it went.
    if date(at) != (year, month, day) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let mut rest = text.get(19..)?;
    let mut nanos = 0;
    if let Some(fraction) = rest.strip_prefix('.') {
        let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
        let shown = fraction
            .get(..digits)
            .filter(|shown| !shown.is_empty() && shown.len() <= 9)?;
        nanos = format!("{shown:0<9}").parse().ok()?;
        rest = fraction.get(digits..)?;
    }
    let offset = match rest {
        "Z" | "z" => 0,
        _ => {
            let sign = match rest.get(..1)? {
                "+" => 1_i128,
                "-" => -1,
                _ => return None,
            };
            let (hours, minutes) = rest.get(1..)?.split_once(':')?;
            if hours.len() != 2 || minutes.len() != 2 {
                return None;
            }
            let (hours, minutes): (u8, u8) = (hours.parse().ok()?, minutes.parse().ok()?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            let seconds = i128::from(hours)
                .saturating_mul(3_600)
                .saturating_add(i128::from(minutes).saturating_mul(60));
            sign.saturating_mul(seconds)
        }
    };
    let seconds = at
        .saturating_mul(DAY_S)
        .saturating_add(hour.saturating_mul(3_600))
        .saturating_add(minute.saturating_mul(60))
        .saturating_add(second)
        .saturating_sub(offset);
    Some(seconds.saturating_mul(SECOND).saturating_add(nanos))
}

/// Go's notation: `1h30m`, `-1.5s`, `250ms`.
fn parse_stretch(text: &str) -> Option<i128> {
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1_i128, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total = 0_i128;
    while !rest.is_empty() {
        let digits = rest
            .bytes()
            .take_while(|byte| byte.is_ascii_digit() || *byte == b'.')
            .count();
        let number = rest.get(..digits)?;
        rest = rest.get(digits..)?;
        let (unit, length) = [
            ("ns", 1_i128),
            ("us", 1_000),
            ("\u{b5}s", 1_000),
            ("ms", 1_000_000),
            ("s", SECOND),
            ("m", 60_000_000_000),
            ("h", 3_600_000_000_000),
        ]
        .into_iter()
        .find(|(unit, _)| rest.starts_with(unit))?;
        rest = rest.get(unit.len()..)?;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() && fraction.is_empty() || fraction.contains('.') || number.len() > 30 {
            return None;
        }
        let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
        total = total.checked_add(whole.checked_mul(length)?)?;
        if !fraction.is_empty() {
            let shown = fraction.get(..fraction.len().min(15))?;
            let scale = 10_i128.checked_pow(u32::try_from(shown.len()).ok()?)?;
            total = total.checked_add(
                shown
                    .parse::<i128>()
                    .ok()?
                    .checked_mul(length)?
                    .checked_div(scale)?,
            )?;
        }
    }
    sign.checked_mul(total)
}

/// RFC 3339, with as many digits of a fraction as there are.
pub(crate) fn spell_moment(at: i128) -> String {
    let seconds = at.div_euclid(SECOND);
    let (year, month, day) = date(seconds.div_euclid(DAY_S));
    let within = seconds.rem_euclid(DAY_S);
    let (hour, minute, second) = (
        within.div_euclid(3_600),
        within.div_euclid(60).rem_euclid(60),
        within.rem_euclid(60),
    );
    let fraction = spell_fraction(at.rem_euclid(SECOND));
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}Z")
}

/// Seconds, as protobuf's JSON spells them.
pub(crate) fn spell_stretch(length: i128) -> String {
    let sign = if length < 0 { "-" } else { "" };
    let length = length.saturating_abs();
    let fraction = spell_fraction(length.rem_euclid(SECOND));
    format!("{sign}{}{fraction}s", length.div_euclid(SECOND))
}

fn spell_fraction(nanos: i128) -> String {
    if nanos == 0 {
        return String::new();
    }
    let digits = format!("{nanos:09}");
    format!(".{}", digits.trim_end_matches('0'))
}

/// Whole seconds since the epoch.
pub(super) const fn seconds(at: i128) -> i128 {
    at.div_euclid(SECOND)
}
