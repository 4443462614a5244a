//! The program as data.
//!
//! Everything refers to everything else by index ([`StrId`], [`AttrId`], ...), so that the model is one flat, cheaply
//! verified thing. Tables are in the order in which the compiler first needed an entry, which makes output deterministic.

mod ask;
mod assertion;
mod attr;
mod call;
mod effect;
mod identity;
mod ids;
mod instr;
mod pin;
mod pipeline;
mod program;
mod restrict;
mod route;

pub use ask::{Cost, Count, Decision, Dialect, Elicit, ElicitKind, Operand};
pub use assertion::{Assertion, Assertions, Contract, Encoding, HeaderSource};
pub use attr::{Attr, Seg};
pub use call::Call;
pub use effect::{Actor, Attenuate, Delegate, Effect, OnError, Scopes, Subject};
pub use identity::{
    Algorithm, ClaimField, ClaimMap, ClaimPath, ClaimRule, ClaimShape, CredentialSource, Identity, Issuer,
    MeshIssuer, TokenRole,
};
pub use ids::{
    AssertionsId, AttrId, BlockId, ConstId, DenialId, EffectId, IdentityId, PipelineId, RegexId, ScannerId,
    StrId,
};
pub use instr::{Arith, CmpOp, Fold, Instr, Jump};
pub use pin::{Challenge, Pin, Pins};
pub use pipeline::{Detector, ScanMode, Scanner};
pub use pipeline::{PathSeg, Pipeline, Side, Stage, TypeCheck};
pub use program::{
    Block, BlockKind, Const, Debug, Delivery, Denial, Position, Program, Regex, Settings, Span,
};
pub use restrict::{ListKind, Members, Restrict};
pub use route::{Code, Enforcement, EntityKind, Fallback, Matcher, Phase, Response, Route, Unmatched};
