//! Which steps read what an effect answers: the session's labels, and what a delegation was granted.

use apl_bytecode::{Attr, Instr};
use apl_bytecode::{Program, Seg};

use crate::syntax::{
    CostDecl, DelegateCall, Effect, EffectKind, ElicitCall, Field, From, MembersDecl, Path, Pdp, Predicate,
    StageKind, Step, StepKind,
};

const LABELS: &[&str] = &["security", "labels"];
const GRANTED: &[&str] = &["delegation", "granted"];

/// What some part of a policy reads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Reads {
    /// `security.labels`.
    pub labels: bool,
    /// `delegation.granted` or below.
    pub granted: bool,
}

impl Reads {
    pub(crate) fn or(self, other: Self) -> Self {
        Self {
            labels: self.labels || other.labels,
            granted: self.granted || other.granted,
        }
    }
}

fn path(path: &Path) -> Reads {
    Reads {
        labels: path.reads(LABELS) || path.root() == "security" && path.segs.len() == 1,
        granted: path.reads(GRANTED),
    }
}

/// What a predicate reads.
pub(crate) fn predicate(predicate: &Predicate) -> Reads {
    let mut paths = Vec::new();
    predicate.paths(&mut paths);
    paths.into_iter().map(path).fold(Reads::default(), Reads::or)
}

/// What a field's conditions read.
pub(crate) fn field(field: &Field) -> Reads {
    field
        .stages
        .iter()
        .fold(Reads::default(), |reads, stage| match &stage.kind {
            StageKind::RedactIf(condition) => reads.or(predicate(condition)),
            StageKind::Plain(_)
            | StageKind::Enum(_)
            | StageKind::Regex(_)
            | StageKind::Taint(_)
            | StageKind::Run(_)
            | StageKind::BuiltIn(..) => reads,
        })
}

/// What an effect reads.
pub(crate) fn effect(effect: &Effect) -> Reads {
    match &effect.kind {
        EffectKind::Field(inner) => field(inner),
        EffectKind::Sequential(inner) | EffectKind::Parallel(inner) => {
            inner.iter().map(self::effect).fold(Reads::default(), Reads::or)
        }
        EffectKind::Elicit(call) => effect_of_elicit(call),
        EffectKind::Limit(call) => {
            let cost = match &call.cost {
                CostDecl::Path(path) => Some(path),
                CostDecl::Fixed(_) => None,
            };
            paths(call.by.iter().chain(cost))
        }
        EffectKind::Restrict(call) => paths(call.lists.iter().filter_map(|(_, members)| match members {
            MembersDecl::Path(path) => Some(path),
            MembersDecl::Texts(_) => None,
        })),
        EffectKind::Allow | EffectKind::Deny(..) | EffectKind::Run(_) | EffectKind::Taint(_) => {
            Reads::default()
        }
        EffectKind::Delegate(call) => effect_of_delegate(call),
    }
}

/// What a delegation reads: the parts of the resource that a token is narrowed to.
pub(crate) fn effect_of_delegate(call: &DelegateCall) -> Reads {
    let parts = call.attenuation.iter().flat_map(|narrowed| &narrowed.resource);
    paths(parts.filter_map(|part| match part {
        From::Path(path) => Some(path),
        From::Text(_) => None,
    }))
}

/// What an elicitation reads.
pub(crate) fn effect_of_elicit(call: &ElicitCall) -> Reads {
    let shown = call.show.iter().flatten();
    let from = match &call.from {
        From::Path(path) => Some(path),
        From::Text(_) => None,
    };
    let scope = call
        .scope
        .as_ref()
        .map_or_else(Reads::default, |(_, scope)| predicate(scope));
    paths(shown.chain(from)).or(scope)
}

fn paths<'a>(paths: impl Iterator<Item = &'a Path>) -> Reads {
    paths.map(path).fold(Reads::default(), Reads::or)
}

/// What a step reads anywhere in it. A decision point's own expression is not looked into: what it reads is only known
/// when it is compiled, see [`code`].
pub(crate) fn step(step: &Step) -> Reads {
    match &step.kind {
        StepKind::When(condition, effects) => {
            effects.iter().map(effect).fold(predicate(condition), Reads::or)
        }
        StepKind::Do(inner) => effect(inner),
        StepKind::Pdp(pdp) => reactions(pdp),
    }
}

fn reactions(pdp: &Pdp) -> Reads {
    pdp.on_allow
        .iter()
        .chain(&pdp.on_deny)
        .map(step)
        .fold(Reads::default(), Reads::or)
}

/// What compiled instructions read.
pub(crate) fn code(program: &Program, code: &[Instr]) -> Reads {
    code.iter().fold(Reads::default(), |reads, instr| match instr {
        Instr::Load(id) | Instr::Has(id) | Instr::Truth(id) | Instr::Exists(id) => {
            match program.attrs.get(id.at()) {
                Some(attr) => reads.or(attribute(program, attr)),
                None => reads,
            }
        }
        Instr::Fold(_, block) => match program.blocks.get(block.at()) {
            Some(block) => reads.or(self::code(program, &block.code)),
            None => reads,
        },
        _ => reads,
    })
}

fn attribute(program: &Program, attr: &Attr) -> Reads {
    let begins = |names: &[&str]| {
        attr.segs.len() >= names.len()
            && attr.segs.iter().zip(names).all(|(seg, name)| match seg {
                Seg::Name(id) => program.strings.get(id.at()).is_some_and(|text| text == name),
                Seg::Value(_) => false,
            })
    };
    Reads {
        labels: begins(LABELS) || begins(&["security"]) && attr.segs.len() == 1,
        granted: begins(GRANTED) || begins(&["delegation"]) && attr.segs.len() == 1,
    }
}
