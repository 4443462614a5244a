//! The filter's configuration: a JSON object in the plugin configuration (`design/wire.md`).
//!
//! No secret stands in it, because Envoy shows it in `config_dump`: it names environment variables of the VM instead, and
//! the host hands over what they hold as [`Secrets`].

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;

use self::raw::{RawConfig, RawEnforcement, RawInstall};
pub use self::{
    error::ConfigError,
    identity::{BoundIdentity, RawIssuer},
    resource::{ProtectedResource, ServerRequests, SessionSource},
};

mod error;
pub(crate) mod identity;
mod raw;
mod resource;

/// What a plugin configuration makes of the module.
#[derive(Debug)]
pub enum PluginConfig {
    /// It decides.
    Decide(Box<Config>),
    /// It is the other half of a pair, and holds headers until the decider's verdict.
    Hold(HolderConfig),
}

/// The configuration of a holder (`install: {mode: paired, role: holder}`). It may carry the decider's other keys, so
/// that both halves can be written from one document; they mean nothing here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HolderConfig {
    /// The digest of the policy that the decider is expected to run, when given: lower-case hex.
    pub policy_digest: Option<String>,
}

/// The configuration of a deciding filter.
#[derive(Debug)]
pub struct Config {
    /// The program, as bytes of an `.aplb` file.
    pub policy: Vec<u8>,
    /// The digest that the program must have: lower-case hex.
    pub policy_digest: Option<String>,
    /// The Ed25519 key that must have signed the program.
    pub policy_public_key: Option<[u8; 32]>,
    /// Which paths speak what; not empty.
    pub protocols: Vec<Protocol>,
    /// Where the companion is.
    pub companion: Option<Companion>,
    /// Bounds.
    pub limits: Limits,
    /// How headers are held.
    pub install: Install,
    /// Names the environment variable with the key of `hash` and of digests in audit records.
    pub hash_key_env: Option<String>,
    /// Names the environment variable with the key that session and event ids are sealed under.
    pub seal_key_env: Option<String>,
    /// The same for the key before the last rotation, under which ids are still opened.
    pub seal_previous_key_env: Option<String>,
    /// RFC 9728 metadata URL, named in `WWW-Authenticate`.
    pub resource_metadata: Option<String>,
    /// Entries of lists that a caller could not use are hidden from it.
    pub filter_lists: bool,
    /// How a client is told that a tool call was denied.
    pub denial_shape: DenialShape,
    /// A tool that is nothing for a caller is answered as one that does not exist.
    pub cloak: bool,
    /// RFC 9728 metadata that the filter serves itself.
    pub protected_resource: Option<ProtectedResource>,
    /// Where a session's id is taken from; the first that is there counts.
    pub session_sources: Vec<SessionSource>,
    /// The second program, which is in shadow.
    pub shadow_policy: Option<Vec<u8>>,
    /// Nothing is enforced, whatever the policy says.
    pub shadow: bool,
    /// Whether backends may ask clients for something where results are governed.
    pub server_requests: ServerRequests,
    /// Issuers of identities that the program leaves open.
    pub identities: Vec<BoundIdentity>,
}

impl Config {
    /// The configuration of the second program, whose bytes are taken out. It holds nothing back and seals nothing; what
    /// else it needs to be enforced one day must be there.
    pub(crate) fn beside(&mut self) -> Option<Self> {
        Some(Self {
            policy: self.shadow_policy.take()?,
            policy_digest: None,
            policy_public_key: self.policy_public_key,
            protocols: Vec::new(),
            companion: self.companion.clone(),
            limits: self.limits,
            install: Install::Full,
            hash_key_env: self.hash_key_env.clone(),
            seal_key_env: None,
            seal_previous_key_env: None,
            resource_metadata: None,
            filter_lists: false,
            denial_shape: self.denial_shape,
            cloak: false,
            protected_resource: None,
            session_sources: Vec::new(),
            shadow_policy: None,
            shadow: true,
            server_requests: self.server_requests,
            identities: self.identities.clone(),
        })
    }
}

