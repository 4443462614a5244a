//! Predicates.
//!
//! ```text
//! predicate = and { "|" and } ;            and = unary { "&" unary } ;
//! unary     = "!" unary | atom ;
//! atom      = "(" predicate ")" | "exists" "(" path ")" | "require" "(" list ")" | test ;
//! list      = predicate { "," predicate } ;
//! test      = path [ op literal | [ "not" ] "in" path ] ;
//! ```

use super::Slice;
use super::ast::{Literal, Path, Predicate, Test};
use super::lexer::{Token, TokenKind, tokens};
use super::scan::Parsed;
use crate::diagnostics::{Code, error};
use crate::source::Span;

/// Deepest nesting of parentheses and negations.
const MAX_DEPTH: u32 = 48;
/// Most leaves of one predicate.
const MAX_TOKENS: usize = 4096;

/// Parses a predicate; `require` counts as one.
pub(crate) fn parse(text: Slice<'_>) -> Parsed<Predicate> {
    let text = text.trim();
    let tokens = tokens(text)?;
    if tokens.is_empty() {
        return Err(error(Code::PredicateSyntax, text.span(), "the predicate is empty").into());
    }
    if tokens.len() > MAX_TOKENS {
        return Err(error(
            Code::PredicateSyntax,
            text.span(),
            format!("a predicate has at most {MAX_TOKENS} tokens"),
        )
        .into());
    }
    let mut parser = Parser {
        tokens: &tokens,
        at: 0,
        end: text.from(text.as_str().len()).span(),
        depth: 0,
    };
    let predicate = parser.or()?;
    match parser.peek() {
        None => Ok(predicate),
        Some(token) => Err(parser.left_over(token)),
    }
}

/// Whether the whole predicate is one `require(...)`.
pub(crate) fn is_require(text: Slice<'_>) -> bool {
    let Ok(tokens) = tokens(text) else { return false };
    let mut depth = 0_i32;
    let begins = matches!(
        tokens.as_slice(),
        [
            Token {
                kind: TokenKind::Require,
                ..
            },
            ..
        ]
    );
    // The parenthesis after `require` closes at the very end, and only there.
    begins
        && tokens.iter().enumerate().skip(1).all(|(index, token)| {
            match token.kind {
                TokenKind::Open => depth += 1,
                TokenKind::Close => depth -= 1,
                _ => {}
            }
            depth > 0 || index + 1 == tokens.len()
        })
}

struct Parser<'t> {
    tokens: &'t [Token],
    at: usize,
    /// Where the text ends, for what is missing there.
    end: Span,
    depth: u32,
}

