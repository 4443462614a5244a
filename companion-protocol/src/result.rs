//! What is answered.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{ElicitState, Elicitation};

/// One result an effect, in the order of the request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct EffectsResponse {
    /// The store's epoch: changes on restore, flush, failover and clear. A proxy that sees another epoch than the one
    /// it cached labels under forgets them.
    pub epoch: String,
    /// The results.
    pub results: Vec<EffectResult>,
    /// How each was come by, for the audit record; nothing is decided by it. Empty from a companion that does not say.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<EffectNote>,
}

/// How a result was come by.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct EffectNote {
    /// Milliseconds that it took.
    pub ms: u32,
    /// What an identity provider answered when it refused, as `400 invalid_grant`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
}

/// The result of one effect.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum EffectResult {
    /// Performed, nothing to say (`audit.append`).
    Done,
    /// The labels after a `session.load` or `session.append`.
    Labels(Labels),
    /// A minted token.
    Granted(Grant),
    /// What became of an elicitation.
    Elicitation(Elicitation),
    /// A decision point's answer.
    Decision(Decision),
    /// Whose an API key is; `record` is absent when nobody's. Either may be remembered for a minute.
    Identity {
        /// What the directory says.
        #[serde(skip_serializing_if = "Option::is_none")]
        record: Option<KeyRecord>,
    },
    /// Where a counter stands.
    Count(Count),
    /// Refused on purpose: a denial with a stable code. The reason never holds an identity provider's own text.
    Denied {
        /// As `delegation.scope_too_broad`.
        code: String,
        /// For the person who reads the denial.
        reason: String,
    },
    /// Could not be performed: unreachable, timed out, store failed.
    Failed {
        /// As `delegation.idp_unreachable`.
        code: String,
        /// For the operator; holds no secret.
        reason: String,
    },
    /// Not performed, because one before it failed.
    Skipped,
}

/// Every field that a result can have. `serde` reads an internally tagged enum through a buffer of any JSON at all, whose
/// code is a fiftieth of the filter's budget; reading one flat record and then looking at its status needs none of it.
#[derive(Deserialize)]
struct Flat {
    status: Status,
    #[serde(default)]
    session: Vec<String>,
    #[serde(default)]
    subject: Vec<String>,
    expires_at_ms: Option<u64>,
    token: Option<String>,
    outbound_header: Option<String>,
    outbound_prefix: Option<String>,
    audience: Option<String>,
    #[serde(default)]
    permissions: Vec<String>,
    expires_at: Option<u64>,
    #[serde(default)]
    no_store: bool,
    code: Option<String>,
    reason: Option<String>,
    state: Option<ElicitState>,
    id: Option<String>,
    approver: Option<String>,
    channel: Option<String>,
    intent_id: Option<String>,
    at: Option<u64>,
    allow: Option<bool>,
    record: Option<KeyRecord>,
    count: Option<u64>,
    remaining: Option<u64>,
    resets_at: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Status {
    Done,
    Labels,
    Granted,
    Elicitation,
    Decision,
    Identity,
    Count,
    Denied,
    Failed,
    Skipped,
}

impl<'de> Deserialize<'de> for EffectResult {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        fn needed<T, E: serde::de::Error>(field: Option<T>, name: &'static str) -> Result<T, E> {
            field.ok_or_else(|| E::missing_field(name))
        }
        let flat = Flat::deserialize(from)?;
        Ok(match flat.status {
            Status::Done => Self::Done,
            Status::Labels => Self::Labels(Labels {
                session: flat.session,
                subject: flat.subject,
                expires_at_ms: flat.expires_at_ms,
            }),
            Status::Granted => Self::Granted(Grant {
                token: needed(flat.token, "token")?,
                outbound_header: needed(flat.outbound_header, "outbound_header")?,
                outbound_prefix: needed(flat.outbound_prefix, "outbound_prefix")?,
                audience: needed(flat.audience, "audience")?,
                permissions: flat.permissions,
                expires_at: needed(flat.expires_at, "expires_at")?,
                no_store: flat.no_store,
            }),
            Status::Elicitation => Self::Elicitation(Elicitation {
                state: needed(flat.state, "state")?,
                id: flat.id.unwrap_or_default(),
                approver: flat.approver,
                channel: flat.channel,
                expires_at: flat.expires_at,
                intent_id: flat.intent_id,
                at: flat.at,
            }),
            Status::Decision => Self::Decision(Decision {
                allow: needed(flat.allow, "allow")?,
                code: flat.code,
                reason: flat.reason,
            }),
            Status::Identity => Self::Identity { record: flat.record },
            Status::Count => Self::Count(Count {
                allow: needed(flat.allow, "allow")?,
                count: needed(flat.count, "count")?,
                remaining: needed(flat.remaining, "remaining")?,
                resets_at: needed(flat.resets_at, "resets_at")?,
            }),
            Status::Denied => Self::Denied {
                code: needed(flat.code, "code")?,
                reason: needed(flat.reason, "reason")?,
            },
            Status::Failed => Self::Failed {
                code: needed(flat.code, "code")?,
                reason: needed(flat.reason, "reason")?,
            },
            Status::Skipped => Self::Skipped,
        })
    }
}

/// What a decision point says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Decision {
    /// Whether the operation may go on.
    pub allow: bool,
    /// The code of a denial, as `cedar.default_deny` or a Cedar policy's `@id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// For the person who reads the denial: the rule author's own words, never an error's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Whose an API key is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct KeyRecord {
    /// The subject's id.
    pub subject: String,
    /// `user`, `service`, ...; absent: `service`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject_type: Option<String>,
    /// The client that the key was given to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// Roles.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
    /// Permissions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub permissions: Vec<String>,
    /// Teams.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub teams: Vec<String>,
    /// Further claims, as text.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub claims: BTreeMap<String, String>,
    /// When the key ends, in seconds since the Unix epoch; absent: never. The proxy denies an ended one `auth.key_expired`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<u64>,
}

/// Where a counter stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Count {
    /// Whether the cost was within the limit. If not, it was not counted.
    pub allow: bool,
    /// What the window counts now.
    pub count: u64,
    /// What is left of the limit.
    pub remaining: u64,
    /// When the window ends, in seconds since the Unix epoch.
    pub resets_at: u64,
}

/// Labels of a session and of its subject.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Labels {
    /// Labels of this session, sorted.
    #[serde(default)]
    pub session: Vec<String>,
    /// Labels of every session of the subject, sorted.
    #[serde(default)]
    pub subject: Vec<String>,
    /// Milliseconds since the Unix epoch at which the first of them ends; absent: none ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at_ms: Option<u64>,
}

/// A minted token and what it is good for.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Grant {
    /// The token.
    pub token: String,
    /// The request header that carries it to the backend, lower-case.
    pub outbound_header: String,
    /// What stands before the token in that header, `"Bearer "` unless configured.
    pub outbound_prefix: String,
    /// The audience granted.
    pub audience: String,
    /// The scopes that the identity provider says it granted.
    #[serde(default)]
    pub permissions: Vec<String>,
    /// When the token ends, in seconds since the Unix epoch.
    pub expires_at: u64,
    /// The proxy uses it for this exchange only.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub no_store: bool,
}

// The token must not reach a log through `{:?}`.
impl std::fmt::Debug for Grant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Grant")
            .field("audience", &self.audience)
            .field("permissions", &self.permissions)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}
