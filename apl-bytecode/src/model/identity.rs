//! Which credentials to verify, and how claims become attributes.

use alloc::vec::Vec;

use super::StrId;

/// A token in a request header (`identity/jwt`). Mandatory where a route names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The plugin's name.
    pub name: StrId,
    /// Whose token it is.
    pub role: TokenRole,
    /// The header, lower-case. `Bearer ` is stripped, in any case.
    pub header: StrId,
    /// At least one.
    pub issuers: Vec<Issuer>,
    /// How claims become attributes.
    pub claim_map: ClaimMap,
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
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ClaimMap {
    /// Flat `roles`, `permissions` (or the words of `scope`), `teams` (or `groups`).
    Standard,
}
