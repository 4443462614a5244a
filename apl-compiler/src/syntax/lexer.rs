//! Tokens of predicates.

use apl_bytecode::CmpOp;

use super::ast::{Literal, Path, PathSeg};
use super::scan::{Parsed, literal};
use super::{Slice, path};
use crate::diagnostics::{Code, error};
use crate::source::Span;

/// A token and where it is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Token {
    pub kind: TokenKind,
    pub span: Span,
}

/// What a token is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum TokenKind {
    Path(Path),
    Literal(Literal),
    Compare(CmpOp),
    Open,
    Close,
    Comma,
    And,
    Or,
    Not,
    /// `contains`
    Contains,
    /// `in`
    In,
    /// `not`, only in `not in`
    NotWord,
    /// `exists`
    Exists,
    /// `require`
    Require,
}

/// Splits a predicate into tokens.
pub(crate) fn tokens(text: Slice<'_>) -> Parsed<Vec<Token>> {
    let source = text.as_str();
    let mut list = Vec::new();
    let mut at = 0;
    while let Some(ch) = source.get(at..).and_then(|rest| rest.chars().next()) {
        if ch.is_ascii_whitespace() {
            at += 1;
            continue;
        }
        let (kind, end) = match ch {
            '\'' | '"' => {
                let (value, end) = literal(text, at)?;
                (TokenKind::Literal(Literal::Str(value)), end)
            }
            '0'..='9' | '-' => number(text, at)?,
            _ if path::starts_name(ch) => word(text, at)?,
            _ => symbol(text, at, ch)?,
        };
        list.push(Token {
            kind,
            span: text.sub(at, end).span(),
        });
        at = end;
    }
    Ok(list)
}

fn symbol(text: Slice<'_>, at: usize, ch: char) -> Parsed<(TokenKind, usize)> {
    let rest = text.as_str().get(at..).unwrap_or("");
    let refuse = |length: usize, message: &str, help: &str| {
        Err(error(Code::BadToken, text.sub(at, at + length).span(), message)
            .help(help)
            .into())
    };
    if rest.starts_with("&&") {
        return refuse(2, "`&&` is no operator here", "write `&`; `&&` belongs to CEL");
    }
    if rest.starts_with("||") {
        return refuse(2, "`||` is no operator here", "write `|`; `||` belongs to CEL");
    }
    let two = [
        ("==", CmpOp::Eq),
        ("!=", CmpOp::Ne),
        (">=", CmpOp::Ge),
        ("<=", CmpOp::Le),
    ];
    if let Some((word, op)) = two.into_iter().find(|(word, _)| rest.starts_with(word)) {
        return Ok((TokenKind::Compare(op), at + word.len()));
    }
    let kind = match ch {
        '(' => TokenKind::Open,
        ')' => TokenKind::Close,
        ',' => TokenKind::Comma,
        '&' => TokenKind::And,
        '|' => TokenKind::Or,
        '!' => TokenKind::Not,
        '<' => TokenKind::Compare(CmpOp::Lt),
        '>' => TokenKind::Compare(CmpOp::Gt),
        '=' => return refuse(1, "a single `=` is no operator", "write `==` to compare"),
        '.' => {
            return refuse(
                1,
                "a number or name cannot begin with a dot",
                "write `0.5` for one half",
            );
        }
        _ => {
            let message = format!("`{ch}` cannot stand in a predicate");
            return refuse(
                ch.len_utf8(),
                &message,
                "keys that are no names go into a quoted subscript: `perm[\"repo:read\"]`",
            );
        }
    };
    Ok((kind, at + ch.len_utf8()))
}

fn word(text: Slice<'_>, at: usize) -> Parsed<(TokenKind, usize)> {
    let (path, end) = path::read(text, at)?;
    let kind = match path.segs.as_slice() {
        [PathSeg::Name(name)] => match name.as_str() {
            "true" => TokenKind::Literal(Literal::Bool(true)),
            "false" => TokenKind::Literal(Literal::Bool(false)),
            "contains" => TokenKind::Contains,
            "in" => TokenKind::In,
            "not" => TokenKind::NotWord,
            "exists" => TokenKind::Exists,
            "require" => TokenKind::Require,
            _ => TokenKind::Path(path),
        },
        [PathSeg::Name(name), ..] if name == "not" => {
            return Err(error(Code::BadPath, path.span, "a path cannot begin with `not`")
                .help("`not` is only for `not in`; write `!` to negate")
                .into());
        }
        _ => TokenKind::Path(path),
    };
    Ok((kind, end))
}

/// `-`, digits, then optionally a dot and digits; nothing that could be read as part of a number may follow.
fn number(text: Slice<'_>, at: usize) -> Parsed<(TokenKind, usize)> {
    let rest = text.as_str().get(at..).unwrap_or("");
    let digits = |from: usize| {
        rest.get(from..).map_or(0, |r| {
            r.len() - r.trim_start_matches(|ch: char| ch.is_ascii_digit()).len()
        })
    };
    let sign = usize::from(rest.starts_with('-'));
    let whole = digits(sign);
    let mut end = sign + whole;
    let mut fraction = 0;
    let dot = rest.get(end..).is_some_and(|r| r.starts_with('.'));
    if dot {
        fraction = digits(end + 1);
        end += 1 + fraction;
    }
    let tail = rest
        .get(end..)
        .and_then(|r| r.chars().next())
        .is_some_and(|ch| path::goes_on(ch) || ch == '.');
    let shown = rest.get(..end).unwrap_or("");
    let bad =
        |message: String| {
            let length = rest
                .find(|ch: char| !(path::goes_on(ch) || matches!(ch, '.' | '-')))
                .unwrap_or(rest.len());
            Err(error(Code::BadNumber, text.sub(at, at + length.max(1)).span(), message)
            .help("an optional `-`, digits, then optionally `.` and more digits; no exponent, no suffix")
            .into())
        };
    if sign == 1 && whole == 0 {
        return Err(error(
            Code::BadToken,
            text.sub(at, at + 1).span(),
            "`-` cannot stand here",
        )
        .help("keys that are no names go into a quoted subscript: `perm[\"repo-read\"]`")
        .into());
    }
    if whole == 0 || tail || (dot && fraction == 0) {
        return bad("this is not a number".to_owned());
    }
    let literal = if dot {
        match shown.parse::<f64>() {
            Ok(value) if value.is_finite() => Literal::Float(value),
            _ => return bad(format!("`{shown}` is out of range")),
        }
    } else {
        match shown.parse::<i64>() {
            Ok(value) => Literal::Int(value),
            Err(_) => return bad(format!("`{shown}` does not fit in 64 bits")),
        }
    };
    Ok((TokenKind::Literal(literal), at + end))
}
