//! What is asked.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{ElicitAsk, ElicitBegin, Json, SessionKey};

/// One effect with how its failure is to be taken.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct EffectCall {
    /// Makes a repeated append or record harmless: `<decision id>.<position>`.
    pub idempotency_key: String,
    /// What the companion does with the effects behind this one if it fails.
    pub on_fail: OnFail,
    /// Where policy wrote it, for the audit log: `routes.tool:pay.pre_invocation[1]`.
    pub source: String,
    /// The effect itself.
    pub effect: Effect,
}

/// What happens to the rest of the list after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum OnFail {
    /// Nothing behind it is performed.
    Stop,
    /// The rest is performed.
    Continue,
}

/// The effects. Names on the wire are `session.load`, `token.exchange`, ...
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "kind")]
pub enum Effect {
    /// Reads the labels of a session and of its subject.
    #[serde(rename = "session.load")]
    SessionLoad {
        /// Whose.
        session: SessionKey,
    },
    /// Adds labels; a monotonic union, durable when acknowledged.
    #[serde(rename = "session.append")]
    SessionAppend {
        /// Whose.
        session: SessionKey,
        /// Labels for this session.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        labels: Vec<String>,
        /// Labels for every session of the subject.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        subject_labels: Vec<String>,
        /// How long the subject labels live, in seconds; absent: the store's default.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ttl_s: Option<u64>,
    },
    /// Exchanges a credential (RFC 8693).
    #[serde(rename = "token.exchange")]
    TokenExchange(TokenExchange),
    /// Asks a human, or finds that this was asked already.
    #[serde(rename = "elicit.begin")]
    ElicitBegin(Box<ElicitBegin>),
    /// Looks what became of it.
    #[serde(rename = "elicit.check")]
    ElicitCheck(Box<ElicitAsk>),
    /// Spends the approval. Repeated with the same idempotency key, it is answered as the first time.
    #[serde(rename = "elicit.redeem")]
    ElicitRedeem(Box<ElicitAsk>),
    /// Asks a decision point.
    #[serde(rename = "pdp.decide")]
    PdpDecide(Box<PdpDecide>),
    /// Looks up an API key.
    #[serde(rename = "identity.api_key")]
    ApiKey {
        /// The directory's name in `companion.json`.
        plugin: String,
        /// SHA-256 of the key, lower-case hex. The key itself does not leave the proxy.
        digest: String,
    },
    /// Counts in a fixed window, unless that would exceed the limit. Repeated with the same idempotency key within the
    /// window, it counts once.
    #[serde(rename = "limit.count")]
    LimitCount {
        /// Digest of what is counted for whom, lower-case hex.
        key: String,
        /// The window in seconds.
        window_s: u64,
        /// How much this operation takes.
        cost: u64,
        /// How much a window has.
        limit: u64,
    },
    /// Appends one verdict record; durable when acknowledged.
    #[serde(rename = "audit.append")]
    AuditAppend {
        /// The record.
        record: Box<AuditRecord>,
    },
}

/// A question to a decision point.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PdpDecide {
    /// The decision point's name in `companion.json`.
    pub plugin: String,
    /// `cedar`, `opa`, `authzen`, `nemo`, or the name in `pdp(name)`. A decision point of another dialect refuses.
    pub dialect: String,
    /// The step's body, as `{"action": ..., "resource": ...}`, with its `${...}` filled in.
    pub call: Json,
    /// The attributes as a tree: `subject.id` is `{"subject": {"id": ...}}`, `args` and `result` as they were sent.
    pub input: Json,
}

/// Whose authority a minted token carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum SubjectKind {
    /// The human behind the agent.
    User,
    /// The agent's own client credential.
    Client,
    /// The workload that called the proxy.
    CallerWorkload,
    /// The proxy itself (client credentials).
    ThisWorkload,
}