/// How a client is told that a tool call was denied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DenialShape {
    /// By a JSON-RPC error.
    #[default]
    Error,
    /// By a result that says of itself that it is an error: some clients take an error object for a broken connection.
    ToolResult,
}

/// How request headers are held until the verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Install {
    /// One plugin, with Envoy's `allow_on_headers_stop_iteration`.
    Full,
    /// Two plugins of one module; this half decides.
    PairedDecider,
    /// Headers are not held.
    Single,
}

/// What the traffic under one path prefix speaks.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Protocol {
    /// `:authority`, compared without case; absent: any.
    #[serde(default)]
    pub authority: Option<String>,
    /// Absolute. Matches on a segment boundary; the longest wins.
    pub path_prefix: String,
    /// The protocol.
    pub speaks: Speaks,
    /// Selects the scope of routes.
    #[serde(default)]
    pub scope: Option<String>,
    /// Pages of these origins may send requests from a browser (RFC 6454); absent: `Origin` is not judged.
    #[serde(default)]
    pub origins: Option<Vec<String>>,
}

impl Protocol {
    /// Whether a request with these `Origin` headers may come here. Without one no page sent it.
    pub(crate) fn takes_origins(&self, given: &[String]) -> bool {
        let Some(allowed) = &self.origins else { return true };
        given.iter().all(|origin| allowed.contains(origin))
    }
}

/// A protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Speaks {
    Mcp,
    A2a,
    Llm,
    Http,
}

/// Where the companion is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Companion {
    /// The Envoy cluster.
    pub cluster: String,
    /// `:authority` of calls to it; default: the cluster's name.
    #[serde(default)]
    pub authority: Option<String>,
    /// What stands before [`companion_protocol::EFFECTS_PATH`]; default empty.
    #[serde(default)]
    pub path: String,
    /// How long a call may take, in milliseconds, 1 to 60 000; default [`DEFAULT_CALLOUT_MS`].
    #[serde(default)]
    pub timeout_ms: Option<u32>,
    /// Names the environment variable with the bearer token for it.
    #[serde(default)]
    pub token_env: Option<String>,
}

/// The default time for a call to the companion, in milliseconds: the longest default effect and 200 ms.
pub const DEFAULT_CALLOUT_MS: u32 = 5_200;

/// Bounds on what one exchange and one worker may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// The largest body in bytes that is read, request and response; must be lower than Envoy's buffer limit. Default 1 MiB - 64 KiB.
    pub max_body_bytes: usize,
    /// Nesting of JSON; default 64.
    pub max_depth: u16,
    /// Values in one JSON document; default 200 000.
    pub max_nodes: u32,
    /// Bytes of bodies that all exchanges of a worker hold at one time; default 64 MiB.
    pub max_inflight_bytes: usize,
    /// The largest event of an SSE reply, in bytes; default 256 KiB.
    pub max_event_bytes: usize,
    /// Audit records that wait in a worker; default 1024.
    pub max_audit_queue: usize,
    /// Instructions that one phase may run; default 1 000 000.
    pub fuel: u64,
    /// Verified tokens, minted tokens and known labels that a worker keeps, each; default 4096.
    pub max_cached: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_body_bytes: 983_040,
            max_depth: 64,
            max_nodes: 200_000,
            max_inflight_bytes: 64 << 20,
            max_event_bytes: 256 << 10,
            max_audit_queue: 1024,
            fuel: 1_000_000,
            max_cached: 4096,
        }
    }
}

/// What the environment of the VM holds.
#[derive(Clone)]
pub struct Secrets {
    /// What [`Config::hash_key_env`] names.
    pub hash_key: Option<Vec<u8>>,
    /// What [`Config::seal_key_env`] names.
    pub seal_key: Option<Vec<u8>>,
    /// What [`Config::seal_previous_key_env`] names.
    pub seal_previous_key: Option<Vec<u8>>,
    /// What [`Companion::token_env`] names.
    pub companion_token: Option<String>,
    /// Reads a variable that the program names, for headers that it asserts.
    pub variable: fn(&str) -> Option<String>,
}

