//! Credentials for backends: token exchange (RFC 8693), client credentials (RFC 6749 section 4.4), the same on behalf of a workload
//! that proves itself by its SVID, Biscuits that the caller brings and gets narrowed, and secrets that are handed out as they are.
//!
//! | module | |
//! |---|---|
//! | [`biscuit`] | narrows a Biscuit |
//! | [`actor`] | who may act for whom, and through how many hands |
//! | [`request`] | the forms that go to the identity provider |
//! | [`introspect`] | looks into opaque tokens (RFC 7662) |
//! | [`validate`] | whether what comes back is what was asked for |
//! | [`cache`] | minted tokens, each for its own caller |
//!
//! What comes back is not believed: type, audience, subject, scope and actor are checked, because a misconfigured or
//! compromised provider would otherwise widen what policy asked for. The provider's own text goes into no reason: reasons reach
//! the model.

mod actor;
mod biscuit;
mod cache;
mod error;
mod introspect;
mod jwt;
mod request;
mod validate;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::Request;
use companion_protocol::{Grant, SubjectKind, TokenExchange};
use http_body_util::Full;

pub use error::DelegationError;

use crate::clock::now_s;
use crate::config::{BackendSecret, BiscuitRoot, Delegator, OauthClient};
use crate::metrics::Metrics;
use crate::outbound::{Outbound, OutboundError};
use cache::{Key, TokenCache};
use jwt::Claims;
use validate::Expected;

/// Mints, and remembers what it minted.
pub struct Minter {
    outbound: Arc<Outbound>,
    cache: Arc<TokenCache>,
}

impl Minter {
    /// Remembers nothing yet.
    pub fn new(outbound: Arc<Outbound>, metrics: Arc<Metrics>) -> Self {
        Self {
            outbound,
            cache: Arc::new(TokenCache::new(metrics)),
        }
    }

    /// One credential. Nothing is retried: a retry could mint twice.
    pub async fn mint(
        &self,
        delegator: &Arc<Delegator>,
        asked: &TokenExchange,
    ) -> Result<Grant, DelegationError> {
        check(delegator, asked)?;
        let client = match &**delegator {
            Delegator::Secret(secret) => return Ok(handed_out(secret, asked)),
            Delegator::Biscuit(root) => return narrowed(root, asked).await,
            Delegator::Oauth(client) => client,
        };
        let ttl_s = client.oauth.cache_ttl_s;
        if ttl_s == 0 {
            let mut grant = exchange(&self.outbound, client, asked).await?;
            grant.no_store = true;
            return Ok(grant);
        }
        let key = Key::of(client, asked)?;
        let (outbound, delegator, asked) = (Arc::clone(&self.outbound), Arc::clone(delegator), asked.clone());
        // In a task of its own: whoever asked first may go away while others wait for the same answer.
        let minting = async move {
            match &*delegator {
                Delegator::Oauth(client) => exchange(&outbound, client, &asked).await,
                Delegator::Secret(secret) => Ok(handed_out(secret, &asked)),
                Delegator::Biscuit(root) => narrowed(root, &asked).await,
            }
        };
        self.cache.get(key, Duration::from_secs(ttl_s), minting).await
    }
}

/// The caller's own token with less in it. Computed, and so not on a thread that others wait for.
async fn narrowed(root: &Arc<BiscuitRoot>, asked: &TokenExchange) -> Result<Grant, DelegationError> {
    let (root, asked) = (Arc::clone(root), asked.clone());
    let narrowing = tokio::task::spawn_blocking(move || biscuit::narrowed(&root, &asked, now_s()));
    narrowing.await.unwrap_or(Err(DelegationError::TokenInvalid))
}

/// A backend's own secret, for anybody whom policy lets have it.
fn handed_out(secret: &BackendSecret, asked: &TokenExchange) -> Grant {
    Grant {
        token: secret.secret.expose().to_owned(),
        outbound_header: secret.config.outbound_header.clone(),
        outbound_prefix: secret.config.outbound_prefix.clone(),
        audience: asked.audience.clone(),
        permissions: Vec::new(),
        expires_at: now_s().saturating_add(secret.config.ttl_s),
        no_store: secret.config.ttl_s == 0,
    }
}

