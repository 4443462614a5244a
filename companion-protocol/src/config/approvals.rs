//! How humans are asked.

use serde::{Deserialize, Serialize};

use super::SecretRef;

/// The built-in pages: where they are and who may sign in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApprovalsConfig {
    /// Where approvers' browsers find the pages, as `https://approvals.example`, without a path.
    pub public_url: String,
    /// Plain `http:` is allowed for it and for the sign-in (development only).
    #[serde(default)]
    pub allow_http: bool,
    /// How an approver signs in; absent: by one-time links only (`--demo-links`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sign_in: Option<SignInConfig>,
}

/// OpenID Connect, authorization code with PKCE.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignInConfig {
    /// The exact `iss`.
    pub issuer: String,
    /// Where the browser is sent.
    pub authorization_endpoint: String,
    /// Where the code is redeemed.
    pub token_endpoint: String,
    /// The companion's client there; its redirect URI is `<public_url>/approvals/callback`.
    pub client_id: String,
    /// Where its secret is; absent: a public client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<SecretRef>,
    /// Scopes; default `openid profile email`.
    #[serde(default = "default_sign_in_scope")]
    pub scope: String,
    /// The claim that says who it is, compared with the policy's `from`; default `preferred_username`.
    #[serde(default = "default_approver_claim")]
    pub approver_claim: String,
    /// Time for redeeming the code in milliseconds; default 5000.
    #[serde(default = "default_timeout_ms")]
    pub timeout_ms: u64,
}

/// A way to ask a human.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum ElicitorConfig {
    /// The built-in pages.
    Page(PageElicitor),
    /// OpenID Connect Client-Initiated Backchannel Authentication.
    Ciba(CibaElicitor),
}

/// The built-in pages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PageElicitor {
    /// Seconds until a request ends that names no `timeout`; default 900.
    #[serde(default = "default_page_timeout_s")]
    pub timeout_s: u64,
    /// A requester may approve their own request; default false.
    #[serde(default)]
    pub allow_self: bool,
    /// Is told of every new request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<WebhookConfig>,
}

/// Where news of a request is posted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookConfig {
    /// The receiver.
    pub url: String,
    /// Plain `http:` is allowed (development only).
    #[serde(default)]
    pub allow_http: bool,
    /// The key of `X-Aplomb-Signature`.
    pub secret: SecretRef,
    /// Time for one attempt in milliseconds; default 5000.
    #[serde(default = "default_timeout_ms")]
    pub timeout_ms: u64,
}

/// An OpenID provider that reaches the approver on a device of theirs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CibaElicitor {
    /// The backchannel authentication endpoint.
    pub backchannel_endpoint: String,
    /// The token endpoint.
    pub token_endpoint: String,
    /// Plain `http:` is allowed (development only).
    #[serde(default)]
    pub allow_http: bool,
    /// The exact `iss` of the ID token; absent: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// The companion's client there.
    pub client_id: String,
    /// Where its secret is.
    pub client_secret: SecretRef,
    /// Scopes; default `openid`.
    #[serde(default = "default_ciba_scope")]
    pub scope: String,
    /// Seconds until a request ends that names no `timeout`; default 300.
    #[serde(default = "default_expiry_s")]
    pub default_expiry_s: u64,
    /// Time for one call in milliseconds; default 5000.
    #[serde(default = "default_timeout_ms")]
    pub timeout_ms: u64,
    /// The claim of the ID token that must equal the policy's `from`; default `preferred_username`.
    #[serde(default = "default_approver_claim")]
    pub approver_claim: String,
    /// How the approver is named; default `login_hint`.
    #[serde(default)]
    pub hint: CibaHint,
    /// How news comes; default `poll`.
    #[serde(default)]
    pub delivery: CibaDelivery,
    /// A requester may be asked to approve their own request; default false.
    #[serde(default)]
    pub allow_self: bool,
}

/// How the approver is named.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CibaHint {
    /// `login_hint`: the policy's `from`.
    #[default]
    LoginHint,
    /// `login_hint_token`: the policy's `from` is such a token.
    LoginHintToken,
}

/// How news comes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CibaDelivery {
    /// The token endpoint is asked no more often than the provider's `interval`.
    #[default]
    Poll,
    /// The provider calls `POST /v1/ciba/notify`; until then nothing is asked.
    Ping,
}

fn default_sign_in_scope() -> String {
    "openid profile email".to_owned()
}
fn default_ciba_scope() -> String {
    "openid".to_owned()
}
fn default_approver_claim() -> String {
    "preferred_username".to_owned()
}
const fn default_timeout_ms() -> u64 {
    5000
}
const fn default_page_timeout_s() -> u64 {
    900
}
const fn default_expiry_s() -> u64 {
    300
}
