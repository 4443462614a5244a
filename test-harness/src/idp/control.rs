//! Faults on request, and a log of the exchanges that were asked for.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

/// The most exchanges that the log holds; older ones are forgotten.
const LOG: usize = 1000;

/// How an exchange's answer is falsified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lie {
    /// The truth.
    None,
    /// The token speaks for another user.
    Subject,
    /// The token is for another service.
    Audience,
    /// More scope than was asked for, in the answer and in the token.
    Scope,
    /// `issued_token_type` is missing.
    IssuedType,
    /// A login page with status 200.
    Html,
    /// 10 MB of JSON.
    Huge,
}

/// What the provider is told to do wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Faults {
    /// Exchanges are granted without the scope that was asked for.
    pub grant_less: bool,
    /// Token endpoint and keys answer 503. A provider that is not there at all is a provider that was ended.
    pub down: bool,
    /// The token endpoint waits that long before it answers, in milliseconds.
    pub delay_ms: u64,
    /// Exchanges are falsified.
    pub lie: Lie,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            grant_less: false,
            down: false,
            delay_ms: 0,
            lie: Lie::None,
        }
    }
}

/// `POST /control`: what is absent stays as it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// See [`Faults::grant_less`].
    #[serde(default)]
    pub grant_less: Option<bool>,
    /// See [`Faults::down`].
    #[serde(default)]
    pub down: Option<bool>,
    /// See [`Faults::delay_ms`].
    #[serde(default)]
    pub delay_ms: Option<u64>,
    /// See [`Faults::lie`]; `"none"` ends it.
    #[serde(default)]
    pub lie: Option<Lie>,
}

/// One exchange that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exchange {
    /// The client that asked.
    pub client: String,
    /// The user's or client's name, when the subject token was valid.
    pub subject: Option<String>,
    /// The audience asked for.
    pub audience: String,
    /// The scope asked for.
    pub requested: String,
    /// The scope granted; absent when refused.
    pub granted: Option<String>,
    /// The OAuth error of a refusal.
    pub error: Option<String>,
}

/// Faults and log of one provider.
#[derive(Default)]
pub(super) struct Control {
    faults: Mutex<Faults>,
    log: Mutex<VecDeque<Exchange>>,
}

impl Control {
    pub(super) fn faults(&self) -> Faults {
        *lock(&self.faults)
    }

    pub(super) fn change(&self, change: Change) -> Faults {
        let mut faults = lock(&self.faults);
        faults.grant_less = change.grant_less.unwrap_or(faults.grant_less);
        faults.down = change.down.unwrap_or(faults.down);
        faults.delay_ms = change.delay_ms.unwrap_or(faults.delay_ms);
        faults.lie = change.lie.unwrap_or(faults.lie);
        *faults
    }

    pub(super) fn record(&self, exchange: Exchange) {
        let mut log = lock(&self.log);
        log.push_back(exchange);
        if log.len() > LOG {
            log.pop_front();
        }
    }

    pub(super) fn log(&self) -> Vec<Exchange> {
        lock(&self.log).iter().cloned().collect()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
