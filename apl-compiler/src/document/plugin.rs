//! Plugins by kind, as the rest of the compiler sees them.

use apl_bytecode::ScanMode;

use super::identity::IdentityDecl;
use super::point::Elicitor;
use crate::source::Span;
use crate::yaml::Node;

/// A declared plugin.
#[derive(Debug, Clone)]
pub(crate) struct Plugin {
    /// Its name.
    pub name: String,
    /// Where the name is.
    pub span: Span,
    /// `kind`, as written.
    pub word: String,
    /// `config`, as written.
    pub config: Option<Node>,
    /// `hooks`: where the key is, and the names.
    pub hooks: Option<(Span, Vec<String>)>,
    /// What it is.
    pub kind: PluginKind,
}

/// What a plugin is.
#[derive(Debug, Clone)]
pub(crate) enum PluginKind {
    /// `identity/jwt`, `identity/mesh-jwt`, `identity/spiffe`, `identity/api-key`.
    Identity(Box<IdentityDecl>),
    /// `delegator/oauth`.
    Oauth(Box<Oauth>),
    /// `delegator/secret`.
    BackendSecret(BackendSecret),
    /// `delegator/biscuit`.
    Biscuit(Biscuit),
    /// `validator/pii-scan`.
    Pii(Pii),
    /// `audit/logger`.
    Audit {
        /// A step waits for the acknowledgement.
        durable: bool,
    },
    /// `elicitation/ciba`, `elicitation/page`.
    Elicitor(Elicitor),
    /// Something with errors, which were reported.
    Broken,
}

impl PluginKind {
    /// What readers call it.
    pub(crate) const fn what(&self) -> &'static str {
        match self {
            Self::Identity(_) => "an identity plugin",
            Self::Oauth(_) | Self::BackendSecret(_) | Self::Biscuit(_) => "a delegator",
            Self::Pii(_) => "a validator",
            Self::Audit { .. } => "an audit logger",
            Self::Elicitor(_) => "an approval handler",
            Self::Broken => "a plugin with errors",
        }
    }
}

/// A delegator.
#[derive(Debug, Clone)]
pub(crate) struct Oauth {
    /// The token endpoint.
    pub token_endpoint: String,
    /// Plain HTTP is allowed.
    pub allow_http: bool,
    /// The proxy's client.
    pub client_id: String,
    /// How it proves itself.
    pub proof: ClientProof,
    /// Milliseconds.
    pub timeout_ms: u64,
    /// Lower-case.
    pub outbound_header: String,
    /// What stands before the token.
    pub outbound_prefix: Option<String>,
    /// RFC 8693.
    pub subject_token_type: Option<String>,
    /// RFC 8693.
    pub actor_token_type: Option<String>,
    /// What a workload's SVID is called.
    pub workload_assertion_type: Option<String>,
    /// Extra scopes that are fine.
    pub allowed_extra_scopes: Vec<String>,
    /// Checks of what comes back.
    pub strict: bool,
    /// A minted token need not name the actor.
    pub accept_missing_actor: bool,
    /// The most actors.
    pub max_depth: Option<u32>,
    /// RFC 7662.
    pub introspection_endpoint: Option<String>,
    /// Seconds; 0: no cache.
    pub cache_ttl_s: Option<u64>,
}

/// How the gateway's client proves itself at an identity provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientProof<S = Secret> {
    /// `client_secret_basic`.
    Basic(S),
    /// `client_secret_post`.
    Post(S),
    /// `private_key_jwt`.
    Key {
        /// The private key.
        key: S,
        /// Its `kid`.
        id: Option<String>,
        /// The assertion's `aud`.
        audience: Option<String>,
    },
}

/// A backend's own secret.
#[derive(Debug, Clone)]
pub(crate) struct BackendSecret {
    /// The secret.
    pub secret: Secret,
    /// Lower-case.
    pub outbound_header: String,
    /// What stands before it.
    pub outbound_prefix: Option<String>,
    /// Seconds.
    pub ttl_s: Option<u64>,
}

/// A delegator that narrows Biscuits.
#[derive(Debug, Clone)]
pub(crate) struct Biscuit {
    /// Who issues them.
    pub root: RootKey,
    /// The header that brings them, lower-case.
    pub header: String,
    /// Lower-case.
    pub outbound_header: String,
    /// What stands before the token.
    pub outbound_prefix: Option<String>,
    /// Seconds.
    pub ttl_s: Option<u64>,
    /// The fact that names whose token it is.
    pub subject_fact: Option<String>,
    /// That fact must name the caller.
    pub bind_subject: bool,
    /// Proxies may use a narrowed token again.
    pub cache: bool,
}

/// Public keys of Ed25519.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RootKey {
    /// In hex.
    Hex(String),
    /// A file with them.
    File(String),
}

/// A secret.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    /// In the policy; goes to `secrets.env`.
    Literal(String),
    /// An environment variable.
    Env(String),
    /// A file.
    File(String),
    /// A field of a secret in Vault.
    Vault {
        /// Where the KV store is mounted.
        mount: String,
        /// The secret's path.
        path: String,
        /// Its field.
        field: String,
    },
}

// A literal secret must not reach a log through `{:?}`.
impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Literal(_) => f.write_str("Literal(..)"),
            Self::Env(name) => write!(f, "Env({name})"),
            Self::File(path) => write!(f, "File({path})"),
            Self::Vault { mount, path, field } => write!(f, "Vault({mount}, {path}, {field})"),
        }
    }
}

/// A scanner.
#[derive(Debug, Clone)]
pub(crate) struct Pii {
    /// What it looks for.
    pub detectors: Vec<DetectorDecl>,
    /// What a find does.
    pub mode: ScanMode,
    /// The denial's code.
    pub code: String,
}

/// A detector.
#[derive(Debug, Clone)]
pub(crate) enum DetectorDecl {
    /// Built in.
    BuiltIn(apl_bytecode::Detector),
    /// `{kind: custom, name, regex}`.
    Custom {
        /// For reasons.
        name: String,
        /// The pattern.
        regex: String,
        /// Where the pattern is.
        span: Span,
    },
}