/// All legs of one exchange, in the delegator's time.
async fn exchange(
    outbound: &Outbound,
    client: &OauthClient,
    asked: &TokenExchange,
) -> Result<Grant, DelegationError> {
    let timeout_ms = client.oauth.timeout_ms;
    tokio::time::timeout(Duration::from_millis(timeout_ms), legs(outbound, client, asked))
        .await
        .unwrap_or(Err(DelegationError::TimedOut(timeout_ms)))
}

/// The token that is exchanged, and the `sub` that what comes back must carry.
struct Subject {
    token: String,
    sub: Option<String>,
}

async fn legs(
    outbound: &Outbound,
    client: &OauthClient,
    asked: &TokenExchange,
) -> Result<Grant, DelegationError> {
    let given = asked.subject_token.as_deref().unwrap_or_default();
    let subject = match asked.subject {
        SubjectKind::ThisWorkload => None,
        SubjectKind::User | SubjectKind::Client => Some(Subject {
            token: given.to_owned(),
            sub: asked.expected_sub.clone(),
        }),
        SubjectKind::CallerWorkload => Some(workload(outbound, client, given).await?),
    };
    let actor = asked.actor_token.as_deref();
    let acting = match &subject {
        None => None,
        Some(subject) => actor::check(client, &subject.token, actor)?,
    };
    let token = subject.as_ref().map(|subject| subject.token.as_str());
    let request = request::mint(client, asked, token, actor)?;
    let body = ask(outbound, client, request).await?;
    let response = validate::Response::read(&body)?;
    let claims = claims(outbound, client, &response).await?;
    let expected = Expected {
        asked,
        sub: subject.as_ref().and_then(|subject| subject.sub.as_deref()),
        actor: acting.as_deref(),
    };
    let minted = validate::minted(response, claims.as_ref(), &client.oauth, &expected, now_s())?;
    Ok(Grant {
        token: minted.token,
        outbound_header: client.oauth.outbound_header.clone(),
        outbound_prefix: client.oauth.outbound_prefix.clone(),
        audience: asked.audience.clone(),
        permissions: minted.scopes,
        expires_at: minted.expires_at,
        no_store: false,
    })
}

/// The first leg of a workload: its SVID authenticates *it* at the provider, and the token that it gets there is what the second
/// leg exchanges. Whom that token names is whom the second one must name: a provider has its own names for workloads.
async fn workload(outbound: &Outbound, client: &OauthClient, svid: &str) -> Result<Subject, DelegationError> {
    let body = ask(outbound, client, request::workload(client, svid)?).await?;
    let response = validate::Response::read(&body)?;
    let claims = claims(outbound, client, &response).await?;
    let sub = claims.and_then(|claims| claims.sub);
    if client.oauth.strict_response_validation && sub.is_none() {
        return Err(DelegationError::SubjectUnverifiable);
    }
    Ok(Subject {
        token: response.token,
        sub,
    })
}

/// What a token says of itself, or what its provider says of it.
async fn claims(
    outbound: &Outbound,
    client: &OauthClient,
    response: &validate::Response,
) -> Result<Option<Claims>, DelegationError> {
    if !client.oauth.strict_response_validation {
        return Ok(Claims::of(&response.token));
    }
    match (Claims::of(&response.token), &client.introspection) {
        (Some(claims), _) => Ok(Some(claims)),
        (None, None) => Ok(None),
        (None, Some(endpoint)) => {
            let request = request::introspection(client, endpoint, &response.token)?;
            let body = ask(outbound, client, request).await?;
            introspect::claims(&body).map(Some)
        }
    }
}

