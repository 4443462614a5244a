//! Whether a token response (RFC 8693 section 2.2, RFC 6749 section 5.1) is what was asked for.

use companion_protocol::config::OauthDelegator;
use companion_protocol::{SubjectKind, TokenExchange};
use serde::Deserialize;

use super::DelegationError;
use super::actor;
use super::jwt::Claims;
use crate::json_object;

/// A larger token does not fit in a request's headers.
const MAX_TOKEN_BYTES: usize = 16 << 10;

/// How long a token lives of which neither response nor claims say so, in seconds.
const DEFAULT_LIFETIME_S: u64 = 300;

const ISSUED_TYPES: [&str; 2] = [
    "urn:ietf:params:oauth:token-type:access_token",
    "urn:ietf:params:oauth:token-type:jwt",
];

/// A checked token.
#[derive(Debug)]
pub(super) struct Minted {
    pub(super) token: String,
    /// What the provider says it granted, and nothing else.
    pub(super) scopes: Vec<String>,
    /// Seconds since the Unix epoch.
    pub(super) expires_at: u64,
}

/// A member that occurs twice is an error of the parser's.
#[derive(Deserialize)]
struct TokenResponse {
    access_token: String,
    #[serde(default)]
    issued_token_type: Option<String>,
    #[serde(default)]
    token_type: Option<String>,
    #[serde(default)]
    expires_in: Option<Seconds>,
    #[serde(default)]
    scope: Option<String>,
}

/// A number by the RFC, a string with some providers.
#[derive(Deserialize)]
#[serde(untagged)]
enum Seconds {
    Number(u64),
    Text(String),
}

/// A token response with a bearer token that can be sent.
pub(super) struct Response {
    pub(super) token: String,
    issued_type: Option<String>,
    expires_in: Option<Seconds>,
    scope: Option<String>,
}

impl Response {
    /// Reads it.
    pub(super) fn read(body: &[u8]) -> Result<Self, DelegationError> {
        use DelegationError::BadResponse;
        let response: TokenResponse =
            json_object::parse(body).map_err(|_| BadResponse("its JSON has another shape"))?;
        if !is_sendable(&response.access_token) {
            return Err(BadResponse("the token cannot stand in a header"));
        }
        check_token_type(response.token_type.as_deref())?;
        Ok(Self {
            token: response.access_token,
            issued_type: response.issued_token_type,
            expires_in: response.expires_in,
            scope: response.scope,
        })
    }
}

/// What the token has to be.
pub(super) struct Expected<'a> {
    pub(super) asked: &'a TokenExchange,
    /// The `sub` that it must carry.
    pub(super) sub: Option<&'a str>,
    /// The `sub` of the actor that it must name.
    pub(super) actor: Option<&'a str>,
}

/// Checks a response. `claims`: what is known of its token.
pub(super) fn minted(
    response: Response,
    claims: Option<&Claims>,
    oauth: &OauthDelegator,
    expected: &Expected<'_>,
    now_s: u64,
) -> Result<Minted, DelegationError> {
    let asked = expected.asked;
    let expires_at = expiry(response.expires_in.as_ref(), claims, now_s)?;
    let scopes = granted(response.scope.as_deref(), asked)?;
    if oauth.strict_response_validation {
        check_issued_type(response.issued_type.as_deref(), asked.subject)?;
        check_not_wider(&scopes, claims, oauth, asked)?;
        check_owner(claims, expected)?;
        check_actor(claims, oauth, expected)?;
    }
    Ok(Minted {
        token: response.token,
        scopes,
        expires_at,
    })
}

/// The provider's OAuth `error` for the operator's log, if it is one of the registered ones; anything else is its own
/// text and stays out.
pub(super) fn oauth_error(body: &[u8]) -> Option<&'static str> {
    #[derive(Deserialize)]
    struct ErrorResponse {
        error: String,
    }
    const REGISTERED: [&str; 10] = [
        "invalid_request",
        "invalid_client",
        "invalid_grant",
        "unauthorized_client",
        "unsupported_grant_type",
        "invalid_scope",
        "invalid_target",
        "access_denied",
        "server_error",
        "temporarily_unavailable",
    ];
    json_object::parse::<ErrorResponse>(body)
        .ok()
        .and_then(|response| REGISTERED.into_iter().find(|known| *known == response.error))
}

fn is_sendable(token: &str) -> bool {
    !token.is_empty() && token.len() <= MAX_TOKEN_BYTES && token.bytes().all(|b| b.is_ascii_graphic())
}

/// A token that is bound to a key (DPoP, mutual TLS) is of no use to a backend that gets it as a bearer token.
fn check_token_type(token_type: Option<&str>) -> Result<(), DelegationError> {
    match token_type {
        None => Ok(()),
        Some(kind) if kind.eq_ignore_ascii_case("bearer") || kind.eq_ignore_ascii_case("n_a") => Ok(()),
        Some(_) => Err(DelegationError::BadResponse("the token is not a bearer token")),
    }
}

