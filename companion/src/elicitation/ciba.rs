//! OpenID Connect Client-Initiated Backchannel Authentication Core 1.0, poll and ping.
//!
//! The provider is asked no more often than its `interval`, by all companions over one store together: whoever asks writes
//! down first when the next may. The provider's own words go into no reason.

mod wire;

use std::time::Duration;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;

use super::case::{Case, State};
use super::{Desk, ElicitError, HeldCase, digest};
use crate::clock::{now_ms, now_s};
use crate::config::{Ciba, Elicitor, Policy};
use crate::id_token::{Expected, IdToken};
use crate::outbound::{Outbound, OutboundError};
use crate::store::{Changed, random_id};
use companion_protocol::config::CibaDelivery;
use wire::{Told, form};

/// Where a provider pings: `POST` of `{"auth_req_id": …}`.
pub const NOTIFY_PATH: &str = "/v1/ciba/notify";

/// `interval` of a provider that names none, in seconds (section 7.3), and the most that is believed.
const INTERVAL_S: u64 = 5;
const MAX_INTERVAL_S: u64 = 300;

/// `slow_down` adds so much, in seconds (section 11).
const SLOW_DOWN_S: u64 = 5;

/// The longest `auth_req_id` in bytes.
const MAX_ID_BYTES: usize = 2048;

/// Asks the provider to ask the approver.
pub(super) async fn start(
    outbound: &Outbound,
    ciba: &Ciba,
    case: &mut Case,
    timeout_s: u64,
) -> Result<(), ElicitError> {
    // The key in front finds the case again when the provider pings.
    let notification = match ciba.config.delivery {
        CibaDelivery::Poll => None,
        CibaDelivery::Ping => {
            let random = random_id().map_err(|_| ElicitError::Store)?;
            Some(format!("{}.{random}", case.key()))
        }
    };
    let request = form(
        ciba,
        &ciba.backchannel,
        &wire::authentication(ciba, case, timeout_s, notification.as_deref()),
    )?;
    let timeout = Duration::from_millis(ciba.config.timeout_ms);
    let body = outbound
        .json(request, timeout)
        .await
        .map_err(|error| refused(ciba, error))?;
    let started = wire::started(&body).ok_or(ElicitError::BadResponse("it has another shape"))?;
    if started.auth_req_id.is_empty() || started.auth_req_id.len() > MAX_ID_BYTES {
        return Err(ElicitError::BadResponse("it names no request"));
    }
    let now_s = now_s();
    case.expires_at = case.expires_at.min(now_s.saturating_add(started.expires_in));
    let interval_s = started.interval.unwrap_or(INTERVAL_S).clamp(1, MAX_INTERVAL_S);
    case.ciba = Some(super::case::CibaCase {
        auth_req_id: started.auth_req_id,
        interval_s,
        next_poll_ms: now_ms().saturating_add(interval_s * 1000),
        may_ask: notification.is_none(),
        notification: notification.as_deref().map(digest),
    });
    Ok(())
}

impl Desk {
    /// The case after the provider was asked about it, if it is time to.
    pub(super) async fn refreshed(
        &self,
        policy: &Policy,
        mut held: HeldCase,
    ) -> Result<HeldCase, ElicitError> {
        let Some(Elicitor::Ciba(ciba)) = policy.elicitor(&held.case.plugin) else {
            return Ok(held);
        };
        let now_ms = now_ms();
        let is_open = held.case.is_open(now_s());
        let auth_req_id = match &mut held.case.ciba {
            Some(asked) if is_open && asked.may_ask && now_ms >= asked.next_poll_ms => {
                asked.next_poll_ms = now_ms.saturating_add(asked.interval_s * 1000);
                asked.auth_req_id.clone()
            }
            Some(_) | None => return Ok(held),
        };
        // First the time of the next question, then the question: two companions would ask twice.
        if self.put(&held.case, held.version, None).await? != Changed::Done {
            return self.held(&held.case.key()).await?.ok_or(ElicitError::Store);
        }
        held.version += 1;
        let told = self.ask_provider(ciba, &held.case, &auth_req_id).await;
        let by = held.case.from.clone();
        let outcome = match told {
            Ok(Told::Pending) => return Ok(held),
            Ok(Told::SlowDown) => {
                if let Some(asked) = &mut held.case.ciba {
                    asked.interval_s = asked.interval_s.saturating_add(SLOW_DOWN_S).min(MAX_INTERVAL_S);
                    asked.next_poll_ms = now_ms.saturating_add(asked.interval_s * 1000);
                }
                Ok(())
            }
            Ok(Told::Denied) => {
                held.case.answer(false, &by, None, now_s());
                Ok(())
            }
            Ok(Told::Expired) => {
                held.case.expires_at = now_s();
                Ok(())
            }
            Ok(Told::Approved) => {
                held.case.answer(true, &by, None, now_s());
                Ok(())
            }
            // Somebody else's answer, or none that can be read: the provider has spent the request with it.
            Err(error @ ElicitError::BadResponse(_)) => {
                held.case.expires_at = now_s();
                Err(error)
            }
            Err(error) => return Err(error),
        };
        if matches!(held.case.state, State::Answered { .. }) {
            self.record(&held.case).await?;
        }
        match self.put(&held.case, held.version, None).await? {
            Changed::Done => held.version += 1,
            Changed::Conflict | Changed::Full => return Err(ElicitError::Store),
        }
        outcome.map(|()| held)
    }

