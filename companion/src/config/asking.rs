//! Elicitors and the approval pages, ready to use.

use std::time::Duration;

use axum::http::Uri;
use companion_protocol::config::{
    ApprovalsConfig, CibaElicitor, ElicitorConfig, SignInConfig, WebhookConfig,
};

use super::endpoint::{self, EndpointError};
use super::secrets::SecretSource;
use super::{ConfigError, Secret};

/// A way to ask a human.
#[derive(Debug)]
pub enum Elicitor {
    /// The built-in pages.
    Page(Page),
    /// An OpenID provider.
    Ciba(Box<Ciba>),
}

/// The built-in pages, for one elicitor.
#[derive(Debug)]
pub struct Page {
    /// Seconds until a request ends that names no `timeout`.
    pub timeout_s: u64,
    /// A requester may approve their own request.
    pub allow_self: bool,
    /// Is told of new requests.
    pub webhook: Option<Webhook>,
}

/// Where news is posted.
#[derive(Debug, Clone)]
pub struct Webhook {
    /// The receiver.
    pub url: Uri,
    /// Signs.
    pub secret: Secret,
    /// Time for one attempt.
    pub timeout: Duration,
}

/// An OpenID provider with a backchannel.
#[derive(Debug)]
pub struct Ciba {
    /// As configured.
    pub config: CibaElicitor,
    /// The backchannel authentication endpoint, parsed.
    pub backchannel: Uri,
    /// The token endpoint, parsed.
    pub token: Uri,
    /// The client secret.
    pub client_secret: Secret,
}

/// The pages that all elicitors share.
#[derive(Debug, Clone)]
pub struct Pages {
    /// Scheme and authority, without a slash at the end: what `Origin` says.
    pub origin: String,
    /// How approvers sign in.
    pub sign_in: Option<SignIn>,
}

/// OpenID Connect for approvers.
#[derive(Debug, Clone)]
pub struct SignIn {
    /// As configured.
    pub config: SignInConfig,
    /// The token endpoint, parsed.
    pub token: Uri,
    /// The client secret; absent: a public client.
    pub client_secret: Option<Secret>,
}

/// Reads one elicitor.
pub(super) fn elicitor(
    name: &str,
    config: &ElicitorConfig,
    secrets: &SecretSource,
) -> Result<Elicitor, ConfigError> {
    let who = |field: &str| format!("elicitor `{name}`: `{field}`");
    match config {
        ElicitorConfig::Page(page) => Ok(Elicitor::Page(Page {
            timeout_s: page.timeout_s,
            allow_self: page.allow_self,
            webhook: page
                .webhook
                .as_ref()
                .map(|webhook| ready_webhook(webhook, secrets, &who))
                .transpose()?,
        })),
        ElicitorConfig::Ciba(ciba) => Ok(Elicitor::Ciba(Box::new(Ciba {
            backchannel: url(
                &ciba.backchannel_endpoint,
                ciba.allow_http,
                &who("backchannel_endpoint"),
            )?,
            token: url(&ciba.token_endpoint, ciba.allow_http, &who("token_endpoint"))?,
            client_secret: secret(&ciba.client_secret, secrets, &who("client_secret"))?,
            config: ciba.clone(),
        }))),
    }
}

fn ready_webhook(
    config: &WebhookConfig,
    secrets: &SecretSource,
    who: &impl Fn(&str) -> String,
) -> Result<Webhook, ConfigError> {
    Ok(Webhook {
        url: url(&config.url, config.allow_http, &who("webhook.url"))?,
        secret: secret(&config.secret, secrets, &who("webhook.secret"))?,
        timeout: Duration::from_millis(config.timeout_ms),
    })
}

/// Reads the pages' configuration.
pub(super) fn pages(config: &ApprovalsConfig, secrets: &SecretSource) -> Result<Pages, ConfigError> {
    let public = url(&config.public_url, config.allow_http, "approvals: `public_url`")?;
    if public.path() != "/" || public.query().is_some() {
        return Err(ConfigError::PublicUrl(config.public_url.clone()));
    }
    let sign_in = match &config.sign_in {
        None => None,
        Some(sign_in) => {
            let who = |field: &str| format!("approvals: `sign_in.{field}`");
            url(
                &sign_in.authorization_endpoint,
                config.allow_http,
                &who("authorization_endpoint"),
            )?;
            let client_secret = sign_in
                .client_secret
                .as_ref()
                .map(|reference| secret(reference, secrets, &who("client_secret")))
                .transpose()?;
            Some(SignIn {
                token: url(&sign_in.token_endpoint, config.allow_http, &who("token_endpoint"))?,
                client_secret,
                config: sign_in.clone(),
            })
        }
    };
    let origin = config.public_url.trim_end_matches('/').to_ascii_lowercase();
    Ok(Pages { origin, sign_in })
}

pub(super) fn url(text: &str, allow_http: bool, what: &str) -> Result<Uri, ConfigError> {
    endpoint::parse(text, allow_http).map_err(|source: EndpointError| ConfigError::Endpoint {
        what: format!("{what} cannot be used"),
        source,
    })
}

pub(super) fn secret(
    reference: &companion_protocol::config::SecretRef,
    secrets: &SecretSource,
    what: &str,
) -> Result<Secret, ConfigError> {
    secrets
        .read(reference)
        .map_err(|source| ConfigError::OtherSecret {
            what: what.to_owned(),
            source,
        })
}
