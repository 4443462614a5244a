//! Syntax trees.

use apl_bytecode::{CmpOp, Scopes, Side};

use crate::source::Span;
use crate::yaml::Node;

/// An attribute path.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Path {
    /// At least one, the first a name.
    pub segs: Vec<PathSeg>,
    /// Where.
    pub span: Span,
}

/// A segment of an attribute path.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum PathSeg {
    /// `.name` or `["name"]`.
    Name(String),
    /// `[path]`.
    Value(Path),
}

impl Path {
    /// The namespace.
    pub(crate) fn root(&self) -> &str {
        match self.segs.first() {
            Some(PathSeg::Name(name)) => name,
            Some(PathSeg::Value(_)) | None => "",
        }
    }

    /// The dotted spelling, when it has no subscripts with values.
    pub(crate) fn dotted(&self) -> Option<String> {
        let mut text = String::new();
        for seg in &self.segs {
            let PathSeg::Name(name) = seg else { return None };
            if !text.is_empty() {
                text.push('.');
            }
            text.push_str(name);
        }
        Some(text)
    }

    /// Whether it, or a path in its subscripts, begins with these names.
    pub(crate) fn reads(&self, names: &[&str]) -> bool {
        let own = self.segs.len() >= names.len()
            && self
                .segs
                .iter()
                .zip(names)
                .all(|(seg, name)| matches!(seg, PathSeg::Name(text) if text == name));
        own || self
            .segs
            .iter()
            .any(|seg| matches!(seg, PathSeg::Value(path) if path.reads(names)))
    }
}

/// A literal.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Literal {
    /// Quoted text.
    Str(String),
    /// A whole number.
    Int(i64),
    /// Any other number.
    Float(f64),
    /// `true`, `false`.
    Bool(bool),
}

/// A predicate.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Predicate {
    /// A leaf.
    Test(Test),
    /// `!p`, `require(p)`.
    Not(Box<Predicate>),
    /// `p & q`, and `p, q` in `require`.
    And(Vec<Predicate>),
    /// `p | q`.
    Or(Vec<Predicate>),
}

/// A leaf of a predicate.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Test {
    /// `path`.
    Truth(Path),
    /// `exists(path)`.
    Exists(Path),
    /// `path op literal`.
    Compare(CmpOp, Path, Literal),
    /// `path contains literal`.
    Contains(Path, Literal),
    /// `path in path`.
    In(Path, Path),
}

impl Predicate {
    /// Every path in it.
    pub(crate) fn paths<'a>(&'a self, out: &mut Vec<&'a Path>) {
        match self {
            Self::Test(
                Test::Truth(path) | Test::Exists(path) | Test::Compare(_, path, _) | Test::Contains(path, _),
            ) => {
                out.push(path);
            }
            Self::Test(Test::In(a, b)) => out.extend([a, b]),
            Self::Not(inner) => inner.paths(out),
            Self::And(parts) | Self::Or(parts) => parts.iter().for_each(|part| part.paths(out)),
        }
    }
}

/// One entry of a phase list or reaction list.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    /// Where.
    pub span: Span,
    /// Position in its list.
    pub index: u16,
    /// What.
    pub kind: StepKind,
}

/// What a step is.
#[derive(Debug, Clone)]
pub(crate) enum StepKind {
    /// Effects under a condition. `require(p)` is a denial under `!p`.
    When(Predicate, Vec<Effect>),
    /// An unconditional effect.
    Do(Effect),
    /// A decision.
    Pdp(Pdp),
}

/// A decision point.
#[derive(Debug, Clone)]
pub(crate) struct Pdp {
    /// `cel`, `cedar`, ..., or the name in `pdp(name)`.
    pub dialect: String,
    /// What stands in parentheses behind the dialect, `pdp` aside.
    pub argument: Option<(String, Span)>,
    /// The call's own entries, without reactions.
    pub body: Vec<(String, Span, Node)>,
    /// Steps after an allow.
    pub on_allow: Vec<Step>,
    /// Steps after a denial.
    pub on_deny: Vec<Step>,
}

/// An effect.
#[derive(Debug, Clone)]
pub(crate) struct Effect {
    /// Where.
    pub span: Span,
    /// What.
    pub kind: EffectKind,
}

/// What an effect is.
#[derive(Debug, Clone)]
pub(crate) enum EffectKind {
    /// Nothing.
    Allow,
    /// Denies, with reason and code.
    Deny(Option<String>, Option<String>),
    /// `run(name)`.
    Run(String),
    /// `taint(...)`.
    Taint(TaintCall),
    /// `delegate(...)`.
    Delegate(DelegateCall),
    /// One of the elicitation verbs.
    Elicit(Box<ElicitCall>),
    /// `limit(...)`, `budget(...)`.
    Limit(Box<LimitCall>),
    /// `restrict: {...}`.
    Restrict(Box<RestrictCall>),
    /// `args.x | stages`.
    Field(Field),
    /// In order.
    Sequential(Vec<Effect>),
    /// All of them.
    Parallel(Vec<Effect>),
}

