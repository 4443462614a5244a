//! Instructions.
//!
//! A block of kind [`Expr`](super::BlockKind::Expr) is straight-line code over a value stack and leaves one value. A
//! block of kind [`Steps`](super::BlockKind::Steps) is a list of steps: the stack is empty at every step boundary, jumps
//! go forward to step boundaries only, so that each block ends after at most as many instructions as it has.
//!
//! Values are booleans, integers, floats, strings, lists, JSON nodes and null, and two more that every operator
//! understands: *unknown* (a list run with arguments not given), *error* (a CEL error) and *fault* (an order comparison of
//! APL that was evaluated and cannot be made). `And`, `Or` and `Not` are total over {true, false, unknown, error, fault}.
//! False absorbs an error or unknown in `And`, and true in `Or`, on either side; otherwise unknown wins over error, because
//! what is not known may turn out to absorb the error. A fault on the left stays one, whatever the right; on the right it
//! counts only if the left is not what absorbs, and behind unknown the result is unknown. Every other operator gives a
//! fault if one of its values is one, else an error, else unknown.

use super::{AttrId, BlockId, Call, ConstId, DenialId, EffectId, PipelineId, RegexId, ScannerId, StrId};

/// One instruction. The comment says what it takes from the stack and what it leaves there.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Instr {
    // --- APL predicate leaves: [] -> [bool|unknown|error|fault]
    /// The attribute is present and is boolean `true`.
    Truth(AttrId),
    /// The attribute is present, whatever its shape.
    Exists(AttrId),
    /// Compares an attribute with a constant, by the rules of APL (`design/language.md` rows 2 and 3): `!=` on a missing
    /// attribute is true; an order comparison on a present value that is not an exactly comparable number is a fault.
    Compare(CmpOp, AttrId, ConstId),
    /// The attribute is a set with this string as a member.
    Contains(AttrId, ConstId),
    /// The first attribute, a string, is a member of the second, a set.
    In(AttrId, AttrId),

    // --- logic
    /// [a, b] -> [a && b]
    And,
    /// [a, b] -> [a || b]
    Or,
    /// [a] -> [!a]
    Not,

    // --- CEL: [..] -> [value]; a wrong type or a missing key leaves an error
    /// [] -> [constant]
    Const(ConstId),
    /// [] -> [the attribute's value]; absent: an error.
    Load(AttrId),
    /// [] -> [bool]: `has(a.b)`.
    Has(AttrId),
    /// [a, b] -> [a op b]: CEL equality and order, heterogeneous numbers compared exactly.
    Cel(CmpOp),
    /// [a, list|map] -> [bool]: CEL `in`.
    CelIn,
    /// [a, b] -> [a op b]; overflow and division by zero leave an error.
    Arith(Arith),
    /// [a] -> [-a]
    Neg,
    /// [list|map, key] -> [element]
    Index,
    /// [map] -> [field]
    Select(StrId),
    /// [map] -> [bool]: `has(expr.field)`.
    HasField(StrId),
    /// [condition, a, b] -> [a or b]; a condition that is no boolean leaves an error. Both sides are evaluated.
    Choose,
    /// [v1, ..., vn] -> [list]
    List(u16),
    /// [k1, v1, ..., kn, vn] -> [map]: keys are booleans, whole numbers or texts; one that stands twice leaves an error.
    Map(u16),
    /// [arguments...] -> [value]: a function of the standard environment. The receiver is the first argument.
    Call(Call),
    /// [string] -> [bool]: `matches` with a literal pattern.
    Matches(RegexId),
    /// [] -> [the variable of the comprehension in whose body this stands]; the slot is its nesting depth.
    Local(u8),
    /// [list|map] -> [value]: runs the expression block once an element. The block stands before this one in the table.
    Fold(Fold, BlockId),

    /// [] -> [bool|unknown|error]: what the effect was last answered in this phase. A decision: allowed or not. An
    /// elicitation: approved, or passed over. Not answered: an error.
    Answer(EffectId),

    // --- steps: the stack is empty before and after, but for what they take
    /// [condition] -> []: true denies. An error or a fault denies the phase with the same position and `condition cannot be
    /// evaluated`. Unknown: the run goes on, and its verdict can no longer be a definite allow.
    DenyIf(DenialId),
    /// [condition] -> []: false jumps. An error or a fault denies the phase at this denial's position. Unknown jumps, and what the
    /// skipped body would have written is unknown from here on.
    SkipUnless(Jump, DenialId),
    /// [decision] -> []: true jumps (to the `on_allow` steps); false, error and fault go on (with the `on_deny` steps).
    Decide(Jump),
    /// Denies.
    Deny(DenialId),
    /// Denies with the code and reason of the effect's answer, and where it has none with these.
    DenyAs(EffectId, DenialId),
    /// Goes on at the target.
    Jump(Jump),
    /// Runs a field pipeline.
    Pipeline(PipelineId),
    /// `run(pii-scan)`: a scanner over the whole arguments (pre phase) or result (post phase); a find denies.
    Scan(ScannerId, DenialId),
    /// Puts an effect at the end of the pending batch.
    Effect(EffectId),
    /// Suspends until the pending batch, if there is one, is answered. The compiler puts one before whatever reads an
    /// answer; the end of the block waits too, and so does a denial with effects pending before it.
    Await,
}

/// A forward jump: the index, in the same block, of the instruction to go on with. The block's length means its end.
pub type Jump = u32;

/// Comparison operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum CmpOp {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
}

/// Arithmetic operators; `Add` also joins strings and lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Arith {
    Add,
    Sub,
    Mul,
    Div,
    Rem,
}

/// Comprehensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are CEL's own macros")]
pub enum Fold {
    All,
    Exists,
    ExistsOne,
    Filter,
    Map,
}
