//! Time that does not count what the machine does beside it, where the system tells.

use std::time::{Duration, Instant};

/// A point in this thread's time.
pub(crate) struct Moment {
    wall: Instant,
    processor: Option<u64>,
}

impl Moment {
    pub(crate) fn now() -> Self {
        // The first number: nanoseconds on a processor.
        let stat = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
        let processor = stat.and_then(|text| text.split(' ').next()?.parse().ok());
        let wall = Instant::now();
        Self { wall, processor }
    }

    pub(crate) fn elapsed(&self) -> Duration {
        let wall = self.wall.elapsed();
        match (self.processor, Self::now().processor) {
            (Some(before), Some(after)) => Duration::from_nanos(after.saturating_sub(before)),
            _ => wall,
        }
    }
}
