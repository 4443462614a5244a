//! The six verbs that ask a human.

use apl_bytecode::ElicitKind;

use super::ast::{EffectKind, ElicitCall, From, Path};
use super::effect::{named, seconds, text};
use super::scan::Parsed;
use super::value::{Argument, Keyword};
use super::{Slice, Text, path, predicate};
use crate::diagnostics::{Code, error};
use crate::source::Span;
use crate::vocabulary::nearest;
use crate::yaml::Style;

const KEYS: &[&str] = &[
    "from", "channel", "scope", "purpose", "prompt", "timeout", "on_error", "show",
];

/// Parses `(handler, from: ..., ...)`.
pub(super) fn parse(kind: ElicitKind, arguments: Slice<'_>) -> Parsed<EffectKind> {
    let verb = kind.verb();
    let (plugin, plugin_span, keywords) = named(
        arguments,
        &format!("{verb}(manager-approver, from: claim.manager)"),
    )?;
    let mut from = None;
    let mut call = ElicitCall {
        kind,
        plugin,
        plugin_span,
        from: From::Text(String::new()),
        channel: None,
        purpose: None,
        scope: None,
        timeout_s: 0,
        show: None,
        goes_on: false,
    };
    for keyword in &keywords {
        match keyword.key.as_str() {
            "from" => from = Some(who(&text(keyword)?, keyword.value_span)),
            "channel" => call.channel = Some(text(keyword)?),
            "purpose" | "prompt" => {
                if call.purpose.is_some() {
                    let message = "`prompt` is an old spelling of `purpose`; both stand here";
                    return Err(error(Code::Keyword, keyword.key_span, message).into());
                }
                call.purpose = Some(text(keyword)?);
            }
            "scope" => {
                let written = text(keyword)?;
                // Upstream parses it when an approval arrives; by then it is too late to mend.
                let parsed = within(&written, keyword.value_span, predicate::parse)?;
                call.scope = Some((written, parsed));
            }
            "timeout" => call.timeout_s = timeout(keyword)?,
            "on_error" => call.goes_on = goes_on(keyword)?,
            "show" => call.show = Some(paths(keyword)?),
            other => {
                let guess = nearest(other, KEYS.iter().copied());
                let help = guess.map_or_else(
                    || format!("keys are {}", KEYS.join(", ")),
                    |guess| format!("did you mean `{guess}`?"),
                );
                let message = format!("`{verb}` has no key `{other}`");
                return Err(error(Code::Keyword, keyword.key_span, message).help(help).into());
            }
        }
    }
    let Some(from) = from else {
        return Err(error(
            Code::Keyword,
            plugin_span,
            format!("`{verb}` needs `from`: who is asked"),
        )
        .help("from: claim.manager")
        .into());
    };
    call.from = from;
    Ok(EffectKind::Elicit(Box::new(call)))
}

/// A dotted path names an attribute; anything else is the name itself.
fn who(written: &str, span: Span) -> From {
    let dotted = written.contains('.') && !written.contains('@');
    match within(written, span, path::whole) {
        Ok(path) if dotted => From::Path(path),
        Ok(_) | Err(_) => From::Text(written.to_owned()),
    }
}

/// Parses a value that stands in the file at `span`.
pub(super) fn within<T>(written: &str, span: Span, parse: impl FnOnce(Slice<'_>) -> Parsed<T>) -> Parsed<T> {
    let text = Text::new(written, Style::Plain, span, "");
    parse(text.all()).map_err(|mut fault| {
        fault.span = span;
        fault
    })
}

fn timeout(keyword: &Keyword) -> Parsed<u32> {
    let written = match &keyword.value {
        Argument::Text(text) => seconds(text),
        Argument::Other(_) | Argument::List(_) => None,
    };
    written.ok_or_else(|| {
        error(
            Code::Keyword,
            keyword.value_span,
            "`timeout` is a number with a unit",
        )
        .help("`timeout: 90s`, `15m`, `8h` or `30d`")
        .into()
    })
}

fn goes_on(keyword: &Keyword) -> Parsed<bool> {
    match text(keyword)?.to_ascii_lowercase().as_str() {
        "continue" => Ok(true),
        "deny" | "fail" => Ok(false),
        other => {
            let message = format!("`on_error` is `deny` or `continue`, not `{other}`");
            Err(error(Code::Keyword, keyword.value_span, message)
                .help("`continue` passes over a channel that cannot be reached, and nothing else")
                .into())
        }
    }
}

/// One attribute, or a list of them.
pub(super) fn paths(keyword: &Keyword) -> Parsed<Vec<Path>> {
    let one = |text: &str| within(text, keyword.value_span, path::whole);
    let fault = || {
        let message = format!("`{}` is an attribute or a list of them", keyword.key);
        error(Code::Keyword, keyword.value_span, message).help(format!("{}: [args.account]", keyword.key))
    };
    match &keyword.value {
        Argument::Text(text) => Ok(vec![one(text)?]),
        Argument::List(items) if !items.is_empty() => items
            .iter()
            .map(|item| match item {
                Argument::Text(text) => one(text),
                Argument::Other(_) | Argument::List(_) => Err(fault().into()),
            })
            .collect(),
        Argument::List(_) | Argument::Other(_) => Err(fault().into()),
    }
}
