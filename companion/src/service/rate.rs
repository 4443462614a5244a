//! So many requests a second from one caller: a token bucket each, as deep as one second.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::listen::Caller;

/// Callers that are remembered. A full table forgets those that have been quiet for a second; who is new then and finds no room shares
/// one bucket with all others of that kind.
const MAX_CALLERS: usize = 4096;

/// See the module.
pub struct RateLimit {
    per_second: f64,
    buckets: Mutex<HashMap<Option<Caller>, Bucket>>,
}

#[derive(Clone, Copy)]
struct Bucket {
    left: f64,
    at: Instant,
}

impl RateLimit {
    /// At most `per_second` requests a second from each caller.
    pub fn new(per_second: u32) -> Self {
        Self {
            per_second: f64::from(per_second),
            buckets: Mutex::default(),
        }
    }

    /// Whether one more is within the limit.
    pub(super) fn admits(&self, caller: Option<Caller>, now: Instant) -> bool {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let mut who = caller;
        if !buckets.contains_key(&who) && buckets.len() >= MAX_CALLERS {
            buckets.retain(|_, bucket| now.duration_since(bucket.at).as_secs() < 1);
            if buckets.len() >= MAX_CALLERS {
                who = None;
            }
        }
        let full = Bucket {
            left: self.per_second,
            at: now,
        };
        let bucket = buckets.entry(who).or_insert(full);
        let passed = now.duration_since(bucket.at).as_secs_f64();
        bucket.left = (bucket.left + passed * self.per_second).min(self.per_second);
        bucket.at = now;
        if bucket.left < 1.0 {
            return false;
        }
        bucket.left -= 1.0;
        true
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use super::*;

    fn caller(number: u32) -> Option<Caller> {
        Some(Caller::Address(Ipv4Addr::from(number).into()))
    }

    #[test]
    fn each_caller_has_its_own_second() {
        let (limit, now) = (RateLimit::new(10), Instant::now());
        assert!((0..10).all(|_| limit.admits(caller(1), now)));
        assert!(!limit.admits(caller(1), now) && limit.admits(caller(2), now));
        let later = now + Duration::from_millis(200);
        assert!(limit.admits(caller(1), later) && limit.admits(caller(1), later));
        assert!(!limit.admits(caller(1), later));
    }

    #[test]
    fn many_callers_take_bounded_room_and_share_what_is_left() {
        let (limit, now) = (RateLimit::new(1), Instant::now());
        for number in 0..MAX_CALLERS as u32 {
            assert!(limit.admits(caller(number), now));
        }
        // No room: the rest share one bucket.
        assert!(limit.admits(caller(1 << 20), now) && !limit.admits(caller(1 << 21), now));
        assert!(limit.buckets.lock().expect("lock").len() <= MAX_CALLERS + 1);
        let later = now + Duration::from_secs(2);
        assert!(limit.admits(caller(1 << 22), later));
        assert!(limit.buckets.lock().expect("lock").len() < MAX_CALLERS);
    }
}
