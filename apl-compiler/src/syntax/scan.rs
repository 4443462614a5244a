//! Reading text without understanding it yet: quoted literals, separators outside brackets, calls.
//!
//! There is one literal reader, used everywhere, so that a quote means the same in predicates, arguments and stages.

use super::Slice;
use crate::diagnostics::{Code, Diagnostic, error};

/// What reading yields.
pub(crate) type Parsed<T> = Result<T, Box<Diagnostic>>;

/// Reads the literal that begins at byte `at` of `text`; yields its content and the offset behind its closing quote.
///
/// Quotes are `'` or `"`, the other one is content, and escapes are exactly `\\`, `\'` and `\"`.
pub(crate) fn literal(text: Slice<'_>, at: usize) -> Parsed<(String, usize)> {
    let rest = text.as_str().get(at..).unwrap_or("");
    let mut chars = rest.char_indices();
    let Some((_, quote)) = chars.next() else {
        return Err(error(Code::BadString, text.span(), "expected quoted text").into());
    };
    let mut value = String::new();
    while let Some((offset, ch)) = chars.next() {
        if ch == quote {
            return Ok((value, at + offset + ch.len_utf8()));
        }
        if ch != '\\' {
            value.push(ch);
            continue;
        }
        match chars.next() {
            Some((_, escaped @ ('\\' | '\'' | '"'))) => value.push(escaped),
            other => {
                let end = other.map_or(rest.len(), |(offset, ch)| offset + ch.len_utf8());
                let span = text.sub(at + offset, at + end).span();
                let what = text.sub(at + offset, at + end).as_str();
                return Err(error(Code::BadString, span, format!("`{what}` is no escape"))
                    .help("the escapes are `\\\\`, `\\'` and `\\\"`; write a backslash as `\\\\`, and twice that in a double-quoted YAML string")
                    .into());
            }
        }
    }
    Err(error(
        Code::BadString,
        text.from(at).span(),
        "this quoted text does not end",
    )
    .help("close it with the same quote; an apostrophe in text belongs into double quotes")
    .into())
}

/// Byte offsets of characters that stand outside quotes, parentheses, brackets and braces, for which `wanted` holds.
fn outside(text: Slice<'_>, wanted: impl Fn(char) -> bool) -> Parsed<Vec<usize>> {
    let source = text.as_str();
    let mut found = Vec::new();
    let mut open: Vec<(char, usize)> = Vec::new();
    let mut at = 0;
    while let Some(ch) = source.get(at..).and_then(|rest| rest.chars().next()) {
        if matches!(ch, '\'' | '"') {
            at = literal(text, at)?.1;
            continue;
        }
        let next = at + ch.len_utf8();
        match ch {
            '(' | '[' | '{' => open.push((ch, at)),
            ')' | ']' | '}' => {
                let matches = open
                    .pop()
                    .is_some_and(|(opened, _)| matches!((opened, ch), ('(', ')') | ('[', ']') | ('{', '}')));
                if !matches {
                    let message = format!("`{ch}` closes nothing");
                    return Err(error(Code::MalformedCall, text.sub(at, next).span(), message)
                        .help("put text that holds brackets in quotes")
                        .into());
                }
            }
            _ if open.is_empty() && wanted(ch) => found.push(at),
            _ => {}
        }
        at = next;
    }
    if let Some((ch, at)) = open.pop() {
        let message = format!("`{ch}` is not closed");
        return Err(error(Code::MalformedCall, text.sub(at, at + 1).span(), message).into());
    }
    Ok(found)
}

/// Splits at a separator outside quotes and brackets; the pieces are trimmed.
pub(crate) fn split(text: Slice<'_>, separator: char) -> Parsed<Vec<Slice<'_>>> {
    let mut pieces = Vec::new();
    let mut from = 0;
    for at in outside(text, |ch| ch == separator)? {
        pieces.push(text.sub(from, at).trim());
        from = at + separator.len_utf8();
    }
    pieces.push(text.from(from).trim());
    Ok(pieces)
}

/// The last colon outside quotes and brackets.
pub(crate) fn last_colon(text: Slice<'_>) -> Parsed<Option<usize>> {
    Ok(outside(text, |ch| ch == ':')?.last().copied())
}

/// If the text begins with a name directly followed by `(`: the name, and the text between the parentheses, of which the
/// closing one must be the end.
pub(crate) fn call(text: Slice<'_>) -> Option<(&str, Parsed<Slice<'_>>)> {
    let source = text.as_str();
    let open = source.find('(')?;
    let name = source.get(..open)?;
    let is_word = |ch: char| ch.is_ascii_alphanumeric() || matches!(ch, '_' | '.');
    if name.is_empty() || !name.chars().all(is_word) {
        return None;
    }
    Some((name, arguments(text, open)))
}

fn arguments(text: Slice<'_>, open: usize) -> Parsed<Slice<'_>> {
    let source = text.as_str();
    let mut depth = 0_u32;
    let mut at = open;
    while let Some(ch) = source.get(at..).and_then(|rest| rest.chars().next()) {
        match ch {
            '\'' | '"' => {
                at = literal(text, at)?.1;
                continue;
            }
            '(' => depth += 1,
            ')' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    let rest = text.from(at + 1).trim();
                    if !rest.is_empty() {
                        let message = format!("`{}` follows the closing parenthesis", rest.as_str());
                        return Err(error(Code::MalformedCall, rest.span(), message)
                            .help("a call is a whole step; put what follows into a step of its own")
                            .into());
                    }
                    return Ok(text.sub(open + 1, at));
                }
            }
            _ => {}
        }
        at += ch.len_utf8();
    }
    Err(error(
        Code::MalformedCall,
        text.sub(open, open + 1).span(),
        "this parenthesis is not closed",
    )
    .into())
}

/// An argument that may be quoted: a literal that is the whole argument, or the bare text.
pub(crate) fn maybe_quoted(text: Slice<'_>) -> Parsed<String> {
    let text = text.trim();
    if !text.as_str().starts_with(['\'', '"']) {
        return Ok(text.as_str().to_owned());
    }
    let (value, end) = literal(text, 0)?;
    let rest = text.from(end);
    if rest.is_empty() {
        Ok(value)
    } else {
        let message = format!("`{}` follows the closing quote", rest.as_str());
        Err(error(Code::BadArgument, rest.span(), message).into())
    }
}

/// An argument that must be quoted.
pub(crate) fn quoted(text: Slice<'_>, what: &str) -> Parsed<String> {
    let text = text.trim();
    if text.as_str().starts_with(['\'', '"']) {
        return maybe_quoted(text);
    }
    let message = if text.is_empty() {
        format!("the {what} is empty")
    } else {
        format!("the {what} must be in quotes")
    };
    Err(error(Code::BadArgument, text.span(), message)
        .help("deny('reason', 'code')")
        .into())
}
