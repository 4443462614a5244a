//! Effects: what a phase asks of the world outside the program.

use alloc::vec::Vec;

use super::{Code, Count, Decision, DenialId, Elicit, Operand, Restrict, StrId};

/// One effect. The order in which a block names them is the order in which they happen.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Adds a label.
    Taint {
        /// The label.
        label: StrId,
        /// Where it holds; at least one.
        scopes: Scopes,
        /// Life of a subject-scoped label in seconds; 0: the store's default.
        ttl_s: u32,
        /// The denial when it cannot be stored.
        denial: DenialId,
    },
    /// Reads the session's and subject's labels; the compiler puts it before the first step that reads
    /// `security.labels`.
    LoadLabels {
        /// The denial when they cannot be read.
        denial: DenialId,
    },
    /// Mints a narrower credential.
    Delegate(Delegate),
    /// `run(audit-log)`: a record of kind `step`.
    Audit {
        /// The plugin's name.
        plugin: StrId,
        /// Waits for the acknowledgement.
        durable: bool,
        /// The step's position.
        code: Code,
    },
    /// Asks a human. Its answer is read with [`Instr::Answer`](super::Instr::Answer): approved, or passed over after a
    /// failure that may be passed over.
    Elicit(Elicit),
    /// Asks a decision point. Its answer likewise: allowed or not.
    Decide(Decision),
    /// Counts against a limit.
    Count(Count),
    /// Narrows where the operation may go. Nothing is asked: it is done at once.
    Restrict(Restrict),
    /// Narrows a token that the caller brings along.
    Attenuate(Attenuate),
}

/// A delegation.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Delegate {
    /// The delegator's name.
    pub delegator: StrId,
    /// The logical target.
    pub target: StrId,
    /// The audience; the target unless policy says otherwise.
    pub audience: StrId,
    /// The scopes asked for, in written order.
    pub permissions: Vec<StrId>,
    /// Whose authority.
    pub subject: Subject,
    /// The actor, when named.
    pub actor: Option<Actor>,
    /// The longest that the token is used, in seconds; 0: as long as it lives.
    pub ttl_s: u32,
    /// What a failure does.
    pub on_error: OnError,
    /// The denial when it fails without a code of its own.
    pub denial: DenialId,
}

/// A delegation of a token that the caller brings in a header of its own, as a Biscuit.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Attenuate {
    /// As of every delegation. No actor, and not [`Subject::ThisWorkload`].
    pub delegate: Delegate,
    /// The header that brings the token, lower-case.
    pub header: StrId,
    /// What it is narrowed to beside audience and permissions, as kind and value (`action`, `get`). Of a kind, one has to hold.
    pub narrowed: Vec<(StrId, StrId)>,
    /// The one resource that it is good for, in parts; empty: any.
    pub resource: Vec<Operand>,
}

/// Whose authority a minted token carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are the language's own")]
pub enum Subject {
    User,
    Client,
    CallerWorkload,
    ThisWorkload,
}

/// Who acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are the language's own")]
pub enum Actor {
    User,
    Client,
    CallerWorkload,
}

/// What a failed effect does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OnError {
    /// Denies.
    Deny,
    /// Goes on.
    Continue,
}

/// Taint scopes, a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Scopes(pub u8);

impl Scopes {
    /// The session of the subject.
    pub const SESSION: Self = Self(1);
    /// The rest of this exchange.
    pub const MESSAGE: Self = Self(2);
    /// All sessions of the subject.
    pub const SUBJECT: Self = Self(4);

    /// Whether every scope of `other` is in this set.
    #[must_use]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both sets.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}
