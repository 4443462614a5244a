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

/// Signature algorithms. No symmetric one: the key would stand in the configuration.
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
    Es384,
    EdDsa,
}

/// How claims become attributes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ClaimMap {
    /// Flat `roles`, `permissions` (or the words of `scope`), `teams` (or `groups`).
    Standard,
}
