//! `companion.json`: what `aplc build` writes for the companion. Secrets stand in it only by reference.

mod approvals;
mod decisions;
mod delegators;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use approvals::{
    ApprovalsConfig, CibaDelivery, CibaElicitor, CibaHint, ElicitorConfig, PageElicitor, SignInConfig,
    WebhookConfig,
};
pub use decisions::{CedarPoint, DecisionPointConfig, KeyDirectoryConfig, KeyFile, OpaPoint, RemotePoint};
pub use delegators::{
    BiscuitDelegator, ClientAuth, DEFAULT_CACHE_TTL_S, DelegatorConfig, OauthDelegator, PublicKeyRef,
    SecretDelegator,
};

/// The version of this document that this crate reads and writes.
pub const CONFIG_VERSION: u32 = 1;

/// What one policy needs of the companion.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CompanionConfig {
    /// [`CONFIG_VERSION`].
    pub version: u32,
    /// Digest of the program that this document belongs to, lower-case hex.
    pub policy_digest: String,
    /// Issuers whose keys the companion fetches and serves.
    #[serde(default)]
    pub issuers: Vec<IssuerConfig>,
    /// Delegators by name.
    #[serde(default)]
    pub delegators: BTreeMap<String, DelegatorConfig>,
    /// Where labels live. The operator's `--store` wins over it.
    #[serde(default)]
    pub session_store: StoreConfig,
    /// The built-in approval pages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approvals: Option<ApprovalsConfig>,
    /// Ways to ask humans, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub elicitors: BTreeMap<String, ElicitorConfig>,
    /// Decision points, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub decision_points: BTreeMap<String, DecisionPointConfig>,
    /// API-key directories, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub key_directories: BTreeMap<String, KeyDirectoryConfig>,
    /// Records carry what the program read (`capture: facts`), so there must be a key to encrypt it to.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub captures: bool,
}

/// The file beside `companion.json` with [`RuleLines`]; it may be missing.
pub const LINES_FILE: &str = "lines.json";

/// The most rules that are listed: they are held in memory.
pub const MAX_RULE_LINES: usize = 10_000;

/// Where each rule of a policy was written, for audit records.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleLines {
    /// Of the program that they are of; those of another one are not used.
    pub policy_digest: String,
    /// From a step's position, as `routes.tool:pay.pre_invocation[1]`, to `file:line`.
    pub lines: BTreeMap<String, String>,
}

/// An issuer's key set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuerConfig {
    /// The exact `iss`.
    pub issuer: String,
    /// Where its JWKS is.
    pub jwks_url: String,
    /// Plain `http:` is allowed (development only).
    #[serde(default)]
    pub allow_http: bool,
    /// Seconds between refreshes; default 600.
    #[serde(default = "default_refresh_s")]
    pub refresh_s: u64,
}

const fn default_refresh_s() -> u64 {
    600
}

/// A secret by reference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum SecretRef {
    /// The name of an environment variable. `secrets.env` beside `companion.json` is read first, when it is there.
    Env(String),
    /// A file whose whole text, trimmed, is the secret. A relative path starts at the directory of `companion.json`.
    File(String),
    /// A field of a secret in HashiCorp Vault.
    Vault(VaultRef),
}

/// A field of a secret in the KV store, version 2, of HashiCorp Vault. Where Vault is and how the companion proves itself there is the
/// operator's: `VAULT_ADDR` and `VAULT_TOKEN` or `VAULT_TOKEN_FILE`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VaultRef {
    /// Where the KV store is mounted; default `secret`.
    #[serde(default = "default_mount")]
    pub mount: String,
    /// The secret's path in it, as `aplomb/idp`.
    pub path: String,
    /// The field of the secret.
    pub field: String,
}

fn default_mount() -> String {
    "secret".to_owned()
}

/// Where labels live, and how long.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum StoreConfig {
    /// On local disk, in the companion's data directory.
    Embedded(EmbeddedConfig),
    /// Valkey or Redis, as the policy asked for.
    Valkey(ValkeyConfig),
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self::Embedded(EmbeddedConfig::default())
    }
}