impl<'t> Parser<'t> {
    fn peek(&self) -> Option<&'t Token> {
        self.tokens.get(self.at)
    }

    fn eat(&mut self, kind: &TokenKind) -> bool {
        let found = self.peek().is_some_and(|token| token.kind == *kind);
        self.at += usize::from(found);
        found
    }

    /// Fails with what was expected, at the token that stands there instead.
    fn expected<T>(&self, what: &str, help: Option<&str>) -> Parsed<T> {
        let (span, message) = match self.peek() {
            Some(token) => (
                token.span,
                format!("expected {what}, found {}", describe(&token.kind)),
            ),
            None => (self.end, format!("expected {what} at the end")),
        };
        let diagnostic = error(Code::PredicateSyntax, span, message);
        Err(match help {
            Some(help) => diagnostic.help(help).into(),
            None => diagnostic.into(),
        })
    }

    fn left_over(&self, token: &Token) -> Box<crate::diagnostics::Diagnostic> {
        let diagnostic = error(
            Code::PredicateSyntax,
            token.span,
            format!("{} is left over", describe(&token.kind)),
        );
        let words = match &token.kind {
            TokenKind::Path(path) => path.dotted(),
            _ => None,
        };
        match words.as_deref() {
            Some("and") => diagnostic.help("write `&`").into(),
            Some("or") => diagnostic.help("write `|`").into(),
            _ => diagnostic
                .help("join tests with `&` or `|`; comparisons do not chain")
                .into(),
        }
    }

    fn deeper(&mut self) -> Parsed<()> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            let span = self.peek().map_or(self.end, |token| token.span);
            return Err(error(
                Code::PredicateSyntax,
                span,
                format!("the predicate is nested more than {MAX_DEPTH} deep"),
            )
            .into());
        }
        Ok(())
    }

    fn or(&mut self) -> Parsed<Predicate> {
        self.deeper()?;
        let mut parts = vec![self.and()?];
        while self.eat(&TokenKind::Or) {
            parts.push(self.and()?);
        }
        self.depth -= 1;
        Ok(join(parts, Predicate::Or))
    }

    fn and(&mut self) -> Parsed<Predicate> {
        let mut parts = vec![self.unary()?];
        while self.eat(&TokenKind::And) {
            parts.push(self.unary()?);
        }
        Ok(join(parts, Predicate::And))
    }

    fn unary(&mut self) -> Parsed<Predicate> {
        if !self.eat(&TokenKind::Not) {
            return self.atom();
        }
        self.deeper()?;
        let inner = self.unary()?;
        self.depth -= 1;
        Ok(Predicate::Not(Box::new(inner)))
    }

    fn atom(&mut self) -> Parsed<Predicate> {
        match self.peek().map(|token| &token.kind) {
            Some(TokenKind::Open) => {
                self.at += 1;
                let inner = self.or()?;
                self.close()?;
                Ok(inner)
            }
            Some(TokenKind::Exists) => self.exists(),
            Some(TokenKind::Require) => self.require(),
            Some(TokenKind::Path(path)) => {
                self.at += 1;
                self.test(path.clone())
            }
            Some(TokenKind::Literal(_)) => self.expected(
                "an attribute",
                Some("a comparison has the attribute on the left and the literal on the right"),
            ),
            _ => self.expected("an attribute", None),
        }
    }

    fn close(&mut self) -> Parsed<()> {
        if self.eat(&TokenKind::Close) {
            Ok(())
        } else {
            self.expected("`)`", None)
        }
    }

    fn exists(&mut self) -> Parsed<Predicate> {
        self.at += 1;
        if !self.eat(&TokenKind::Open) {
            return self.expected("`(`", Some("exists(args.user)"));
        }
        let path = self.path("an attribute path", "exists(args.user)")?;
        self.close()?;
        Ok(Predicate::Test(Test::Exists(path)))
    }

    fn require(&mut self) -> Parsed<Predicate> {
        self.at += 1;
        if !self.eat(&TokenKind::Open) {
            return self.expected("`(`", Some("require(role.hr)"));
        }
        let mut parts = vec![self.or()?];
        while self.eat(&TokenKind::Comma) {
            parts.push(self.or()?);
        }
        self.close()?;
        Ok(Predicate::Not(Box::new(join(parts, Predicate::And))))
    }

    fn path(&mut self, what: &str, help: &str) -> Parsed<Path> {
        match self.peek().map(|token| &token.kind) {
            Some(TokenKind::Path(path)) => {
                self.at += 1;
                Ok(path.clone())
            }
            _ => self.expected(what, Some(help)),
        }
    }

    fn test(&mut self, path: Path) -> Parsed<Predicate> {
        let test = match self.peek().map(|token| &token.kind) {
            Some(TokenKind::Compare(op)) => {
                self.at += 1;
                Test::Compare(*op, path, self.literal()?)
            }
            Some(TokenKind::Contains) => {
                self.at += 1;
                Test::Contains(path, self.literal()?)
            }
            Some(TokenKind::In) => {
                self.at += 1;
                Test::In(
                    path,
                    self.path(
                        "an attribute path",
                        "`in` looks in a set: `args.user in data.admins`",
                    )?,
                )
            }
            Some(TokenKind::NotWord) => {
                self.at += 1;
                if !self.eat(&TokenKind::In) {
                    return self.expected("`in`", Some("`not` is only for `not in`; write `!` to negate"));
                }
                let set = self.path(
                    "an attribute path",
                    "`not in` looks in a set: `args.user not in data.admins`",
                )?;
                return Ok(Predicate::Not(Box::new(Predicate::Test(Test::In(path, set)))));
            }
            _ => Test::Truth(path),
        };
        Ok(Predicate::Test(test))
    }

    fn literal(&mut self) -> Parsed<Literal> {
        match self.peek().map(|token| &token.kind) {
            Some(TokenKind::Literal(literal)) => {
                self.at += 1;
                Ok(literal.clone())
            }
            Some(TokenKind::Path(_)) => self.expected("a literal", Some("attributes cannot be compared with each other; text needs quotes, and `in` asks for membership in a set")),
            _ => self.expected("a literal", None),
        }
    }
}

fn join(mut parts: Vec<Predicate>, make: fn(Vec<Predicate>) -> Predicate) -> Predicate {
    match parts.pop() {
        Some(only) if parts.is_empty() => only,
        Some(last) => {
            parts.push(last);
            make(parts)
        }
        None => make(parts),
    }
}

fn describe(kind: &TokenKind) -> String {
    match kind {
        TokenKind::Path(path) => path
            .dotted()
            .map_or_else(|| "an attribute".to_owned(), |text| format!("`{text}`")),
        TokenKind::Literal(Literal::Str(text)) => format!("the text '{text}'"),
        TokenKind::Literal(Literal::Int(value)) => format!("`{value}`"),
        TokenKind::Literal(Literal::Float(value)) => format!("`{value}`"),
        TokenKind::Literal(Literal::Bool(value)) => format!("`{value}`"),
        TokenKind::Compare(_) => "a comparison".to_owned(),
        TokenKind::Open => "`(`".to_owned(),
        TokenKind::Close => "`)`".to_owned(),
        TokenKind::Comma => "`,`".to_owned(),
        TokenKind::And => "`&`".to_owned(),
        TokenKind::Or => "`|`".to_owned(),
        TokenKind::Not => "`!`".to_owned(),
        TokenKind::Contains => "`contains`".to_owned(),
        TokenKind::In => "`in`".to_owned(),
        TokenKind::NotWord => "`not`".to_owned(),
        TokenKind::Exists => "`exists`".to_owned(),
        TokenKind::Require => "`require`".to_owned(),
    }
}
