//! Token exchange (RFC 8693) and client credentials (RFC 6749 section 4.4) at a delegator's identity provider.
//!
//! What comes back is not believed: type, audience, subject and scope are checked ([`validate`]), because a
//! misconfigured or compromised provider would otherwise widen what policy asked for. The provider's own text goes into
//! no reason: reasons reach the model.

mod jwt;
mod request;
mod validate;

use std::time::Duration;

use companion_protocol::{Grant, SubjectKind, TokenExchange};

use crate::clock::now_s;
use crate::config::Delegator;
use crate::outbound::{Outbound, OutboundError};

/// Why no token was minted. [`DelegationError::code`] is stable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DelegationError {
    /// The effect lacks something or contradicts itself.
    #[error("the exchange cannot be asked for: {0}")]
    BadRequest(&'static str),
    /// `companion.json` has no delegator of this name.
    #[error("no delegator `{0}` is configured for this policy")]
    UnknownDelegator(String),
    /// No connection.
    #[error("the identity provider cannot be reached")]
    Unreachable,
    /// Not answered in the delegator's time.
    #[error("the identity provider did not answer within {0} ms")]
    TimedOut(u64),
    /// An HTTP error status.
    #[error("the identity provider refused the exchange (HTTP {0})")]
    Rejected(u16),
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
}

impl DelegationError {
    /// The stable violation code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::BadRequest(_) | Self::UnknownDelegator(_) => "delegation.bad_request",
            Self::Unreachable => "delegation.idp_unreachable",
            Self::TimedOut(_) => "delegation.idp_timeout",
            Self::Rejected(_) => "delegation.idp_rejected",
            Self::BadResponse(_) => "delegation.bad_response",
            Self::IssuedTokenType => "delegation.issued_token_type_mismatch",
            Self::ScopeTooBroad(_) => "delegation.scope_too_broad",
            Self::ScopeOvergrant => "delegation.scope_overgrant",
            Self::AudienceMismatch(_) => "delegation.audience_mismatch",
            Self::SubjectMismatch => "delegation.subject_mismatch",
            Self::SubjectUnverifiable => "delegation.subject_unverifiable",
        }
    }

    /// Whether the exchange could not be performed at all, as opposed to being refused.
    pub fn is_failure(&self) -> bool {
        match self {
            Self::Unreachable | Self::TimedOut(_) | Self::BadResponse(_) => true,
            Self::Rejected(status) => *status >= 500,
            Self::BadRequest(_)
            | Self::UnknownDelegator(_)
            | Self::IssuedTokenType
            | Self::ScopeTooBroad(_)
            | Self::ScopeOvergrant
            | Self::AudienceMismatch(_)
            | Self::SubjectMismatch
            | Self::SubjectUnverifiable => false,
        }
    }
}

/// Mints one token. Nothing is cached or retried: the proxy caches, and a retry could mint twice.
pub async fn exchange(
    outbound: &Outbound,
    delegator: &Delegator,
    asked: &TokenExchange,
) -> Result<Grant, DelegationError> {
    check(delegator, asked)?;
    let request = request::build(delegator, asked)?;
    let timeout_ms = delegator.oauth.timeout_ms;
    let body = outbound
        .json(request, Duration::from_millis(timeout_ms))
        .await
        .map_err(|error| refused(error, asked, timeout_ms))?;
    let minted = validate::minted(&body, &delegator.oauth, asked, now_s())?;
    Ok(Grant {
        token: minted.token,
        outbound_header: delegator.oauth.outbound_header.clone(),
        outbound_prefix: delegator.oauth.outbound_prefix.clone(),
        audience: asked.audience.clone(),
        permissions: minted.scopes,
        expires_at: minted.expires_at,
    })
}

/// What is wrong with the question itself. An empty part is an error and never a wildcard.
fn check(delegator: &Delegator, asked: &TokenExchange) -> Result<(), DelegationError> {
    use DelegationError::BadRequest;
    let is_scope = |scope: &String| {
        // RFC 6749 section 3.3: a space or a quote inside one would make it two.
        !scope.is_empty()
            && scope
                .bytes()
                .all(|b| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e))
    };
    if asked.audience.is_empty() {
        return Err(BadRequest("the audience is empty"));
    }
    if !asked.permissions.iter().all(is_scope) {
        return Err(BadRequest("a permission is not an OAuth scope"));
    }
    if asked.expected_sub.as_deref() == Some("") {
        return Err(BadRequest("the expected subject is empty"));
    }
    match asked.subject {
        SubjectKind::ThisWorkload => {
            if asked.subject_token.is_some() || asked.actor_token.is_some() {
                return Err(BadRequest("this_workload takes no subject or actor token"));
            }
        }
        SubjectKind::User | SubjectKind::Client | SubjectKind::CallerWorkload => {
            if asked.subject_token.as_deref().unwrap_or_default().is_empty() {
                return Err(BadRequest("the subject token is missing"));
            }
            // Before the call: a token that would be refused afterwards is better not minted.
            if delegator.oauth.strict_response_validation && asked.expected_sub.is_none() {
                return Err(DelegationError::SubjectUnverifiable);
            }
        }
    }
    Ok(())
}

fn refused(error: OutboundError, asked: &TokenExchange, timeout_ms: u64) -> DelegationError {
    match error {
        OutboundError::Unreachable => DelegationError::Unreachable,
        OutboundError::TimedOut => DelegationError::TimedOut(timeout_ms),
        OutboundError::Status { status, body } => {
            tracing::warn!(
                delegator = asked.delegator,
                status = status.as_u16(),
                oauth_error = validate::oauth_error(&body),
                "the identity provider refused an exchange"
            );
            DelegationError::Rejected(status.as_u16())
        }
        OutboundError::Redirected => DelegationError::BadResponse("a redirect"),
        OutboundError::TooLarge => DelegationError::BadResponse("it is too large"),
        OutboundError::NotJson => DelegationError::BadResponse("it is not plain JSON"),
        OutboundError::Broken => DelegationError::BadResponse("it broke off"),
    }
}