async fn ask(
    outbound: &Outbound,
    client: &OauthClient,
    request: Request<Full<Bytes>>,
) -> Result<Bytes, DelegationError> {
    let timeout_ms = client.oauth.timeout_ms;
    outbound
        .json(request, Duration::from_millis(timeout_ms))
        .await
        .map_err(|error| refused(error, client, timeout_ms))
}

/// What is wrong with the question itself. An empty part is an error and never a wildcard.
fn check(delegator: &Delegator, asked: &TokenExchange) -> Result<(), DelegationError> {
    use DelegationError::BadRequest;
    if asked.audience.is_empty() {
        return Err(BadRequest("the audience is empty"));
    }
    let has_subject = !asked.subject_token.as_deref().unwrap_or_default().is_empty();
    if let Delegator::Biscuit(_) = delegator {
        biscuit::check(asked)?;
        return match has_subject {
            true => Ok(()),
            false => Err(BadRequest("the subject token is missing")),
        };
    }
    if asked.attenuation.is_some() {
        return Err(BadRequest(
            "only a Biscuit is narrowed beyond audience and permissions",
        ));
    }
    let is_scope = |scope: &String| {
        // RFC 6749 section 3.3: a space or a quote inside one would make it two.
        !scope.is_empty()
            && scope
                .bytes()
                .all(|b| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e))
    };
    if !asked.permissions.iter().all(is_scope) {
        return Err(BadRequest("a permission is not an OAuth scope"));
    }
    if asked.expected_sub.as_deref() == Some("") {
        return Err(BadRequest("the expected subject is empty"));
    }
    if asked.actor_token.as_deref() == Some("") {
        return Err(BadRequest("the actor token is empty"));
    }
    let client = match delegator {
        Delegator::Oauth(client) => client,
        // It is what it is: asking for less of it would promise what nobody keeps.
        Delegator::Secret(_) if !asked.permissions.is_empty() || asked.actor_token.is_some() => {
            return Err(BadRequest("a secret has neither permissions nor an actor"));
        }
        Delegator::Secret(_) | Delegator::Biscuit(_) => return Ok(()),
    };
    match asked.subject {
        SubjectKind::ThisWorkload => {
            if asked.subject_token.is_some() || asked.actor_token.is_some() {
                return Err(BadRequest("this_workload takes no subject or actor token"));
            }
        }
        SubjectKind::CallerWorkload if asked.actor_token.is_some() => {
            return Err(BadRequest("caller_workload takes no actor token"));
        }
        SubjectKind::User | SubjectKind::Client | SubjectKind::CallerWorkload if !has_subject => {
            return Err(BadRequest("the subject token is missing"));
        }
        SubjectKind::CallerWorkload => {}
        SubjectKind::User | SubjectKind::Client => {
            // Before the call: a token that would be refused afterwards is better not minted.
            if client.oauth.strict_response_validation && asked.expected_sub.is_none() {
                return Err(DelegationError::SubjectUnverifiable);
            }
        }
    }
    Ok(())
}

fn refused(error: OutboundError, client: &OauthClient, timeout_ms: u64) -> DelegationError {
    match error {
        OutboundError::Unreachable => DelegationError::Unreachable,
        OutboundError::Forbidden => DelegationError::EgressDenied,
        OutboundError::TimedOut => DelegationError::TimedOut(timeout_ms),
        OutboundError::Status { status, body } => {
            let oauth_error = validate::oauth_error(&body);
            tracing::warn!(
                client = client.oauth.client_id,
                status = status.as_u16(),
                oauth_error = oauth_error.unwrap_or("none that is registered"),
                "the identity provider refused an exchange"
            );
            DelegationError::Rejected(status.as_u16(), oauth_error.unwrap_or_default())
        }
        OutboundError::Redirected => DelegationError::BadResponse("a redirect"),
        OutboundError::TooLarge => DelegationError::BadResponse("it is too large"),
        OutboundError::NotJson => DelegationError::BadResponse("it is not plain JSON"),
        OutboundError::Broken => DelegationError::BadResponse("it broke off"),
    }
}
