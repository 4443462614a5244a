//! What a run yields, and what it is resumed with.

use apl_bytecode::{Actor, EffectId, PipelineId, Scopes, Subject};

/// How a block is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// For real.
    Enforce,
    /// Would it be denied whatever the unknown facts are? No effect is performed: every effect's answer is unknown, the
    /// machine never awaits, documents are not edited. Ends in [`Verdict::Allow`], [`Verdict::Deny`] (definite) or
    /// [`Verdict::Unknown`].
    Probe,
}

/// What a run has come to.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// Answer these, in order, and resume.
    Await(Batch),
    /// The phase is over.
    Done(Verdict),
}

/// The verdict of one phase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing denied.
    Allow,
    /// Denied.
    Deny(DenialInfo),
    /// Only in [`Mode::Probe`]: depends on what is not known.
    Unknown,
}

/// Why it was denied. Holds no payload value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DenialInfo {
    /// The violation code.
    pub code: String,
    /// For the person who reads it.
    pub reason: String,
    /// The position of the step that denied, as `routes.tool:pay.pre_invocation[1]`.
    pub rule: String,
}

/// Effects in written order. If one that stops fails, those behind it must not be performed.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// At least one.
    pub effects: Vec<(Origin, Bound)>,
}

/// What in the program asked for an effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Origin {
    /// A step.
    Effect(EffectId),
    /// A `taint` or a labelling scan of a field pipeline.
    Pipeline(PipelineId),
}

/// An effect with everything that had to be looked up.
#[derive(Debug, Clone, PartialEq)]
pub enum Bound {
    /// Read the labels. Answered [`Answer::Labels`].
    LoadLabels {
        /// Position.
        rule: String,
    },
    /// Add a label. Answered [`Answer::Done`]. `message` scope alone never leaves the machine.
    Taint {
        /// The label.
        label: String,
        /// Where it holds.
        scopes: Scopes,
        /// Life of a subject-scoped label; 0: the store's default.
        ttl_s: u32,
        /// Position.
        rule: String,
    },
    /// Mint a token. Answered [`Answer::Granted`].
    Delegate(DelegateCall),
    /// Record a step. Answered [`Answer::Done`].
    Audit {
        /// The plugin.
        plugin: String,
        /// Waits for the acknowledgement.
        durable: bool,
        /// Position.
        rule: String,
    },
}

/// A delegation to perform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DelegateCall {
    /// The delegator's name.
    pub delegator: String,
    /// The target's name.
    pub target: String,
    /// The audience.
    pub audience: String,
    /// The scopes.
    pub permissions: Vec<String>,
    /// Whose authority.
    pub subject: Subject,
    /// Who acts.
    pub actor: Option<Actor>,
    /// A failure stops the batch (`on_error: deny`).
    pub stops: bool,
    /// Position.
    pub rule: String,
}

/// The answer to one effect.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// Performed.
    Done,
    /// The labels.
    Labels(Vec<String>),
    /// What was minted. The token itself stays with the host.
    Granted {
        /// Scopes that the identity provider says it granted.
        permissions: Vec<String>,
        /// The audience.
        audience: String,
        /// RFC 3339.
        expires_at: String,
    },
    /// Refused, or could not be performed; the machine takes `on_error` and the step's position from the program.
    Failed {
        /// A stable code.
        code: String,
        /// Holds no secret and no text of an identity provider.
        reason: String,
    },
    /// Not performed, because one before it failed.
    Skipped,
}

/// An edit that was made, for the audit record: never a value.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Edit {
    /// The field as the policy spells it: `result.ssn`.
    pub field: String,
    /// `redact`, `mask`, `hash`, `omit`, `scan`.
    pub kind: &'static str,
}
