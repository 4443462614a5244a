//! The principal of an exchange: everything that its verified credentials say, cached by what they are.

use std::{collections::BTreeSet, rc::Rc};

use apl_bytecode::{IdentityId, Issuer, Program, TokenRole};
use apl_vm::{Fact, FactMap};
use sha2::{Digest as _, Sha256};

use super::{
    claims::{self, Speaker},
    keys::KeySet,
    token::{Token, TokenError, bearer, believed_until, text_of},
};
use crate::cache::Cache;

/// Verified credentials.
#[derive(Debug, Default)]
pub(crate) struct Principal {
    /// Their attributes.
    pub(crate) facts: Rc<FactMap>,
    /// In the order in which the route names them.
    pub(crate) credentials: Vec<Credential>,
}

/// One verified credential. The token itself stays in the exchange's head.
#[derive(Debug, Clone)]
pub(crate) struct Credential {
    pub(crate) role: TokenRole,
    /// The header that it came in.
    pub(crate) header: String,
    pub(crate) issuer: String,
    pub(crate) speaker: Speaker,
    /// The claim `sub`: what a token minted from this one must carry too.
    pub(crate) sub: String,
    /// SHA-256 over its decoded parts.
    pub(crate) digest: [u8; 32],
}

impl Principal {
    /// The credential of a role; the last one, when there are several.
    pub(crate) fn of(&self, role: TokenRole) -> Option<&Credential> {
        self.credentials
            .iter()
            .rev()
            .find(|credential| credential.role == role)
    }
}

/// Why there is no principal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unverified {
    /// It may be verified when keys of this issuer have come.
    NeedsKeys(String, TokenError),
    /// It will not.
    Refused(TokenError),
}

/// Verified principals of one worker.
pub(crate) struct Principals {
    cache: Cache<Rc<Principal>>,
    /// Nobody in particular.
    anonymous: Rc<Principal>,
}

impl Principals {
    pub(crate) fn new(capacity: usize) -> Self {
        let anonymous = Principal {
            facts: Rc::new(empty_sets()),
            credentials: Vec::new(),
        };
        Self {
            cache: Cache::new(capacity),
            anonymous: Rc::new(anonymous),
        }
    }

    /// Forgets everything: keys have changed.
    pub(crate) fn clear(&mut self) {
        self.cache.clear();
    }

    /// Verifies every credential that `identities` name. The flag: it came from the cache.
    pub(crate) fn verify(
        &mut self,
        program: &Program,
        identities: &[IdentityId],
        headers: &[(String, String)],
        keys: &[KeySet],
        now_ms: u64,
    ) -> Result<(Rc<Principal>, bool), Unverified> {
        if identities.is_empty() {
            return Ok((Rc::clone(&self.anonymous), false));
        }
        let mut tokens = Vec::with_capacity(identities.len());
        let mut hash = Sha256::new();
        for id in identities {
            // INVARIANT: the verifier has checked the index.
            let Some(identity) = program.identities.get(id.at()) else {
                return Err(Unverified::Refused(TokenError::Malformed));
            };
            let header = text_of(program, identity.header);
            let value = headers
                .iter()
                .find(|(name, _)| name == header)
                .map_or("", |(_, value)| value.as_str());
            let token = bearer(value)
                .and_then(Token::split)
                .map_err(Unverified::Refused)?;
            let digest = token.digest();
            hash.update(id.0.to_be_bytes());
            hash.update(digest);
            tokens.push((identity, header, token, digest));
        }
        let key: [u8; 32] = hash.finalize().into();
        if let Some(known) = self.cache.get(&key, now_ms) {
            return Ok((Rc::clone(known), true));
        }
        let mut facts = empty_sets();
        let mut credentials = Vec::with_capacity(tokens.len());
        let mut until = u64::MAX;
        for (identity, header, token, digest) in tokens {
            let issuer = token
                .issuer(program, &identity.issuers)
                .map_err(Unverified::Refused)?;
            let name = text_of(program, issuer.issuer);
            let claims = verify_one(program, issuer, name, &token, keys, now_ms)?;
            let speaker = claims::map(identity.role, &claims, &mut facts).map_err(Unverified::Refused)?;
            until = until.min(believed_until(&claims, issuer));
            credentials.push(Credential {
                role: identity.role,
                header: header.to_owned(),
                issuer: name.to_owned(),
                speaker,
                sub: claims
                    .get("sub")
                    .and_then(serde_json::Value::as_str)
                    .unwrap_or_default()
                    .to_owned(),
                digest,
            });
        }
        let principal = Rc::new(Principal {
            facts: Rc::new(facts),
            credentials,
        });
        self.cache
            .put(key, Rc::clone(&principal), until.saturating_mul(1000), now_ms);
        Ok((principal, false))
    }
}

/// Sets that are always there, whoever asks.
fn empty_sets() -> FactMap {
    [
        "subject.roles",
        "subject.permissions",
        "subject.teams",
        "client.roles",
        "client.permissions",
        "client.teams",
        "client.authorized_scopes",
        "client.authorized_audiences",
        "caller_workload.selectors",
    ]
    .map(|key| (key.to_owned(), Fact::Set(BTreeSet::new())))
    .into()
}

fn verify_one(
    program: &Program,
    issuer: &Issuer,
    name: &str,
    token: &Token<'_>,
    keys: &[KeySet],
    now_ms: u64,
) -> Result<serde_json::Map<String, serde_json::Value>, Unverified> {
    let set = keys
        .iter()
        .find(|set| set.issuer() == name && set.is_inline() == issuer.jwks.is_some())
        .ok_or(Unverified::Refused(TokenError::KeysUnavailable))?;
    token
        .verify(program, issuer, set, now_ms)
        .map_err(|error| match error {
            TokenError::UnknownKid | TokenError::KeysUnavailable if !set.is_inline() => {
                Unverified::NeedsKeys(name.to_owned(), error)
            }
            error => Unverified::Refused(error),
        })
}
