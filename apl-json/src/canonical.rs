//! The JSON Canonicalization Scheme (RFC 8785): one text for all spellings of a value, to take digests of.
//!
//! Members are ordered by the UTF-16 code units of their keys (section 3.2.3), strings have only the escapes that are
//! needed (3.2.2.2), numbers are written as ECMAScript does (3.2.2.3), and there is no white space.

use apl_bytecode::sort_by;
use std::fmt::Write as _;

use super::{
    node::{Kind, Node},
    text,
};

/// Containers in containers, at most: the writer recurses. More than [`Limits::max_depth`](super::Limits) allows by
/// default, and little enough for the stack of a filter.
const MAX_DEPTH: u16 = 128;

/// How numbers are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Numbers {
    /// As RFC 8785 demands: the shortest text of the nearest double. `1`, `1.0` and `1e0` are one number, and so are
    /// two integers beyond 2^53 that no double tells apart. For digests that others compute too.
    Rfc8785,
    /// As they were sent. For digests that only we compute and that must not be the same for two values that some
    /// receiver could tell apart.
    AsSent,
}

/// Why a value has no canonical form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotCanonical {
    /// A number that no double can hold, such as `1e999`.
    #[error("a number is too large for a double")]
    Number,
    /// Deeper than 128 levels.
    #[error("nested more than 128 levels deep")]
    Depth,
}

/// Appends the canonical text of a value.
///
/// # Errors
///
/// [`NotCanonical`]; `out` then ends somewhere inside the text and is of no use.
pub fn canonical(node: Node<'_>, numbers: Numbers, out: &mut Vec<u8>) -> Result<(), NotCanonical> {
    write(node, numbers, 0, out)
}

/// Appends the canonical text of an object as if it had only the members of these names. Absent ones are left out, and
/// what is no object counts as an empty one.
///
/// # Errors
///
/// As [`canonical`].
pub fn canonical_members(
    node: Node<'_>,
    names: &[&str],
    numbers: Numbers,
    out: &mut Vec<u8>,
) -> Result<(), NotCanonical> {
    object(node, |key| names.contains(&key), numbers, 1, out)
}

fn write(node: Node<'_>, numbers: Numbers, depth: u16, out: &mut Vec<u8>) -> Result<(), NotCanonical> {
    let inner = depth.saturating_add(1);
    match node.kind() {
        Kind::Null | Kind::Bool => out.extend_from_slice(node.raw()),
        Kind::Number => match numbers {
            Numbers::AsSent => out.extend_from_slice(node.raw()),
            Numbers::Rfc8785 => {
                let value = node
                    .number()
                    .and_then(|number| number.as_f64())
                    .ok_or(NotCanonical::Number)?;
                number(value, out);
            }
        },
        Kind::String => text::quote(&node.as_str().unwrap_or_default(), out),
        Kind::Array => {
            if inner > MAX_DEPTH {
                return Err(NotCanonical::Depth);
            }
            out.push(b'[');
            for (at, item) in node.elements().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                write(item, numbers, inner, out)?;
            }
            out.push(b']');
        }
        Kind::Object => object(node, |_| true, numbers, inner, out)?,
    }
    Ok(())
}

fn object(
    node: Node<'_>,
    keep: impl Fn(&str) -> bool,
    numbers: Numbers,
    depth: u16,
    out: &mut Vec<u8>,
) -> Result<(), NotCanonical> {
    if depth > MAX_DEPTH {
        return Err(NotCanonical::Depth);
    }
    let mut members: Vec<_> = node.members().filter(|(key, _)| keep(key)).collect();
    sort_by(&mut members, |(a, _), (b, _)| {
        a.encode_utf16().cmp(b.encode_utf16())
    });
    out.push(b'{');
    for (at, (key, value)) in members.into_iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        text::quote(&key, out);
        out.push(b':');
        write(value, numbers, depth, out)?;
    }
    out.push(b'}');
    Ok(())
}

/// ECMAScript's `Number::toString` in base 10 of a finite double.
fn number(value: f64, out: &mut Vec<u8>) {
    if value == 0.0 {
        // Minus zero too.
        out.push(b'0');
        return;
    }
    if value < 0.0 {
        out.push(b'-');
    }
    let (digits, exponent) = shortest(value.abs());
    match exponent {
        0..=20 => {
            let point = usize::try_from(exponent).unwrap_or(0).saturating_add(1);
            let whole = digits.get(..point).unwrap_or(&digits);
            out.extend_from_slice(whole);
            out.extend(std::iter::repeat_n(b'0', point.saturating_sub(digits.len())));
            fraction(digits.get(point..).unwrap_or_default(), out);
        }
        -6..=-1 => {
            let zeros = usize::try_from(exponent.unsigned_abs())
                .unwrap_or(1)
                .saturating_sub(1);
            out.extend_from_slice(b"0.");
            out.extend(std::iter::repeat_n(b'0', zeros));
            out.extend_from_slice(&digits);
        }
        _ => {
            out.extend(digits.first());
            fraction(digits.get(1..).unwrap_or_default(), out);
            out.extend_from_slice(if exponent < 0 { b"e-" } else { b"e+" });
            out.extend_from_slice(exponent.unsigned_abs().to_string().as_bytes());
        }
    }
}

/// The fewest digits that read back as this double, and the exponent of the first of them. Where two such texts are equally
/// near, the even one counts (ECMA-262, `Number::toString`, note 2); Rust promises only the fewest.
///
/// Two are equally near only where the double has more digits behind the point than the shortest text: an integer that is
/// half a decimal unit away from both would need a factor of two more than its neighbours leave it.
fn shortest(value: f64) -> (Vec<u8>, i32) {
    let mut text = String::new();
    let _ = write!(text, "{value}");
    if let Some((_, behind)) = text.split_once('.') {
        let mut nearest = String::new();
        let _ = write!(nearest, "{value:.*}", behind.len());
        // Beside a power of two the nearest text of this length may read back as the next double.
        if nearest.parse() == Ok(value) {
            text = nearest;
        }
    }
    let (whole, behind) = text.split_once('.').unwrap_or((&text, ""));
    let all: Vec<u8> = whole.bytes().chain(behind.bytes()).collect();
    let zeros = all.iter().take_while(|digit| **digit == b'0').count();
    let length = all
        .len()
        .saturating_sub(all.iter().rev().take_while(|digit| **digit == b'0').count());
    let digits = all.get(zeros..length).unwrap_or_default().to_vec();
    let count = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
    let exponent = count(whole.len()).saturating_sub(count(zeros)).saturating_sub(1);
    (digits, exponent)
}

fn fraction(digits: &[u8], out: &mut Vec<u8>) {
    if !digits.is_empty() {
        out.push(b'.');
        out.extend_from_slice(digits);
    }
}
