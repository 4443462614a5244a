//! Steps that ask a decision point.

use super::ast::Pdp;
use super::scan::{call, maybe_quoted};
use super::step::{Context, keep, parse_steps};
use crate::diagnostics::{Code, error};
use crate::source::Span;
use crate::vocabulary::{DIALECTS, nearest};
use crate::yaml::Entry;

/// Reads a decision point with its reactions, which stand in it or beside it.
pub(super) fn parse(main: &Entry, beside: &[&Entry], cx: &mut Context<'_>) -> Option<Pdp> {
    let (dialect, argument) = dialect(main, cx)?;
    let empty: &[Entry] = &[];
    let bare = argument.is_some() || beside.iter().any(|entry| entry.key.starts_with("on_"));
    let own = if main.node.is_null() && bare {
        Some(empty)
    } else {
        main.node.as_map()
    };
    let Some(entries) = own else {
        let message = format!("`{}` takes a map, this is {}", main.key, main.node.kind());
        cx.reports.push(
            error(Code::WrongType, main.node.span, message)
                .help("- cel:\n    expr: \"...\"\n    on_deny: [\"deny('reason', 'code')\"]"),
        );
        return None;
    };
    let mut pdp = Pdp {
        dialect,
        argument,
        body: Vec::new(),
        on_allow: Vec::new(),
        on_deny: Vec::new(),
    };
    let mut seen: Vec<(&str, Span)> = Vec::new();
    let inside = entries
        .iter()
        .filter(|entry| matches!(entry.key.as_str(), "on_allow" | "on_deny"));
    for entry in inside.chain(beside.iter().copied()) {
        if let Some((_, first)) = seen.iter().find(|(key, _)| *key == entry.key) {
            let message = format!("`{}` stands inside the decision point and beside it", entry.key);
            cx.reports
                .push(error(Code::TwoSpellings, entry.key_span, message).related(*first, "the other one"));
            continue;
        }
        seen.push((&entry.key, entry.key_span));
        let steps = parse_steps(&entry.node, &entry.key, cx);
        if entry.key == "on_allow" {
            pdp.on_allow = steps
        } else {
            pdp.on_deny = steps
        }
    }
    let own = entries
        .iter()
        .filter(|entry| !matches!(entry.key.as_str(), "on_allow" | "on_deny"));
    for entry in own {
        if let Some(guess) =
            nearest(&entry.key, ["on_allow", "on_deny"]).filter(|_| entry.node.as_list().is_some())
        {
            cx.reports.push(
                error(
                    Code::UnknownKey,
                    entry.key_span,
                    format!("unknown key `{}`", entry.key),
                )
                .help(format!("did you mean `{guess}`?")),
            );
        }
        pdp.body
            .push((entry.key.clone(), entry.key_span, entry.node.clone()));
    }
    Some(pdp)
}

/// `cel`, `cedar`, ..., `pdp(name)`, `opa(data.x.allow)`: the dialect or the name, and an argument that is not the name.
fn dialect(main: &Entry, cx: &mut Context<'_>) -> Option<(String, Option<(String, Span)>)> {
    let text = main.key_text(&cx.source.text);
    let key = text.all().trim();
    if DIALECTS.contains(&key.as_str()) {
        return Some((key.as_str().to_owned(), None));
    }
    // 0.5 tolerates a second colon behind the parenthesis.
    let key = match key.as_str().strip_suffix(':') {
        Some(rest) => key.sub(0, rest.len()).trim(),
        None => key,
    };
    let (name, arguments) = match call(key) {
        Some((name, Ok(arguments))) => (name, arguments),
        Some((_, Err(fault))) => {
            cx.reports.push(*fault);
            return None;
        }
        None => {
            cx.reports.push(
                error(
                    Code::StepShape,
                    main.key_span,
                    format!("`{}` is no decision point", main.key),
                )
                .help("`pdp(name)` takes the name in parentheses"),
            );
            return None;
        }
    };
    let argument = keep(maybe_quoted(arguments), cx)?;
    if argument.is_empty() {
        cx.reports.error(
            Code::BadArgument,
            main.key_span,
            format!("`{name}()` needs an argument"),
        );
        return None;
    }
    Some(if name == "pdp" {
        (argument, None)
    } else {
        (name.to_owned(), Some((argument, arguments.span())))
    })
}
