//! `limit(100 per 1h, by: args.account, cost: args.amount)` and `budget(...)`, which are ours.

use super::ast::{CostDecl, EffectKind, LimitCall};
use super::effect::{seconds, text};
use super::elicit::{paths, within};
use super::scan::{Parsed, split};
use super::value::{Argument, keywords};
use super::{Slice, path};
use crate::diagnostics::{Code, Diagnostic, error};
use crate::vocabulary::nearest;

const KEYS: &[&str] = &["by", "cost", "code", "name"];

/// Parses `(N per WINDOW, ...)`.
pub(super) fn parse(budget: bool, arguments: Slice<'_>) -> Parsed<EffectKind> {
    let word = if budget { "budget" } else { "limit" };
    let pieces = split(arguments, ',')?;
    let first = pieces.first().copied().unwrap_or(arguments);
    let (limit, window_s) = rate(first.as_str()).ok_or_else(|| shape(word, first))?;
    let mut call = LimitCall {
        budget,
        limit,
        window_s,
        by: Vec::new(),
        cost: CostDecl::Fixed(1),
        code: None,
        name: None,
    };
    for keyword in keywords(pieces.get(1..).unwrap_or(&[]))? {
        match keyword.key.as_str() {
            "by" => call.by = paths(&keyword)?,
            "cost" => {
                call.cost = match &keyword.value {
                    Argument::Other(number) => CostDecl::Fixed(number.parse().map_err(|_| {
                        error(
                            Code::Keyword,
                            keyword.value_span,
                            "`cost` is a whole number or an attribute",
                        )
                    })?),
                    Argument::Text(written) => {
                        CostDecl::Path(within(written, keyword.value_span, path::whole)?)
                    }
                    Argument::List(_) => {
                        let message = "`cost` is a whole number or an attribute";
                        return Err(error(Code::Keyword, keyword.value_span, message).into());
                    }
                }
            }
            "code" => call.code = Some(text(&keyword)?),
            "name" => call.name = Some(text(&keyword)?),
            other => {
                let help = nearest(other, KEYS.iter().copied()).map_or_else(
                    || format!("keys are {}", KEYS.join(", ")),
                    |guess| format!("did you mean `{guess}`?"),
                );
                let message = format!("`{word}` has no key `{other}`");
                return Err(error(Code::Keyword, keyword.key_span, message).help(help).into());
            }
        }
    }
    Ok(EffectKind::Limit(Box::new(call)))
}

/// `100 per 1h`, `50k per 1d`.
fn rate(text: &str) -> Option<(u64, u32)> {
    let (number, window) = text.split_once(" per ")?;
    let number = number.trim();
    let (digits, factor) = match number.chars().last()? {
        'k' | 'K' => (number.get(..number.len() - 1)?, 1_000),
        'm' | 'M' => (number.get(..number.len() - 1)?, 1_000_000),
        _ => (number, 1),
    };
    let limit = digits.parse::<u64>().ok()?.checked_mul(factor)?;
    Some((limit, seconds(window.trim())?)).filter(|(limit, _)| *limit > 0)
}

fn shape(word: &str, at: Slice<'_>) -> Box<Diagnostic> {
    error(
        Code::BadArgument,
        at.span(),
        format!("`{word}` begins with how much fits into which time"),
    )
    .help(format!(
        "{word}(100 per 1h), {word}(50k per 1d, cost: args.amount)"
    ))
    .into()
}
