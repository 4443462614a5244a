//! Effects that are written as text: `deny(...)`, `run(...)`, `taint(...)`, `delegate(...)`, the elicitation verbs.

use apl_bytecode::{Actor, ElicitKind, Scopes, Subject};

use super::ast::{DelegateCall, EffectKind, TaintCall};
use super::scan::{Parsed, maybe_quoted, quoted, split};
use super::value::{Argument, Keyword, keywords};
use super::{Slice, elicit, limit};
use crate::diagnostics::{Code, error};
use crate::source::Span;
use crate::vocabulary::nearest;

/// Parses the call `name(arguments)`; `None` when the name is no effect's.
pub(crate) fn call(name: &str, arguments: Slice<'_>) -> Option<Parsed<EffectKind>> {
    Some(match name {
        "deny" => deny(arguments),
        "run" | "plugin" => plugin_name(arguments).map(EffectKind::Run),
        "taint" => taint(arguments).map(EffectKind::Taint),
        "delegate" => delegate(arguments).map(EffectKind::Delegate),
        "limit" => limit::parse(false, arguments),
        "budget" => limit::parse(true, arguments),
        _ => {
            let kind = ElicitKind::ALL.into_iter().find(|kind| kind.verb() == name)?;
            elicit::parse(kind, arguments)
        }
    })
}

/// The name in `run(name)`.
pub(crate) fn plugin_name(arguments: Slice<'_>) -> Parsed<String> {
    let name = maybe_quoted(arguments)?;
    if name.is_empty() {
        return Err(error(
            Code::BadArgument,
            arguments.span(),
            "the plugin's name is missing",
        )
        .help("run(pii-scan)")
        .into());
    }
    Ok(name)
}

fn deny(arguments: Slice<'_>) -> Parsed<EffectKind> {
    let pieces = split(arguments, ',')?;
    if let [_, _, third, ..] = pieces.as_slice() {
        return Err(error(
            Code::BadArgument,
            third.span(),
            "`deny` takes a reason and a code, no more",
        )
        .help("deny('reason', 'code')")
        .into());
    }
    let reason = pieces.first().map(|piece| quoted(*piece, "reason")).transpose()?;
    let code = pieces.get(1).map(|piece| quoted(*piece, "code")).transpose()?;
    Ok(EffectKind::Deny(reason, code))
}

/// `label`, `label, scope`, `label, [scope, scope]`, and ours: `ttl: 30d` for subject scope.
pub(crate) fn taint(arguments: Slice<'_>) -> Parsed<TaintCall> {
    let pieces = split(arguments, ',')?;
    let label_slice = pieces.first().copied().unwrap_or(arguments);
    let label = maybe_quoted(label_slice)?;
    if label.is_empty() {
        return Err(error(Code::Taint, arguments.span(), "the label is missing")
            .help("taint(secret, session)")
            .into());
    }
    let (mut scopes, mut ttl_s) = (None, 0);
    for piece in pieces.iter().skip(1) {
        let text = piece.as_str();
        if let Some(ttl) = text.strip_prefix("ttl:") {
            ttl_s = seconds(ttl.trim()).ok_or_else(|| {
                error(Code::Taint, piece.span(), "`ttl` is a number with a unit")
                    .help("`ttl: 90s`, `15m`, `8h` or `30d`")
            })?;
            continue;
        }
        if scopes.is_some() {
            return Err(
                error(Code::Taint, piece.span(), "more than one scope needs brackets")
                    .help("taint(secret, [session, message])")
                    .into(),
            );
        }
        scopes = Some(scope_list(*piece)?);
    }
    let scopes = scopes.unwrap_or(Scopes::SESSION);
    if ttl_s != 0 && !scopes.has(Scopes::SUBJECT) {
        return Err(
            error(Code::Taint, arguments.span(), "`ttl` belongs to scope `subject`")
                .help("taint(suspect, subject, ttl: 8h)")
                .into(),
        );
    }
    Ok(TaintCall { label, scopes, ttl_s })
}

fn scope_list(piece: Slice<'_>) -> Parsed<Scopes> {
    let text = piece.as_str();
    if text.starts_with('[') && text.ends_with(']') {
        let mut scopes: Option<Scopes> = None;
        for item in split(piece.sub(1, text.len() - 1), ',')? {
            let scope = scope(item)?;
            scopes = Some(scopes.map_or(scope, |known| known.with(scope)));
        }
        return scopes.ok_or_else(|| error(Code::Taint, piece.span(), "the list of scopes is empty").into());
    }
    scope(piece)
}

fn scope(piece: Slice<'_>) -> Parsed<Scopes> {
    match maybe_quoted(piece)?.as_str() {
        "session" => Ok(Scopes::SESSION),
        "message" => Ok(Scopes::MESSAGE),
        "subject" => Ok(Scopes::SUBJECT),
        other => {
            let message = if other.is_empty() {
                "the scope is missing".to_owned()
            } else {
                format!("`{other}` is no scope")
            };
            Err(error(Code::Taint, piece.span(), message)
                .help("scopes are `session`, `message` and `subject`")
                .into())
        }
    }
}

/// A number with a unit: `90s`, `15m`, `8h`, `30d`.
pub(super) fn seconds(text: &str) -> Option<u32> {
    let unit = text.chars().last()?;
    let number: u32 = text.get(..text.len() - unit.len_utf8())?.trim().parse().ok()?;
    let factor = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => return None,
    };
    number.checked_mul(factor).filter(|seconds| *seconds > 0)
}