/// A label and where it holds.
#[derive(Debug, Clone)]
pub(crate) struct TaintCall {
    /// The label.
    pub label: String,
    /// At least one scope.
    pub scopes: Scopes,
    /// For subject scope; 0: the store's default.
    pub ttl_s: u32,
}

/// A delegation.
#[derive(Debug, Clone)]
pub(crate) struct DelegateCall {
    /// The delegator.
    pub plugin: String,
    /// Where its name is.
    pub plugin_span: Span,
    /// The target; the delegator's name unless given.
    pub target: Option<String>,
    /// The audience; the target unless given.
    pub audience: Option<String>,
    /// Scopes.
    pub permissions: Vec<String>,
    /// `user` unless given.
    pub subject: apl_bytecode::Subject,
    /// The actor.
    pub actor: Option<apl_bytecode::Actor>,
    /// `attenuation: {ttl: 5m}`: seconds; 0: none.
    pub ttl_s: u32,
    /// `attenuation` beside `ttl`, for a delegator that narrows a token.
    pub attenuation: Option<AttenuationDecl>,
    /// `on_error: continue`.
    pub goes_on: bool,
}

/// What a token is narrowed to.
#[derive(Debug, Clone)]
pub(crate) struct AttenuationDecl {
    /// Where.
    pub span: Span,
    /// What may be done.
    pub actions: Vec<String>,
    /// What may be called on.
    pub capabilities: Vec<String>,
    /// The one resource, in parts.
    pub resource: Vec<From>,
}

/// A field pipeline.
#[derive(Debug, Clone)]
pub(crate) struct Field {
    /// Which document.
    pub side: Side,
    /// The path as written, without `args.` or `result.`.
    pub name: String,
    /// Segments; `**` is any depth.
    pub path: Vec<String>,
    /// At least one.
    pub stages: Vec<Stage>,
    /// Where.
    pub span: Span,
}

/// A stage.
#[derive(Debug, Clone)]
pub(crate) struct Stage {
    /// What.
    pub kind: StageKind,
    /// Where.
    pub span: Span,
}

/// What a stage is.
#[derive(Debug, Clone)]
pub(crate) enum StageKind {
    /// Needs nothing of the program's tables.
    Plain(apl_bytecode::Stage),
    /// `enum(...)`.
    Enum(Vec<String>),
    /// `regex(...)`.
    Regex(String),
    /// `redact(predicate)`.
    RedactIf(Predicate),
    /// `taint(...)`.
    Taint(TaintCall),
    /// `run(name)`.
    Run(String),
    /// `pii.detect`, `pii.redact`, `injection.scan`.
    BuiltIn(apl_bytecode::ScanMode, &'static str),
}

/// An elicitation.
#[derive(Debug, Clone)]
pub(crate) struct ElicitCall {
    /// The verb.
    pub kind: apl_bytecode::ElicitKind,
    /// The handler.
    pub plugin: String,
    /// Where its name is.
    pub plugin_span: Span,
    /// Who is asked.
    pub from: From,
    /// How.
    pub channel: Option<String>,
    /// What for.
    pub purpose: Option<String>,
    /// As written, and what it means.
    pub scope: Option<(String, Predicate)>,
    /// 0: the handler's default.
    pub timeout_s: u32,
    /// `None`: every argument.
    pub show: Option<Vec<Path>>,
    /// `on_error: continue`.
    pub goes_on: bool,
}

/// Who is asked.
#[derive(Debug, Clone)]
pub(crate) enum From {
    /// This one.
    Text(String),
    /// Whoever the attribute names.
    Path(Path),
}

/// `limit(...)`, `budget(...)`.
#[derive(Debug, Clone)]
pub(crate) struct LimitCall {
    /// `budget`.
    pub budget: bool,
    /// How much fits.
    pub limit: u64,
    /// Into how many seconds.
    pub window_s: u32,
    /// Whose; empty: the principal's.
    pub by: Vec<Path>,
    /// What the operation costs.
    pub cost: CostDecl,
    /// The denial's code.
    pub code: Option<String>,
    /// The counter's name.
    pub name: Option<String>,
}

/// A cost.
#[derive(Debug, Clone)]
pub(crate) enum CostDecl {
    /// This much.
    Fixed(u64),
    /// What the attribute holds.
    Path(Path),
}

/// `restrict`.
#[derive(Debug, Clone, Default)]
pub(crate) struct RestrictCall {
    /// The lists.
    pub lists: Vec<(apl_bytecode::ListKind, MembersDecl)>,
    /// The ceiling.
    pub tier: Option<String>,
    /// Labels.
    pub custom: Vec<(String, String)>,
    /// `on_empty: fallback`.
    pub fallback: bool,
}

/// What is in a list.
#[derive(Debug, Clone)]
pub(crate) enum MembersDecl {
    /// These.
    Texts(Vec<String>),
    /// The members of the attribute.
    Path(Path),
}
