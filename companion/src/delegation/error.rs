//! Why no token was minted.

/// Why no token was minted. [`DelegationError::code`] is stable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DelegationError {
    /// The effect lacks something or contradicts itself.
    #[error("the exchange cannot be asked for: {0}")]
    BadRequest(&'static str),
    /// `companion.json` has no delegator of this name.
    #[error("no delegator `{0}` is configured for this policy")]
    UnknownDelegator(String),
    /// The subject's token says who may act for it, and it is somebody else.
    #[error("the subject's token does not let this party act for it")]
    ActorNotAllowed,
    /// Too many actors behind one another.
    #[error("more than {0} parties would act for the subject, one for the other")]
    TooDeep(u32),
    /// No connection.
    #[error("the identity provider cannot be reached")]
    Unreachable,
    /// Its address is private and not allowed.
    #[error("the identity provider's address may not be connected to")]
    EgressDenied,
    /// Not answered in the delegator's time.
    #[error("the identity provider did not answer within {0} ms")]
    TimedOut(u64),
    /// An HTTP error status, and the error code of RFC 6749 or 8693 that came with it, or nothing.
    #[error("the identity provider refused the exchange (HTTP {0})")]
    Rejected(u16, &'static str),
    /// Not a token response.
    #[error("the identity provider's answer is not a token response: {0}")]
    BadResponse(&'static str),
    /// `issued_token_type` is missing or another.
    #[error("the identity provider issued another type of token than an access token")]
    IssuedTokenType,
    /// Less was granted than asked for.
    #[error("the identity provider did not grant `{0}`")]
    ScopeTooBroad(String),
    /// More was granted than asked for.
    #[error("the identity provider granted more than was asked for")]
    ScopeOvergrant,
    /// The token is for somebody else's service, or does not say for whose.
    #[error("the minted token is not for audience `{0}`")]
    AudienceMismatch(String),
    /// The token speaks for somebody else.
    #[error("the minted token speaks for another subject than the caller's")]
    SubjectMismatch,
    /// Nobody can tell for whom the token speaks.
    #[error("the minted token's subject cannot be verified")]
    SubjectUnverifiable,
    /// The token names another actor than was sent, or none.
    #[error("the minted token does not name the party that acts")]
    ActorMismatch,
    /// What the caller brings is not a token of this root.
    #[error("the caller's token is not one that the delegator's root issued")]
    TokenInvalid,
    /// It has ended.
    #[error("the caller's token has ended, or is not good yet")]
    TokenExpired,
    /// It cannot be narrowed.
    #[error("the caller's token cannot be narrowed: {0}")]
    AttenuationFailed(&'static str),
}

impl DelegationError {
    /// The stable violation code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::BadRequest(_) | Self::UnknownDelegator(_) => "delegation.bad_request",
            Self::ActorNotAllowed => "delegation.actor_not_allowed",
            Self::TooDeep(_) => "delegation.too_deep",
            Self::Unreachable => "delegation.idp_unreachable",
            Self::EgressDenied => "delegation.egress_denied",
            Self::TimedOut(_) => "delegation.idp_timeout",
            Self::Rejected(..) => "delegation.idp_rejected",
            Self::BadResponse(_) => "delegation.bad_response",
            Self::IssuedTokenType => "delegation.issued_token_type_mismatch",
            Self::ScopeTooBroad(_) => "delegation.scope_too_broad",
            Self::ScopeOvergrant => "delegation.scope_overgrant",
            Self::AudienceMismatch(_) => "delegation.audience_mismatch",
            Self::SubjectMismatch => "delegation.subject_mismatch",
            Self::SubjectUnverifiable => "delegation.subject_unverifiable",
            Self::ActorMismatch => "delegation.actor_mismatch",
            Self::TokenInvalid => "delegation.token_invalid",
            Self::TokenExpired => "delegation.token_expired",
            Self::AttenuationFailed(_) => "delegation.attenuation_failed",
        }
    }

    /// What the provider answered, for the audit record: its status and a registered code, never its own words.
    pub fn provider(&self) -> Option<String> {
        match self {
            Self::Rejected(status, "") => Some(status.to_string()),
            Self::Rejected(status, code) => Some(format!("{status} {code}")),
            Self::BadRequest(_)
            | Self::UnknownDelegator(_)
            | Self::ActorNotAllowed
            | Self::TooDeep(_)
            | Self::Unreachable
            | Self::EgressDenied
            | Self::TimedOut(_)
            | Self::BadResponse(_)
            | Self::IssuedTokenType
            | Self::ScopeTooBroad(_)
            | Self::ScopeOvergrant
            | Self::AudienceMismatch(_)
            | Self::SubjectMismatch
            | Self::SubjectUnverifiable
            | Self::ActorMismatch
            | Self::TokenInvalid
            | Self::TokenExpired
            | Self::AttenuationFailed(_) => None,
        }
    }

    /// Whether the exchange could not be performed at all, as opposed to being refused.
    pub fn is_failure(&self) -> bool {
        match self {
            Self::Unreachable | Self::TimedOut(_) | Self::BadResponse(_) => true,
            Self::Rejected(status, _) => *status >= 500,
            Self::BadRequest(_)
            | Self::UnknownDelegator(_)
            | Self::ActorNotAllowed
            | Self::TooDeep(_)
            | Self::EgressDenied
            | Self::IssuedTokenType
            | Self::ScopeTooBroad(_)
            | Self::ScopeOvergrant
            | Self::AudienceMismatch(_)
            | Self::SubjectMismatch
            | Self::SubjectUnverifiable
            | Self::ActorMismatch
            | Self::TokenInvalid
            | Self::TokenExpired
            | Self::AttenuationFailed(_) => false,
        }
    }
}
