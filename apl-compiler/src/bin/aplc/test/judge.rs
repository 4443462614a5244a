//! Expected against got.

mod difference;

use apl_bytecode::{Instr, Program};
use apl_vm::Truth;
use apl_vm::trace::{TraceEvent, Went};
use serde_json::Value;

use crate::case::{Expect, Step};
use crate::place::Places;
use crate::proxy::{Outcome, args_of, result_of};

/// One thing that is not as expected.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    /// The step's name, in a sequence.
    pub(super) step: Option<String>,
    /// Line of the test file.
    pub(super) line: u32,
    /// What.
    pub(super) what: String,
    /// Where the policy decided, and other things worth knowing.
    pub(super) notes: Vec<String>,
}

impl Failure {
    /// Of a step.
    pub(super) fn new(step: &Step, what: String) -> Self {
        Self {
            step: step.name.clone(),
            line: step.line,
            what,
            notes: Vec::new(),
        }
    }
}

/// Everything that is not as expected. An answer that the test does not give is the first thing to mend, and the only one
/// that is told.
pub(super) fn judge(step: &Step, got: &Outcome, program: &Program, places: &Places<'_>) -> Vec<Failure> {
    if !got.missing.is_empty() {
        return got
            .missing
            .iter()
            .map(|what| Failure::new(step, what.clone()))
            .collect();
    }
    let mut found = Vec::new();
    let expect = &step.expect;
    verdicts(expect, got, &mut found);
    lists(expect, got, &mut found);
    documents(expect, got, &mut found);
    headers(expect, got, &mut found);
    let notes = notes(got, program, places);
    let last = found.len().saturating_sub(1);
    found
        .into_iter()
        .enumerate()
        .map(|(at, what)| Failure {
            line: expect.line,
            notes: if at == last { notes.clone() } else { Vec::new() },
            ..Failure::new(step, what)
        })
        .collect()
}

fn verdicts(expect: &Expect, got: &Outcome, found: &mut Vec<String>) {
    let mut differ = |what: &str, wanted: &str, is: &str| {
        if wanted != is {
            found.push(format!("{what}: expected `{wanted}`, got `{is}`"));
        }
    };
    if let Some(wanted) = expect.verdict {
        let is = match (&got.code, got.verdict) {
            // A wrong verdict is understood by its code.
            (Some(code), "deny" | "deny_after") if wanted == "allow" => {
                format!("{}` with code `{code}", got.verdict)
            }
            _ => got.verdict.to_owned(),
        };
        differ("verdict", wanted, &is);
    }
    let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "(none)".to_owned());
    for (what, wanted, is) in [
        ("code", &expect.code, &got.code),
        ("reason", &expect.reason, &got.reason),
        ("rule", &expect.rule, &got.rule),
    ] {
        if let Some(wanted) = wanted {
            differ(what, wanted, &or_none(is));
        }
    }
    if let Some(wanted) = expect.unauthenticated {
        differ(
            "unauthenticated",
            &wanted.to_string(),
            &got.unauthenticated.to_string(),
        );
    }
}

fn lists(expect: &Expect, got: &Outcome, found: &mut Vec<String>) {
    if let Some(wanted) = &expect.effects
        && *wanted != got.effects
    {
        found.push(format!(
            "effects, in order: expected [{}], got [{}]",
            wanted.join(", "),
            got.effects.join(", ")
        ));
    }
    for (what, wanted, is) in [
        ("labels", &expect.labels, &got.labels),
        ("edits", &expect.edits, &got.edits),
    ] {
        let Some(wanted) = wanted else { continue };
        let sorted = |list: &[String]| {
            let mut list = list.to_vec();
            list.sort();
            list.dedup();
            list.join(", ")
        };
        if sorted(wanted) != sorted(is) {
            found.push(format!(
                "{what}: expected [{}], got [{}]",
                sorted(wanted),
                sorted(is)
            ));
        }
    }
}

fn documents(expect: &Expect, got: &Outcome, found: &mut Vec<String>) {
    if let Some(wanted) = &expect.args {
        match &got.upstream {
            None => found.push("args: the request did not reach the backend".to_owned()),
            Some(sent) => differ("args", wanted, &args_of(&sent.body).unwrap_or(Value::Null), found),
        }
    }
    if let Some(wanted) = &expect.result {
        match got.client.as_ref().map(|body| result_of(body)) {
            None => found.push("result: the backend's answer did not reach the client".to_owned()),
            Some(None) => found.push("result: the client got no result".to_owned()),
            Some(Some((is, twin))) => {
                differ("result", wanted, &is, found);
                if let Some(twin) = twin {
                    found.push(format!(
                        "result: its text says something else than its structured content: {twin}"
                    ));
                }
            }
        }
    }
}

fn differ(what: &str, wanted: &Value, is: &Value, found: &mut Vec<String>) {
    let lines = difference::of(what, wanted, is);
    if !lines.is_empty() {
        found.push(lines.join("\n"));
    }
}

fn headers(expect: &Expect, got: &Outcome, found: &mut Vec<String>) {
    for (name, wanted) in &expect.headers {
        let Some(sent) = &got.upstream else {
            found.push(format!("header `{name}`: the request did not reach the backend"));
            continue;
        };
        let is = sent
            .headers
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value);
        match (wanted, is) {
            (None, Some(value)) => found.push(format!("header `{name}`: expected none, got `{value}`")),
            (Some(wanted), None) => found.push(format!("header `{name}`: expected `{wanted}`, got none")),
            (Some(wanted), Some(is)) if wanted != is => {
                found.push(format!("header `{name}`: expected `{wanted}`, got `{is}`"));
            }
            (Some(_), Some(_)) | (None, None) => {}
        }
    }
}

/// Where the policy decided; when it let the operation through, what it asked on the way.
fn notes(got: &Outcome, program: &Program, places: &Places<'_>) -> Vec<String> {
    let mut notes = Vec::new();
    let mut passed = Vec::new();
    for event in &got.trace {
        let TraceEvent::Step {
            block,
            at,
            taken,
            went,
        } = event
        else {
            continue;
        };
        let Some(place) = places.of(*block, *at) else {
            continue;
        };
        match went {
            Went::Denied(denied) => {
                notes.push(format!("decided at {}", places.quote(place)));
                let evaluable = !matches!(taken, Some(Truth::Error | Truth::Fault | Truth::Unknown));
                if !evaluable {
                    notes.push("its condition cannot be evaluated".to_owned());
                }
                if !denied.rule.is_empty() {
                    notes.push(format!("which is {}", denied.rule));
                }
            }
            Went::To(_) | Went::Waits => {
                let instr = program
                    .blocks
                    .get(block.at())
                    .and_then(|block| block.code.get(*at));
                if matches!(instr, Some(Instr::DenyIf(_))) && *taken == Some(Truth::False) {
                    passed.push(places.quote(place));
                }
            }
        }
    }
    if notes.is_empty() {
        passed.dedup();
        match (got.verdict, passed.is_empty()) {
            ("allow", false) => notes.extend(
                passed
                    .iter()
                    .map(|rule| format!("asked, and did not deny: {rule}")),
            ),
            ("allow", true) => notes.push("no rule was asked".to_owned()),
            (_, _) => match &got.reason {
                Some(reason) => notes.push(format!("no rule of the policy denied; the proxy says: {reason}")),
                None => notes.push("no rule of the policy denied".to_owned()),
            },
        }
    }
    notes
}
