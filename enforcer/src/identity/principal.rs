//! The principal of an exchange: everything that its verified credentials say, cached by what they are.

use std::{collections::BTreeSet, rc::Rc};

use apl_bytecode::{Identity, IdentityId, Issuer, Program, StrId, TokenRole};
use apl_vm::{Fact, FactMap};
use companion_protocol::KeyRecord;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::{
    claims::{Mapping, Speaker},
    directory::{Directory, Found, Question},
    keys::KeySet,
    present::{Given, Presented},
    spiffe,
    token::{Token, TokenError, believed_until, check_claims, text_of},
};
use crate::cache::Cache;

/// How long the name of a peer is kept, in milliseconds. It says the same for ever; this only bounds memory.
const PEER_MS: u64 = 300_000;

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
    /// Where a token is that can be exchanged for another; an API key cannot.
    pub(crate) token: Option<TokenPlace>,
    pub(crate) issuer: String,
    pub(crate) speaker: Speaker,
    /// The claim `sub`: what a token minted from this one must carry too.
    pub(crate) sub: String,
    /// SHA-256 over what it is.
    pub(crate) digest: [u8; 32],
    /// `auth_method`.
    method: &'static str,
}

/// Where a token stands in the request's head.
#[derive(Debug, Clone)]
pub(crate) struct TokenPlace {
    pub(crate) header: String,
    pub(crate) prefix: Option<String>,
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
    NeedsKeys(String, Disbelief),
    /// It may be verified when the companion has been asked.
    NeedsRecord(Question),
    /// It will not.
    Refused(Disbelief),
}

/// Which credential is not believed, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Disbelief {
    pub(crate) error: TokenError,
    /// The plugin's name; `None`: it is not about one of them.
    plugin: Option<StrId>,
}

impl Disbelief {
    /// Where policy asks for the credential, for records: `plugins.user`.
    pub(crate) fn place(self, program: &Program) -> String {
        self.plugin
            .map_or_else(String::new, |name| format!("plugins.{}", text_of(program, name)))
    }
}

impl From<TokenError> for Disbelief {
    fn from(error: TokenError) -> Self {
        Self { error, plugin: None }
    }
}

impl From<TokenError> for Unverified {
    fn from(error: TokenError) -> Self {
        Self::Refused(error.into())
    }
}

impl Unverified {
    /// Of which plugin it is.
    fn of(mut self, identity: &Identity) -> Self {
        match &mut self {
            Self::NeedsKeys(_, found) | Self::Refused(found) => found.plugin = Some(identity.name),
            Self::NeedsRecord(_) => {}
        }
        self
    }
}

/// What verifying needs besides what the request gives.
#[derive(Clone, Copy)]
pub(crate) struct Verifying<'a> {
    pub(crate) program: &'a Program,
    pub(crate) keys: &'a [KeySet],
    /// Whether policy can read an attribute.
    pub(crate) keeps: &'a dyn Fn(&str) -> bool,
    pub(crate) now_ms: u64,
}

