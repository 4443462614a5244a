//! `limit.count`: what a window has used up, for `limit(...)` and `budget(...)`.
//!
//! Windows are aligned: the n-th of `window_s` seconds begins at n × `window_s` of the Unix epoch, on this clock. A count is
//! durable before it is acknowledged, and one that does not fit changes nothing.

use companion_protocol::Count;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use crate::store::{CaseStore, Change, Changed, StoreError};

/// Other companions may change the same counter; so often is a change tried again before the count is refused.
const TRIES: usize = 32;

/// Callers of this companion that count the same thing wait for each other here, not in the store.
const STRIPES: usize = 64;

/// What is counted.
pub(crate) struct Asked<'a> {
    pub(crate) key: &'a str,
    pub(crate) window_s: u64,
    pub(crate) cost: u64,
    pub(crate) limit: u64,
    /// Repeats of the call that was counted last count nothing.
    pub(crate) idempotency_key: &'a str,
}

/// A window, as it is stored.
#[derive(Default, Serialize, Deserialize)]
struct Window {
    used: u64,
    last: String,
}

/// Counts.
pub(crate) struct Counters {
    stripes: Vec<Mutex<()>>,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            stripes: (0..STRIPES).map(|_| Mutex::new(())).collect(),
        }
    }
}

impl Counters {
    pub(crate) async fn count(
        &self,
        store: &dyn CaseStore,
        asked: Asked<'_>,
        now_ms: u64,
    ) -> Result<Count, StoreError> {
        let is_digest = asked.key.len() == 64 && asked.key.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_digest {
            return Err(StoreError::InvalidKey);
        }
        let length = asked.window_s.max(1);
        let resets_at = (now_ms / 1000 / length + 1).saturating_mul(length);
        let key = format!("count:{}:{length}:{resets_at}", asked.key);
        let stripe = asked.key.bytes().fold(0_usize, |sum, byte| {
            sum.wrapping_mul(31).wrapping_add(byte.into())
        });
        let _turn = match self.stripes.get(stripe % STRIPES) {
            Some(stripe) => Some(stripe.lock().await),
            None => None,
        };
        for _ in 0..TRIES {
            let (window, version) = read(store, &key, now_ms).await?;
            let sum = window.used.saturating_add(asked.cost);
            let repeated = !asked.idempotency_key.is_empty() && window.last == asked.idempotency_key;
            if repeated || sum > asked.limit {
                return Ok(answer(repeated, window.used, &asked, resets_at));
            }
            let window = Window {
                used: sum,
                last: asked.idempotency_key.to_owned(),
            };
            let change = Change {
                key: key.clone(),
                expected: version,
                text: serde_json::to_string(&window).map_err(|_| StoreError::InvalidKey)?,
                groups: Vec::new(),
                ends_ms: resets_at.saturating_mul(1000),
                room: None,
            };
            match store.change(change, now_ms).await? {
                Changed::Done => return Ok(answer(true, sum, &asked, resets_at)),
                // Another companion was first.
                Changed::Conflict | Changed::Full => {}
            }
        }
        Err(StoreError::Unavailable)
    }
}

async fn read(store: &dyn CaseStore, key: &str, now_ms: u64) -> Result<(Window, u64), StoreError> {
    match store.get(key, now_ms).await? {
        None => Ok((Window::default(), 0)),
        Some(stored) => {
            // A counter that cannot be read is not one that has counted nothing.
            let window = serde_json::from_str(&stored.text).map_err(|_| StoreError::InvalidKey)?;
            Ok((window, stored.version))
        }
    }
}

fn answer(allow: bool, used: u64, asked: &Asked<'_>, resets_at: u64) -> Count {
    Count {
        allow,
        count: used,
        remaining: asked.limit.saturating_sub(used),
        resets_at,
    }
}