impl StoreConfig {
    /// Whether both are one store, however long labels live there.
    pub fn is_same_place(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Embedded(_), Self::Embedded(_)) => true,
            (Self::Valkey(one), Self::Valkey(two)) => {
                let lifetimes = one.lifetimes.clone();
                *one == ValkeyConfig {
                    lifetimes,
                    ..two.clone()
                }
            }
            (Self::Embedded(_), Self::Valkey(_)) | (Self::Valkey(_), Self::Embedded(_)) => false,
        }
    }

    /// How long the labels of this policy live.
    pub const fn lifetimes(&self) -> &LifetimesConfig {
        match self {
            Self::Embedded(config) => &config.lifetimes,
            Self::Valkey(config) => &config.lifetimes,
        }
    }
}

/// The store on local disk.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmbeddedConfig {
    /// How long labels live.
    #[serde(default)]
    pub lifetimes: LifetimesConfig,
}

/// How long labels live, in seconds. 0: they do not end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LifetimesConfig {
    /// A session label ends when its session was not used for so long; default 24 hours.
    #[serde(default = "default_session_idle_s")]
    pub session_idle_s: u64,
    /// A session label ends so long after it was last appended, used or not; default 7 days.
    #[serde(default = "default_session_max_s")]
    pub session_max_s: u64,
    /// A subject label whose rule gives no `ttl` ends so long after it was last appended; default 0.
    #[serde(default)]
    pub subject_s: u64,
}

impl Default for LifetimesConfig {
    fn default() -> Self {
        Self {
            session_idle_s: default_session_idle_s(),
            session_max_s: default_session_max_s(),
            subject_s: 0,
        }
    }
}

const fn default_session_idle_s() -> u64 {
    24 * 60 * 60
}
const fn default_session_max_s() -> u64 {
    7 * 24 * 60 * 60
}

/// A Valkey or Redis server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ValkeyConfig {
    /// `host:port` or a `redis://` or `rediss://` URL without credentials.
    pub endpoint: String,
    /// Plain TCP to a host that is not loopback is allowed (development only).
    #[serde(default)]
    pub allow_plain: bool,
    /// The ACL user; absent: the server's default user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// Where the user's password is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<SecretRef>,
    /// PEM file of the authority that signed the server's certificate; absent: the system's roots. A relative path
    /// starts at the directory of `companion.json`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<String>,
    /// What stands before every key; default `aplomb:v1`.
    #[serde(default = "default_key_prefix")]
    pub key_prefix: String,
    /// Replicas that must have an append on disk (`WAITAOF 1 n`) before it is acknowledged; default 1.
    #[serde(default = "default_replicas")]
    pub replicas: u32,
    /// Time to connect in milliseconds; default 1000.
    #[serde(default = "default_connect_timeout_ms")]
    pub connect_timeout_ms: u64,
    /// Time for a command, the acknowledgement included, in milliseconds; default 2000.
    #[serde(default = "default_command_timeout_ms")]
    pub command_timeout_ms: u64,
    /// How long labels live.
    #[serde(default)]
    pub lifetimes: LifetimesConfig,
}

impl ValkeyConfig {
    /// A server with every default.
    pub fn at(endpoint: impl Into<String>) -> Self {
        Self {
            endpoint: endpoint.into(),
            allow_plain: false,
            username: None,
            password: None,
            ca_file: None,
            key_prefix: default_key_prefix(),
            replicas: default_replicas(),
            connect_timeout_ms: default_connect_timeout_ms(),
            command_timeout_ms: default_command_timeout_ms(),
            lifetimes: LifetimesConfig::default(),
        }
    }
}

fn default_key_prefix() -> String {
    "aplomb:v1".to_owned()
}
const fn default_replicas() -> u32 {
    1
}
const fn default_connect_timeout_ms() -> u64 {
    1000
}
const fn default_command_timeout_ms() -> u64 {
    2000
}
