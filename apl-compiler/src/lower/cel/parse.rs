//! Parsing, within bounds.
//!
//! Parser and tree of the `cel` crate recurse as deep as an expression is nested, and a stack that ends takes the process with
//! it. So what is nested too deep is refused before it is parsed, and parsing has a stack of its own that the rest cannot fill.

use cel::common::ast::{EntryExpr, Expr, IdedEntryExpr, IdedExpr, SourceInfo};
use cel::parser::{ParseErrors, Parser};

/// The longest expression, in bytes.
const MAX_BYTES: usize = 64 * 1024;
/// Brackets in brackets. The specification asks for 32.
const MAX_BRACKETS: usize = 64;
/// `?` in one expression.
const MAX_CHOICES: usize = 64;
/// Levels of the tree; a chain of operators is as deep as it is long.
const MAX_DEPTH: usize = 200;
/// For the parser alone; of it only what is used is ever taken.
const STACK_BYTES: usize = 256 << 20;

/// Why there is no tree.
pub(super) enum Refusal {
    /// It does not parse.
    Syntax(ParseErrors),
    /// It is too long or nested too deep.
    Bounds(String),
}

/// The tree of an expression, and where its parts are.
pub(super) fn parse(text: &str) -> Result<(IdedExpr, SourceInfo), Refusal> {
    if text.len() > MAX_BYTES {
        return Err(Refusal::Bounds(format!(
            "the expression has {} bytes; it may have {MAX_BYTES}",
            text.len()
        )));
    }
    let (brackets, choices) = nesting(text);
    if brackets > MAX_BRACKETS {
        return Err(Refusal::Bounds(format!(
            "brackets are nested {brackets} deep; they may be {MAX_BRACKETS}"
        )));
    }
    if choices > MAX_CHOICES {
        return Err(Refusal::Bounds(format!(
            "the expression has {choices} `?`; it may have {MAX_CHOICES}"
        )));
    }
    let parsed = std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK_BYTES);
        let run = || {
            let parsed = Parser::new()
                .parse_with_source_info(text)
                .map_err(Refusal::Syntax)?;
            // What is too deep is dropped here, where the stack is.
            match depth(&parsed.0) {
                deep if deep > MAX_DEPTH => Err(Refusal::Bounds(format!(
                    "the expression is {deep} levels deep; it may be {MAX_DEPTH}"
                ))),
                _ => Ok(parsed),
            }
        };
        thread.spawn_scoped(scope, run).ok().map(|thread| thread.join())
    });
    match parsed {
        Some(Ok(parsed)) => parsed,
        Some(Err(_)) | None => Err(Refusal::Bounds(
            "the expression cannot be parsed on this machine: its thread did not run".to_owned(),
        )),
    }
}

/// How deep brackets are nested, and how many `?` there are, texts aside.
fn nesting(text: &str) -> (usize, usize) {
    let (mut open, mut most, mut choices) = (0_usize, 0, 0);
    let mut quote = None;
    let mut escaped = false;
    for ch in text.chars() {
        match quote {
            Some(_) if escaped => escaped = false,
            Some(_) if ch == '\\' => escaped = true,
            Some(end) => {
                if ch == end {
                    quote = None;
                }
            }
            None => match ch {
                '"' | '\'' => quote = Some(ch),
                '(' | '[' | '{' => {
                    open += 1;
                    most = most.max(open);
                }
                ')' | ']' | '}' => open = open.saturating_sub(1),
                '?' => choices += 1,
                _ => {}
            },
        }
    }
    (most, choices)
}

/// How many levels a tree has, without recursion.
fn depth(tree: &IdedExpr) -> usize {
    let mut most = 0;
    let mut open = vec![(tree, 1)];
    while let Some((node, level)) = open.pop() {
        most = most.max(level);
        let mut below = |node| open.push((node, level + 1));
        match &node.expr {
            Expr::Unspecified | Expr::Ident(_) | Expr::Literal(_) => {}
            Expr::Call(call) => {
                call.target.iter().for_each(|target| below(target));
                call.args.iter().for_each(below);
            }
            Expr::Comprehension(fold) => {
                for part in [
                    &fold.iter_range,
                    &fold.accu_init,
                    &fold.loop_cond,
                    &fold.loop_step,
                    &fold.result,
                ] {
                    below(part);
                }
            }
            Expr::List(list) => list.elements.iter().for_each(below),
            Expr::Map(map) => entries(&map.entries, &mut below),
            Expr::Struct(it) => entries(&it.entries, &mut below),
            Expr::Select(select) => below(&select.operand),
        }
    }
    most
}

fn entries<'t>(entries: &'t [IdedEntryExpr], below: &mut impl FnMut(&'t IdedExpr)) {
    for entry in entries {
        match &entry.expr {
            EntryExpr::MapEntry(entry) => {
                below(&entry.key);
                below(&entry.value);
            }
            EntryExpr::StructField(field) => below(&field.value),
        }
    }
}
