//! What a request presents for an identity of its route, before anything of it is believed.

use apl_bytecode::{CredentialSource, Identity, Issuer, MeshIssuer, Program};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::{
    directory::Question,
    metadata::{self, Properties},
    token::{Token, TokenError, behind, text_of, token_in},
};
use crate::session::digest;

/// Everything of a request that may hold a credential.
#[derive(Clone, Copy)]
pub(crate) struct Given<'a> {
    /// Headers that the program names.
    pub(crate) headers: &'a [(String, String)],
    /// Properties that it names.
    pub(crate) properties: Properties<'a>,
}

/// One credential, not believed yet.
pub(crate) enum Presented<'a> {
    Token {
        header: &'a str,
        prefix: Option<&'a str>,
        issuers: &'a [Issuer],
        token: Token<'a>,
    },
    Claims {
        issuers: &'a [MeshIssuer],
        claims: Map<String, Value>,
    },
    Peer {
        id: String,
        attestor: &'static str,
    },
    Key {
        question: Question,
        enforce_expiry: bool,
    },
    /// There is one, of another population.
    Declined,
}

impl<'a> Given<'a> {
    /// Looks for the credential of an identity.
    ///
    /// # Errors
    ///
    /// It is missing, or cannot be one.
    pub(crate) fn present(
        &self,
        program: &'a Program,
        identity: &'a Identity,
    ) -> Result<Presented<'a>, TokenError> {
        match &identity.source {
            CredentialSource::Token {
                header,
                prefix,
                issuers,
            } => {
                let header = text_of(program, *header);
                let prefix = prefix.map(|prefix| text_of(program, prefix));
                let token =
                    token_in(self.header(header).unwrap_or_default(), prefix).and_then(Token::split)?;
                Ok(Presented::Token {
                    header,
                    prefix,
                    issuers,
                    token,
                })
            }
            CredentialSource::Metadata {
                namespace,
                key,
                issuers,
            } => {
                let root = metadata::claims_of(text_of(program, *namespace), text_of(program, *key));
                let claims = self.properties.claims(&root);
                if claims.is_empty() {
                    return Err(TokenError::Missing);
                }
                Ok(Presented::Claims { issuers, claims })
            }
            CredentialSource::Peer { waypoint } => {
                let (path, attestor) = if *waypoint {
                    (metadata::waypoint_peer(), "istio")
                } else {
                    (metadata::connection_peer(), "x509")
                };
                let id = self.properties.get(&path).filter(|id| !id.is_empty());
                let id =
                    std::str::from_utf8(id.ok_or(TokenError::Missing)?).map_err(|_| TokenError::Mapping)?;
                Ok(Presented::Peer {
                    id: id.to_owned(),
                    attestor,
                })
            }
            CredentialSource::ApiKey {
                header,
                prefix,
                directory,
                ttl_s,
                unknown_ttl_s,
                enforce_expiry,
            } => {
                let value = self.header(text_of(program, *header)).map(str::trim);
                let value = value
                    .filter(|value| !value.is_empty())
                    .ok_or(TokenError::Missing)?;
                let Some(key) = key_in(value, prefix.map(|prefix| text_of(program, prefix))) else {
                    return Ok(Presented::Declined);
                };
                if key.is_empty() {
                    return Err(TokenError::EmptyKey);
                }
                if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
                    return Err(TokenError::UnknownKey);
                }
                Ok(Presented::Key {
                    question: Question {
                        directory: text_of(program, *directory).to_owned(),
                        key: Sha256::digest(key.as_bytes()).into(),
                        ttl_s: *ttl_s,
                        unknown_ttl_s: *unknown_ttl_s,
                    },
                    enforce_expiry: *enforce_expiry,
                })
            }
        }
    }

    fn header(&self, wanted: &str) -> Option<&'a str> {
        let (_, value) = self.headers.iter().find(|(name, _)| name == wanted)?;
        Some(value)
    }
}

impl Presented<'_> {
    /// Names it: nothing else is believed under this name.
    pub(crate) fn digest(&self) -> [u8; 32] {
        match self {
            Self::Token { token, .. } => token.digest(),
            Self::Claims { claims, .. } => {
                let text = serde_json::to_vec(claims).unwrap_or_default();
                digest(&[b"claims", &text])
            }
            Self::Peer { id, attestor } => digest(&[b"peer", id.as_bytes(), attestor.as_bytes()]),
            Self::Key { question, .. } => digest(&[b"key", question.directory.as_bytes(), &question.key]),
            Self::Declined => digest(&[b"declined"]),
        }
    }
}

/// The key in a header's value. A prefix is an authentication scheme, the beginning of the key, or both (`Bearer sk-`): the
/// scheme is dropped, in any case, and the beginning stays a part of the key. `None`: the prefix is another.
fn key_in<'v>(value: &'v str, prefix: Option<&str>) -> Option<&'v str> {
    let Some(prefix) = prefix else {
        return Some(value);
    };
    let (scheme, leader) = prefix
        .rsplit_once(' ')
        .map_or(("", prefix), |(scheme, leader)| (scheme.trim_end(), leader));
    let key = if scheme.is_empty() {
        value
    } else {
        let rest = behind(value, scheme)?;
        // A scheme ends where white space begins; with nothing behind it the key is empty.
        if !rest.is_empty() && !rest.starts_with(' ') {
            return None;
        }
        rest.trim_start()
    };
    (key.is_empty() && !scheme.is_empty() || key.starts_with(leader)).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::key_in;

    #[test]
    fn a_scheme_is_dropped_and_a_leader_is_kept() {
        for (value, prefix, key) in [
            ("k-1", None, Some("k-1")),
            ("sk-1", Some("sk-"), Some("sk-1")),
            ("pk-1", Some("sk-"), None),
            ("SK-1", Some("sk-"), None),
            ("Bearer sk-1", Some("Bearer sk-"), Some("sk-1")),
            ("bearer   sk-1", Some("Bearer sk-"), Some("sk-1")),
            ("Bearer ey.x.y", Some("Bearer sk-"), None),
            ("Bearersk-1", Some("Bearer sk-"), None),
            ("ApiKey abc", Some("ApiKey "), Some("abc")),
            ("ApiKey", Some("ApiKey "), Some("")),
            ("Basic abc", Some("ApiKey "), None),
        ] {
            assert_eq!(key_in(value, prefix), key, "{value} {prefix:?}");
        }
    }
}
