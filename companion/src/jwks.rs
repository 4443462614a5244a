//! Issuers' key sets: fetched, cleaned, kept, served.
//!
//! The filter asks here because a proxy has no good place to fetch and keep keys of its own, and because one fetch then
//! serves every worker. Only configured issuers are served; a token's `iss` or `jku` never makes a request.

mod keys;

use std::collections::BTreeMap;
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::http::{Method, Request};
use companion_protocol::config::IssuerConfig;
use http_body_util::Full;
use tokio::sync::Mutex;

use crate::config::Policies;
use crate::metrics::Metrics;
use crate::outbound::Outbound;

/// Between two fetches of one issuer while keys are held: invented key ids must not become a load on the issuer.
const FLOOR: Duration = Duration::from_secs(30);

/// The same while none are held, so that a companion that starts before its issuer is useful soon after it.
const FLOOR_WITHOUT_KEYS: Duration = Duration::from_secs(1);

/// For one fetch, connection included.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);

/// Keys that could not be refreshed for this long are not served: who cuts the line to the issuer must not keep a
/// revoked key alive for ever.
const MAX_AGE: Duration = Duration::from_secs(24 * 3600);

/// The key sets of all issuers.
pub struct KeySets {
    issuers: BTreeMap<String, Arc<KeySet>>,
    outbound: Arc<Outbound>,
    metrics: Arc<Metrics>,
}

/// One issuer's keys.
struct KeySet {
    config: IssuerConfig,
    held: RwLock<Option<Served>>,
    /// When the last fetch ended (began, if it was given up). The lock is held during a fetch: who comes meanwhile waits
    /// for the same answer, good or bad, and makes no fetch of its own.
    last_attempt: Mutex<Option<Instant>>,
}

/// Keys as served.
#[derive(Debug, Clone)]
pub struct Served {
    /// A JWK set (RFC 7517 section 5) of public keys.
    pub body: Bytes,
    /// When they were fetched.
    pub fetched: Instant,
    /// After how long they are refreshed.
    pub refresh: Duration,
}

/// Why there are no keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JwksError {
    /// Not configured.
    #[error("this issuer is not configured")]
    UnknownIssuer,
    /// Not there and not to be had now.
    #[error("the issuer's keys are not available")]
    Unavailable,
}

impl KeySets {
    /// For the issuers of all policies; nothing is fetched yet.
    pub fn new(policies: &Policies, outbound: Arc<Outbound>, metrics: Arc<Metrics>) -> Self {
        let issuers = policies
            .issuers()
            .map(|config| (config.issuer.clone(), Arc::new(KeySet::of(config))))
            .collect();
        Self {
            issuers,
            outbound,
            metrics,
        }
    }

    /// For the issuers of other policies; of an issuer that is the same, what is held is held on.
    pub fn renewed(&self, policies: &Policies) -> Self {
        let known = |config: &IssuerConfig| {
            let known = self.issuers.get(&config.issuer);
            known.filter(|known| known.config == *config).cloned()
        };
        let issuers = policies
            .issuers()
            .map(|config| {
                let set = known(config).unwrap_or_else(|| Arc::new(KeySet::of(config)));
                (config.issuer.clone(), set)
            })
            .collect();
        Self {
            issuers,
            outbound: Arc::clone(&self.outbound),
            metrics: Arc::clone(&self.metrics),
        }
    }

    /// The keys of an issuer. `refresh`: the caller met a key id that it does not know, so held keys are refreshed first,
    /// at most once in 30 s.
    pub async fn get(&self, issuer: &str, refresh: bool) -> Result<Served, JwksError> {
        let set = self.issuers.get(issuer).ok_or(JwksError::UnknownIssuer)?;
        let asked = Instant::now();
        match set.usable() {
            Some(served) if !refresh => Ok(served),
            held => {
                self.refresh(set, asked, held.is_some()).await;
                set.usable().ok_or(JwksError::Unavailable)
            }
        }
    }

    /// Keeps all key sets fresh until the task is dropped.
    pub async fn keep_fresh(self: Arc<Self>) {
        let mut tasks = tokio::task::JoinSet::new();
        for set in self.issuers.values().cloned() {
            let sets = Arc::clone(&self);
            tasks.spawn(async move {
                // An issuer that stays away is asked less and less often; a request still asks at once.
                let mut patience = FLOOR_WITHOUT_KEYS;
                loop {
                    let held = set.usable().is_some();
                    let pause = if sets.refresh(&set, Instant::now(), held).await {
                        patience = FLOOR_WITHOUT_KEYS;
                        Duration::from_secs(set.config.refresh_s).max(FLOOR)
                    } else if held {
                        FLOOR
                    } else {
                        patience = (patience * 2).min(FLOOR);
                        patience / 2
                    };
                    tokio::time::sleep(pause).await;
                }
            });
        }
        while tasks.join_next().await.is_some() {}
    }

    /// Fetches unless somebody did since `asked` or the floor forbids it; true if keys came.
    async fn refresh(&self, set: &KeySet, asked: Instant, holds_keys: bool) -> bool {
        let mut last_attempt = set.last_attempt.lock().await;
        if let Some(last) = *last_attempt {
            let floor = if holds_keys { FLOOR } else { FLOOR_WITHOUT_KEYS };
            if last >= asked || last.elapsed() < floor {
                return false;
            }
        }
        *last_attempt = Some(Instant::now());
        let fetched = self.fetch(&set.config).await;
        *last_attempt = Some(Instant::now());
        match fetched {
            Ok(body) => {
                self.metrics.jwks_fetch("fetched");
                set.hold(body);
                true
            }
            Err(reason) => {
                self.metrics.jwks_fetch("failed");
                tracing::warn!(
                    issuer = set.config.issuer,
                    reason,
                    "cannot fetch an issuer's keys"
                );
                false
            }
        }
    }

    async fn fetch(&self, config: &IssuerConfig) -> Result<Bytes, String> {
        let request = Request::builder()
            .method(Method::GET)
            .uri(&config.jwks_url)
            .body(Full::default())
            .map_err(|error| error.to_string())?;
        let body = self
            .outbound
            .json(request, FETCH_TIMEOUT)
            .await
            .map_err(|error| error.to_string())?;
        let cleaned = keys::public_only(&body).map_err(|error| error.to_string())?;
        if cleaned.private_members {
            tracing::warn!(
                issuer = config.issuer,
                "the issuer publishes private key material; it was removed"
            );
        }
        Ok(cleaned.body)
    }
}

impl KeySet {
    fn of(config: &IssuerConfig) -> Self {
        Self {
            config: config.clone(),
            held: RwLock::new(None),
            last_attempt: Mutex::new(None),
        }
    }

    fn usable(&self) -> Option<Served> {
        let held = self.held.read().unwrap_or_else(|poisoned| poisoned.into_inner());
        held.clone().filter(|served| served.fetched.elapsed() < MAX_AGE)
    }

    fn hold(&self, body: Bytes) {
        let mut held = self.held.write().unwrap_or_else(|poisoned| poisoned.into_inner());
        *held = Some(Served {
            body,
            fetched: Instant::now(),
            refresh: Duration::from_secs(self.config.refresh_s),
        });
    }
}
