//! Time, in the units that the protocol uses.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Milliseconds since the Unix epoch; 0 on a clock before it, which makes every expiry lie in the future and no token valid longer than its own `exp`.
pub(crate) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| {
        u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
    })
}

/// Seconds since the Unix epoch.
pub(crate) fn now_s() -> u64 {
    now_ms() / 1000
}

/// Two clocks: what the calendar says, and what passed. A test brings its own and lets the first one jump.
pub trait TimeSource: Send + Sync + 'static {
    /// Milliseconds since the Unix epoch; may jump either way.
    fn wall_ms(&self) -> u64;

    /// Milliseconds since some fixed instant of this process; never goes back and never jumps ahead.
    fn running_ms(&self) -> u64;
}

/// The system's clocks.
#[derive(Debug)]
pub struct SystemClock {
    started: Instant,
}

impl Default for SystemClock {
    fn default() -> Self {
        Self {
            started: Instant::now(),
        }
    }
}

impl TimeSource for SystemClock {
    fn wall_ms(&self) -> u64 {
        now_ms()
    }

    fn running_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}
