//! What can be wrong with a program.

use core::fmt;

use crate::limits;

/// Why a program does not verify.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// An index beyond its table.
    #[error("{place} refers to {what} {index}, which is not there")]
    Index {
        /// Who refers.
        place: Place,
        /// To what.
        what: &'static str,
        /// Which.
        index: u32,
    },
    /// More than a limit allows.
    #[error("{place} has more than {limit} {what}")]
    TooMany {
        /// Who.
        place: Place,
        /// Of what.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// Something that must have a member has none.
    #[error("{place} has no {what}")]
    Empty {
        /// Who.
        place: Place,
        /// What is missing.
        what: &'static str,
    },
    /// A value without a meaning in its place.
    #[error("{place} has {what} without a meaning")]
    Meaningless {
        /// Who.
        place: Place,
        /// What.
        what: &'static str,
    },
    /// An attribute whose first segment is interpolated.
    #[error("{place} does not begin with a name")]
    NoNamespace {
        /// Which.
        place: Place,
    },
    /// An attribute that refers to itself or to one that stands behind it.
    #[error("{place} refers to attribute {index}, which does not stand before it")]
    AttrOrder {
        /// Which.
        place: Place,
        /// The other.
        index: u32,
    },
    /// Resolving an attribute would look at too many segments.
    #[error("{place} needs more than {} segments to resolve", limits::MAX_RESOLUTION)]
    Resolution {
        /// Which.
        place: Place,
    },
    /// An instruction takes more values than there are.
    #[error("{place} takes {takes} values from a stack of {depth}")]
    Underflow {
        /// Where.
        place: Place,
        /// What it takes.
        takes: usize,
        /// What is there.
        depth: usize,
    },
    /// The stack is not as a step boundary or the end of a block wants it.
    #[error("{place} leaves {depth} values on the stack instead of {expected}")]
    Unbalanced {
        /// Where.
        place: Place,
        /// What is there.
        depth: usize,
        /// What should be.
        expected: usize,
    },
    /// A step among the instructions of an expression.
    #[error("{place} is a step inside an expression")]
    StepInExpression {
        /// Where.
        place: Place,
    },
    /// A jump backwards, beyond the end or into the middle of a step.
    #[error("{place} jumps to {target}, which is no later step boundary of its block")]
    Jump {
        /// Where.
        place: Place,
        /// Where to.
        target: u32,
    },
    /// A block of the wrong kind.
    #[error("{place} refers to block {block}, which is of the wrong kind")]
    BlockKind {
        /// Who refers.
        place: Place,
        /// The block.
        block: u32,
    },
    /// A comprehension whose body does not stand before it in the table.
    #[error("{place} refers to block {block}, which does not stand before it")]
    BlockOrder {
        /// Where.
        place: Place,
        /// The body.
        block: u32,
    },
    /// Comprehensions nested too deeply.
    #[error("{place} nests comprehensions deeper than {}", limits::MAX_NESTING)]
    Nesting {
        /// Where.
        place: Place,
    },
    /// A comprehension's variable outside that comprehension.
    #[error("{place} reads a variable that no comprehension around it has")]
    Local {
        /// Where.
        place: Place,
    },
    /// A block of steps with pipelines or scans that both phases run.
    #[error("{place} is run in both phases but works on a document of one")]
    BothPhases {
        /// Which.
        place: Place,
    },
    /// An argument pipeline after the call, or a result pipeline before it.
    #[error("{place} runs pipeline {pipeline}, whose document is not open in its phase")]
    WrongSide {
        /// Where.
        place: Place,
        /// Which.
        pipeline: u32,
    },
    /// Two fallbacks for the same kind.
    #[error("{place} is the second of its kind")]
    DuplicateFallback {
        /// Which.
        place: Place,
    },
}

/// Where in the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of the tables")]
pub enum Place {
    Tables,
    Text(usize),
    Const(usize),
    Attr(usize),
    Regex(usize),
    Denial(usize),
    Block(usize),
    /// Block and index.
    Instr(usize, usize),
    Pipeline(usize),
    Scanner(usize),
    Effect(usize),
    Identity(usize),
    Route(usize),
    Fallback(usize),
    Assertions(usize),
    Pins(usize),
    Challenge(usize),
    Debug,
}

impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tables => out.write_str("the program"),
            Self::Text(at) => write!(out, "text {at}"),
            Self::Const(at) => write!(out, "constant {at}"),
            Self::Attr(at) => write!(out, "attribute {at}"),
            Self::Regex(at) => write!(out, "pattern {at}"),
            Self::Denial(at) => write!(out, "denial {at}"),
            Self::Block(at) => write!(out, "block {at}"),
            Self::Instr(block, at) => write!(out, "instruction {at} of block {block}"),
            Self::Pipeline(at) => write!(out, "pipeline {at}"),
            Self::Scanner(at) => write!(out, "scanner {at}"),
            Self::Effect(at) => write!(out, "effect {at}"),
            Self::Identity(at) => write!(out, "identity {at}"),
            Self::Route(at) => write!(out, "route {at}"),
            Self::Pins(at) => write!(out, "pins {at}"),
            Self::Challenge(at) => write!(out, "challenge {at}"),
            Self::Assertions(at) => write!(out, "assertions {at}"),
            Self::Fallback(at) => write!(out, "fallback {at}"),
            Self::Debug => out.write_str("the debug section"),
        }
    }
}
