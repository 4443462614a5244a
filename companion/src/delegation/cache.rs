//! Minted tokens, in memory only, each for whoever proved the same with the same credential.
//!
//! * **Key.** A digest over the credential that the proxy verified and over everything that shaped the exchange: the delegator's
//!   whole configuration, subject, actor, target, audience and scopes in order. It is keyed with random bytes of this process, so
//!   that a dump of it says nothing about tokens. A missing part is an error before it becomes a key.
//! * **Single flight.** Who asks while the same token is being minted waits for that answer, good or bad. A failure is kept for
//!   nobody else.
//! * **End.** Until the token's own end, less a margin; never longer than the delegator's `cache_ttl_s`, counted on a clock that does
//!   not jump. A clock that is set ahead ends entries early, one that is set back keeps none longer.
//! * **Bound.** [`MAX_ENTRIES`] and [`MAX_BYTES`]; the least recently used goes first.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use companion_protocol::{Grant, SubjectKind, TokenExchange};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use tokio::sync::watch;

use super::DelegationError;
use crate::clock::now_s;
use crate::config::OauthClient;
use crate::metrics::Metrics;

/// The most tokens that are held.
const MAX_ENTRIES: usize = 10_000;

/// The most that they may take, in bytes.
const MAX_BYTES: usize = 16 << 20;

/// What an entry takes beside its texts, in bytes, roughly.
const ENTRY_BYTES: usize = 512;

/// A token is not given out in the last seconds of its life; of a short-lived one, not in its last quarter.
const SKEW_S: u64 = 30;

/// Exchanges that run at a time. It bounds what callers that go away leave behind.
const MAX_FLIGHTS: usize = 1024;

/// Names a token by everything that made it what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key([u8; 32]);

impl Key {
    /// `Err`: a part is missing that must be there.
    pub(super) fn of(client: &OauthClient, asked: &TokenExchange) -> Result<Self, DelegationError> {
        let subject: &[u8] = match asked.subject {
            SubjectKind::User => b"user",
            SubjectKind::Client => b"client",
            SubjectKind::CallerWorkload => b"caller_workload",
            SubjectKind::ThisWorkload => b"this_workload",
        };
        let empty = || DelegationError::BadRequest("a part of the exchange is empty");
        let there = |text: &str| if text.is_empty() { Err(empty()) } else { Ok(()) };
        for text in [&asked.delegator, &asked.target, &asked.audience] {
            there(text)?;
        }
        for text in [&asked.subject_token, &asked.actor_token, &asked.expected_sub]
            .into_iter()
            .flatten()
        {
            there(text)?;
        }
        let optional = |text: &Option<String>| match text {
            None => vec![0],
            Some(text) => [&[1], text.as_bytes()].concat(),
        };
        let mut digest = keyed();
        let mut part = |bytes: &[u8]| {
            // The length in front: no two lists of parts give the same bytes.
            digest.update(&(bytes.len() as u64).to_be_bytes());
            digest.update(bytes);
        };
        part(&client.config_digest);
        part(asked.delegator.as_bytes());
        part(subject);
        part(&optional(&asked.subject_token));
        part(&optional(&asked.expected_sub));
        part(&optional(&asked.actor_token));
        part(asked.target.as_bytes());
        part(asked.audience.as_bytes());
        for permission in &asked.permissions {
            part(permission.as_bytes());
        }
        Ok(Self(digest.finalize().into_bytes().into()))
    }
}

fn keyed() -> Hmac<Sha256> {
    static KEY: std::sync::LazyLock<[u8; 32]> = std::sync::LazyLock::new(|| {
        let mut key = [0; 32];
        // Without randomness the digests are those of a known key: still one key a credential, only not secret ones.
        let _ = getrandom::getrandom(&mut key);
        key
    });
    // HMAC takes keys of any length.
    <Hmac<Sha256> as Mac>::new_from_slice(&*KEY).unwrap_or_else(|_| unreachable!("HMAC takes any key"))
}