impl Default for Secrets {
    fn default() -> Self {
        Self {
            hash_key: None,
            companion_token: None,
            seal_key: None,
            seal_previous_key: None,
            variable: |_| None,
        }
    }
}

// None may reach a log through `{:?}`.
impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secrets")
            .field("hash_key", &self.hash_key.is_some())
            .field("seal_key", &self.seal_key.is_some())
            .field("seal_previous_key", &self.seal_previous_key.is_some())
            .field("companion_token", &self.companion_token.is_some())
            .finish()
    }
}

impl PluginConfig {
    /// Reads a plugin configuration.
    ///
    /// # Errors
    ///
    /// [`ConfigError`], naming the key at fault. Nothing is defaulted that decides what is governed.
    pub fn parse(json: &[u8]) -> Result<Self, ConfigError> {
        let raw: RawConfig =
            serde_json::from_slice(json).map_err(|error| ConfigError::Json(error.to_string()))?;
        let install = match raw.install.as_ref() {
            None => return Err(ConfigError::MissingMode),
            Some(install) => install_of(install)?,
        };
        match install {
            None => Ok(Self::Hold(HolderConfig {
                policy_digest: lower(raw.policy_digest),
            })),
            Some(install) => decide(raw, install).map(|config| Self::Decide(Box::new(config))),
        }
    }
}

/// `None`: the holder.
fn install_of(raw: &RawInstall) -> Result<Option<Install>, ConfigError> {
    use raw::{RawMode as Mode, RawRole as Role};
    match (raw.mode, raw.role) {
        (None, _) => Err(ConfigError::MissingMode),
        (Some(Mode::Full), None) => Ok(Some(Install::Full)),
        (Some(Mode::Single), None) => Ok(Some(Install::Single)),
        (Some(Mode::Paired), Some(Role::Decider)) => Ok(Some(Install::PairedDecider)),
        (Some(Mode::Paired), Some(Role::Holder)) => Ok(None),
        (Some(Mode::Full | Mode::Single), Some(_)) | (Some(Mode::Paired), None) => Err(ConfigError::Role),
    }
}

fn decide(raw: RawConfig, install: Install) -> Result<Config, ConfigError> {
    check_build(&raw)?;
    let text = raw.policy.ok_or(ConfigError::MissingPolicy)?;
    let policy = STANDARD
        .decode(text.trim())
        .map_err(|_| ConfigError::PolicyBase64)?;
    check_protocols(&raw.protocols)?;
    check_limits(&raw.limits)?;
    if let Some(companion) = &raw.companion {
        check_companion(companion)?;
    }
    if let Some(resource) = &raw.protected_resource {
        resource.check()?;
    }
    let shadow_policy = match raw.shadow_policy {
        None => None,
        Some(text) => Some(
            STANDARD
                .decode(text.trim())
                .map_err(|_| ConfigError::Shadow(Box::new(ConfigError::PolicyBase64)))?,
        ),
    };
    Ok(Config {
        shadow_policy,
        shadow: raw.enforcement == RawEnforcement::Shadow,
        policy,
        policy_digest: lower(raw.policy_digest),
        policy_public_key: raw.policy_public_key.as_deref().map(public_key).transpose()?,
        protocols: raw.protocols,
        companion: raw.companion,
        limits: raw.limits,
        install,
        hash_key_env: raw.hash_key_env,
        seal_key_env: raw.seal_key_env,
        seal_previous_key_env: raw.seal_previous_key_env,
        resource_metadata: raw.resource_metadata,
        filter_lists: raw.filter_lists.unwrap_or(true),
        denial_shape: raw.denial_shape,
        cloak: raw.cloak,
        protected_resource: raw.protected_resource,
        session_sources: raw.session_sources.unwrap_or_else(|| {
            vec![
                SessionSource::XSessionId,
                SessionSource::McpSessionId,
                SessionSource::Claim,
            ]
        }),
        server_requests: raw.server_requests,
        identities: raw.identities,
    })
}

