//! Making denials.

use apl_bytecode::{Code, DenialId, EffectId, Program, ScannerId, StrId, spell_code, spell_position};

use super::text;
use crate::{facts::Facts, outcome::DenialInfo, scan::Finding};

/// A denial as the program has it.
pub(super) fn of(program: &Program, id: DenialId) -> DenialInfo {
    let Some(denial) = program.denials.get(id.at()) else {
        return misuse();
    };
    let reason = denial
        .reason
        .map_or("access denied", |reason| text(program, reason));
    DenialInfo {
        code: spell_code(program, &denial.code),
        reason: reason.to_owned(),
        rule: spell_position(program, &denial.code),
    }
}

/// The condition in front of a step was an error: the phase denies with the step's position, and the author's code and
/// reason, which speak of something else, are not used.
pub(super) fn unevaluable(program: &Program, id: DenialId) -> DenialInfo {
    let Some(denial) = program.denials.get(id.at()) else {
        return misuse();
    };
    let rule = spell_position(program, &denial.code);
    DenialInfo {
        code: rule.clone(),
        reason: "condition cannot be evaluated".into(),
        rule,
    }
}

/// An effect failed. Its own code and reason win over the program's, where it has them.
pub(super) fn failed(program: &Program, id: DenialId, code: &str, reason: &str) -> DenialInfo {
    let own = of(program, id);
    let pick = |theirs: &str, ours: String| {
        if theirs.is_empty() {
            ours
        } else {
            theirs.to_owned()
        }
    };
    DenialInfo {
        code: pick(code, own.code),
        reason: pick(reason, own.reason),
        rule: own.rule,
    }
}

/// A decision's own code and reason, where it has answered.
pub(super) fn told(program: &Program, effect: EffectId, id: DenialId, facts: &Facts) -> DenialInfo {
    match facts.answers.get(&effect) {
        Some(told) => failed(program, id, &told.code, &told.reason),
        None => of(program, id),
    }
}

/// A record could not be written.
pub(super) fn unaudited(program: &Program, position: &Code, code: &str, reason: &str) -> DenialInfo {
    let pick = |theirs: &str, ours: &str| {
        if theirs.is_empty() {
            ours.to_owned()
        } else {
            theirs.to_owned()
        }
    };
    DenialInfo {
        code: pick(code, "audit.unavailable"),
        reason: pick(reason, "the audit record could not be written"),
        rule: spell_position(program, position),
    }
}

/// A field pipeline denied. `made` names stage and field; the author's reason wins over it.
pub(super) fn of_pipeline(program: &Program, id: DenialId, code: Option<StrId>, made: String) -> DenialInfo {
    let own = of(program, id);
    DenialInfo {
        code: code.map_or(own.code, |code| text(program, code).to_owned()),
        reason: if has_reason(program, id) { own.reason } else { made },
        rule: own.rule,
    }
}

/// A scanner found something: its own code, and a reason that names detector and place.
pub(super) fn of_scan(
    program: &Program,
    id: DenialId,
    scanner: ScannerId,
    side: &str,
    finding: &Finding,
) -> DenialInfo {
    let own = of(program, id);
    let (name, code) = program
        .scanners
        .get(scanner.at())
        .map_or(("scan", own.code.as_str()), |scanner| {
            (text(program, scanner.name), text(program, scanner.code))
        });
    let dot = if finding.field.is_empty() { "" } else { "." };
    let made = format!("{name}: {} in {side}{dot}{}", finding.detector, finding.field);
    DenialInfo {
        code: code.to_owned(),
        reason: if has_reason(program, id) { own.reason } else { made },
        rule: own.rule,
    }
}

fn has_reason(program: &Program, id: DenialId) -> bool {
    program
        .denials
        .get(id.at())
        .is_some_and(|denial| denial.reason.is_some())
}

pub(super) fn fuel() -> DenialInfo {
    engine("limit.fuel", "the policy takes too long on this operation")
}

pub(super) fn bad_answer() -> DenialInfo {
    engine("engine.bad_answer", "an effect was answered with something else")
}

pub(super) fn misuse() -> DenialInfo {
    engine("engine.misuse", "the policy engine was used wrongly")
}

/// A denial of the machine's own; no rule of the policy stands behind it.
fn engine(code: &str, reason: &str) -> DenialInfo {
    DenialInfo {
        code: code.into(),
        reason: reason.into(),
        rule: String::new(),
    }
}
