//! Waiting: until something has happened, and for as long as a slow and busy machine may need.

use std::time::{Duration, Instant};

/// Far longer than anything takes. A wait ends as soon as what it waits for is there, so that only a failure takes this long.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// Looks again and again until there is something to see.
///
/// # Panics
/// When there is nothing within [`PATIENCE`]; the message names `what`.
pub async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < until, "{what}: not within {PATIENCE:?}");
        tokio::time::sleep(PAUSE).await;
    }
}