/// Keys of the wire contract that this build does not know yet. Ignoring one would change verdicts.
fn check_build(raw: &RawConfig) -> Result<(), ConfigError> {
    if raw.pdp_clusters.is_some() {
        return Err(ConfigError::NotInBuild("`pdp_clusters`"));
    }
    Ok(())
}

fn public_key(text: &str) -> Result<[u8; 32], ConfigError> {
    let bytes = STANDARD.decode(text.trim()).ok();
    bytes
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or(ConfigError::PublicKey)
}

fn lower(digest: Option<String>) -> Option<String> {
    digest.map(|text| text.trim().to_ascii_lowercase())
}

fn check_protocols(protocols: &[Protocol]) -> Result<(), ConfigError> {
    if protocols.is_empty() {
        return Err(ConfigError::NoProtocols);
    }
    for (at, entry) in protocols.iter().enumerate() {
        let prefix = entry.path_prefix.as_str();
        if !prefix.starts_with('/') || prefix.contains(['?', '#', '%', '\\']) || prefix.contains("//") {
            return Err(ConfigError::Prefix(prefix.to_owned()));
        }
        let wrong = entry.origins.iter().flatten().find(|origin| !is_origin(origin));
        if let Some(origin) = wrong {
            return Err(ConfigError::Origin(origin.clone()));
        }
        let twin = protocols.iter().take(at).any(|other| {
            other.path_prefix.trim_end_matches('/') == prefix.trim_end_matches('/')
                && match (&other.authority, &entry.authority) {
                    (None, None) => true,
                    (Some(a), Some(b)) => a.eq_ignore_ascii_case(b),
                    (None, Some(_)) | (Some(_), None) => false,
                }
        });
        if twin {
            return Err(ConfigError::DuplicateProtocol(prefix.to_owned()));
        }
    }
    Ok(())
}

/// As browsers write one: scheme, host and perhaps a port, in lower case; or `null`.
fn is_origin(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-:[]+_".contains(&byte);
    text == "null"
        || text.split_once("://").is_some_and(|(scheme, host)| {
            !scheme.is_empty()
                && !host.is_empty()
                && [scheme, host].iter().all(|part| part.bytes().all(plain))
        })
}

fn check_limits(limits: &Limits) -> Result<(), ConfigError> {
    let wrong = ConfigError::Limit;
    if !(1..=256 << 20).contains(&limits.max_body_bytes) {
        return Err(wrong("limits.max_body_bytes", "1 to 268435456"));
    }
    if !(1..=128).contains(&limits.max_depth) {
        return Err(wrong("limits.max_depth", "1 to 128"));
    }
    if limits.max_nodes == 0 {
        return Err(wrong("limits.max_nodes", "at least 1"));
    }
    if limits.max_inflight_bytes < limits.max_body_bytes {
        return Err(wrong(
            "limits.max_inflight_bytes",
            "at least limits.max_body_bytes",
        ));
    }
    if !(1..=16 << 20).contains(&limits.max_event_bytes) {
        return Err(wrong("limits.max_event_bytes", "1 to 16777216"));
    }
    if !(1..=1_000_000).contains(&limits.max_audit_queue) {
        return Err(wrong("limits.max_audit_queue", "1 to 1000000"));
    }
    if limits.fuel == 0 {
        return Err(wrong("limits.fuel", "at least 1"));
    }
    if !(1..=1_000_000).contains(&limits.max_cached) {
        return Err(wrong("limits.max_cached", "1 to 1000000"));
    }
    Ok(())
}

fn check_companion(companion: &Companion) -> Result<(), ConfigError> {
    if companion.cluster.is_empty() {
        return Err(ConfigError::Limit(
            "companion.cluster",
            "the name of an Envoy cluster",
        ));
    }
    if !companion.path.is_empty() && !companion.path.starts_with('/') {
        return Err(ConfigError::Limit("companion.path", "empty or an absolute path"));
    }
    if companion.timeout_ms.is_some_and(|ms| !(1..=60_000).contains(&ms)) {
        return Err(ConfigError::Limit("companion.timeout_ms", "1 to 60000"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