fn expiry(expires_in: Option<&Seconds>, claims: Option<&Claims>, now_s: u64) -> Result<u64, DelegationError> {
    let stated = match expires_in {
        None => None,
        Some(Seconds::Number(seconds)) => Some(*seconds),
        Some(Seconds::Text(text)) => Some(
            text.parse()
                .map_err(|_| DelegationError::BadResponse("`expires_in` is not a number of seconds"))?,
        ),
    };
    let stated = stated.map(|seconds| now_s.saturating_add(seconds));
    let expires_at = match (stated, claims.and_then(Claims::ends_at)) {
        (Some(stated), Some(claimed)) => stated.min(claimed),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => now_s.saturating_add(DEFAULT_LIFETIME_S),
    };
    if expires_at <= now_s {
        return Err(DelegationError::BadResponse("the token has ended already"));
    }
    Ok(expires_at)
}

/// The scopes that the provider says it granted; all that were asked for must be among them.
///
/// RFC 8693 section 2.2.1 lets a provider omit `scope` when it equals what was asked for. Here silence grants nothing:
/// otherwise a provider that ignores `scope` altogether would count as having granted everything.
fn granted(scope: Option<&str>, asked: &TokenExchange) -> Result<Vec<String>, DelegationError> {
    let scopes: Vec<String> = scope
        .unwrap_or_default()
        .split_ascii_whitespace()
        .map(str::to_owned)
        .collect();
    match asked.permissions.iter().find(|asked| !scopes.contains(asked)) {
        Some(missing) => Err(DelegationError::ScopeTooBroad(missing.clone())),
        None => Ok(scopes),
    }
}

fn check_issued_type(issued: Option<&str>, subject: SubjectKind) -> Result<(), DelegationError> {
    match (issued, subject) {
        (Some(issued), _) if ISSUED_TYPES.contains(&issued) => Ok(()),
        // Client credentials are RFC 6749, whose response has no such member.
        (None, SubjectKind::ThisWorkload) => Ok(()),
        (Some(_) | None, _) => Err(DelegationError::IssuedTokenType),
    }
}

/// Neither the response nor the token itself may carry a scope that was not asked for. Without a scope asked for the
/// provider's defaults apply and there is nothing to compare with.
fn check_not_wider(
    scopes: &[String],
    claims: Option<&Claims>,
    oauth: &OauthDelegator,
    asked: &TokenExchange,
) -> Result<(), DelegationError> {
    if asked.permissions.is_empty() {
        return Ok(());
    }
    let expected = |scope: &str| {
        asked.permissions.iter().any(|one| one == scope)
            || oauth.allowed_extra_scopes.iter().any(|one| one == scope)
    };
    let carried = claims.into_iter().flat_map(Claims::scopes);
    if scopes.iter().map(String::as_str).chain(carried).all(expected) {
        Ok(())
    } else {
        Err(DelegationError::ScopeOvergrant)
    }
}

/// Audience and subject. Whoever needs opaque tokens that nobody can look into turns strict validation off by name.
fn check_owner(claims: Option<&Claims>, expected: &Expected<'_>) -> Result<(), DelegationError> {
    let asked = expected.asked;
    let wrong_audience = || DelegationError::AudienceMismatch(asked.audience.clone());
    let Some(claims) = claims else {
        return Err(match asked.subject {
            SubjectKind::ThisWorkload => wrong_audience(),
            SubjectKind::User | SubjectKind::Client | SubjectKind::CallerWorkload => {
                DelegationError::SubjectUnverifiable
            }
        });
    };
    if !claims.is_for(&asked.audience) {
        return Err(wrong_audience());
    }
    match (expected.sub, &claims.sub) {
        (None, _) => Ok(()),
        (Some(expected), Some(sub)) if expected == sub => Ok(()),
        (Some(_), Some(_)) => Err(DelegationError::SubjectMismatch),
        (Some(_), None) => Err(DelegationError::SubjectUnverifiable),
    }
}

/// Whoever acts stands in the token, and not behind more others than policy allows. A provider that leaves the actor out makes
/// the call look as if the subject itself had made it.
fn check_actor(
    claims: Option<&Claims>,
    oauth: &OauthDelegator,
    expected: &Expected<'_>,
) -> Result<(), DelegationError> {
    let act = claims.and_then(|claims| claims.act.as_ref());
    actor::too_deep(oauth.max_depth, actor::chain_length(act))?;
    let named = claims.and_then(Claims::actor);
    match expected.actor {
        None => Ok(()),
        Some(_) if act.is_none() && oauth.accept_missing_actor => Ok(()),
        Some(actor) if named == Some(actor) => Ok(()),
        Some(_) => Err(DelegationError::ActorMismatch),
    }
}
