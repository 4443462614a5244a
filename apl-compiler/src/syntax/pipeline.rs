//! Field pipelines: `ssn: "str | redact(!perm.view_ssn)"`.

use apl_bytecode::{ScanMode, Side, Stage as Plain, TypeCheck};

use super::ast::{Field, Stage, StageKind};
use super::scan::{Parsed, call, maybe_quoted, split};
use super::{Slice, effect, field_path, predicate};
use crate::diagnostics::{Code, Diagnostic, error};
use crate::source::Span;
use crate::vocabulary::{STAGES, nearest};

/// Parses the pipeline of one field under `args:` or `result:`.
pub(crate) fn parse_field(
    side: Side,
    name: &str,
    name_span: Span,
    text: Slice<'_>,
) -> Result<Field, Vec<Diagnostic>> {
    let pieces = split(text, '|').map_err(|fault| vec![*fault])?;
    let stages = stages(&pieces, text)?;
    field(side, name, name_span, stages).map_err(|fault| vec![*fault])
}

/// Parses stages; every bad one is reported.
pub(crate) fn stages(pieces: &[Slice<'_>], whole: Slice<'_>) -> Result<Vec<Stage>, Vec<Diagnostic>> {
    let mut faults = Vec::new();
    let mut stages = Vec::new();
    for piece in pieces {
        if piece.is_empty() {
            let span = if whole.trim().is_empty() {
                whole.span()
            } else {
                piece.span()
            };
            faults.push(
                error(Code::StageSyntax, span, "a stage is missing")
                    .help("stages are joined by single `|`; remove the extra one, or the whole field"),
            );
            continue;
        }
        match stage(*piece) {
            Ok(kind) => stages.push(Stage {
                kind,
                span: piece.span(),
            }),
            Err(fault) => faults.push(*fault),
        }
    }
    if faults.is_empty() {
        Ok(stages)
    } else {
        Err(faults)
    }
}

/// Puts a field together and checks its path.
pub(crate) fn field(side: Side, name: &str, span: Span, stages: Vec<Stage>) -> Parsed<Field> {
    let Some(segments) = field_path::segments(name) else {
        return Err(error(Code::FieldPath, span, format!("`{name}` is no field path"))
            .help("object keys joined by single dots, `user.address.street`; any other key in a quoted subscript, `user[\"home.address\"]`")
            .into());
    };
    if segments.iter().any(|(key, quoted)| *quoted && key == "**") {
        return Err(error(Code::FieldPath, span, "no pipeline can name a key `**`")
            .help("it stands for any depth")
            .into());
    }
    let path: Vec<String> = segments.into_iter().map(|(key, _)| key).collect();
    let any_depth = path.iter().any(|seg| seg == "**");
    let redacts = stages.iter().any(|stage| {
        matches!(
            stage.kind,
            StageKind::RedactIf(_) | StageKind::Plain(Plain::Redact(_))
        )
    });
    if any_depth && !redacts {
        return Err(
            error(Code::FieldPath, span, "`**` needs a `redact` in the pipeline")
                .help("`**.ssn: \"redact\"` hides the key at any depth")
                .into(),
        );
    }
    if path.last().is_some_and(|seg| seg == "**") {
        return Err(error(Code::FieldPath, span, "`**` must be followed by a key")
            .help("`**.ssn`")
            .into());
    }
    Ok(Field {
        side,
        name: name.to_owned(),
        path,
        stages,
        span,
    })
}

/// Whether a text reads as a stage, for telling field operations from predicates.
pub(crate) fn looks_like_stage(text: &str) -> bool {
    let name = text.split('(').next().unwrap_or("").trim();
    STAGES.iter().any(|(word, _, _)| *word == name) || is_range(text)
}

fn is_range(text: &str) -> bool {
    text.contains("..") && !text.starts_with(|ch: char| ch.is_ascii_alphabetic() || ch == '_')
}

fn stage(text: Slice<'_>) -> Parsed<StageKind> {
    if is_range(text.as_str()) {
        let (low, high) = range(text)?;
        return Ok(StageKind::Plain(Plain::Range(low, high)));
    }
    if let Some((name, arguments)) = call(text) {
        return with_arguments(name, arguments?, text);
    }
    bare(text)
}

fn bare(text: Slice<'_>) -> Parsed<StageKind> {
    let plain = match text.as_str() {
        "str" => Plain::Type(TypeCheck::Str),
        "int" => Plain::Type(TypeCheck::Int),
        "bool" => Plain::Type(TypeCheck::Bool),
        "float" => Plain::Type(TypeCheck::Float),
        "email" => Plain::Email,
        "url" => Plain::Url,
        "uuid" => Plain::Uuid,
        "omit" => Plain::Omit,
        "hash" => Plain::Hash,
        "redact" => Plain::Redact(None),
        "required" => Plain::Required,
        "pii.detect" => return Ok(StageKind::BuiltIn(ScanMode::Detect, "PII")),
        "pii.redact" => return Ok(StageKind::BuiltIn(ScanMode::Redact, "PII")),
        "injection.scan" => return Ok(StageKind::BuiltIn(ScanMode::Detect, "injection")),
        _ => return Err(unknown(text)),
    };
    Ok(StageKind::Plain(plain))
}

fn with_arguments(name: &str, arguments: Slice<'_>, whole: Slice<'_>) -> Parsed<StageKind> {
    let bad = |message: &str| {
        Err(error(Code::StageArgument, arguments.span(), message)
            .help(usage(name))
            .into())
    };
    match name {
        "mask" => match arguments.as_str().trim().parse::<u32>() {
            Ok(keep) => Ok(StageKind::Plain(Plain::Mask(keep))),
            Err(_) => bad("`mask` takes how many characters stay visible, a whole number"),
        },
        "len" => {
            let (low, high) = range(arguments.trim())?;
            match (
                low.map(u32::try_from).transpose(),
                high.map(u32::try_from).transpose(),
            ) {
                (Ok(low), Ok(high)) => Ok(StageKind::Plain(Plain::Len(low, high))),
                _ => bad("a length is between 0 and 4294967295"),
            }
        }
        "enum" => {
            let items = split(arguments, ',')?.into_iter().filter(|item| !item.is_empty());
            let items = items.map(maybe_quoted).collect::<Parsed<Vec<_>>>()?;
            if items.is_empty() {
                bad("`enum` needs at least one value")
            } else {
                Ok(StageKind::Enum(items))
            }
        }
        "regex" => Ok(StageKind::Regex(maybe_quoted(arguments)?)),
        "redact" => Ok(StageKind::RedactIf(predicate::parse(arguments)?)),
        "taint" => Ok(StageKind::Taint(effect::taint(arguments)?)),
        "run" | "plugin" => Ok(StageKind::Run(effect::plugin_name(arguments)?)),
        "validate" => Err(
            error(Code::UnknownStage, whole.span(), "`validate` does not exist")
                .help("use `regex(...)`, or `run(name)` with a validator plugin")
                .into(),
        ),
        _ if STAGES.iter().any(|(word, _, _)| *word == name) => bad("this stage takes no arguments"),
        _ => Err(unknown(whole)),
    }
}

fn usage(name: &str) -> String {
    STAGES
        .iter()
        .find(|(word, _, _)| *word == name)
        .map_or_else(String::new, |(_, usage, meaning)| format!("`{usage}`: {meaning}"))
}

fn unknown(text: Slice<'_>) -> Box<Diagnostic> {
    let word = text.as_str().split('(').next().unwrap_or("").trim();
    if STAGES.iter().any(|(known, _, _)| *known == word) {
        return error(
            Code::StageArgument,
            text.span(),
            format!("`{word}` is not written like this"),
        )
        .help(usage(word))
        .into();
    }
    let diagnostic = error(
        Code::UnknownStage,
        text.span(),
        format!("`{}` is no stage", text.as_str()),
    );
    match nearest(word, STAGES.iter().map(|(word, _, _)| *word)) {
        Some(guess) => diagnostic
            .help(format!("did you mean `{guess}`? {}", usage(guess)))
            .into(),
        None => {
            let words: Vec<&str> = STAGES.iter().map(|(word, _, _)| *word).collect();
            diagnostic
                .help(format!("stages are ranges such as `1..10`, {}", words.join(", ")))
                .into()
        }
    }
}

/// `N..M` with open ends; `k` and `m` multiply by a thousand and a million.
fn range(text: Slice<'_>) -> Parsed<(Option<i64>, Option<i64>)> {
    let source = text.as_str();
    let bad = |message: String| {
        error(Code::StageArgument, text.span(), message)
            .help("`1..10`, `..10` or `1..`, with `k` or `m` for thousands and millions")
    };
    let Some((low, high)) = source.split_once("..") else {
        return Err(bad(format!("`{source}` is no range")).into());
    };
    let bound = |bound: &str| -> Result<Option<i64>, Box<Diagnostic>> {
        let bound = bound.trim();
        if bound.is_empty() {
            return Ok(None);
        }
        let (digits, factor) = match bound.chars().last() {
            Some('k' | 'K') => (&bound[..bound.len() - 1], 1000),
            Some('m' | 'M') => (&bound[..bound.len() - 1], 1_000_000),
            _ => (bound, 1),
        };
        let value = digits
            .parse::<i64>()
            .ok()
            .and_then(|value| value.checked_mul(factor));
        value
            .map(Some)
            .ok_or_else(|| bad(format!("`{bound}` is no whole number of 64 bits")).into())
    };
    let (low, high) = (bound(low)?, bound(high)?);
    match (low, high) {
        (None, None) => Err(bad("a range needs at least one end".to_owned()).into()),
        (Some(low), Some(high)) if low > high => {
            Err(bad("the range is empty: its lower end is above its upper one".to_owned()).into())
        }
        ends => Ok(ends),
    }
}
