//! Effects that ask somebody: a human, a decision point, a counter.

use alloc::vec::Vec;

use super::{AttrId, BlockId, DenialId, OnError, StrId};

/// A text that is written down, or that an attribute holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operand {
    /// This one.
    Text(StrId),
    /// What the attribute holds; absent or not a text: the step fails.
    Attr(AttrId),
}

/// An elicitation: a human decides about one call.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Elicit {
    /// Which verb.
    pub kind: ElicitKind,
    /// The handler's name.
    pub handler: StrId,
    /// Who is asked.
    pub from: Operand,
    /// The way to reach them; `None`: the handler's.
    pub channel: Option<StrId>,
    /// What they are told it is for.
    pub purpose: Option<StrId>,
    /// `scope` as written, for them to read. The condition itself is code behind the answer.
    pub scope: Option<StrId>,
    /// Seconds that they have; 0: the handler's default.
    pub timeout_s: u32,
    /// What they see of the call; `None`: every argument, as the pipelines left it.
    pub show: Option<Vec<AttrId>>,
    /// What an unreachable channel does. Everything else that goes wrong denies.
    pub on_error: OnError,
    /// The denial of a failure without a code of its own.
    pub denial: DenialId,
}

/// The six verbs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names are the language's own")]
pub enum ElicitKind {
    Approval,
    Confirm,
    StepUp,
    Attestation,
    Info,
    Review,
}

impl ElicitKind {
    /// Every verb.
    pub const ALL: [Self; 6] = [
        Self::Approval,
        Self::Confirm,
        Self::StepUp,
        Self::Attestation,
        Self::Info,
        Self::Review,
    ];

    /// The kind's name, as handlers are told it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Approval => "approval",
            Self::Confirm => "confirm",
            Self::StepUp => "step_up",
            Self::Attestation => "attestation",
            Self::Info => "info",
            Self::Review => "review",
        }
    }

    /// The step that policy writes.
    #[must_use]
    pub const fn verb(self) -> &'static str {
        match self {
            Self::Approval => "require_approval",
            Self::Confirm => "confirm",
            Self::StepUp => "require_step_up",
            Self::Attestation => "require_attestation",
            Self::Info => "request_info",
            Self::Review => "require_review",
        }
    }
}

/// A question to a decision point outside the program.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Decision {
    /// The language that it speaks.
    pub dialect: Dialect,
    /// The decision point's name, as deployed.
    pub point: StrId,
    /// An expression that leaves the call's arguments; an error in it (a `${...}` that is absent) is one of the question.
    pub call: BlockId,
    /// Attributes that go along; of a namespace, everything in it.
    pub input: Vec<AttrId>,
    /// The denial when it cannot be asked: `pdp:Cedar` and the like.
    pub denial: DenialId,
}

/// Languages of decision points.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names are the products' own")]
pub enum Dialect {
    Cedar,
    Opa,
    AuthZen,
    NeMo,
    Custom,
}

impl Dialect {
    /// The key of the step, and the name in requests.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cedar => "cedar",
            Self::Opa => "opa",
            Self::AuthZen => "authzen",
            Self::NeMo => "nemo",
            Self::Custom => "custom",
        }
    }
}

/// A counter: `limit(...)` and `budget(...)`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Count {
    /// The counter's name: steps with the same name share it.
    pub name: StrId,
    /// How much fits into a window.
    pub limit: u64,
    /// The window, in seconds; at least one.
    pub window_s: u32,
    /// Whose counter: these attributes' values. Empty: the verified principal's.
    pub by: Vec<AttrId>,
    /// What the operation costs.
    pub cost: Cost,
    /// The denial when it is used up, or cannot be counted.
    pub denial: DenialId,
}

/// What an operation costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cost {
    /// This much.
    Fixed(u64),
    /// What the attribute holds: a whole number that is not negative; anything else denies.
    Attr(AttrId),
}