/// The first, positional argument of `delegate` and of the elicitation verbs, and the others.
pub(super) fn named(arguments: Slice<'_>, example: &str) -> Parsed<(String, Span, Vec<Keyword>)> {
    let pieces = split(arguments, ',')?;
    let first = pieces.first().copied().unwrap_or(arguments);
    let name = maybe_quoted(first)?;
    if name.is_empty() {
        return Err(error(
            Code::BadArgument,
            arguments.span(),
            "the plugin's name is missing",
        )
        .help(example)
        .into());
    }
    if !first.as_str().starts_with(['"', '\'']) && name.contains(':') {
        return Err(error(
            Code::BadArgument,
            first.span(),
            "the plugin's name must come first, before any `key: value`",
        )
        .help(example)
        .into());
    }
    let rest = keywords(pieces.get(1..).unwrap_or(&[]))?;
    if let Some(plugin) = rest.iter().find(|keyword| keyword.key == "plugin") {
        return Err(error(
            Code::Keyword,
            plugin.key_span,
            "the plugin is the first argument, without a key",
        )
        .help(example)
        .into());
    }
    Ok((name, first.span(), rest))
}

fn delegate(arguments: Slice<'_>) -> Parsed<DelegateCall> {
    let (plugin, plugin_span, keywords) = named(
        arguments,
        "delegate(workday-oauth, target: workday-api, permissions: [read])",
    )?;
    let mut call = delegation(plugin, plugin_span);
    for keyword in keywords {
        set(&mut call, &keyword)?;
    }
    Ok(call)
}

/// A delegation with defaults.
pub(crate) fn delegation(plugin: String, plugin_span: Span) -> DelegateCall {
    DelegateCall {
        plugin,
        plugin_span,
        target: None,
        audience: None,
        permissions: Vec::new(),
        subject: Subject::User,
        actor: None,
        ttl_s: 0,
        attenuation: None,
        goes_on: false,
    }
}

const DELEGATE_KEYS: &[&str] = &[
    "target",
    "audience",
    "permissions",
    "subject",
    "actor",
    "on_error",
    "target_type",
    "auth_enforced_by",
    "attenuation",
];

/// Applies one `key: value` to a delegation.
pub(crate) fn set(call: &mut DelegateCall, keyword: &Keyword) -> Parsed<()> {
    let bad = |message: String| Err(error(Code::Keyword, keyword.value_span, message).into());
    match keyword.key.as_str() {
        "permissions" => {
            let Argument::List(items) = &keyword.value else {
                return Err(
                    error(Code::Keyword, keyword.value_span, "`permissions` is a list")
                        .help("permissions: [repo:read:internal]")
                        .into(),
                );
            };
            for item in items {
                match item {
                    Argument::Text(text) | Argument::Other(text) => call.permissions.push(text.clone()),
                    Argument::List(_) => return bad("`permissions` is a list of texts".to_owned()),
                }
            }
        }
        "target" => call.target = Some(text(keyword)?),
        "audience" => call.audience = Some(text(keyword)?),
        "on_error" => match text(keyword)?.to_ascii_lowercase().as_str() {
            "continue" => call.goes_on = true,
            "deny" | "fail" => call.goes_on = false,
            other => return bad(format!("`on_error` is `deny` or `continue`, not `{other}`")),
        },
        "subject" => {
            call.subject = match text(keyword)?.as_str() {
                "user" => Subject::User,
                "client" => Subject::Client,
                "caller_workload" | "workload" => Subject::CallerWorkload,
                "this_workload" | "gateway" => Subject::ThisWorkload,
                other => {
                    return bad(format!(
                        "`subject` is `user`, `client`, `caller_workload` or `this_workload`, not `{other}`"
                    ));
                }
            };
        }
        "actor" => {
            call.actor = Some(match text(keyword)?.as_str() {
                "user" => Actor::User,
                "client" => Actor::Client,
                "caller_workload" | "workload" => Actor::CallerWorkload,
                other => {
                    return bad(format!(
                        "`actor` is `user`, `client` or `caller_workload`, not `{other}`"
                    ));
                }
            });
        }
        // They describe the target to plugins of other kinds; an OAuth exchange has no use for them.
        "target_type" | "auth_enforced_by" => {
            text(keyword)?;
        }
        "attenuation" => {
            return Err(error(
                Code::Keyword,
                keyword.key_span,
                "`attenuation` is a map, which a call cannot hold",
            )
            .help("delegate: {plugin: tokens, config: {permissions: [read], attenuation: {ttl: 5m}}}")
            .into());
        }
        other => {
            let guess = nearest(other, DELEGATE_KEYS.iter().copied()).map_or_else(
                || {
                    format!(
                        "keys are {}",
                        DELEGATE_KEYS
                            .iter()
                            .map(|key| format!("`{key}`"))
                            .collect::<Vec<_>>()
                            .join(", ")
                    )
                },
                |guess| format!("did you mean `{guess}`?"),
            );
            return Err(error(
                Code::Keyword,
                keyword.key_span,
                format!("`delegate` has no key `{other}`"),
            )
            .help(guess)
            .into());
        }
    }
    if call.actor.is_some() && matches!(call.subject, Subject::CallerWorkload | Subject::ThisWorkload) {
        return bad("a workload's own authority has no actor".to_owned());
    }
    Ok(())
}

pub(super) fn text(keyword: &Keyword) -> Parsed<String> {
    match &keyword.value {
        Argument::Text(text) if !text.is_empty() => Ok(text.clone()),
        Argument::Text(_) | Argument::Other(_) | Argument::List(_) => {
            let message = format!("`{}` must be text that is not empty", keyword.key);
            Err(error(Code::Keyword, keyword.value_span, message)
                .help("a number or `true` needs quotes to be text")
                .into())
        }
    }
}
