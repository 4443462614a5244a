//! Names and constants.

use apl_bytecode::{
    Assertion, AssertionsId, AttrId, Const, ConstId, Contract, DenialId, Encoding, HeaderSource, Pins,
    Position, Program, RegexId, Response, Scopes, Seg, StrId,
};
use apl_bytecode::{spell_code, spell_position};

use super::{DenialView, PinsView};

pub(super) fn text(program: &Program, id: StrId) -> String {
    program.strings.get(id.at()).cloned().unwrap_or_default()
}

pub(super) fn texts(program: &Program, ids: &[StrId]) -> Vec<String> {
    ids.iter().map(|id| text(program, *id)).collect()
}

/// An attribute path as a policy writes it; interpolation refers to earlier attributes only, so this ends.
pub(super) fn attr(program: &Program, id: AttrId) -> String {
    let Some(found) = program.attrs.get(id.at()) else {
        return "?".to_owned();
    };
    let mut path = String::new();
    for (at, seg) in found.segs.iter().enumerate() {
        match seg {
            Seg::Name(name) => {
                let name = text(program, *name);
                let plain = !name.is_empty()
                    && name
                        .chars()
                        .all(|ch| ch.is_alphanumeric() || ch == '_' || ch == '-');
                match (at, plain) {
                    (0, _) => path.push_str(&name),
                    (_, true) => {
                        path.push('.');
                        path.push_str(&name);
                    }
                    (_, false) => path.push_str(&format!("[{name:?}]")),
                }
            }
            Seg::Value(inner) if *inner < id => path.push_str(&format!("[{}]", attr(program, *inner))),
            Seg::Value(_) => path.push_str("[?]"),
        }
    }
    path
}

pub(super) fn constant(program: &Program, id: ConstId) -> String {
    match program.consts.get(id.at()) {
        None => "?".to_owned(),
        Some(Const::Null) => "null".to_owned(),
        Some(Const::Bool(value)) => value.to_string(),
        Some(Const::Int(value)) => value.to_string(),
        Some(Const::Uint(value)) => format!("{value}u"),
        Some(Const::Float(value)) => format!("{value:?}"),
        Some(Const::Str(id)) => format!("{:?}", text(program, *id)),
    }
}

pub(super) fn regex(program: &Program, id: RegexId) -> String {
    program.regexes.get(id.at()).map_or_else(
        || "?".to_owned(),
        |regex| format!("{:?}", text(program, regex.pattern)),
    )
}

pub(super) fn denial(program: &Program, id: DenialId) -> DenialView {
    match program.denials.get(id.at()) {
        Some(denial) => DenialView {
            code: spell_code(program, &denial.code),
            position: spell_position(program, &denial.code),
            reason: denial.reason.map(|reason| text(program, reason)),
        },
        None => DenialView {
            code: "?".to_owned(),
            position: "?".to_owned(),
            reason: None,
        },
    }
}

pub(super) fn scopes(scopes: Scopes) -> Vec<&'static str> {
    [
        (Scopes::SESSION, "session"),
        (Scopes::MESSAGE, "message"),
        (Scopes::SUBJECT, "subject"),
    ]
    .into_iter()
    .filter(|(scope, _)| scopes.has(*scope))
    .map(|(_, name)| name)
    .collect()
}

pub(super) fn response(program: &Program, response: &Response) -> String {
    let headers: Vec<String> = response
        .headers
        .iter()
        .map(|(name, value)| format!("{}: {}", text(program, *name), text(program, *value)))
        .collect();
    let body = response.body.map_or_else(String::new, |body| text(program, body));
    format!(
        "status {} headers [{}] body {body:?}",
        response.status,
        headers.join(", ")
    )
}

/// What both directions set and remove, on one line.
pub(super) fn assertions(program: &Program, id: AssertionsId) -> String {
    let Some(found) = program.assertions.get(id.at()) else {
        return "?".to_owned();
    };
    let mut parts = Vec::new();
    for (way, contract) in [("request", &found.request), ("response", &found.response)] {
        let words = contracted(program, contract);
        if !words.is_empty() {
            parts.push(format!("{way} {}", words.join(", ")));
        }
    }
    parts.join("; ")
}

fn contracted(program: &Program, contract: &Contract) -> Vec<String> {
    let set = contract.headers.iter().map(|header| asserted(program, header));
    let strip = texts(program, &contract.strip);
    set.chain(strip.into_iter().map(|name| format!("without {name}")))
        .collect()
}

fn asserted(program: &Program, header: &Assertion) -> String {
    let source = match &header.source {
        HeaderSource::Attr(id) => attr(program, *id),
        HeaderSource::Members(members) => {
            let members = members
                .iter()
                .map(|(key, id)| format!("{}: {}", text(program, *key), attr(program, *id)));
            format!("{{{}}}", members.collect::<Vec<_>>().join(", "))
        }
        HeaderSource::Variable(name) => format!("${}", text(program, *name)),
    };
    let encoding = match header.encoding {
        Encoding::Plain => "",
        Encoding::Json => " as JSON",
        Encoding::Csv => " as CSV",
    };
    let required = if header.required { ", required" } else { "" };
    format!("{} from {source}{encoding}{required}", text(program, header.name))
}

pub(super) fn pins(program: &Program, pins: &Pins) -> PinsView {
    let digest = |bytes: &[u8; 32]| bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    PinsView {
        scope: pins.scope.map(|scope| text(program, scope)),
        hides_unpinned: pins.hides_unpinned,
        tools: pins
            .tools
            .iter()
            .map(|pin| (text(program, pin.name), digest(&pin.digest)))
            .collect(),
    }
}

/// `file:line`, when the program has its debug section.
pub(super) fn place(program: &Program, position: Position) -> Option<String> {
    let debug = program.debug.as_ref()?;
    let span = debug.span(position)?;
    let file = debug.files.get(usize::from(span.file))?;
    Some(format!("{file}:{}", span.line))
}
