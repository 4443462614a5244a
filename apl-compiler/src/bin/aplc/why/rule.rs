//! The rule behind a record: its text, its line, what it reads; and what the book says to do about a code.

use std::path::{Path, PathBuf};

use apl_compiler::outline::{DenialView, Step, StepKind, outline};
use companion_protocol::AuditRecord;

use super::super::input;
use super::Fault;

/// The book's table of codes: one source for what to do.
const CODES: &str = include_str!("../../../../../docs/codes.md");

/// What became of looking for it.
pub(super) enum Rule {
    /// Here it is.
    Found(Found),
    /// The program with this digest has no such rule: a denial of the engine's own.
    NotThere,
    /// No policy with this digest was given.
    OtherPolicies,
    /// None was given.
    NotAsked,
}

/// A rule.
pub(super) struct Found {
    /// `file:line`.
    pub(super) at: Option<String>,
    /// When it denies.
    pub(super) condition: Option<String>,
    /// What it says.
    pub(super) reason: Option<String>,
    /// Attributes in its condition.
    pub(super) reads: Vec<String>,
}

/// Looks in the policy whose digest the record names.
pub(super) fn find(policies: &[PathBuf], record: &AuditRecord) -> Result<Rule, Fault> {
    if policies.is_empty() {
        return Ok(Rule::NotAsked);
    }
    for path in policies {
        let Some(program) = program(path)? else {
            continue;
        };
        if program.digest_hex() != record.policy_digest {
            continue;
        }
        let Some(position) = &record.rule else {
            return Ok(Rule::NotThere);
        };
        let outline = outline(program.program());
        let steps = outline
            .operations
            .iter()
            .flat_map(|operation| operation.pre.iter().chain(&operation.post));
        return Ok(within(steps, position).map_or(Rule::NotThere, Rule::Found));
    }
    Ok(Rule::OtherPolicies)
}

pub(crate) fn program(path: &Path) -> Result<Option<apl_bytecode::VerifiedProgram>, Fault> {
    if !path.is_dir() {
        let bytes = input::read(path)?;
        if bytes.starts_with(&apl_bytecode::MAGIC) {
            return Ok(input::loaded(&bytes, path));
        }
    }
    Ok(input::policy(path)?.output.map(|output| output.program))
}

fn within<'a>(steps: impl Iterator<Item = &'a Step>, position: &str) -> Option<Found> {
    for step in steps {
        if let Some((condition, denial)) = denies(&step.kind)
            && denial.position == position
        {
            return Some(Found {
                at: step.at.clone(),
                reads: condition.as_deref().map(attributes).unwrap_or_default(),
                condition,
                reason: denial.reason.clone(),
            });
        }
        let inner = match &step.kind {
            StepKind::When { then, .. } => within(then.iter(), position),
            StepKind::Decision { on_deny, .. } => within(on_deny.iter(), position),
            StepKind::Gate { .. }
            | StepKind::Deny(_)
            | StepKind::Field { .. }
            | StepKind::Scan { .. }
            | StepKind::Taint { .. }
            | StepKind::LoadLabels
            | StepKind::Delegate(_)
            | StepKind::Ask(_)
            | StepKind::Audit { .. } => None,
        };
        if inner.is_some() {
            return inner;
        }
    }
    None
}

/// The condition and the denial of a step that can deny by itself.
fn denies(kind: &StepKind) -> Option<(Option<String>, &DenialView)> {
    match kind {
        StepKind::Gate { when, denial } => Some((Some(when.clone()), denial)),
        StepKind::When {
            condition, denial, ..
        } => Some((Some(format!("`{condition}` cannot be evaluated")), denial)),
        StepKind::Deny(denial) => Some((None, denial)),
        StepKind::Field { path, stages, denial } => Some((
            Some(format!("{path} does not pass {}", stages.join(" | "))),
            denial,
        )),
        StepKind::Scan { scanner, denial } => Some((Some(format!("{scanner} finds something")), denial)),
        StepKind::Decision { .. }
        | StepKind::Taint { .. }
        | StepKind::LoadLabels
        | StepKind::Delegate(_)
        | StepKind::Ask(_)
        | StepKind::Audit { .. } => None,
    }
}

/// Dotted names outside quotes: what a condition reads.
fn attributes(condition: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for (at, part) in condition.split(['"', '\'']).enumerate() {
        // Every second part stands between quotes.
        if at % 2 == 1 {
            continue;
        }
        let words = part.split(|ch: char| !(ch.is_alphanumeric() || "._-".contains(ch)));
        for word in words.filter(|word| word.contains('.') && word.starts_with(|ch: char| ch.is_alphabetic()))
        {
            if !found.iter().any(|known| known == word) {
                found.push(word.to_owned());
            }
        }
    }
    found
}

/// What the book says to do about a code.
pub(super) fn next_step(code: &str) -> Option<String> {
    let start = format!("| `{code}` |");
    let row = CODES.lines().find(|row| row.starts_with(&start))?;
    let last = row.trim_end_matches([' ', '|']).rsplit(" | ").next()?;
    Some(last.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_condition_reads_is_named_once_and_texts_are_no_names() {
        let reads = attributes("not(role.hr) or args.amount > 10.5 and role.hr == 'a.b'");
        assert_eq!(reads, ["role.hr", "args.amount"]);
    }

    #[test]
    fn the_book_has_a_next_step() {
        let next = next_step("delegation.idp_timeout").expect("a row");
        assert_eq!(next, "check the identity provider");
        assert_eq!(next_step("nothing.of_the_kind"), None);
    }
}
