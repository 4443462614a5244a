//! Attribute paths.

use super::Slice;
use super::ast::{Path, PathSeg};
use super::scan::{Parsed, literal};
use crate::diagnostics::{Code, error};

/// Deepest nesting of subscripts: what stands in one has none itself, as in both engines before us.
const MAX_SUBSCRIPTS: u32 = 1;

/// Whether a character can begin a name.
pub(crate) const fn starts_name(ch: char) -> bool {
    ch.is_ascii_alphabetic() || ch == '_'
}

/// Whether a character can go on with a name.
pub(crate) const fn goes_on(ch: char) -> bool {
    ch.is_ascii_alphanumeric() || ch == '_'
}

/// Reads the path that begins at byte `at`; yields it and the offset behind it.
pub(crate) fn read(text: Slice<'_>, at: usize) -> Parsed<(Path, usize)> {
    nested(text, at, 0)
}

/// Reads a path that is the whole text.
pub(crate) fn whole(text: Slice<'_>) -> Parsed<Path> {
    let text = text.trim();
    let (path, end) = read(text, 0)?;
    let rest = text.from(end);
    if rest.is_empty() {
        Ok(path)
    } else {
        let message = format!("`{}` follows the attribute", rest.as_str());
        Err(crate::diagnostics::error(crate::diagnostics::Code::BadPath, rest.span(), message).into())
    }
}

fn nested(text: Slice<'_>, start: usize, depth: u32) -> Parsed<(Path, usize)> {
    let source = text.as_str();
    let peek = |at: usize| source.get(at..).and_then(|rest| rest.chars().next());
    let (name, mut at) = name(text, start)?;
    let mut segs = vec![PathSeg::Name(name)];
    loop {
        match peek(at) {
            Some('.') => {
                let (name, end) = name_after_dot(text, start, at)?;
                segs.push(PathSeg::Name(name));
                at = end;
            }
            Some('[') => {
                if depth >= MAX_SUBSCRIPTS {
                    return Err(error(
                        Code::BadPath,
                        text.sub(start, at + 1).span(),
                        "a subscript cannot hold another one",
                    )
                    .into());
                }
                let (seg, end) = subscript(text, at, depth)?;
                segs.push(seg);
                at = end;
            }
            _ => break,
        }
    }
    Ok((
        Path {
            segs,
            span: text.sub(start, at).span(),
        },
        at,
    ))
}

fn name(text: Slice<'_>, start: usize) -> Parsed<(String, usize)> {
    let rest = text.as_str().get(start..).unwrap_or("");
    if !rest.starts_with(starts_name) {
        let end = start + rest.chars().next().map_or(0, char::len_utf8);
        return Err(error(
            Code::BadPath,
            text.sub(start, end).span(),
            "expected the name of an attribute",
        )
        .into());
    }
    let length = rest.find(|ch: char| !goes_on(ch)).unwrap_or(rest.len());
    Ok((rest.get(..length).unwrap_or("").to_owned(), start + length))
}

fn name_after_dot(text: Slice<'_>, start: usize, dot: usize) -> Parsed<(String, usize)> {
    name(text, dot + 1).map_err(|_| {
        let path = text.sub(start, dot + 1);
        error(
            Code::BadPath,
            text.sub(dot, dot + 1).span(),
            format!("a name must follow the dot in `{}`", path.as_str()),
        )
        .help("keys that are no names go into a quoted subscript: `perm[\"repo:read\"]`")
        .into()
    })
}

fn subscript(text: Slice<'_>, open: usize, depth: u32) -> Parsed<(PathSeg, usize)> {
    let source = text.as_str();
    let skip = |at: usize| {
        let rest = source.get(at..).unwrap_or("");
        at + rest.len() - rest.trim_start().len()
    };
    let at = skip(open + 1);
    let (seg, end) = match source.get(at..).and_then(|rest| rest.chars().next()) {
        Some('\'' | '"') => {
            let (key, end) = literal(text, at)?;
            (PathSeg::Name(key), end)
        }
        Some(ch) if starts_name(ch) => {
            let (path, end) = nested(text, at, depth + 1)?;
            (PathSeg::Value(path), end)
        }
        _ => {
            return Err(error(Code::BadPath, text.sub(open, at + 1).span(), "a subscript holds an attribute path or quoted text")
                .help("`data.bans[subject.id]` takes the key from another attribute, `perm[\"repo:read\"]` names it")
                .into());
        }
    };
    let close = skip(end);
    if source.get(close..).is_some_and(|rest| rest.starts_with(']')) {
        return Ok((seg, close + 1));
    }
    Err(error(
        Code::BadPath,
        text.sub(open, close).span(),
        "this subscript is not closed",
    )
    .help("a subscript holds one attribute path or one quoted text")
    .into())
}
