//! The clock that labels in the embedded store end by. It runs with the process and not with the calendar.
//!
//! A label must not end early because somebody set the clock. So while the process runs, only the monotonic clock
//! counts, and steps of the wall clock in either direction do nothing. Across a restart the time that passed is what the
//! wall clock says passed since the last [`Mark`] (kept in the store, renewed with every commit and every minute), and
//! never less than nothing: a machine that comes up in 1970 makes labels live longer, not shorter.
//!
//! What remains: a wall clock that was stepped *ahead while the companion was down* cannot be told from a long downtime,
//! and ends labels early. A suspended machine's sleep does not count, so labels outlive it.

use std::sync::Arc;

use crate::clock::TimeSource;

/// Store time and wall time of one instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) store_ms: u64,
    pub(super) wall_ms: u64,
}

/// Store time: milliseconds that only grow.
pub(super) struct StoreClock {
    source: Arc<dyn TimeSource>,
    base_ms: u64,
    base_running_ms: u64,
}

impl StoreClock {
    /// Goes on from the last mark; a new store starts at the wall clock.
    pub(super) fn resume(source: Arc<dyn TimeSource>, mark: Option<Mark>) -> Self {
        let wall = source.wall_ms();
        let base_ms = match mark {
            None => wall,
            Some(mark) => mark.store_ms.saturating_add(wall.saturating_sub(mark.wall_ms)),
        };
        Self {
            base_ms,
            base_running_ms: source.running_ms(),
            source,
        }
    }

    pub(super) fn now_ms(&self) -> u64 {
        let passed = self.source.running_ms().saturating_sub(self.base_running_ms);
        self.base_ms.saturating_add(passed)
    }

    pub(super) fn mark(&self) -> Mark {
        Mark {
            store_ms: self.now_ms(),
            wall_ms: self.source.wall_ms(),
        }
    }

    /// Says on the wall clock, which the proxy knows, when an instant of store time will be.
    pub(super) fn on_wall_ms(&self, store_ms: u64) -> u64 {
        let Mark {
            store_ms: now,
            wall_ms,
        } = self.mark();
        wall_ms.saturating_add(store_ms.saturating_sub(now))
    }
}
