//! What a worker remembers of the companion's answers.

use apl_bytecode::{Actor, Scopes, Subject, TokenRole};
use apl_vm::{Answer, DelegateCall};
use companion_protocol::{Grant, Labels, SessionKey};

use crate::{
    cache::{Cache, Key},
    identity::principal::{Credential, Principal},
    json_text,
    session::digest,
};

/// How long before its end a minted token is not used any more, in seconds; shorter for short-lived ones.
const SKEW_S: u64 = 30;

/// How long a label that does not end is believed to be there, in milliseconds.
const LABEL_MS: u64 = 600_000;

/// A minted credential and where it goes.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Minted {
    /// The header, lower-case.
    pub(crate) header: String,
    /// Its whole value.
    pub(crate) value: String,
    pub(crate) audience: String,
    pub(crate) permissions: Vec<String>,
    pub(crate) expires_at: u64,
}

// The value must not reach a log through `{:?}`.
impl std::fmt::Debug for Minted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Minted")
            .field("header", &self.header)
            .field("audience", &self.audience)
            .finish_non_exhaustive()
    }
}

/// Headers that no minted credential may take the place of.
const FORBIDDEN: &[&str] = &[
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

impl Minted {
    /// What a grant means for the request; `None` if its header or token cannot stand in one.
    pub(crate) fn of(grant: &Grant) -> Option<Self> {
        let header = grant.outbound_header.to_ascii_lowercase();
        let name_fine = !header.is_empty()
            && header
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
            && !FORBIDDEN.contains(&header.as_str())
            && !header.starts_with("x-envoy");
        let value = format!("{}{}", grant.outbound_prefix, grant.token);
        let value_fine = !grant.token.is_empty() && value.bytes().all(|byte| (b' '..0x7f).contains(&byte));
        (name_fine && value_fine).then(|| Self {
            header,
            value,
            audience: grant.audience.clone(),
            permissions: grant.permissions.clone(),
            expires_at: grant.expires_at,
        })
    }

    /// What the machine is told.
    pub(crate) fn answer(&self) -> Answer {
        Answer::Granted {
            permissions: self.permissions.clone(),
            audience: self.audience.clone(),
            expires_at: json_text::rfc3339(self.expires_at),
        }
    }
}

/// Minted tokens and labels that are known to be there. A label's absence is never remembered.
pub(crate) struct Caches {
    tokens: Cache<Minted>,
    labels: Cache<()>,
    epoch: String,
}

impl Caches {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            tokens: Cache::new(capacity),
            labels: Cache::new(capacity),
            epoch: String::new(),
        }
    }

    /// The store's epoch as of the newest answer; another one than before makes every known label unknown.
    pub(crate) fn see_epoch(&mut self, epoch: &str) {
        if self.epoch != epoch {
            self.labels.clear();
            epoch.clone_into(&mut self.epoch);
        }
    }

    pub(crate) fn token(&self, key: &Key, now_ms: u64) -> Option<&Minted> {
        self.tokens.get(key, now_ms)
    }

    pub(crate) fn keep_token(&mut self, key: Key, minted: Minted, now_ms: u64) {
        let left = minted.expires_at.saturating_sub(now_ms / 1000);
        let skew = SKEW_S.min(left / 4);
        let until_ms = minted.expires_at.saturating_sub(skew).saturating_mul(1000);
        self.tokens.put(key, minted, until_ms, now_ms);
    }

    /// Whether the label is known to be set in every one of the scopes that outlive the exchange.
    pub(crate) fn has_label(&self, session: &SessionKey, label: &str, scopes: Scopes, now_ms: u64) -> bool {
        buckets(session, scopes).all(|bucket| self.labels.get(&label_key(bucket, label), now_ms).is_some())
    }

    /// The label was stored: believed for half the time that the store's first label lives.
    pub(crate) fn keep_label(
        &mut self,
        session: &SessionKey,
        label: &str,
        scopes: Scopes,
        stored: &Labels,
        now_ms: u64,
    ) {
        let life = stored
            .expires_at_ms
            .map_or(LABEL_MS, |end| (end.saturating_sub(now_ms) / 2).min(LABEL_MS));
        let there = |bucket: Bucket<'_>| match bucket {
            Bucket::Session(_) => stored.session.iter().any(|known| known == label),
            Bucket::Subject(_) => stored.subject.iter().any(|known| known == label),
        };
        for bucket in buckets(session, scopes).filter(|bucket| there(*bucket)) {
            self.labels
                .put(label_key(bucket, label), (), now_ms.saturating_add(life), now_ms);
        }
    }
}

