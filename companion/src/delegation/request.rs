//! The form that goes to the token endpoint.

use axum::body::Bytes;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{Method, Request};
use companion_protocol::{SubjectKind, TokenExchange};
use form_urlencoded::Serializer;
use http_body_util::Full;

use super::DelegationError;
use crate::client_auth::basic;
use crate::config::Delegator;

const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACTOR_TOKEN_TYPE: &str = "urn:ietf:params:oauth:token-type:jwt";

/// `subject_token` goes in the body and the client's credentials in `Authorization`, never in the URL.
pub(super) fn build(
    delegator: &Delegator,
    asked: &TokenExchange,
) -> Result<Request<Full<Bytes>>, DelegationError> {
    let mut form = Serializer::new(String::new());
    match asked.subject {
        SubjectKind::ThisWorkload => {
            form.append_pair("grant_type", "client_credentials");
        }
        SubjectKind::User | SubjectKind::Client | SubjectKind::CallerWorkload => {
            form.append_pair("grant_type", TOKEN_EXCHANGE);
            form.append_pair(
                "subject_token",
                asked.subject_token.as_deref().unwrap_or_default(),
            );
            form.append_pair("subject_token_type", &delegator.oauth.subject_token_type);
            if let Some(actor) = &asked.actor_token {
                form.append_pair("actor_token", actor);
                form.append_pair("actor_token_type", ACTOR_TOKEN_TYPE);
            }
        }
    }
    form.append_pair("audience", &asked.audience);
    if !asked.permissions.is_empty() {
        form.append_pair("scope", &asked.permissions.join(" "));
    }
    Request::builder()
        .method(Method::POST)
        .uri(delegator.endpoint.clone())
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(
            AUTHORIZATION,
            basic(&delegator.oauth.client_id, &delegator.client_secret).ok_or(
                DelegationError::BadRequest("the client credentials cannot be sent"),
            )?,
        )
        .body(Full::new(Bytes::from(form.finish())))
        .map_err(|_| DelegationError::BadRequest("the request cannot be built"))
}
