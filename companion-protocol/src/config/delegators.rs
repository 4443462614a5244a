//! Ways to mint tokens, and credentials that are handed out as they are.

use serde::{Deserialize, Serialize};

use super::SecretRef;

/// How long the companion gives a minted token out again, in seconds, unless the token ends sooner.
pub const DEFAULT_CACHE_TTL_S: u64 = 300;

/// A way to get a credential for a backend.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum DelegatorConfig {
    /// RFC 8693 token exchange and client credentials.
    Oauth(Box<OauthDelegator>),
    /// A backend's own secret, as an API key: the same for every caller.
    Secret(SecretDelegator),
    /// Narrows the Biscuit that the caller brings.
    Biscuit(BiscuitDelegator),
}

/// How the gateway's client proves itself at the token endpoint.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientAuth {
    /// HTTP Basic (RFC 6749 section 2.3.1).
    #[default]
    ClientSecretBasic,
    /// In the form.
    ClientSecretPost,
    /// A signed assertion (RFC 7523 section 2.2).
    PrivateKeyJwt,
}

/// An OAuth delegator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OauthDelegator {
    /// The token endpoint.
    pub token_endpoint: String,
    /// Plain `http:` is allowed (development only).
    #[serde(default)]
    pub allow_http: bool,
    /// The proxy's client at the identity provider.
    pub client_id: String,
    /// How it proves itself; default `client_secret_basic`.
    #[serde(default)]
    pub client_auth: ClientAuth,
    /// Where its secret is; needed unless `client_auth` is `private_key_jwt`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<SecretRef>,
    /// Where its private key is (PKCS#8 PEM: RSA, P-256 or Ed25519); needed for `private_key_jwt`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_key: Option<SecretRef>,
    /// The `kid` of the assertion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_key_id: Option<String>,
    /// The `aud` of the assertion; absent: the token endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assertion_audience: Option<String>,
    /// Time for all of one exchange in milliseconds; default 5000.
    #[serde(default = "default_timeout_ms")]
    pub timeout_ms: u64,
    /// The header that carries the minted token, lower-case; default `authorization`.
    #[serde(default = "default_outbound_header")]
    pub outbound_header: String,
    /// What stands before the token; default `"Bearer "`.
    #[serde(default = "default_outbound_prefix")]
    pub outbound_prefix: String,
    /// `subject_token_type`; default `urn:ietf:params:oauth:token-type:access_token`.
    #[serde(default = "default_subject_token_type")]
    pub subject_token_type: String,
    /// `actor_token_type`; default `urn:ietf:params:oauth:token-type:jwt`.
    #[serde(default = "default_actor_token_type")]
    pub actor_token_type: String,
    /// `client_assertion_type` of a workload's SVID; default `urn:ietf:params:oauth:client-assertion-type:jwt-spiffe`.
    #[serde(default = "default_workload_assertion_type")]
    pub workload_assertion_type: String,
    /// Scopes that the identity provider may add to those asked for without it counting as an over-grant.
    #[serde(default)]
    pub allowed_extra_scopes: Vec<String>,
    /// Check type, audience, subject, scope and actor of what comes back; default true.
    #[serde(default = "default_true")]
    pub strict_response_validation: bool,
    /// Take a minted token that does not name the actor that was sent, as Keycloak's do not; default false.
    #[serde(default)]
    pub accept_missing_actor: bool,
    /// The most actors that may stand behind a token, one within the other (RFC 8693 section 4.1); absent: any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_depth: Option<u32>,
    /// Where opaque tokens are looked into (RFC 7662); absent: they are refused under strict validation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub introspection_endpoint: Option<String>,
    /// How long a minted token is given out again, in seconds, by companion and proxy; 0: never; default 300 in the
    /// companion, and until the token ends in the proxy.
    #[serde(default = "default_cache_ttl_s")]
    pub cache_ttl_s: u64,
}

/// A backend's own secret. It is read when the companion starts and when it is told to read its configuration again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretDelegator {
    /// Where the secret is.
    pub secret: SecretRef,
    /// The header that carries it, lower-case; default `authorization`.
    #[serde(default = "default_outbound_header")]
    pub outbound_header: String,
    /// What stands before it; default `"Bearer "`.
    #[serde(default = "default_outbound_prefix")]
    pub outbound_prefix: String,
    /// How long a proxy may use it before it asks again, in seconds; default 60.
    #[serde(default = "default_secret_ttl_s")]
    pub ttl_s: u64,
}

/// A delegator that narrows Biscuits. It asks nobody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BiscuitDelegator {
    /// Who issues them.
    pub root_public_key: PublicKeyRef,
    /// The header that carries the narrowed token, lower-case; default `authorization`.
    #[serde(default = "default_outbound_header")]
    pub outbound_header: String,
    /// What stands before it; default `"Bearer "`.
    #[serde(default = "default_outbound_prefix")]
    pub outbound_prefix: String,
    /// How long a narrowed token is good, in seconds, unless the step says otherwise; default 300.
    #[serde(default = "default_biscuit_ttl_s")]
    pub ttl_s: u64,
    /// The fact of the first block that names whose token it is; absent: `user`, `client` or `workload`, by the step's subject.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject_fact: Option<String>,
    /// That fact must name the caller whom the proxy verified; default true.
    #[serde(default = "default_true")]
    pub bind_subject: bool,
    /// A proxy may use a narrowed token again, for the same caller, token and step; default true.
    #[serde(default = "default_true")]
    pub cache: bool,
}

/// Where public keys are: Ed25519, each as 64 hex digits, with or without `ed25519/` before it. Of several, separated by white
/// space, any one is believed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PublicKeyRef {
    /// Here.
    Hex(String),
    /// In this file, relative to `companion.json`.
    File(String),
}

const fn default_biscuit_ttl_s() -> u64 {
    300
}
const fn default_timeout_ms() -> u64 {
    5000
}
fn default_outbound_header() -> String {
    "authorization".to_owned()
}
fn default_outbound_prefix() -> String {
    "Bearer ".to_owned()
}
fn default_subject_token_type() -> String {
    "urn:ietf:params:oauth:token-type:access_token".to_owned()
}
fn default_actor_token_type() -> String {
    "urn:ietf:params:oauth:token-type:jwt".to_owned()
}
fn default_workload_assertion_type() -> String {
    "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe".to_owned()
}
const fn default_true() -> bool {
    true
}
const fn default_cache_ttl_s() -> u64 {
    DEFAULT_CACHE_TTL_S
}
const fn default_secret_ttl_s() -> u64 {
    60
}
