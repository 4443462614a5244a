//! Many callers at a time.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Callers at a time, as the bounds say.
pub(crate) const CALLERS: u64 = 64;

/// What a crowd has come to.
pub(crate) struct Pace {
    /// Operations a second.
    pub(crate) rate: f64,
    latencies: Vec<Duration>,
}

impl Pace {
    /// So many of a hundred took no longer.
    pub(crate) fn percentile(&self, percent: usize) -> Duration {
        let at = (self.latencies.len() * percent / 100).min(self.latencies.len().saturating_sub(1));
        self.latencies.get(at).copied().unwrap_or_default()
    }
}

/// Runs `total` operations, [`CALLERS`] at a time; each gets its number.
pub(crate) async fn run<F, O>(callers: u64, total: u64, one: F) -> Pace
where
    F: Fn(u64) -> O + Send + Sync + 'static,
    O: Future<Output = ()> + Send + 'static,
{
    let (one, next) = (Arc::new(one), Arc::new(AtomicU64::new(0)));
    let begun = Instant::now();
    let tasks: Vec<_> = (0..callers)
        .map(|_| {
            let (one, next) = (Arc::clone(&one), Arc::clone(&next));
            tokio::spawn(async move {
                let mut latencies = Vec::new();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= total {
                        return latencies;
                    }
                    let asked = Instant::now();
                    one(number).await;
                    latencies.push(asked.elapsed());
                }
            })
        })
        .collect();
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.extend(task.await.expect("a caller"));
    }
    let rate = total as f64 / begun.elapsed().as_secs_f64();
    latencies.sort_unstable();
    Pace { rate, latencies }
}
