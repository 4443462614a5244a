//! Decision points and ways to ask humans, as the rest of the compiler sees them.

use apl_vm::Tree;

use super::plugin::Secret;
use crate::source::Span;

/// A declared decision point.
#[derive(Debug, Clone)]
pub(crate) struct Point {
    /// What steps call it: `cedar`, `opa`, ..., or the name in `pdp(name)`.
    pub name: String,
    /// Where it is declared.
    pub span: Span,
    /// Whether its policies can want the labels of the session: they name them, or cannot be looked into.
    pub reads_labels: bool,
    /// What it is.
    pub kind: PointKind,
}

/// Text in the policy, or in a file beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TextSource {
    /// This.
    Text(String),
    /// In this file; a relative path starts at the policy's directory.
    File(String),
}

/// What a decision point is.
#[derive(Debug, Clone)]
pub(crate) enum PointKind {
    /// `cedar-direct`.
    Cedar {
        /// The policies.
        policies: TextSource,
        /// Their schema.
        schema: Option<TextSource>,
        /// What stands before the principal's type.
        namespace: Option<String>,
    },
    /// `opa`.
    Opa {
        /// Rego.
        modules: Vec<TextSource>,
        /// `data`, and files that are merged into it.
        data: Option<Tree>,
        /// JSON files.
        data_files: Vec<String>,
        /// The member of an object that decides.
        decision_field: Option<String>,
    },
    /// `authzen` and `nemo`.
    Remote {
        /// Which.
        nemo: bool,
        /// Where.
        url: String,
        /// Plain HTTP is allowed.
        allow_http: bool,
        /// A bearer token.
        token: Option<Secret>,
        /// NeMo's configuration.
        config_id: Option<String>,
        /// Milliseconds.
        timeout_ms: u64,
    },
}

/// A way to ask humans.
#[derive(Debug, Clone)]
pub(crate) enum Elicitor {
    /// `elicitation/page`: the companion's own pages.
    Page {
        /// Seconds; 0: the companion's default.
        timeout_s: u64,
        /// The requester may approve.
        allow_self: bool,
        /// Is told of every new request.
        webhook: Option<Webhook>,
    },
    /// `elicitation/ciba`.
    Ciba(Box<Ciba>),
}

/// OpenID Connect CIBA.
#[derive(Debug, Clone)]
pub(crate) struct Ciba {
    /// Where a request begins.
    pub backchannel_endpoint: String,
    /// Where its answer is fetched.
    pub token_endpoint: String,
    /// Plain HTTP is allowed.
    pub allow_http: bool,
    /// The exact `iss`.
    pub issuer: Option<String>,
    /// The companion's client.
    pub client_id: String,
    /// Its secret.
    pub secret: Secret,
    /// `openid` unless given.
    pub scope: Option<String>,
    /// Compared with `from`.
    pub approver_claim: Option<String>,
    /// Seconds.
    pub default_expiry_s: Option<u64>,
    /// Milliseconds.
    pub timeout_ms: u64,
    /// The provider tells when there is an answer.
    pub ping: bool,
    /// The requester may approve.
    pub allow_self: bool,
}

/// Where the companion's pages are, and who may sign in.
#[derive(Debug, Clone)]
pub(crate) struct Approvals {
    /// For browsers.
    pub public_url: String,
    /// Plain HTTP is allowed.
    pub allow_http: bool,
    /// OpenID Connect.
    pub sign_in: Option<SignIn>,
}

/// OpenID Connect for approvers.
#[derive(Debug, Clone)]
pub(crate) struct SignIn {
    /// The exact `iss`.
    pub issuer: String,
    /// Where the browser is sent.
    pub authorization_endpoint: String,
    /// Where the code is redeemed.
    pub token_endpoint: String,
    /// The companion's client.
    pub client_id: String,
    /// Its secret, if it has one.
    pub secret: Option<Secret>,
    /// Scopes.
    pub scope: Option<String>,
    /// Compared with `from`.
    pub approver_claim: Option<String>,
    /// Milliseconds.
    pub timeout_ms: u64,
}

/// Who is told of a new request.
#[derive(Debug, Clone)]
pub(crate) struct Webhook {
    /// The receiver.
    pub url: String,
    /// Plain HTTP is allowed.
    pub allow_http: bool,
    /// The key of its signature.
    pub secret: Secret,
    /// Milliseconds.
    pub timeout_ms: u64,
}
