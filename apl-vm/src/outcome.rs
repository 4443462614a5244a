//! What a run yields, and what it is resumed with.

use apl_bytecode::{Actor, Dialect, EffectId, ElicitKind, PipelineId, Scopes, Subject};

use crate::tree::Tree;

/// How a block is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// For real.
    Enforce,
    /// Would it be denied whatever the unknown facts are? No effect is performed: every effect's answer is unknown, the
    /// machine never awaits, documents are not edited. Ends in [`Verdict::Allow`], [`Verdict::Deny`] (definite) or
    /// [`Verdict::Unknown`].
    Probe,
    /// What would be the verdict of this very operation? Like a probe, but what is known of the operation counts: its
    /// documents, and what labels and decision points answer. Only those are asked, and after each answer the run begins
    /// again, with documents as they were received. Pipelines run where their way is certain, so give it documents that
    /// may be edited. Other effects are [what would have been asked](crate::Machine::would).
    Shadow,
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
    /// Waits for a human. The operation is not performed; the client is to come again.
    Pending(Pending),
    /// Only in [`Mode::Probe`] and [`Mode::Shadow`]: depends on what is not known.
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

/// What of a denying condition did not hold, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unmet {
    /// Not there.
    pub missing: Vec<String>,
    /// There, and false.
    pub untrue: Vec<String>,
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
    /// Ask a human. Answered [`Answer::Approved`], [`Answer::Pending`], [`Answer::Refused`] or [`Answer::Failed`].
    Elicit(Box<ElicitCall>),
    /// Ask a decision point. Answered [`Answer::Decided`], [`Answer::Refused`] or [`Answer::Failed`].
    Decide(Box<DecideCall>),
    /// Count. Answered [`Answer::Done`] or [`Answer::Refused`].
    Count(CountCall),
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
    /// The longest that the token is used, in seconds; 0: as long as it lives.
    pub ttl_s: u32,
    /// A failure stops the batch (`on_error: deny`).
    pub stops: bool,
    /// Position.
    pub rule: String,
    /// The header that brings a token to narrow, lower-case; empty: the subject's credential is exchanged.
    pub header: String,
    /// What it is narrowed to beside audience and permissions: kinds and values. Of a kind, one has to hold.
    pub checks: Vec<(String, String)>,
}

/// An elicitation to begin or look up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ElicitCall {
    /// The verb.
    pub kind: ElicitKind,
    /// The handler.
    pub handler: String,
    /// Who is asked.
    pub from: String,
    /// How.
    pub channel: Option<String>,
    /// What for.
    pub purpose: Option<String>,
    /// The condition on the call, as policy wrote it.
    pub scope: Option<String>,
    /// Seconds; 0: the handler's default.
    pub timeout_s: u32,
    /// Names and values that the approver sees.
    pub shown: Vec<(String, String)>,
    /// A failure stops the batch (`on_error: deny`).
    pub stops: bool,
    /// Position.
    pub rule: String,
}

/// A question to a decision point.
#[derive(Debug, Clone, PartialEq)]
pub struct DecideCall {
    /// Its language.
    pub dialect: Dialect,
    /// Its name.
    pub point: String,
    /// The call's arguments.
    pub call: Tree,
    /// The attributes.
    pub input: Tree,
    /// Position.
    pub rule: String,
}

/// Something to count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CountCall {
    /// The counter.
    pub name: String,
    /// Whose; empty: the verified principal's.
    pub by: Vec<String>,
    /// How much this operation takes.
    pub cost: u64,
    /// How much a window has.
    pub limit: u64,
    /// The window, in seconds.
    pub window_s: u32,
    /// Position.
    pub rule: String,
}

/// What is known of an elicitation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Approval {
    /// Its id.
    pub id: String,
    /// Who is asked, or has answered.
    pub approver: Option<String>,
    /// Its number for people.
    pub intent_id: Option<String>,
    /// How they are asked.
    pub channel: Option<String>,
    /// When it ends, RFC 3339.
    pub expires_at: Option<String>,
}

/// What a phase waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// The handler.
    pub handler: String,
    /// The elicitation.
    pub approval: Approval,
    /// The position of the step.
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
    /// A human has approved.
    Approved(Approval),
    /// A human has not answered yet.
    Pending(Approval),
    /// A decision point has answered.
    Decided {
        /// Whether it allows.
        allow: bool,
        /// Its code; may be empty.
        code: String,
        /// Its reason; may be empty.
        reason: String,
    },
    /// Answered with no: denies whatever the step's `on_error` is.
    Refused {
        /// A stable code; empty: the step's position.
        code: String,
        /// Holds no secret.
        reason: String,
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