#[derive(Clone, Copy)]
enum Bucket<'a> {
    Session(&'a str),
    Subject(&'a str),
}

fn buckets(session: &SessionKey, scopes: Scopes) -> impl Iterator<Item = Bucket<'_>> {
    let own = scopes
        .has(Scopes::SESSION)
        .then_some(Bucket::Session(session.session.as_str()));
    let subject = scopes
        .has(Scopes::SUBJECT)
        .then_some(Bucket::Subject(session.subject.as_str()));
    own.into_iter().chain(subject)
}

fn label_key(bucket: Bucket<'_>, label: &str) -> Key {
    match bucket {
        Bucket::Session(id) => digest(&[b"session", id.as_bytes(), label.as_bytes()]),
        Bucket::Subject(id) => digest(&[b"subject", id.as_bytes(), label.as_bytes()]),
    }
}

/// The credential that stands for a subject of a delegation; `Ok(None)`: none is needed. `Err`: it is not there.
pub(crate) fn subject_credential(principal: &Principal, subject: Subject) -> Result<Option<&Credential>, ()> {
    let role = match subject {
        Subject::User => TokenRole::User,
        Subject::Client => TokenRole::Client,
        Subject::CallerWorkload => TokenRole::CallerWorkload,
        Subject::ThisWorkload => return Ok(None),
    };
    principal.of(role).map(Some).ok_or(())
}

/// The actor's credential, likewise.
pub(crate) fn actor_credential(
    principal: &Principal,
    actor: Option<Actor>,
) -> Result<Option<&Credential>, ()> {
    let role = match actor {
        None => return Ok(None),
        Some(Actor::User) => TokenRole::User,
        Some(Actor::Client) => TokenRole::Client,
        Some(Actor::CallerWorkload) => TokenRole::CallerWorkload,
    };
    principal.of(role).map(Some).ok_or(())
}

/// Names a minted token by everything that made it what it is. `None`: a part is missing that must be there, and an empty
/// component is an error, not a key.
pub(crate) fn token_key(
    call: &DelegateCall,
    subject: Option<&Credential>,
    actor: Option<&Credential>,
    brought: Option<&str>,
) -> Option<Key> {
    if call.delegator.is_empty() || call.audience.is_empty() || call.target.is_empty() {
        return None;
    }
    let kind: &[u8] = match call.subject {
        Subject::User => b"user",
        Subject::Client => b"client",
        Subject::CallerWorkload => b"caller_workload",
        Subject::ThisWorkload => b"this_workload",
    };
    let mut parts: Vec<&[u8]> = vec![
        b"token",
        call.delegator.as_bytes(),
        kind,
        subject.map_or(b"none", |credential| credential.digest.as_slice()),
        actor.map_or(b"none", |credential| credential.digest.as_slice()),
        call.target.as_bytes(),
        call.audience.as_bytes(),
    ];
    let ttl = call.ttl_s.to_be_bytes();
    parts.push(&ttl);
    parts.extend(call.permissions.iter().map(|permission| permission.as_bytes()));
    if let Some(brought) = brought {
        // Behind the permissions, of which there may be any number, so with their own name in front.
        parts.push(b"\0attenuation");
        parts.push(brought.as_bytes());
        for (kind, value) in &call.checks {
            parts.push(kind.as_bytes());
            parts.push(value.as_bytes());
        }
    }
    Some(digest(&parts))
}
