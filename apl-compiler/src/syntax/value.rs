//! Values of `key: value` arguments.

use super::Slice;
use super::scan::{Parsed, literal, split};
use crate::diagnostics::{Code, error};
use crate::source::Span;

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Argument {
    /// Quoted or bare text.
    Text(String),
    /// Anything else that is no list: numbers, booleans, with their spelling.
    Other(String),
    /// `[a, b]`.
    List(Vec<Argument>),
}

/// One `key: value`.
#[derive(Debug, Clone)]
pub(crate) struct Keyword {
    pub key: String,
    pub key_span: Span,
    pub value: Argument,
    pub value_span: Span,
}

/// Reads `key: value` pieces; blank ones are skipped.
pub(crate) fn keywords(pieces: &[Slice<'_>]) -> Parsed<Vec<Keyword>> {
    let mut list: Vec<Keyword> = Vec::new();
    for piece in pieces.iter().filter(|piece| !piece.is_empty()) {
        let Some(colon) = piece.as_str().find(':') else {
            let message = format!("`{}` is no `key: value`", piece.as_str());
            return Err(error(Code::Keyword, piece.span(), message)
                .help("arguments after the name are written `key: value`")
                .into());
        };
        let (key, value) = (piece.sub(0, colon).trim(), piece.from(colon + 1).trim());
        if key.is_empty() {
            return Err(error(Code::Keyword, piece.span(), "the key before the colon is missing").into());
        }
        if value.is_empty() {
            return Err(error(
                Code::Keyword,
                piece.span(),
                format!("`{}` has no value", key.as_str()),
            )
            .into());
        }
        if list.iter().any(|known| known.key == key.as_str()) {
            return Err(error(
                Code::Keyword,
                key.span(),
                format!("`{}` stands twice", key.as_str()),
            )
            .into());
        }
        let argument = value_of(value, 0)?;
        list.push(Keyword {
            key: key.as_str().to_owned(),
            key_span: key.span(),
            value: argument,
            value_span: value.span(),
        });
    }
    Ok(list)
}

fn value_of(text: Slice<'_>, depth: u32) -> Parsed<Argument> {
    let source = text.as_str();
    if source.starts_with('[') && source.ends_with(']') && depth < 8 {
        let inner = text.sub(1, source.len() - 1);
        let items = split(inner, ',')?;
        let items = items
            .into_iter()
            .filter(|item| !item.is_empty())
            .map(|item| value_of(item, depth + 1));
        return items.collect::<Parsed<_>>().map(Argument::List);
    }
    if source.starts_with(['\'', '"']) {
        let (value, end) = literal(text, 0)?;
        if end == source.len() {
            return Ok(Argument::Text(value));
        }
        let rest = text.from(end);
        return Err(error(
            Code::Keyword,
            rest.span(),
            format!("`{}` follows the closing quote", rest.as_str().trim()),
        )
        .into());
    }
    let other = matches!(source, "true" | "false") || source.parse::<f64>().is_ok();
    Ok(if other {
        Argument::Other(source.to_owned())
    } else {
        Argument::Text(source.to_owned())
    })
}
