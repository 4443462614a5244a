//! News of a request, posted to a chat system: signed, repeated, and never waited for.
//!
//! The body holds no argument and no link that lets anybody in: it leads to the pages, where the approver signs in. Its
//! receiver checks `X-Aplomb-Signature: v1=<hex>`, HMAC-SHA-256 under the shared key over
//! `<X-Aplomb-Timestamp>.<body>`, and refuses a timestamp that is minutes old.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::header::CONTENT_TYPE;
use axum::http::{Request, Uri};
use hmac::{Hmac, Mac};
use http_body_util::Full;
use serde_json::json;
use sha2::Sha256;
use tokio::sync::Semaphore;

use super::Case;
use crate::clock::now_s;
use crate::config::Webhook;
use crate::outbound::{Outbound, OutboundError};
use crate::store::hex;

/// Posts under way or waiting for their next attempt; one more is dropped and logged. The request itself stands.
const MAX_QUEUED: usize = 256;

/// Attempts, and the wait before the second; it doubles.
const ATTEMPTS: u32 = 5;
const FIRST_WAIT: Duration = Duration::from_millis(500);

/// Sends in the background.
pub(crate) struct Webhooks {
    outbound: Arc<Outbound>,
    room: Arc<Semaphore>,
}

impl Webhooks {
    pub(crate) fn new(outbound: Arc<Outbound>) -> Self {
        Self {
            outbound,
            room: Arc::new(Semaphore::new(MAX_QUEUED)),
        }
    }

    /// Posts news of a case. Must be called inside a runtime.
    pub(super) fn send(&self, webhook: &Webhook, case: &Case, pages: &str) {
        let Ok(seat) = Arc::clone(&self.room).try_acquire_owned() else {
            tracing::warn!(
                intent = case.intent_id(),
                "a webhook was dropped: {MAX_QUEUED} are queued"
            );
            return;
        };
        let body = json!({
            "event": "approval.requested",
            "intent_id": case.intent_id(),
            "approver": case.from,
            "requester": case.requester.name,
            "operation": case.binding.operation,
            "purpose": case.purpose,
            "expires_at": case.expires_at,
            "url": format!("{pages}/approvals/{}", case.key()),
        })
        .to_string();
        let (outbound, webhook, intent) = (Arc::clone(&self.outbound), webhook.clone(), case.intent_id());
        tokio::spawn(async move {
            let _seat = seat;
            deliver(&outbound, &webhook, &body, &intent).await;
        });
    }
}

async fn deliver(outbound: &Outbound, webhook: &Webhook, body: &str, intent: &str) {
    let mut wait = FIRST_WAIT;
    for attempt in 1..=ATTEMPTS {
        let Some(request) = signed(&webhook.url, webhook.secret.expose(), body, now_s()) else {
            tracing::error!(intent, "a webhook cannot be built");
            return;
        };
        match outbound.post(request, webhook.timeout).await {
            Ok(()) => return,
            // The receiver has understood and does not want it.
            Err(OutboundError::Status { status, .. })
                if status.is_client_error() && status.as_u16() != 429 =>
            {
                tracing::warn!(intent, status = status.as_u16(), "a webhook was refused");
                return;
            }
            Err(error) => tracing::warn!(intent, attempt, %error, "a webhook was not delivered"),
        }
        if attempt < ATTEMPTS {
            tokio::time::sleep(wait).await;
            wait *= 2;
        }
    }
    tracing::error!(intent, "a webhook was given up");
}

fn signed(url: &Uri, secret: &str, body: &str, now_s: u64) -> Option<Request<Full<Bytes>>> {
    Request::post(url.clone())
        .header(CONTENT_TYPE, "application/json")
        .header("x-aplomb-timestamp", now_s)
        .header(
            "x-aplomb-signature",
            format!("v1={}", signature(secret, body, now_s)?),
        )
        .body(Full::new(Bytes::from(body.to_owned())))
        .ok()
}

fn signature(secret: &str, body: &str, now_s: u64) -> Option<String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).ok()?;
    mac.update(format!("{now_s}.{body}").as_bytes());
    Some(hex(&mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_covers_time_and_body() {
        // printf '7.{}' | openssl dgst -sha256 -hmac key
        let known = signature("key", "{}", 7).expect("signs");
        assert_eq!(
            known,
            "77bc83bd1f40422311e47918b203449aecf84b02c1568bb1b570ac2a474cc2d8"
        );
        assert_ne!(signature("key", "{}", 8).as_deref(), Some(known.as_str()));
        assert_ne!(signature("key", "{ }", 7).as_deref(), Some(known.as_str()));
        assert_ne!(signature("yek", "{}", 7).as_deref(), Some(known.as_str()));
    }
}
