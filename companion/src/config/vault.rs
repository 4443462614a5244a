//! Secrets in the KV store, version 2, of HashiCorp Vault (or OpenBao).
//!
//! Vault is the operator's: its address and the companion's token there come from the environment that Vault's own tools read,
//! `VAULT_ADDR`, `VAULT_TOKEN` or `VAULT_TOKEN_FILE` (as an agent writes it), `VAULT_NAMESPACE`. Every secret is read once, when the
//! configuration is; reading the configuration again reads them again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderValue, Request, Uri};
use companion_protocol::config::VaultRef;
use http_body_util::Full;
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
        let vault = Vault::of_environment()?;
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
    namespace: Option<HeaderValue>,
    outbound: Outbound,
}

impl Vault {
    fn of_environment() -> Result<Self, VaultError> {
        let set = |name: &str| std::env::var(name).ok().filter(|text| !text.trim().is_empty());
        let base = set("VAULT_ADDR").ok_or(VaultError::NoAddress)?;
        let uri: Uri = base.parse().map_err(|_| VaultError::Address)?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) {
            return Err(VaultError::Address);
        }
        let from_file = || std::fs::read_to_string(set("VAULT_TOKEN_FILE")?).ok();
        let token = set("VAULT_TOKEN").or_else(from_file).ok_or(VaultError::NoToken)?;
        let mut token = HeaderValue::from_str(token.trim()).map_err(|_| VaultError::NoToken)?;
        token.set_sensitive(true);
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
        Ok(Self {
            base: base.trim_end_matches('/').to_owned(),
            token,
            namespace: set("VAULT_NAMESPACE").and_then(|text| HeaderValue::from_str(&text).ok()),
            outbound: Outbound::new(Arc::new(egress))?,
        })
    }

    async fn read(&self, reference: &VaultRef) -> Result<BTreeMap<String, Value>, VaultError> {
        let path = || reference.path.clone();
        let (mount, inner) = (encoded(&reference.mount), encoded(&reference.path));
        let mut request = Request::get(format!("{}/v1/{mount}/data/{inner}", self.base))
            .header("x-vault-request", "true")
            .body(Full::default())
            .map_err(|_| VaultError::Address)?;
        request.headers_mut().insert("x-vault-token", self.token.clone());
        if let Some(namespace) = &self.namespace {
            request
                .headers_mut()
                .insert("x-vault-namespace", namespace.clone());
        }
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
