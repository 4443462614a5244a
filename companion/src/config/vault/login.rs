//! Who the companion is in Vault: a token that the operator gives, or a login with what its platform gives.
//!
//! | `VAULT_AUTH_METHOD` | logs in with | at |
//! |---|---|---|
//! | `token` (default) | `VAULT_TOKEN` | - |
//! | `approle` | `VAULT_ROLE_ID`, `VAULT_SECRET_ID` | `auth/approle` |
//! | `kubernetes` | `VAULT_ROLE`, the service account's token in `VAULT_JWT` | `auth/kubernetes` |
//! | `jwt` | `VAULT_ROLE`, `VAULT_JWT` | `auth/jwt` |
//!
//! Each variable may name a file instead, as `VAULT_SECRET_ID_FILE`. `VAULT_AUTH_MOUNT` is another place than that of the table.

use serde::Deserialize;
use serde_json::json;

use super::{VaultError, set};
use crate::json_object;

/// Where Kubernetes puts the token of a pod's service account.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// How to become somebody.
pub(super) enum Login {
    /// We are already.
    Token(String),
    /// By asking.
    At {
        /// The auth method's mount.
        path: String,
        /// What is posted.
        body: String,
    },
}

impl Login {
    pub(super) fn of_environment() -> Result<Self, VaultError> {
        let method = set("VAULT_AUTH_METHOD").unwrap_or_else(|| "token".to_owned());
        match method.trim() {
            "token" => given("VAULT_TOKEN").map(Self::Token).ok_or(VaultError::NoToken),
            "approle" => {
                let method = "approle";
                let role = needed(method, "VAULT_ROLE_ID", None)?;
                let secret = needed(method, "VAULT_SECRET_ID", None)?;
                Ok(Self::at(method, json!({ "role_id": role, "secret_id": secret })))
            }
            "kubernetes" => Self::by_jwt("kubernetes", Some(SERVICE_ACCOUNT)),
            "jwt" => Self::by_jwt("jwt", None),
            other => Err(VaultError::Method(other.to_owned())),
        }
    }

    fn by_jwt(method: &'static str, file: Option<&str>) -> Result<Self, VaultError> {
        let role = needed(method, "VAULT_ROLE", None)?;
        let jwt = needed(method, "VAULT_JWT", file)?;
        Ok(Self::at(method, json!({ "role": role, "jwt": jwt })))
    }

    fn at(method: &str, body: serde_json::Value) -> Self {
        Self::At {
            path: set("VAULT_AUTH_MOUNT").unwrap_or_else(|| method.to_owned()),
            body: body.to_string(),
        }
    }
}

fn needed(method: &'static str, name: &'static str, file: Option<&str>) -> Result<String, VaultError> {
    let found = given(name).or_else(|| read(file?));
    found.ok_or(VaultError::LoginLacks { method, name })
}

/// A variable's text, or that of the file that the variable with `_FILE` names.
fn given(name: &str) -> Option<String> {
    let own = set(name).map(|text| text.trim().to_owned());
    own.or_else(|| read(&set(&format!("{name}_FILE"))?))
}

fn read(path: &str) -> Option<String> {
    let text = std::fs::read_to_string(path.trim()).ok()?;
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

#[derive(Deserialize)]
struct Answer {
    auth: Auth,
}

#[derive(Deserialize)]
struct Auth {
    client_token: String,
}

/// The token in the answer to a login. A batch or service token; nothing else in the answer counts.
pub(super) fn token(answer: &[u8]) -> Option<String> {
    let answer: Answer = json_object::parse(answer).ok()?;
    Some(answer.auth.client_token).filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use super::token;

    #[test]
    fn a_login_without_a_token_is_none() {
        assert_eq!(token(br#"{"auth":{"client_token":"t"}}"#).as_deref(), Some("t"));
        for answer in [
            r#"{"auth":null}"#,
            r#"{"auth":{}}"#,
            r#"{"auth":{"client_token":""}}"#,
            "{}",
            "[]",
        ] {
            assert!(token(answer.as_bytes()).is_none(), "{answer}");
        }
    }
}
