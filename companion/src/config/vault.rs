//! Secrets in the KV store, version 2, of HashiCorp Vault (or OpenBao).
//!
//! Vault is the operator's: its address and who the companion is there come from the environment, `VAULT_ADDR`, `VAULT_NAMESPACE`
//! and what [`login`] reads. Every secret is read once, when the configuration is; reading the configuration again logs in and reads
//! them again, so no token has to be renewed.

mod login;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderValue, Request, Uri};
use companion_protocol::config::VaultRef;
use http_body_util::Full;
use login::Login;
use percent::encoded;
use serde::Deserialize;
use serde_json::Value;

use super::Secret;
use crate::json_object;
use crate::outbound::{Egress, EgressRule, Outbound, OutboundError};

/// For one secret.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The most secrets that one set of configurations may name.
const MAX_SECRETS: usize = 256;

/// Why Vault does not give a secret.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// Nobody says where it is.
    #[error("`VAULT_ADDR` is not set")]
    NoAddress,
    /// Not a URL that can be called.
    #[error("`VAULT_ADDR` is not an http or https URL")]
    Address,
    /// Nobody says who we are.
    #[error("neither `VAULT_TOKEN` nor `VAULT_TOKEN_FILE` is set, or it holds no token")]
    NoToken,
    /// Another way to log in than there is.
    #[error("`VAULT_AUTH_METHOD` is `token`, `approle`, `kubernetes` or `jwt`, not `{0}`")]
    Method(String),
    /// The way to log in needs something that is not there.
    #[error("`VAULT_AUTH_METHOD={method}` needs `{name}`, or `{name}_FILE` with something in it")]
    LoginLacks {
        /// The way.
        method: &'static str,
        /// The variable.
        name: &'static str,
    },
    /// Vault does not let us in.
    #[error("`{path}`: Vault answers {status}: it does not know this role, or not these credentials")]
    LoginRefused {
        /// Where we logged in.
        path: String,
        /// The status.
        status: u16,
    },
    /// Another shape than a login's.
    #[error("`{0}`: the answer has not the shape of a login")]
    LoginShape(String),
    /// Too many references.
    #[error("the configurations name more than {MAX_SECRETS} secrets in Vault")]
    TooMany,
    /// TLS cannot be set up.
    #[error("no client for Vault")]
    Tls(#[from] crate::outbound::TlsError),
    /// Not reached, or not an answer.
    #[error("`{path}`: {source}")]
    Call {
        /// The secret's path.
        path: String,
        /// Why.
        source: OutboundError,
    },
    /// No such secret, or not for this token.
    #[error("`{path}`: Vault answers {status}: the secret is not there, or the token may not read it")]
    Refused {
        /// The secret's path.
        path: String,
        /// The status.
        status: u16,
    },
    /// Another shape than KV version 2 has.
    #[error("`{0}`: the answer has not the shape of KV version 2")]
    Shape(String),
    /// The secret has no such field with text in it.
    #[error("`{path}` has no text in its field `{field}`")]
    Field {
        /// The secret's path.
        path: String,
        /// The field.
        field: String,
    },
}

/// What was fetched.
#[derive(Debug, Default)]
pub struct Vaulted(BTreeMap<VaultRef, Secret>);

#[derive(Deserialize)]
struct Answer {
    data: Inner,
}

#[derive(Deserialize)]
struct Inner {
    data: BTreeMap<String, Value>,
}

impl Vaulted {
    /// Everything that these configurations name; without a reference Vault is not asked and need not be there.
    pub(super) async fn fetch(configs: impl Iterator<Item = &Value>) -> Result<Self, VaultError> {
        let mut references = BTreeSet::new();
        configs.for_each(|config| collect(config, &mut references));
        if references.is_empty() {
            return Ok(Self::default());
        }
        if references.len() > MAX_SECRETS {
            return Err(VaultError::TooMany);
        }
        let vault = Vault::of_environment().await?;
        let mut found = BTreeMap::new();
        let mut read: BTreeMap<(String, String), BTreeMap<String, Value>> = BTreeMap::new();
        for reference in references {
            let place = (reference.mount.clone(), reference.path.clone());
            if !read.contains_key(&place) {
                read.insert(place.clone(), vault.read(&reference).await?);
            }
            let text = read
                .get(&place)
                .and_then(|fields| fields.get(&reference.field)?.as_str());
            let Some(text) = text.filter(|text| !text.is_empty()) else {
                return Err(VaultError::Field {
                    path: reference.path,
                    field: reference.field,
                });
            };
            found.insert(reference, Secret::new(text));
        }
        vault.leave().await;
        Ok(Self(found))
    }

    /// The secret behind a reference.
    pub(super) fn get(&self, reference: &VaultRef) -> Option<&Secret> {
        self.0.get(reference)
    }
}

