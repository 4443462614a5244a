//! Where each rule was written.

use std::collections::BTreeMap;

use apl_bytecode::{Code, DenialId, Effect, Instr, Position, Program, spell_position};

use super::spell::place;

/// From the position of a step, as records name it (`routes.tool:pay.pre_invocation[1]`), to `file:line`. Empty without the
/// debug section.
#[must_use]
pub fn lines(program: &Program) -> BTreeMap<String, String> {
    let mut lines = BTreeMap::new();
    if program.debug.is_none() {
        return lines;
    }
    for (block, code) in (0_u32..).zip(program.blocks.iter().map(|block| &block.code)) {
        for (at, instr) in (0_u32..).zip(code) {
            let Some(rule) = rule(program, instr) else {
                continue;
            };
            if let Some(place) = place(program, Position::Instr(block, at)) {
                lines.entry(spell_position(program, rule)).or_insert(place);
            }
        }
    }
    lines
}

/// The rule that an instruction belongs to, where it can deny or is recorded.
fn rule<'a>(program: &'a Program, instr: &Instr) -> Option<&'a Code> {
    let denial = |id: DenialId| program.denials.get(id.at()).map(|denial| &denial.code);
    match instr {
        Instr::DenyIf(id)
        | Instr::SkipUnless(_, id)
        | Instr::Deny(id)
        | Instr::DenyAs(_, id)
        | Instr::Scan(_, id) => denial(*id),
        Instr::Pipeline(id) => denial(program.pipelines.get(id.at())?.denial),
        Instr::Effect(id) => match program.effects.get(id.at())? {
            Effect::Taint { denial: id, .. } | Effect::LoadLabels { denial: id } => denial(*id),
            Effect::Delegate(delegate) => denial(delegate.denial),
            Effect::Attenuate(attenuate) => denial(attenuate.delegate.denial),
            Effect::Audit { code, .. } => Some(code),
            Effect::Elicit(elicit) => denial(elicit.denial),
            Effect::Decide(decision) => denial(decision.denial),
            Effect::Count(count) => denial(count.denial),
            Effect::Restrict(restrict) => denial(restrict.denial),
        },
        Instr::Decide(_)
        | Instr::Jump(_)
        | Instr::Await
        | Instr::Truth(_)
        | Instr::Exists(_)
        | Instr::Compare(..)
        | Instr::Contains(..)
        | Instr::In(..)
        | Instr::And
        | Instr::Or
        | Instr::Not
        | Instr::Const(_)
        | Instr::Load(_)
        | Instr::Has(_)
        | Instr::Cel(_)
        | Instr::CelIn
        | Instr::Arith(_)
        | Instr::Neg
        | Instr::Index
        | Instr::Select(_)
        | Instr::HasField(_)
        | Instr::Choose
        | Instr::List(_)
        | Instr::Map(_)
        | Instr::Answer(_)
        | Instr::Call(_)
        | Instr::Matches(_)
        | Instr::Local(_)
        | Instr::Fold(..) => None,
    }
}