    async fn ask_provider(&self, ciba: &Ciba, case: &Case, auth_req_id: &str) -> Result<Told, ElicitError> {
        let request = form(ciba, &ciba.token, &wire::token(auth_req_id))?;
        let timeout = Duration::from_millis(ciba.config.timeout_ms);
        let body = match self.outbound.json(request, timeout).await {
            Ok(body) => body,
            Err(OutboundError::Status { status, body }) => {
                return wire::told(&body)
                    .ok_or_else(|| refused(ciba, OutboundError::Status { status, body }));
            }
            Err(error) => return Err(refused(ciba, error)),
        };
        let token = wire::id_token(&body).ok_or(ElicitError::BadResponse("it has no ID token"))?;
        let expected = Expected {
            issuer: ciba.config.issuer.as_deref(),
            client_id: &ciba.config.client_id,
            nonce: None,
            now_s: now_s(),
        };
        let token = IdToken::read(&token, &expected).map_err(|error| ElicitError::BadResponse(error.0))?;
        if token.approver(&ciba.config.approver_claim) != Some(case.from.as_str()) {
            return Err(ElicitError::BadResponse(
                "somebody else than the approver answered",
            ));
        }
        let names = token.names();
        if !case.allow_self && super::answer::is_requester(&case.requester, names.iter().map(String::as_str))
        {
            return Err(ElicitError::BadResponse("the requester answered for themselves"));
        }
        Ok(Told::Approved)
    }

    /// A provider pings: the next question may be asked at once.
    pub async fn pinged(&self, headers: &HeaderMap, auth_req_id: &str) -> Result<(), PingError> {
        let token = headers
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim())
            .ok_or(PingError::Unauthorized)?;
        let key = token.split_once('.').map_or("", |(key, _)| key);
        if super::case::parts(&format!("{key}.{key}")).is_none() {
            return Err(PingError::Unauthorized);
        }
        for _ in 0..super::TRIES {
            let held = self.held(key).await.map_err(|_| PingError::Unavailable)?;
            let mut held = held.ok_or(PingError::Unauthorized)?;
            let asked = held.case.ciba.as_mut().ok_or(PingError::Unauthorized)?;
            // The digests are compared: time tells nothing about the token.
            if asked.notification.as_deref() != Some(digest(token).as_str())
                || asked.auth_req_id != auth_req_id
            {
                return Err(PingError::Unauthorized);
            }
            (asked.may_ask, asked.next_poll_ms) = (true, 0);
            match self.put(&held.case, held.version, None).await {
                Ok(Changed::Done) => return Ok(()),
                Ok(Changed::Conflict | Changed::Full) => {}
                Err(_) => return Err(PingError::Unavailable),
            }
        }
        Err(PingError::Unavailable)
    }
}

/// Why a ping is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PingError {
    /// Not with the token that this request was given.
    #[error("no such notification is awaited")]
    Unauthorized,
    /// The store failed.
    #[error("the store of approvals failed")]
    Unavailable,
}

fn refused(ciba: &Ciba, error: OutboundError) -> ElicitError {
    match error {
        OutboundError::Unreachable => ElicitError::OpUnreachable,
        OutboundError::Forbidden => ElicitError::EgressDenied,
        OutboundError::TimedOut => ElicitError::OpTimedOut(ciba.config.timeout_ms),
        OutboundError::Status { status, body } => {
            let oauth_error = wire::registered_error(&body);
            tracing::warn!(
                status = status.as_u16(),
                oauth_error,
                "the identity provider refused to ask an approver"
            );
            ElicitError::OpRejected(status.as_u16())
        }
        OutboundError::Redirected => ElicitError::BadResponse("a redirect"),
        OutboundError::TooLarge => ElicitError::BadResponse("it is too large"),
        OutboundError::NotJson => ElicitError::BadResponse("it is not plain JSON"),
        OutboundError::Broken => ElicitError::BadResponse("it broke off"),
    }
}
