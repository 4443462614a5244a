//! Nothing is recorded.

use apl_bytecode::{BlockId, Instr, PipelineId};

use crate::{
    attribute::Scope,
    outcome::{Answer, DenialInfo, Mode, Origin, Verdict},
    value::{Truth, Value},
};

pub(crate) const fn began(_block: BlockId, _mode: Mode) {}
pub(crate) const fn resumed(_block: BlockId) {}
pub(crate) const fn ended(_verdict: &Verdict) {}
pub(crate) const fn answered(_asked: &[Origin], _answers: &[Answer]) {}
pub(crate) const fn entered(_block: BlockId) {}
pub(crate) const fn left() {}
pub(crate) const fn evaluated(_at: usize, _instr: &Instr, _value: &Value<'_>, _scope: &Scope<'_>) {}
pub(crate) const fn stepped(
    _at: usize,
    _taken: Option<Truth>,
    _to: Option<usize>,
    _denied: Option<&DenialInfo>,
) {
}
pub(crate) const fn probed(
    _at: usize,
    _instr: &Instr,
    _taken: Truth,
    _alive: bool,
    _denied: Option<&DenialInfo>,
) {
}
pub(crate) const fn pipeline(_id: PipelineId) {}
pub(crate) const fn condition(_stage: usize, _truth: Truth) {}
pub(crate) const fn stage(_at: usize) {}
pub(crate) const fn absent() {}
