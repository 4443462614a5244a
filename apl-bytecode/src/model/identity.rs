//! Which credentials to verify, and how claims become attributes.

use alloc::vec::Vec;

use super::StrId;

/// A credential. Mandatory where a route names it, but for an API key of another population
/// ([`CredentialSource::ApiKey`]).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The plugin's name.
    pub name: StrId,
    /// Whose credential it is.
    pub role: TokenRole,
    /// Where it is, and who vouches for it.
    pub source: CredentialSource,
    /// Trust domains of the workloads that are believed; empty: any that the source vouches for. At least one for
    /// [`CredentialSource::Peer`].
    pub trust_domains: Vec<StrId>,
    /// How claims become attributes.
    pub claim_map: ClaimMap,
}

impl Identity {
    /// The issuers whose signatures are checked here; none but for a token.
    #[must_use]
    pub fn issuers(&self) -> &[Issuer] {
        match &self.source {
            CredentialSource::Token { issuers, .. } => issuers,
            CredentialSource::Metadata { .. }
            | CredentialSource::Peer { .. }
            | CredentialSource::ApiKey { .. } => &[],
        }
    }

    /// The same, to change them: a test runner puts keys of its own in.
    #[must_use]
    pub fn issuers_mut(&mut self) -> &mut [Issuer] {
        match &mut self.source {
            CredentialSource::Token { issuers, .. } => issuers,
            CredentialSource::Metadata { .. }
            | CredentialSource::Peer { .. }
            | CredentialSource::ApiKey { .. } => &mut [],
        }
    }

    /// The request header that carries the credential, if one does.
    #[must_use]
    pub const fn header(&self) -> Option<StrId> {
        match self.source {
            CredentialSource::Token { header, .. } | CredentialSource::ApiKey { header, .. } => Some(header),
            CredentialSource::Metadata { .. } | CredentialSource::Peer { .. } => None,
        }
    }
}

/// Where a credential is, and who vouches for it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum CredentialSource {
    /// A signed token in a request header (`identity/jwt`).
    Token {
        /// Lower-case.
        header: StrId,
        /// What stands before the token; `None`: `Bearer ` may, in any case.
        prefix: Option<StrId>,
        /// None: the deployment binds them.
        issuers: Vec<Issuer>,
    },
    /// Claims of a token that the proxy has verified (`identity/mesh-jwt`), in its dynamic metadata.
    Metadata {
        /// As `envoy.filters.http.jwt_authn`.
        namespace: StrId,
        /// As `payload`.
        key: StrId,
        /// None: the deployment binds them.
        issuers: Vec<MeshIssuer>,
    },
    /// The workload at the other end of the connection (`identity/spiffe`).
    Peer {
        /// What the waypoint's tunnel says, not this connection's certificate.
        waypoint: bool,
    },
    /// A key that a directory knows (`identity/api-key`).
    ApiKey {
        /// Lower-case.
        header: StrId,
        /// What stands before or begins the key. A credential without it is of another population: this identity declines it.
        prefix: Option<StrId>,
        /// The directory's name at the companion.
        directory: StrId,
        /// How long a record is believed, in seconds.
        ttl_s: u32,
        /// How long a key counts as unknown.
        unknown_ttl_s: u32,
        /// Whether a record's own end counts.
        enforce_expiry: bool,
    },
}

/// An issuer whose tokens the proxy verifies.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MeshIssuer {
    /// The exact `iss`.
    pub issuer: StrId,
    /// One of these must be in `aud`. Empty only with the explicit `skip_audience_validation`.
    pub audiences: Vec<StrId>,
    /// Clock leeway for `exp` and `nbf`, in seconds.
    pub leeway_s: u32,
}

/// Whose token it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TokenRole {
    /// `subject.*`, `role.*`, `perm.*`, `team.*`, `claim.*`.
    User,
    /// `client.*`.
    Client,
    /// `caller_workload.*`.
    CallerWorkload,
}

/// An issuer whose tokens are believed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Issuer {
    /// The exact `iss`.
    pub issuer: StrId,
    /// One of these must be in `aud`. Empty only with the explicit `skip_audience_validation`.
    pub audiences: Vec<StrId>,
    /// At least one.
    pub algorithms: Vec<Algorithm>,
    /// Clock leeway for `exp` and `nbf`, in seconds.
    pub leeway_s: u32,
    /// Keys given in the policy, as a JWKS document; `None`: asked of the companion.
    pub jwks: Option<StrId>,
}

/// Signature algorithms. No symmetric one: the key would stand in the configuration. None over P-384: its arithmetic
/// would be a seventh of the filter's size, which every worker compiles at start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are JWA's own (RFC 7518, RFC 8037)")]
pub enum Algorithm {
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    EdDsa,
}

impl Algorithm {
    /// Every algorithm, as documents list them. The one table of what a policy may name and a token's header may say.
    pub const ALL: [Self; 8] = [
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
        Self::Ps256,
        Self::Ps384,
        Self::Ps512,
        Self::Es256,
        Self::EdDsa,
    ];

    /// The name in `alg` (RFC 7518 section 3.1, RFC 8037 section 3.1).
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }
}

/// How claims become attributes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct ClaimMap {
    /// What is read, in the order of the fields.
    pub rules: Vec<ClaimRule>,
    /// Claims that do not become `claim.*`: those of the token itself, and those that a rule has taken.
    pub hidden: Vec<StrId>,
}

/// How one field is found.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ClaimRule {
    /// Which.
    pub field: ClaimField,
    /// Where it may be, in the order in which it is looked for. At least one.
    pub paths: Vec<ClaimPath>,
    /// Every place counts, not the first alone. Sets only.
    pub union: bool,
    /// A text is the words in it.
    pub split: bool,
    /// Without it there is no identity.
    pub required: bool,
}

/// What a rule fills.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ClaimField {
    /// `subject.id`, `client.client_id`, `caller_workload.spiffe_id`.
    Id,
    /// `client.client_name`.
    Name,
    /// `subject.roles`, `client.roles`.
    Roles,
    /// `subject.permissions`, `client.permissions`.
    Permissions,
    /// `subject.teams`, `client.teams`.
    Teams,
    /// `client.authorized_scopes`.
    Scopes,
    /// `client.authorized_audiences`.
    Audiences,
    /// `caller_workload.selectors`.
    Selectors,
    /// `caller_workload.client_id`.
    ClientId,
}

impl ClaimField {
    /// Whether it holds one text, not a set.
    #[must_use]
    pub const fn is_single(self) -> bool {
        match self {
            Self::Id | Self::Name | Self::ClientId => true,
            Self::Roles
            | Self::Permissions
            | Self::Teams
            | Self::Scopes
            | Self::Audiences
            | Self::Selectors => false,
        }
    }
}

/// A place of a claim.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ClaimPath {
    /// Names of members, from the outside. At least one.
    pub segs: Vec<StrId>,
    /// What may be there; something else is passed over.
    pub shape: ClaimShape,
    /// If there is something that cannot be used, it is not looked for elsewhere.
    pub stop: bool,
}

/// What a claim may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ClaimShape {
    /// Text or a list of texts.
    Any,
    /// A list.
    List,
    /// Text.
    Text,
}
