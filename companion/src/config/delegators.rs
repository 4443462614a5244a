//! Delegators, ready to use.

use std::sync::Arc;

use axum::http::{HeaderName, HeaderValue, Uri};
use biscuit_auth::{Algorithm, PublicKey};
use companion_protocol::config::{
    BiscuitDelegator, ClientAuth, DelegatorConfig, OauthDelegator, PublicKeyRef, SecretDelegator, SecretRef,
};
use sha2::{Digest, Sha256};

use super::secrets::SecretSource;
use super::{ConfigError, Secret, asking};
use crate::client_auth::{Assertion, AssertionKey, Proof};

/// A way to get a credential for a backend.
#[derive(Debug)]
pub enum Delegator {
    /// An identity provider.
    Oauth(Box<OauthClient>),
    /// A secret of the backend's own.
    Secret(BackendSecret),
    /// What the caller brings, narrowed.
    Biscuit(Arc<BiscuitRoot>),
}

/// The gateway's client at an identity provider.
#[derive(Debug)]
pub struct OauthClient {
    /// As configured.
    pub oauth: OauthDelegator,
    /// The token endpoint, parsed.
    pub endpoint: Uri,
    /// The introspection endpoint, parsed.
    pub introspection: Option<Uri>,
    /// How it proves itself.
    pub(crate) proof: Proof,
    /// SHA-256 of the configuration: two delegators of one name share no token.
    pub(crate) config_digest: [u8; 32],
}

/// A secret of a backend's own.
#[derive(Debug)]
pub struct BackendSecret {
    /// As configured.
    pub config: SecretDelegator,
    /// The secret.
    pub secret: Secret,
}

/// Whose Biscuits are narrowed, and how.
#[derive(Debug)]
pub struct BiscuitRoot {
    /// As configured.
    pub config: BiscuitDelegator,
    /// Any one may have signed; at least one.
    pub(crate) keys: Vec<PublicKey>,
}

/// Reads one delegator.
pub(super) fn ready(
    name: &str,
    config: &DelegatorConfig,
    secrets: &SecretSource,
) -> Result<Delegator, ConfigError> {
    match config {
        DelegatorConfig::Oauth(oauth) => Ok(Delegator::Oauth(Box::new(client(name, oauth, secrets)?))),
        DelegatorConfig::Secret(config) => {
            check_header(name, &config.outbound_header, &config.outbound_prefix)?;
            let secret = read(name, "secret", &config.secret, secrets)?;
            if HeaderValue::from_str(secret.expose()).is_err() {
                return Err(ConfigError::Header {
                    delegator: name.to_owned(),
                    field: "secret",
                });
            }
            Ok(Delegator::Secret(BackendSecret {
                config: config.clone(),
                secret,
            }))
        }
        DelegatorConfig::Biscuit(config) => {
            check_header(name, &config.outbound_header, &config.outbound_prefix)?;
            let written = match &config.root_public_key {
                PublicKeyRef::Hex(written) => written.clone(),
                PublicKeyRef::File(path) => {
                    let reference = SecretRef::File(path.clone());
                    read(name, "root_public_key", &reference, secrets)?
                        .expose()
                        .to_owned()
                }
            };
            Ok(Delegator::Biscuit(Arc::new(BiscuitRoot {
                config: config.clone(),
                keys: root_keys(&written).ok_or_else(|| ConfigError::RootKey(name.to_owned()))?,
            })))
        }
    }
}

/// Every key in a text; `None`: one of them is none, or there is none.
fn root_keys(written: &str) -> Option<Vec<PublicKey>> {
    let key = |word: &str| {
        let hex = word.strip_prefix("ed25519/").unwrap_or(word);
        PublicKey::from_bytes_hex(hex, Algorithm::Ed25519).ok()
    };
    let keys: Vec<PublicKey> = written.split_whitespace().map(key).collect::<Option<_>>()?;
    (!keys.is_empty()).then_some(keys)
}

fn client(name: &str, oauth: &OauthDelegator, secrets: &SecretSource) -> Result<OauthClient, ConfigError> {
    let url = |text: &str, field: &str| {
        asking::url(text, oauth.allow_http, &format!("delegator `{name}`: `{field}`"))
    };
    check_header(name, &oauth.outbound_header, &oauth.outbound_prefix)?;
    let introspection = oauth.introspection_endpoint.as_deref();
    // It cannot fail: the configuration was JSON a moment ago.
    let text = serde_json::to_vec(oauth).unwrap_or_default();
    Ok(OauthClient {
        endpoint: url(&oauth.token_endpoint, "token_endpoint")?,
        introspection: introspection
            .map(|text| url(text, "introspection_endpoint"))
            .transpose()?,
        proof: proof(name, oauth, secrets)?,
        config_digest: Sha256::digest(text).into(),
        oauth: oauth.clone(),
    })
}

fn proof(name: &str, oauth: &OauthDelegator, secrets: &SecretSource) -> Result<Proof, ConfigError> {
    let needed = |field: &'static str, reference: &Option<SecretRef>| match reference {
        None => Err(ConfigError::MissingCredential {
            delegator: name.to_owned(),
            field,
        }),
        Some(reference) => read(name, field, reference, secrets),
    };
    match oauth.client_auth {
        ClientAuth::ClientSecretBasic => Ok(Proof::Basic(needed("client_secret", &oauth.client_secret)?)),
        ClientAuth::ClientSecretPost => Ok(Proof::Post(needed("client_secret", &oauth.client_secret)?)),
        ClientAuth::PrivateKeyJwt => {
            let pem = needed("client_key", &oauth.client_key)?;
            let key = AssertionKey::from_pem(pem.expose())
                .ok_or_else(|| ConfigError::ClientKey(name.to_owned()))?;
            let audience = oauth.assertion_audience.clone();
            Ok(Proof::Assertion(Box::new(Assertion {
                key,
                key_id: oauth.client_key_id.clone(),
                audience: audience.unwrap_or_else(|| oauth.token_endpoint.clone()),
            })))
        }
    }
}

fn read(
    name: &str,
    field: &'static str,
    reference: &SecretRef,
    secrets: &SecretSource,
) -> Result<Secret, ConfigError> {
    secrets.read(reference).map_err(|source| ConfigError::Secret {
        delegator: name.to_owned(),
        field,
        source,
    })
}

fn check_header(name: &str, header: &str, prefix: &str) -> Result<(), ConfigError> {
    let wrong = |field| ConfigError::Header {
        delegator: name.to_owned(),
        field,
    };
    HeaderName::from_lowercase(header.as_bytes()).map_err(|_| wrong("outbound_header"))?;
    HeaderValue::from_str(prefix).map_err(|_| wrong("outbound_prefix"))?;
    Ok(())
}
