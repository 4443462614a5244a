//! Identity plugins, as the rest of the compiler sees them.

use apl_bytecode::{Algorithm, ClaimField, ClaimShape, TokenRole};

/// A credential.
#[derive(Debug, Clone)]
pub(crate) struct IdentityDecl {
    /// Whose.
    pub role: TokenRole,
    /// Where it is.
    pub source: CredentialDecl,
    /// Trust domains of workloads.
    pub trust_domains: Vec<String>,
    /// How its claims become attributes.
    pub claims: ClaimMapDecl,
    /// The deployment says who vouches for it: its issuers are not in the program.
    pub bound: bool,
}

/// Where a credential is.
#[derive(Debug, Clone)]
pub(crate) enum CredentialDecl {
    /// A token in a header.
    Token {
        /// Lower-case.
        header: String,
        /// What stands before it.
        prefix: Option<String>,
        /// At least one.
        issuers: Vec<JwtIssuer>,
    },
    /// Claims in the proxy's dynamic metadata.
    Metadata {
        /// The filter.
        namespace: String,
        /// Where in it.
        key: String,
        /// At least one.
        issuers: Vec<MeshIssuerDecl>,
    },
    /// The connection's other end, or the waypoint tunnel's.
    Peer {
        /// The tunnel's.
        waypoint: bool,
    },
    /// A key in a header.
    ApiKey {
        /// Lower-case.
        header: String,
        /// What it begins with.
        prefix: Option<String>,
        /// Seconds.
        ttl_s: u32,
        /// Seconds.
        unknown_ttl_s: u32,
        /// A record's own end counts.
        enforce_expiry: bool,
        /// Who knows keys.
        directory: DirectoryDecl,
    },
}

/// Who knows API keys.
#[derive(Debug, Clone)]
pub(crate) enum DirectoryDecl {
    /// A file of digests.
    File {
        /// As written.
        path: String,
    },
}

/// An issuer whose signatures are checked here.
#[derive(Debug, Clone)]
pub(crate) struct JwtIssuer {
    /// `iss`.
    pub issuer: String,
    /// `aud`; empty: not checked.
    pub audiences: Vec<String>,
    /// At least one.
    pub algorithms: Vec<Algorithm>,
    /// Seconds.
    pub leeway_s: u32,
    /// Where keys come from.
    pub keys: Keys,
}

/// An issuer whose signatures the proxy checks.
#[derive(Debug, Clone)]
pub(crate) struct MeshIssuerDecl {
    /// `iss`.
    pub issuer: String,
    /// `aud`; empty: not checked.
    pub audiences: Vec<String>,
    /// Seconds.
    pub leeway_s: u32,
}

/// Where an issuer's keys come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Keys {
    /// A JWKS document in the policy.
    Inline(String),
    /// Fetched by the companion.
    Url {
        /// Where.
        url: String,
        /// Plain HTTP is allowed.
        allow_http: bool,
        /// Seconds between refreshes.
        refresh_s: u64,
    },
}

/// How claims become attributes.
#[derive(Debug, Clone, Default)]
pub(crate) struct ClaimMapDecl {
    /// What is read.
    pub rules: Vec<ClaimRuleDecl>,
    /// Claims that policy cannot read by their own name.
    pub hidden: Vec<String>,
}

/// How one field is found.
#[derive(Debug, Clone)]
pub(crate) struct ClaimRuleDecl {
    /// Which.
    pub field: ClaimField,
    /// At least one.
    pub paths: Vec<ClaimPathDecl>,
    /// Every place counts.
    pub union: bool,
    /// A text is its words.
    pub split: bool,
    /// Without it there is no identity.
    pub required: bool,
}

/// A place of a claim.
#[derive(Debug, Clone)]
pub(crate) struct ClaimPathDecl {
    /// From the outside.
    pub names: Vec<String>,
    /// What may be there.
    pub shape: ClaimShape,
    /// What is there ends the search.
    pub stop: bool,
}
