//! The forms that go to the identity provider.

use axum::body::Bytes;
use axum::http::header::CONTENT_TYPE;
use axum::http::{Method, Request, Uri};
use companion_protocol::TokenExchange;
use form_urlencoded::Serializer;
use http_body_util::Full;

use super::DelegationError;
use crate::config::OauthClient;

const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";

/// Asks for the token that the backend gets. Without a subject: client credentials. Tokens go in the body and the client's
/// credentials in `Authorization` or the body, never in the URL.
pub(super) fn mint(
    client: &OauthClient,
    asked: &TokenExchange,
    subject: Option<&str>,
    actor: Option<&str>,
) -> Result<Request<Full<Bytes>>, DelegationError> {
    let mut form = Serializer::new(String::new());
    match subject {
        None => {
            form.append_pair("grant_type", "client_credentials");
        }
        Some(token) => {
            form.append_pair("grant_type", TOKEN_EXCHANGE);
            form.append_pair("subject_token", token);
            form.append_pair("subject_token_type", &client.oauth.subject_token_type);
            if let Some(actor) = actor {
                form.append_pair("actor_token", actor);
                form.append_pair("actor_token_type", &client.oauth.actor_token_type);
            }
        }
    }
    form.append_pair("audience", &asked.audience);
    if !asked.permissions.is_empty() {
        form.append_pair("scope", &asked.permissions.join(" "));
    }
    authenticated(client, &client.endpoint, form)
}

/// Asks for a token of the workload itself. Its SVID is the client's assertion: the gateway adds no credentials of its own, or the
/// provider would take it for the gateway.
pub(super) fn workload(client: &OauthClient, svid: &str) -> Result<Request<Full<Bytes>>, DelegationError> {
    let mut form = Serializer::new(String::new());
    form.append_pair("grant_type", "client_credentials");
    form.append_pair("client_assertion_type", &client.oauth.workload_assertion_type);
    form.append_pair("client_assertion", svid);
    built(&client.endpoint, form, None)
}

/// Asks what a token is good for (RFC 7662 section 2.1).
pub(super) fn introspection(
    client: &OauthClient,
    endpoint: &Uri,
    token: &str,
) -> Result<Request<Full<Bytes>>, DelegationError> {
    let mut form = Serializer::new(String::new());
    form.append_pair("token", token);
    form.append_pair("token_type_hint", "access_token");
    authenticated(client, endpoint, form)
}

fn authenticated(
    client: &OauthClient,
    endpoint: &Uri,
    mut form: Serializer<'_, String>,
) -> Result<Request<Full<Bytes>>, DelegationError> {
    let header = client
        .proof
        .add(&client.oauth.client_id, &mut form)
        .map_err(|_| DelegationError::BadRequest("the client credentials cannot be sent"))?;
    built(endpoint, form, header)
}

fn built(
    endpoint: &Uri,
    mut form: Serializer<'_, String>,
    header: Option<(axum::http::HeaderName, axum::http::HeaderValue)>,
) -> Result<Request<Full<Bytes>>, DelegationError> {
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(endpoint.clone())
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Full::new(Bytes::from(form.finish())))
        .map_err(|_| DelegationError::BadRequest("the request cannot be built"))?;
    request.headers_mut().extend(header);
    Ok(request)
}
