//! Words for operators, operands and codes.

use alloc::{format, string::String};
use core::fmt::Write as _;

use super::Listing;
use crate::model::{
    Arith, AttrId, CmpOp, Code, Const, ConstId, DenialId, Fold, Phase, Program, RegexId, Seg, StrId,
    TypeCheck,
};

impl Listing<'_> {
    pub(super) fn str(&self, id: StrId) -> String {
        text(self.program, id)
    }

    pub(super) fn list(&self, ids: &[StrId]) -> String {
        let mut text = String::new();
        for (at, id) in ids.iter().enumerate() {
            text.push_str(if at == 0 { "" } else { ", " });
            text.push_str(&self.str(*id));
        }
        text
    }

    pub(super) fn regex(&self, id: RegexId) -> String {
        self.program
            .regexes
            .get(id.at())
            .map_or_else(|| "?".into(), |regex| format!("/{}/", self.str(regex.pattern)))
    }

    pub(super) fn attr(&self, id: AttrId) -> String {
        self.attr_within(id, 2)
    }

    /// A program that does not verify can be listed too, so interpolation is followed only so far.
    fn attr_within(&self, id: AttrId, levels: u8) -> String {
        let Some(attr) = self.program.attrs.get(id.at()) else {
            return "?".into();
        };
        let mut path = String::new();
        for (at, seg) in attr.segs.iter().enumerate() {
            match seg {
                Seg::Name(name) => {
                    path.push_str(if at == 0 { "" } else { "." });
                    path.push_str(&self.str(*name));
                }
                Seg::Value(inner) => match levels.checked_sub(1) {
                    Some(levels) if path.len() < 1_024 => {
                        let _ = write!(path, "[{}]", self.attr_within(*inner, levels));
                    }
                    _ => path.push_str("[?]"),
                },
            }
        }
        path
    }

    pub(super) fn constant(&self, id: ConstId) -> String {
        match self.program.consts.get(id.at()) {
            None => "?".into(),
            Some(Const::Null) => "null".into(),
            Some(Const::Bool(value)) => format!("{value}"),
            Some(Const::Int(value)) => format!("{value}"),
            Some(Const::Uint(value)) => format!("{value}u"),
            Some(Const::Float(value)) => format!("{value:?}"),
            Some(Const::Str(id)) => format!("{:?}", self.str(*id)),
        }
    }

    pub(super) fn denial(&self, id: DenialId) -> String {
        let Some(denial) = self.program.denials.get(id.at()) else {
            return "?".into();
        };
        let reason = denial
            .reason
            .map_or_else(String::new, |reason| format!(" {:?}", self.str(reason)));
        format!("{}{reason}", spell_code(self.program, &denial.code))
    }
}

fn text(program: &Program, id: StrId) -> String {
    program
        .strings
        .get(id.at())
        .cloned()
        .unwrap_or_else(|| "?".into())
}

/// A violation code as a client sees it: `routes.tool:pay.pre_invocation[1].on_deny[0]`, `routes.tool:pay.result.ssn`,
/// or the author's own.
#[must_use]
pub fn spell_code(program: &Program, code: &Code) -> String {
    match code {
        Code::Text(own) | Code::Named { code: own, .. } => text(program, *own),
        Code::Step { .. } | Code::Field { .. } => spell_position(program, code),
    }
}

/// The position that a code stands for; of an author's own code without one, the code itself.
#[must_use]
pub fn spell_position(program: &Program, code: &Code) -> String {
    match code {
        Code::Text(own) => text(program, *own),
        Code::Step {
            source,
            phase,
            index,
            reactions,
        }
        | Code::Named {
            code: _,
            source,
            phase,
            index,
            reactions,
        } => {
            let phase = match phase {
                Phase::Pre => "pre_invocation",
                Phase::Post => "post_invocation",
            };
            let mut spelled = format!("{}.{phase}[{index}]", text(program, *source));
            for (allowed, at) in reactions {
                let _ = write!(
                    spelled,
                    ".{}[{at}]",
                    if *allowed { "on_allow" } else { "on_deny" }
                );
            }
            spelled
        }
        Code::Field {
            source,
            result,
            field,
        } => {
            let side = if *result { "result" } else { "args" };
            format!("{}.{side}.{}", text(program, *source), text(program, *field))
        }
    }
}

pub(super) const fn cmp(op: CmpOp) -> &'static str {
    match op {
        CmpOp::Eq => "==",
        CmpOp::Ne => "!=",
        CmpOp::Lt => "<",
        CmpOp::Le => "<=",
        CmpOp::Gt => ">",
        CmpOp::Ge => ">=",
    }
}

pub(super) const fn arith(op: Arith) -> &'static str {
    match op {
        Arith::Add => "+",
        Arith::Sub => "-",
        Arith::Mul => "*",
        Arith::Div => "/",
        Arith::Rem => "%",
    }
}

pub(super) const fn fold(kind: Fold) -> &'static str {
    match kind {
        Fold::All => "all",
        Fold::Exists => "exists",
        Fold::ExistsOne => "exists_one",
        Fold::Filter => "filter",
        Fold::Map => "map",
    }
}

pub(super) const fn type_check(check: TypeCheck) -> &'static str {
    match check {
        TypeCheck::Str => "str",
        TypeCheck::Int => "int",
        TypeCheck::Bool => "bool",
        TypeCheck::Float => "float",
    }
}

pub(super) fn range(low: Option<impl core::fmt::Display>, high: Option<impl core::fmt::Display>) -> String {
    let mut text = String::new();
    if let Some(low) = low {
        let _ = write!(text, "{low}");
    }
    text.push_str("..");
    if let Some(high) = high {
        let _ = write!(text, "{high}");
    }
    text
}
