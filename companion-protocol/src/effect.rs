//! What is asked.

use serde::{Deserialize, Serialize};

use crate::{AuditRecord, ElicitAsk, ElicitBegin, Json, SessionKey};

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
    /// What else the token is narrowed to, by a delegator that narrows what the caller brings (a Biscuit); others refuse it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attenuation: Option<Attenuation>,
}

/// How a token is narrowed beside audience and permissions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Attenuation {
    /// The longest that it is good, in seconds; absent: the delegator's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_s: Option<u64>,
    /// Kinds, `action`, `capability` and `resource`, and values. Of each kind, one has to hold where the token is used.
    #[serde(default)]
    pub checks: Vec<(String, String)>,
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
            .field("attenuation", &self.attenuation)
            .finish_non_exhaustive()
    }
}
