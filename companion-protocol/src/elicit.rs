//! Asking a human: `elicit.begin`, `elicit.check`, `elicit.redeem`.
//!
//! `begin` asks once for one [`Binding`]: a repeat with the same plugin, approver and binding finds the request that is
//! there, whatever became of it, until it has expired or was redeemed. So an agent that can carry no id may simply call
//! again. `check` looks and changes nothing. Only `redeem` lets the operation through, and only once.

use serde::{Deserialize, Serialize};

/// What is asked of the human; the verb of the policy's step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ElicitKind {
    /// `require_approval`.
    Approval,
    /// `confirm`.
    Confirm,
    /// `require_step_up`.
    StepUp,
    /// `require_attestation`.
    Attestation,
    /// `request_info`.
    Info,
    /// `require_review`.
    Review,
}

/// What an approval is good for, and nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Binding {
    /// Digest of the verified requester (issuer and `sub`), as in [`crate::SessionKey::subject`].
    pub requester: String,
    /// The route's key, as `tool:pay` or `tool:pay@scope`.
    pub route: String,
    /// The operation's name.
    pub operation: String,
    /// Digest of the arguments as received (RFC 8785 form), hex.
    pub args_digest: String,
    /// Digest of the rules that govern the route, hex: another policy with the same rules for it is the same here.
    pub policy_digest: String,
    /// The step's position, as `routes.tool:pay.pre_invocation[1]`: two steps of one phase need two approvals.
    pub step: String,
}

/// Who asks, for the approver's eyes and so that nobody approves for themselves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Requester {
    /// The verified `sub`.
    pub subject: String,
    /// What to call them.
    pub name: String,
    /// Other verified identifiers of the same person: `preferred_username`, `email`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub known_as: Vec<String>,
}

/// One line that the approver sees.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Shown {
    /// As `args.amount`.
    pub name: String,
    /// Its value, as text.
    pub value: String,
}

/// Starts an elicitation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ElicitBegin {
    /// The elicitor's name in `companion.json`.
    pub plugin: String,
    /// The verb.
    pub verb: ElicitKind,
    /// Who asks.
    pub requester: Requester,
    /// Who is asked: the text that `from` came to.
    pub from: String,
    /// `channel`, as policy wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// `purpose`, as policy wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purpose: Option<String>,
    /// `scope` as text: shown to the approver. The proxy evaluates it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope_text: Option<String>,
    /// `timeout`, in seconds; absent: the elicitor's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_s: Option<u64>,
    /// What the approval is good for.
    pub binding: Binding,
    /// What policy shows the approver.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shown: Vec<Shown>,
}

/// Names an elicitation that was begun: `elicit.check` and `elicit.redeem`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ElicitAsk {
    /// The elicitor's name in `companion.json`.
    pub plugin: String,
    /// The id that the client sent.
    pub id: String,
    /// Who must have been asked: what `from` comes to now.
    pub from: String,
    /// What the operation is now.
    pub binding: Binding,
}

/// What became of an elicitation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ElicitState {
    /// Nobody has answered yet.
    Pending,
    /// Approved. As the answer to `redeem`: spent with this answer.
    Approved,
    /// The approver said no.
    Denied,
    /// Nobody answered in time, or the approval was not redeemed in time.
    Expired,
    /// No such id, or it was redeemed already.
    UnknownId,
    /// The id is good for something else.
    BindingMismatch,
}

/// The answer to each of the three.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Elicitation {
    /// What became of it.
    pub state: ElicitState,
    /// Its id; empty when there is none.
    #[serde(default)]
    pub id: String,
    /// Who is asked; once answered, who did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approver: Option<String>,
    /// How they are asked: `page`, `ciba`, ...
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// When it ends, in seconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<u64>,
    /// What the approver sees as its number, so that both can talk about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intent_id: Option<String>,
    /// When it was answered, in seconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<u64>,
}
