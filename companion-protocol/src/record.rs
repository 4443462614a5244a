//! What is recorded of a verdict.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Json;

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
/// It never holds payload values or credentials; `request_digest` and `response_digest` are keyed. What a proxy captured
/// (`facts`) is in it only on the way to the companion, which encrypts it (`sealed`) before it writes the record down.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AuditRecord {
    /// Numbers the records of one worker without gaps; a gap is a lost record.
    pub seq: u64,
    /// Identifies the worker's life that numbered it.
    pub stream: String,
    /// How many records the worker had numbered when it sent this one: what of them never comes was lost with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub numbered: Option<u64>,
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
    /// The verified workload that called, as `spiffe://example.org/agent`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload: Option<String>,
    /// The session bucket, hashed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// Attributes in the condition of the rule that denied which were not there: `role.hr` of somebody without that role.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
    /// Attributes in that condition which were there and `false`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub untrue: Vec<String>,
    /// Effects performed, in order, as `token.exchange:workday-oauth`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub effects: Vec<String>,
    /// What the companion was asked, in order, with what came of it and how long it took.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<CallRecord>,
    /// Milliseconds from the request's head to this record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took_ms: Option<u64>,
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
    /// What the program read, where policy says `capture: facts`. Never in a log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub facts: Option<Box<Captured>>,
    /// The same, encrypted to the operator's key (HPKE, base64), in a log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed: Option<String>,
}

/// One effect that the companion was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CallRecord {
    /// As `token.exchange:workday-oauth`.
    pub effect: String,
    /// The code of its denial or failure; absent when it was performed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Milliseconds in the companion, what it asked of others included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ms: Option<u32>,
    /// What an identity provider answered, as `400 invalid_grant`: its status, and a code of RFC 6749 or 8693.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
}

/// What a program read of one operation, so that another one can be run on it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Captured {
    /// The route's scope.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// Attributes by their dotted names. Sets of texts are arrays; what cannot be compared is `null`.
    pub attributes: BTreeMap<String, Json>,
    /// Everything that is known of the caller and the request is in `attributes`, not only what this program mentions.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub everything: bool,
    /// The labels, when they were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<Vec<String>>,
    /// The arguments as received, JSON text; absent when the program reads none, or there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub args: Option<String>,
    /// The result as received, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
    /// What decision points answered, by the position of the step.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub decisions: Vec<CapturedDecision>,
    /// Something was too large to be captured: `args`, `result`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<String>,
}

/// A decision point's answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CapturedDecision {
    /// The decision point's name.
    pub plugin: String,
    /// What it was asked, as [`PdpDecide::call`](crate::PdpDecide::call).
    pub call: Json,
    /// Whether it allowed.
    pub allow: bool,
    /// The code of its denial.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
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
