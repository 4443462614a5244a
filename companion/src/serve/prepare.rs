//! Reads what the options name, and refuses what cannot be served.

use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use companion_protocol::sealed::CaptureKey;

use super::{Options, ServeError};
use crate::audit::{self, SigningKey};
use crate::config::Policies;
use crate::outbound::Egress;
use crate::service::AccessTokens;

/// The policies as the operator wants them, with endpoints that may be called.
pub(super) async fn read(options: &Options) -> Result<Policies, ServeError> {
    let mut policies = Policies::read(&options.configs, options.approvals.as_deref()).await?;
    policies.override_lifetimes(|lifetimes| options.lifetimes.apply(lifetimes));
    check_egress(&policies, &options.egress)?;
    match policies.capturing() {
        Some(digest) if options.capture_key.is_none() => Err(ServeError::NoCaptureKey(digest.to_owned())),
        Some(_) | None => Ok(policies),
    }
}

pub(super) fn signing_key(path: &Path) -> Result<SigningKey, ServeError> {
    let pem = std::fs::read_to_string(path).map_err(|source| ServeError::ReadAuditKey {
        path: path.to_owned(),
        source,
    })?;
    SigningKey::from_pem(&pem).map_err(|source| ServeError::AuditKey {
        path: path.to_owned(),
        source,
    })
}

pub(super) fn pseudonyms(name: &str) -> Result<audit::Pseudonyms, ServeError> {
    let key = std::env::var(name).unwrap_or_default();
    audit::Pseudonyms::new(key.as_bytes()).map_err(|_| ServeError::Pseudonyms(name.to_owned()))
}

pub(super) fn capture_key(path: &Path) -> Result<CaptureKey, ServeError> {
    let wrong = |why: String| ServeError::CaptureKey {
        path: path.to_owned(),
        why,
    };
    let pem = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    CaptureKey::from_pem(&pem).map_err(|error| wrong(error.to_string()))
}

/// `None`: whoever reaches the socket may ask.
pub(super) fn access_tokens(options: &Options) -> Result<Option<AccessTokens>, ServeError> {
    let asks_certificates = options
        .tls
        .as_ref()
        .is_some_and(|tls| tls.client_authority.is_some());
    match (&options.token_file, &options.token_env) {
        (None, None) if options.listen.ip().is_loopback() || asks_certificates => Ok(None),
        (None, None) => Err(ServeError::Open(options.listen)),
        (Some(path), _) => {
            let no_tokens = |source| ServeError::TokenFile {
                path: path.clone(),
                source,
            };
            let text = std::fs::read_to_string(path).map_err(no_tokens)?;
            let empty = || std::io::Error::other("it holds no token");
            Ok(Some(
                AccessTokens::of_lines(&text).ok_or_else(|| no_tokens(empty()))?,
            ))
        }
        (None, Some(name)) => match std::env::var(name) {
            Ok(text) if !text.is_empty() => Ok(Some(AccessTokens::one(&text))),
            Ok(_) | Err(_) => Err(ServeError::NoToken(name.clone())),
        },
    }
}

/// What is certain to be refused is said at start. A name is looked at when it is called.
fn check_egress(policies: &Policies, egress: &Egress) -> Result<(), ServeError> {
    let refused = policies
        .endpoints()
        .into_iter()
        .find(|(_, uri)| egress.refuses_host(uri));
    match refused {
        None => Ok(()),
        Some((what, uri)) => Err(ServeError::Egress {
            what,
            host: uri.host().unwrap_or_default().to_owned(),
        }),
    }
}

/// On standard output too: whoever starts it by hand sees no log.
pub(super) fn announce_overruled(policies: &Policies) {
    for (digest, endpoint) in policies.wanting_valkey() {
        tracing::warn!(
            policy = digest,
            endpoint,
            "the policy asks for Valkey; the operator chose the embedded store"
        );
        let _ = writeln!(
            std::io::stdout(),
            "policy {digest:.12} asks for Valkey at {endpoint}: --store keeps labels in the embedded store instead"
        );
    }
}

pub(super) fn create(data: &Path) -> Result<(), ServeError> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(data)
        .map_err(|source| ServeError::Data {
            path: data.to_owned(),
            source,
        })
}
