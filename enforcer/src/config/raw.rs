//! The document as written, before it is judged.

use serde::{Deserialize, de::IgnoredAny};

use super::{
    BoundIdentity, Companion, DenialShape, Limits, ProtectedResource, Protocol, ServerRequests, SessionSource,
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawConfig {
    #[serde(default)]
    pub(super) policy: Option<String>,
    #[serde(default)]
    pub(super) policy_digest: Option<String>,
    #[serde(default)]
    pub(super) protocols: Vec<Protocol>,
    #[serde(default)]
    pub(super) companion: Option<Companion>,
    #[serde(default)]
    pub(super) limits: Limits,
    #[serde(default)]
    pub(super) install: Option<RawInstall>,
    #[serde(default)]
    pub(super) hash_key_env: Option<String>,
    #[serde(default)]
    pub(super) resource_metadata: Option<String>,
    #[serde(default)]
    pub(super) filter_lists: Option<bool>,
    #[serde(default)]
    pub(super) enforcement: RawEnforcement,
    #[serde(default)]
    pub(super) denial_shape: DenialShape,
    #[serde(default)]
    pub(super) cloak: bool,
    #[serde(default)]
    pub(super) protected_resource: Option<ProtectedResource>,
    #[serde(default)]
    pub(super) session_sources: Option<Vec<SessionSource>>,
    #[serde(default)]
    pub(super) server_requests: ServerRequests,
    #[serde(default)]
    pub(super) shadow_policy: Option<String>,
    #[serde(default)]
    pub(super) policy_public_key: Option<String>,
    #[serde(default)]
    pub(super) pdp_clusters: Option<IgnoredAny>,
    #[serde(default)]
    pub(super) seal_key_env: Option<String>,
    #[serde(default)]
    pub(super) seal_previous_key_env: Option<String>,
    #[serde(default)]
    pub(super) identities: Vec<BoundIdentity>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum RawEnforcement {
    #[default]
    Enforce,
    Shadow,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawInstall {
    #[serde(default)]
    pub(super) mode: Option<RawMode>,
    #[serde(default)]
    pub(super) role: Option<RawRole>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum RawMode {
    Full,
    Paired,
    Single,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum RawRole {
    Decider,
    Holder,
}