/// Every `{"vault": {...}}`. Read from the text and not from the structure, so that no place where a secret may stand is missed.
fn collect(value: &Value, found: &mut BTreeSet<VaultRef>) {
    match value {
        Value::Object(members) => {
            if let (Some(inner), 1) = (members.get("vault"), members.len())
                && let Ok(reference) = serde_json::from_value(inner.clone())
            {
                found.insert(reference);
            }
            members.values().for_each(|member| collect(member, found));
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

struct Vault {
    base: String,
    token: HeaderValue,
    /// The token is ours alone, from a login.
    logged_in: bool,
    namespace: Option<HeaderValue>,
    outbound: Outbound,
}

impl Vault {
    async fn of_environment() -> Result<Self, VaultError> {
        let base = set("VAULT_ADDR").ok_or(VaultError::NoAddress)?;
        let uri: Uri = base.parse().map_err(|_| VaultError::Address)?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) {
            return Err(VaultError::Address);
        }
        let login = Login::of_environment()?;
        // The operator names the address, so it may be wherever they like.
        let egress = Egress::new(vec![
            EgressRule::Network {
                address: std::net::Ipv4Addr::UNSPECIFIED.into(),
                prefix: 0,
            },
            EgressRule::Network {
                address: std::net::Ipv6Addr::UNSPECIFIED.into(),
                prefix: 0,
            },
        ]);
        let mut vault = Self {
            base: base.trim_end_matches('/').to_owned(),
            token: HeaderValue::from_static(""),
            logged_in: false,
            namespace: set("VAULT_NAMESPACE").and_then(|text| HeaderValue::from_str(&text).ok()),
            outbound: Outbound::new(Arc::new(egress))?,
        };
        let token = match login {
            Login::Token(token) => token,
            Login::At { path, body } => {
                vault.logged_in = true;
                vault.log_in(path, body).await?
            }
        };
        vault.token = HeaderValue::from_str(&token).map_err(|_| VaultError::NoToken)?;
        vault.token.set_sensitive(true);
        Ok(vault)
    }

    async fn log_in(&self, path: String, body: String) -> Result<String, VaultError> {
        let url = format!("{}/v1/auth/{}/login", self.base, encoded(&path));
        let request = self.request(Request::post(url), body)?;
        let answer = self.outbound.json(request, TIMEOUT).await;
        let answer = answer.map_err(|source| match source {
            OutboundError::Status { status, .. } => VaultError::LoginRefused {
                path: path.clone(),
                status: status.as_u16(),
            },
            source => VaultError::Call {
                path: path.clone(),
                source,
            },
        })?;
        login::token(&answer).ok_or(VaultError::LoginShape(path))
    }

    /// Gives a token back that nobody needs any more. If that fails it ends by itself.
    async fn leave(&self) {
        if !self.logged_in {
            return;
        }
        let url = format!("{}/v1/auth/token/revoke-self", self.base);
        if let Ok(request) = self.request(Request::post(url), String::new())
            && let Err(error) = self.outbound.post(request, TIMEOUT).await
        {
            tracing::debug!(%error, "the token of the login to Vault was not revoked");
        }
    }

    fn request(
        &self,
        builder: axum::http::request::Builder,
        body: String,
    ) -> Result<Request<Full<Bytes>>, VaultError> {
        let mut request = builder
            .header("x-vault-request", "true")
            .body(Full::from(body))
            .map_err(|_| VaultError::Address)?;
        let headers = request.headers_mut();
        if !self.token.is_empty() {
            headers.insert("x-vault-token", self.token.clone());
        }
        if let Some(namespace) = &self.namespace {
            headers.insert("x-vault-namespace", namespace.clone());
        }
        Ok(request)
    }

    async fn read(&self, reference: &VaultRef) -> Result<BTreeMap<String, Value>, VaultError> {
        let path = || reference.path.clone();
        let (mount, inner) = (encoded(&reference.mount), encoded(&reference.path));
        let url = format!("{}/v1/{mount}/data/{inner}", self.base);
        let request = self.request(Request::get(url), String::new())?;
        let body = self
            .outbound
            .json(request, TIMEOUT)
            .await
            .map_err(|source| match source {
                OutboundError::Status { status, .. } => VaultError::Refused {
                    path: path(),
                    status: status.as_u16(),
                },
                source => VaultError::Call { path: path(), source },
            })?;
        let answer: Answer = json_object::parse(&body).map_err(|_| VaultError::Shape(path()))?;
        Ok(answer.data.data)
    }
}

/// A variable with something in it.
fn set(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.trim().is_empty())
}

mod percent {
    use std::fmt::Write as _;

    /// A path for a URL: slashes stay, what could end the path or climb out of it does not.
    pub(super) fn encoded(path: &str) -> String {
        let segments = path
            .split('/')
            .filter(|segment| !matches!(*segment, "" | "." | ".."));
        let encode = |segment: &str| {
            segment.bytes().fold(String::new(), |mut text, byte| {
                if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
                    text.push(char::from(byte));
                } else {
                    let _ = write!(text, "%{byte:02X}");
                }
                text
            })
        };
        segments.map(encode).collect::<Vec<_>>().join("/")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn references_are_found_wherever_they_stand() {
        let mut found = BTreeSet::new();
        let config = json!({"a": {"secret": {"vault": {"path": "p", "field": "f"}}}, "b": [{"vault": {"mount": "kv", "path": "q", "field": "g"}}],
            "vault": "no reference", "c": {"vault": {"path": "p"}}});
        collect(&config, &mut found);
        let found: Vec<(&str, &str)> = found
            .iter()
            .map(|one| (one.mount.as_str(), one.field.as_str()))
            .collect();
        assert_eq!(found, [("kv", "g"), ("secret", "f")]);
    }

    #[test]
    fn a_path_stays_a_path() {
        assert_eq!(encoded("a/b c"), "a/b%20c");
        assert_eq!(encoded("../../sys/raw?x#y"), "sys/raw%3Fx%23y");
    }
}
