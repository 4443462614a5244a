//! OpenID Connect, authorization code with PKCE (RFC 7636), state and nonce.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, LOCATION, SET_COOKIE};
use axum::http::{HeaderMap, Request, StatusCode};
use axum::response::{AppendHeaders, IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use form_urlencoded::Serializer;
use http_body_util::Full;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::html::{self, Problem};
use super::session::{LOGIN_S, Login};
use super::{ApprovalPages, Shared};
use crate::client_auth::basic;
use crate::clock::now_s;
use crate::config::SignIn;
use crate::elicitation::Approver;
use crate::id_token::{Expected, IdToken};
use crate::json_object;
use crate::store::random_id;

#[derive(Deserialize)]
pub(super) struct To {
    #[serde(default)]
    to: Option<String>,
}

/// Sends the browser to the provider.
pub(super) async fn begin(State(shared): Shared, Query(To { to }): Query<To>) -> Result<Response, Problem> {
    let sign_in = shared.pages.sign_in.as_ref().ok_or(Problem::NotFound)?;
    let random = || random_id().map_err(|_| Problem::Unavailable);
    let login = Login {
        state: random()?,
        nonce: random()?,
        verifier: random()? + &random()?,
        // A key and nothing else: a path of the caller's choice would be an open redirect.
        to: to.filter(|to| to.len() == 32 && to.bytes().all(|b| b.is_ascii_hexdigit())),
        ends_at: now_s().saturating_add(LOGIN_S),
    };
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(&login.verifier));
    let query = Serializer::new(String::new())
        .append_pair("response_type", "code")
        .append_pair("client_id", &sign_in.config.client_id)
        .append_pair("redirect_uri", &redirect_uri(&shared))
        .append_pair("scope", &sign_in.config.scope)
        .append_pair("state", &login.state)
        .append_pair("nonce", &login.nonce)
        .append_pair("code_challenge", &challenge)
        .append_pair("code_challenge_method", "S256")
        .finish();
    let endpoint = &sign_in.config.authorization_endpoint;
    let separator = if endpoint.contains('?') { '&' } else { '?' };
    let cookie = shared.keyring.new_login(&login).await;
    let cookie = cookie.map_err(|_| Problem::Unavailable)?;
    let headers = [
        (LOCATION, format!("{endpoint}{separator}{query}")),
        (SET_COOKIE, cookie),
    ];
    Ok((StatusCode::SEE_OTHER, headers).into_response())
}

#[derive(Deserialize)]
pub(super) struct Callback {
    #[serde(default)]
    code: Option<String>,
    #[serde(default)]
    state: Option<String>,
}

/// The browser comes back.
pub(super) async fn finish(
    State(shared): Shared,
    headers: HeaderMap,
    Query(callback): Query<Callback>,
) -> Result<Response, Problem> {
    let sign_in = shared.pages.sign_in.as_ref().ok_or(Problem::NotFound)?;
    let login = shared.keyring.login(&headers, now_s()).await;
    let login = login.map_err(|_| Problem::Unavailable)?.ok_or(Problem::SignIn)?;
    if callback.state.as_deref() != Some(login.state.as_str()) {
        return Err(Problem::SignIn);
    }
    let code = callback
        .code
        .filter(|code| !code.is_empty())
        .ok_or(Problem::SignIn)?;
    let approver = redeem(&shared, sign_in, &login, &code).await?;
    let session = shared.keyring.new_session(approver, now_s()).await;
    let session = session.map_err(|_| Problem::Unavailable)?;
    let cookies = AppendHeaders([(SET_COOKIE, session), (SET_COOKIE, shared.keyring.forget_login())]);
    // A page and not a redirect: at the end of a chain that began at the provider a browser would not send the
    // session's `SameSite=Strict` cookie along.
    let to = login
        .to
        .map_or("/approvals".to_owned(), |key| format!("/approvals/{key}"));
    Ok((cookies, html::onward(&to)).into_response())
}

fn redirect_uri(shared: &ApprovalPages) -> String {
    format!("{}/approvals/callback", shared.pages.origin)
}

/// Exchanges the code for who it is.
async fn redeem(
    shared: &ApprovalPages,
    sign_in: &SignIn,
    login: &Login,
    code: &str,
) -> Result<Approver, Problem> {
    let request = token_request(shared, sign_in, login, code)?;
    let timeout = Duration::from_millis(sign_in.config.timeout_ms);
    let body = shared
        .desk
        .outbound
        .json(request, timeout)
        .await
        .map_err(|error| {
            tracing::warn!(%error, "an approver's sign-in failed at the identity provider");
            Problem::SignIn
        })?;
    #[derive(Deserialize)]
    struct Tokens {
        id_token: String,
    }
    let tokens: Tokens = json_object::parse(&body).map_err(|_| Problem::SignIn)?;
    let expected = Expected {
        issuer: Some(&sign_in.config.issuer),
        client_id: &sign_in.config.client_id,
        nonce: Some(&login.nonce),
        now_s: now_s(),
    };
    let token = IdToken::read(&tokens.id_token, &expected).map_err(|error| {
        tracing::warn!(reason = error.0, "an approver's ID token does not count");
        Problem::SignIn
    })?;
    let name = token
        .approver(&sign_in.config.approver_claim)
        .ok_or(Problem::SignIn)?;
    Ok(Approver {
        name: name.to_owned(),
        known_as: token.names(),
        only: None,
    })
}

fn token_request(
    shared: &ApprovalPages,
    sign_in: &SignIn,
    login: &Login,
    code: &str,
) -> Result<Request<Full<Bytes>>, Problem> {
    let mut form = Serializer::new(String::new());
    form.append_pair("grant_type", "authorization_code")
        .append_pair("code", code)
        .append_pair("redirect_uri", &redirect_uri(shared))
        .append_pair("code_verifier", &login.verifier);
    let mut request =
        Request::post(sign_in.token.clone()).header(CONTENT_TYPE, "application/x-www-form-urlencoded");
    match &sign_in.client_secret {
        Some(secret) => {
            let credentials = basic(&sign_in.config.client_id, secret).ok_or(Problem::SignIn)?;
            request = request.header(AUTHORIZATION, credentials);
        }
        None => {
            form.append_pair("client_id", &sign_in.config.client_id);
        }
    }
    request
        .body(Full::new(Bytes::from(form.finish())))
        .map_err(|_| Problem::SignIn)
}