/// Verified principals of one worker.
pub(crate) struct Principals {
    cache: Cache<Rc<Principal>>,
    directory: Directory,
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
            directory: Directory::new(capacity),
            anonymous: Rc::new(anonymous),
        }
    }

    /// Forgets everything that was verified: keys have changed.
    pub(crate) fn clear(&mut self) {
        self.cache.clear();
    }

    /// Keeps what the companion said of an API key.
    pub(crate) fn keep(&mut self, question: &Question, record: Option<KeyRecord>, now_ms: u64) {
        self.directory.keep(question, record, now_ms);
    }

    /// Verifies every credential that `identities` name. The flag: it came from the cache.
    pub(crate) fn verify(
        &mut self,
        identities: &[IdentityId],
        given: &Given<'_>,
        cx: &Verifying<'_>,
    ) -> Result<(Rc<Principal>, bool), Unverified> {
        if identities.is_empty() {
            return Ok((Rc::clone(&self.anonymous), false));
        }
        let mut presented = Vec::with_capacity(identities.len());
        let mut hash = Sha256::new();
        for id in identities {
            // INVARIANT: the verifier has checked the index.
            let identity = cx.program.identities.get(id.at()).ok_or(TokenError::Malformed)?;
            let one = given
                .present(cx.program, identity)
                .map_err(|error| Unverified::from(error).of(identity))?;
            let digest = one.digest();
            hash.update(id.0.to_be_bytes());
            hash.update(digest);
            if !matches!(one, Presented::Declined) {
                presented.push((identity, one, digest));
            }
        }
        if presented.is_empty() {
            return Err(TokenError::Unrecognized.into());
        }
        let key: [u8; 32] = hash.finalize().into();
        if let Some(known) = self.cache.get(&key, cx.now_ms) {
            return Ok((Rc::clone(known), true));
        }
        let mut facts = empty_sets();
        let mut credentials = Vec::with_capacity(presented.len());
        let mut until_ms = u64::MAX;
        for (identity, one, digest) in presented {
            let mapping = Mapping {
                program: cx.program,
                identity,
                keeps: cx.keeps,
            };
            let (credential, until) = self
                .verify_one(&mapping, one, digest, &mut facts, cx)
                .map_err(|error| error.of(identity))?;
            until_ms = until_ms.min(until);
            credentials.push(credential);
        }
        let roles = [TokenRole::User, TokenRole::Client, TokenRole::CallerWorkload];
        let of = |role: TokenRole| credentials.iter().rev().find(move |one| one.role == role);
        if let Some(first) = roles.into_iter().find_map(of) {
            facts.insert("auth_method".to_owned(), Fact::Str(first.method.to_owned()));
        }
        let principal = Rc::new(Principal {
            facts: Rc::new(facts),
            credentials,
        });
        self.cache.put(key, Rc::clone(&principal), until_ms, cx.now_ms);
        Ok((principal, false))
    }

    /// The credential, and until when it is believed, in milliseconds.
    fn verify_one(
        &self,
        mapping: &Mapping<'_>,
        one: Presented<'_>,
        digest: [u8; 32],
        facts: &mut FactMap,
        cx: &Verifying<'_>,
    ) -> Result<(Credential, u64), Unverified> {
        let role = mapping.identity.role;
        let credential = |issuer: &str, speaker: Speaker, sub: String, method| Credential {
            role,
            token: None,
            issuer: issuer.to_owned(),
            speaker,
            sub,
            digest,
            method,
        };
        match one {
            // Left out above: it is nobody's.
            Presented::Declined => Err(TokenError::Unrecognized.into()),
            Presented::Token {
                header,
                prefix,
                issuers,
                token,
            } => {
                let issuer = token.issuer(cx.program, issuers)?;
                let name = text_of(cx.program, issuer.issuer);
                let claims = signed(issuer, name, &token, cx)?;
                let speaker = mapping.map(&claims, facts)?;
                let until = believed_until(&claims, issuer.leeway_s).saturating_mul(1000);
                let token = TokenPlace {
                    header: header.to_owned(),
                    prefix: prefix.map(str::to_owned),
                };
                let credential = Credential {
                    token: Some(token),
                    ..credential(name, speaker, sub(&claims), "jwt")
                };
                Ok((credential, until))
            }
            Presented::Claims { issuers, claims } => {
                let issuer = check_claims(cx.program, issuers, &claims, cx.now_ms)?;
                let name = text_of(cx.program, issuer.issuer);
                let speaker = mapping.map(&claims, facts)?;
                let until = believed_until(&claims, issuer.leeway_s).saturating_mul(1000);
                Ok((credential(name, speaker, sub(&claims), "mesh-jwt"), until))
            }
            Presented::Peer { id, attestor } => {
                let domain = spiffe::trusted(cx.program, mapping.identity, &id)?;
                spiffe::put(facts, &id, &domain, attestor);
                let speaker = Speaker {
                    id: id.clone(),
                    client: None,
                    session_id: None,
                };
                let issuer = format!("spiffe://{domain}");
                let until = cx.now_ms.saturating_add(PEER_MS);
                Ok((credential(&issuer, speaker, id, "mtls"), until))
            }
            Presented::Key {
                question,
                enforce_expiry,
            } => {
                let (record, until_ms) = match self.directory.get(&question, cx.now_ms) {
                    Some(Found::Record(record, until_ms)) => (record, until_ms),
                    Some(Found::Nobody) => return Err(TokenError::UnknownKey.into()),
                    None => return Err(Unverified::NeedsRecord(question)),
                };
                let end = record.expires_at.filter(|_| enforce_expiry);
                let end_ms = end.map_or(u64::MAX, |end| end.saturating_mul(1000));
                if cx.now_ms >= end_ms {
                    return Err(TokenError::ExpiredKey.into());
                }
                let speaker = mapping.map(&fields(&record), facts)?;
                let issuer = format!("api-key:{}", question.directory);
                let credential = credential(&issuer, speaker, String::new(), "api_key");
                Ok((credential, end_ms.min(until_ms)))
            }
        }
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

fn sub(claims: &Map<String, Value>) -> String {
    claims
        .get("sub")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

fn signed(
    issuer: &Issuer,
    name: &str,
    token: &Token<'_>,
    cx: &Verifying<'_>,
) -> Result<Map<String, Value>, Unverified> {
    let set = cx
        .keys
        .iter()
        .find(|set| set.issuer() == name && set.is_inline() == issuer.jwks.is_some())
        .ok_or(TokenError::KeysUnavailable)?;
    token
        .verify(cx.program, issuer, set, cx.now_ms)
        .map_err(|error| match error {
            TokenError::UnknownKid | TokenError::KeysUnavailable if !set.is_inline() => {
                Unverified::NeedsKeys(name.to_owned(), error.into())
            }
            error => error.into(),
        })
}

/// A record as claims, so that one map reads both.
fn fields(record: &KeyRecord) -> Map<String, Value> {
    let mut fields = Map::new();
    for (name, value) in &record.claims {
        fields.insert(name.clone(), Value::String(value.clone()));
    }
    // What the directory says itself wins over a claim of that name.
    fields.insert("subject".to_owned(), Value::String(record.subject.clone()));
    if let Some(client) = &record.client {
        fields.insert("client_id".to_owned(), Value::String(client.clone()));
    }
    for (name, all) in [
        ("roles", &record.roles),
        ("permissions", &record.permissions),
        ("teams", &record.teams),
    ] {
        let all = all.iter().cloned().map(Value::String).collect();
        fields.insert(name.to_owned(), Value::Array(all));
    }
    fields
}