type Outcome = Result<Grant, DelegationError>;

/// See the module.
pub(super) struct TokenCache {
    inner: Mutex<Inner>,
    flights: Arc<tokio::sync::Semaphore>,
    metrics: Arc<Metrics>,
}

#[derive(Default)]
struct Inner {
    held: HashMap<Key, Entry>,
    /// Keys by last use.
    used: BTreeMap<u64, Key>,
    /// Numbers the uses.
    uses: u64,
    bytes: usize,
    flights: HashMap<Key, watch::Receiver<Option<Outcome>>>,
}

struct Entry {
    grant: Grant,
    used: u64,
    bytes: usize,
    /// On the clock that does not jump.
    until: Instant,
    /// On the calendar.
    until_s: u64,
}

enum Way {
    Held(Grant),
    Wait(watch::Receiver<Option<Outcome>>),
    Mint(watch::Sender<Option<Outcome>>),
}

impl TokenCache {
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        Self {
            inner: Mutex::default(),
            flights: Arc::new(tokio::sync::Semaphore::new(MAX_FLIGHTS)),
            metrics,
        }
    }

    /// The token of `key`: held, being minted, or minted now by `minting`.
    pub(super) async fn get(
        self: &Arc<Self>,
        key: Key,
        ttl: Duration,
        minting: impl Future<Output = Outcome> + Send + 'static,
    ) -> Outcome {
        let way = self.lock().way(key, Instant::now(), now_s());
        let mut flight = match way {
            Way::Held(grant) => {
                self.metrics.token_cache("held");
                return Ok(grant);
            }
            Way::Wait(flight) => {
                self.metrics.token_cache("waited");
                flight
            }
            Way::Mint(landing) => {
                self.metrics.token_cache("minted");
                let flight = landing.subscribe();
                let (cache, slots) = (Arc::clone(self), Arc::clone(&self.flights));
                tokio::spawn(async move {
                    // Dropped with the task, whatever ends it: nobody may wait for a flight that will not land.
                    let landed = Landed { cache, key };
                    let outcome = match slots.acquire().await {
                        Ok(_slot) => minting.await,
                        Err(_) => Err(DelegationError::BadResponse("it broke off")),
                    };
                    if let Ok(grant) = &outcome {
                        landed.cache.lock().keep(key, grant, ttl, Instant::now(), now_s());
                    }
                    drop(landed);
                    let _ = landing.send(Some(outcome));
                });
                flight
            }
        };
        let outcome = flight.wait_for(Option::is_some).await;
        match outcome.as_deref() {
            Ok(Some(outcome)) => outcome.clone(),
            // The task ended without a word.
            Ok(None) | Err(_) => Err(DelegationError::BadResponse("it broke off")),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends a flight.
struct Landed {
    cache: Arc<TokenCache>,
    key: Key,
}

impl Drop for Landed {
    fn drop(&mut self) {
        self.cache.lock().flights.remove(&self.key);
    }
}

impl Inner {
    fn way(&mut self, key: Key, now: Instant, now_s: u64) -> Way {
        if let Some(grant) = self.look(key, now, now_s) {
            return Way::Held(grant);
        }
        if let Some(flight) = self.flights.get(&key) {
            return Way::Wait(flight.clone());
        }
        let (landing, flight) = watch::channel(None);
        self.flights.insert(key, flight);
        Way::Mint(landing)
    }

    fn look(&mut self, key: Key, now: Instant, now_s: u64) -> Option<Grant> {
        let entry = self.held.get_mut(&key)?;
        if entry.until <= now || entry.until_s <= now_s {
            self.remove(key);
            return None;
        }
        self.uses += 1;
        self.used.remove(&entry.used);
        entry.used = self.uses;
        self.used.insert(self.uses, key);
        Some(entry.grant.clone())
    }

    fn keep(&mut self, key: Key, grant: &Grant, ttl: Duration, now: Instant, now_s: u64) {
        let life = grant.expires_at.saturating_sub(now_s);
        let life = life - SKEW_S.min(life / 4);
        let until = now.checked_add(ttl.min(Duration::from_secs(life)));
        let (Some(until), true) = (until, life > 0) else {
            return;
        };
        self.remove(key);
        let bytes =
            ENTRY_BYTES + grant.token.len() + grant.permissions.iter().map(String::len).sum::<usize>();
        while self.held.len() >= MAX_ENTRIES || self.bytes + bytes > MAX_BYTES {
            let Some((_, oldest)) = self.used.first_key_value() else {
                return;
            };
            let oldest = *oldest;
            self.remove(oldest);
        }
        self.uses += 1;
        self.bytes += bytes;
        self.used.insert(self.uses, key);
        let entry = Entry {
            grant: grant.clone(),
            used: self.uses,
            bytes,
            until,
            until_s: now_s.saturating_add(life),
        };
        self.held.insert(key, entry);
    }

    fn remove(&mut self, key: Key) {
        if let Some(entry) = self.held.remove(&key) {
            self.used.remove(&entry.used);
            self.bytes = self.bytes.saturating_sub(entry.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u32) -> Key {
        let mut bytes = [0; 32];
        bytes[..4].copy_from_slice(&number.to_be_bytes());
        Key(bytes)
    }

    fn grant(expires_at: u64, token: usize) -> Grant {
        Grant {
            token: "x".repeat(token),
            outbound_header: "authorization".to_owned(),
            outbound_prefix: String::new(),
            audience: "a".to_owned(),
            permissions: Vec::new(),
            expires_at,
            no_store: false,
        }
    }

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn a_token_is_held_until_shortly_before_its_end_on_either_clock() {
        let (mut inner, now) = (Inner::default(), Instant::now());
        inner.keep(key(1), &grant(1_100, 1), HOUR, now, 1_000);
        assert!(inner.look(key(1), now, 1_000).is_some());
        // The last quarter of a short life is not given out.
        assert!(inner.look(key(1), now, 1_074).is_some() && inner.look(key(1), now, 1_075).is_none());
        // The calendar was set back: what passed still counts.
        inner.keep(key(1), &grant(1_100, 1), HOUR, now, 1_000);
        assert!(inner.look(key(1), now + Duration::from_secs(75), 10).is_none());
        // The ceiling of the delegator.
        inner.keep(key(1), &grant(100_000, 1), Duration::from_secs(9), now, 1_000);
        assert!(inner.look(key(1), now + Duration::from_secs(9), 1_000).is_none());
        assert!(inner.held.is_empty() && inner.used.is_empty() && inner.bytes == 0);
        // Ended already.
        inner.keep(key(1), &grant(1_000, 1), HOUR, now, 1_000);
        assert!(inner.held.is_empty());
    }

    #[test]
    fn it_is_bounded_in_number_and_in_bytes_and_drops_what_was_not_used() {
        let (mut inner, now) = (Inner::default(), Instant::now());
        for number in 0..MAX_ENTRIES as u32 + 5 {
            inner.keep(key(number), &grant(9_000, 1), HOUR, now, 1_000);
            inner
                .look(key(0), now, 1_000)
                .expect("the one that is used stays");
        }
        assert_eq!((inner.held.len(), inner.used.len()), (MAX_ENTRIES, MAX_ENTRIES));
        assert!(inner.look(key(1), now, 1_000).is_none());
        let mut inner = Inner::default();
        for number in 0..2_000 {
            inner.keep(key(number), &grant(9_000, 16 << 10), HOUR, now, 1_000);
            assert!(inner.bytes <= MAX_BYTES);
        }
        assert!(inner.held.len() > 900 && inner.held.len() < 1_100);
    }
}