/// A token exchange. The delegator's endpoint, client and secret are the companion's (`companion.json`).
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TokenExchange {
    /// The delegator's name in `companion.json`.
    pub delegator: String,
    /// Whose authority.
    pub subject: SubjectKind,
    /// The verified inbound token; absent for [`SubjectKind::ThisWorkload`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject_token: Option<String>,
    /// The `sub` that the proxy verified in `subject_token`; the minted token must carry the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_sub: Option<String>,
    /// The actor's token (RFC 8693 section 2.1), when policy names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor_token: Option<String>,
    /// The logical name of the target service.
    pub target: String,
    /// The audience asked for.
    pub audience: String,
    /// The scopes asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub permissions: Vec<String>,
}

// The token must not reach a log through `{:?}`.
impl std::fmt::Debug for TokenExchange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenExchange")
            .field("delegator", &self.delegator)
            .field("subject", &self.subject)
            .field("target", &self.target)
            .field("audience", &self.audience)
            .field("permissions", &self.permissions)
            .finish_non_exhaustive()
    }
}

/// How an operation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum VerdictKind {
    /// Forwarded.
    Allow,
    /// Refused before the call.
    Deny,
    /// Refused after the call: the backend has acted.
    DenyAfter,
    /// Waits for a human.
    Pending,
}

/// What a policy in shadow says of an operation that another verdict, or none, was enforced on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ShadowVerdict {
    /// SHA-256 of the program, lower-case hex: the record's own, or that of `shadow_policy`.
    pub policy_digest: String,
    /// What it would have come to.
    pub verdict: WouldKind,
    /// The code of the denial, or of what kept it from a verdict.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The position of the rule that would have decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// Effects that it would have had performed, as `token.exchange:workday-oauth`; where it is not known which way the
    /// policy would have taken, perhaps.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub effects: Vec<String>,
    /// Fields that it would have edited, as `args.ssn:redact`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub edits: Vec<String>,
}

/// How an operation would have ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum WouldKind {
    /// Forwarded, if the effects succeed.
    WouldAllow,
    /// Refused before the call.
    WouldDeny,
    /// Refused after the call.
    WouldDenyAfter,
    /// It hangs on what shadow does not do: what a human says, what a counter says, what a delegation grants.
    Unknown,
}

impl WouldKind {
    /// The word on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::WouldAllow => "would_allow",
            Self::WouldDeny => "would_deny",
            Self::WouldDenyAfter => "would_deny_after",
            Self::Unknown => "unknown",
        }
    }
}

/// One record per verdict, or one of kind `step` where policy wrote `run(audit-log)`.
///
/// It never holds payload values or credentials; `args_digest` and `result_digest` are keyed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AuditRecord {
    /// Numbers the records of one worker without gaps; a gap is a lost record.
    pub seq: u64,
    /// Identifies the worker's life that numbered it.
    pub stream: String,
    /// Milliseconds since the Unix epoch, on the proxy's clock.
    pub at_ms: u64,
    /// The exchange's decision id.
    pub decision_id: String,
    /// SHA-256 of the program, lower-case hex.
    pub policy_digest: String,
    /// The step that this record stands for; absent in a verdict record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<StepRecord>,
    /// The verdict; absent in a step record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<VerdictKind>,
    /// The violation code of a denial.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The position of the rule that decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// `tool`, `prompt`, `resource`, `llm`, `a2a`, `http`, or `identity` when nobody could be identified.
    pub entity_type: String,
    /// The operation's name.
    pub entity_name: String,
    /// The protocol method, as `tools/call`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The verified subject.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The verified client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// The session bucket, hashed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// Effects performed, in order, as `token.exchange:workday-oauth`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub effects: Vec<String>,
    /// Labels that were known when the verdict fell.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
    /// Labels that the operation added.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels_added: Vec<String>,
    /// Fields edited, never values, as `result.ssn:redact`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub edits: Vec<String>,
    /// Keyed digest of the request body that was read, hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_digest: Option<String>,
    /// Keyed digest of the response body that was read, hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_digest: Option<String>,
    /// The W3C trace id, when the request carried one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    /// Route owner and the like, from policy.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels_of_policy: BTreeMap<String, String>,
    /// What policies in shadow say.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shadow: Vec<ShadowVerdict>,
}

/// Where policy wrote `run(audit-log)`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct StepRecord {
    /// The plugin's name.
    pub plugin: String,
    /// The step's position, as `routes.tool:pay.pre_invocation[3]`.
    pub source: String,
}
