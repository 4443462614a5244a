//! How long a label lives: an idle and an absolute lifetime, both kept with the label.
//!
//! | label | idle | absolute |
//! |---|---|---|
//! | of a session | restarts whenever the session is used (a load or an append) | restarts when the label is appended |
//! | of a subject | has none | restarts when the label is appended |
//!
//! Restarting costs a write, so it happens only when at least a sixteenth of the lifetime has gone: a label lives for at
//! least 15/16 of what policy says after its last use or append, and never longer than all of it.

use companion_protocol::config::LifetimesConfig;

/// "Does not end", wherever a duration or an end is kept in milliseconds.
pub(super) const NEVER: u64 = 0;

/// A use or append counts when this part of the lifetime is gone.
const COARSENESS: u64 = 16;

/// The lifetimes that one policy gives to its labels, in milliseconds; [`NEVER`] (0): they do not end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetimes {
    /// Of a session label since the session's last use.
    pub session_idle_ms: u64,
    /// Of a session label since its last append.
    pub session_max_ms: u64,
    /// Of a subject label since its last append, when the append gives no time itself.
    pub subject_ms: u64,
}

impl From<&LifetimesConfig> for Lifetimes {
    fn from(config: &LifetimesConfig) -> Self {
        let ms = |s: u64| s.saturating_mul(1000);
        Self {
            session_idle_ms: ms(config.session_idle_s),
            session_max_ms: ms(config.session_max_s),
            subject_ms: ms(config.subject_s),
        }
    }
}

impl Default for Lifetimes {
    fn default() -> Self {
        Self::from(&LifetimesConfig::default())
    }
}

/// One label's life, on its store's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Life {
    /// When its session was last used, as far as it was written down.
    pub(super) touched_ms: u64,
    /// How long it lives without use; [`NEVER`]: use does not matter.
    pub(super) idle_ms: u64,
    /// When it ends however much it is used; [`NEVER`]: not by itself.
    pub(super) ends_ms: u64,
}

impl Life {
    /// Of a session label that is appended now.
    pub(super) fn of_session(now_ms: u64, lifetimes: &Lifetimes) -> Self {
        Self {
            touched_ms: now_ms,
            idle_ms: lifetimes.session_idle_ms,
            ends_ms: after(now_ms, lifetimes.session_max_ms),
        }
    }

    /// Of a subject label that is appended now. A time of zero that the append itself gives ends at once.
    pub(super) fn of_subject(now_ms: u64, lifetimes: &Lifetimes, ttl_s: Option<u64>) -> Self {
        Self {
            touched_ms: now_ms,
            idle_ms: NEVER,
            ends_ms: match ttl_s {
                Some(ttl_s) => now_ms.saturating_add(ttl_s.saturating_mul(1000)).max(1),
                None => after(now_ms, lifetimes.subject_ms),
            },
        }
    }

    fn idle_end(self) -> u64 {
        after(self.touched_ms, self.idle_ms)
    }

    /// When it ends unless it is used or appended again; `None`: it does not.
    pub(super) fn end(self) -> Option<u64> {
        [self.idle_end(), self.ends_ms]
            .into_iter()
            .filter(|&end| end != NEVER)
            .min()
    }

    pub(super) fn is_live(self, now_ms: u64) -> bool {
        self.end().is_none_or(|end| end > now_ms)
    }

    /// Whichever is longer, part by part.
    pub(super) fn longer(self, other: Self) -> Self {
        Self {
            touched_ms: self.touched_ms.max(other.touched_ms),
            idle_ms: longer(self.idle_ms, other.idle_ms),
            ends_ms: longer(self.ends_ms, other.ends_ms),
        }
    }

    /// Whether `wanted` lasts so little longer that writing it down is not worth it.
    pub(super) fn covers(self, wanted: Self, now_ms: u64) -> bool {
        let covered = |held: u64, wanted: u64| match (held, wanted) {
            (NEVER, _) => true,
            (_, NEVER) => false,
            (held, wanted) => {
                let slack = wanted.saturating_sub(now_ms) / COARSENESS;
                wanted <= held.saturating_add(slack)
            }
        };
        covered(self.idle_end(), wanted.idle_end()) && covered(self.ends_ms, wanted.ends_ms)
    }

    /// Whether a use of the session now is worth writing down.
    pub(super) fn wants_touch(self, now_ms: u64) -> bool {
        self.idle_ms != NEVER && now_ms.saturating_sub(self.touched_ms) > self.idle_ms / COARSENESS
    }

    pub(super) fn touched(self, now_ms: u64) -> Self {
        Self {
            touched_ms: self.touched_ms.max(now_ms),
            ..self
        }
    }
}

fn after(start_ms: u64, duration_ms: u64) -> u64 {
    match duration_ms {
        NEVER => NEVER,
        duration_ms => start_ms.saturating_add(duration_ms),
    }
}

fn longer(a: u64, b: u64) -> u64 {
    if a == NEVER || b == NEVER { NEVER } else { a.max(b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIFETIMES: Lifetimes = Lifetimes {
        session_idle_ms: 1600,
        session_max_ms: 16_000,
        subject_ms: NEVER,
    };

    #[test]
    fn the_nearer_end_counts_and_use_moves_only_the_idle_one() {
        let life = Life::of_session(1000, &LIFETIMES);
        assert_eq!(life.end(), Some(2600));
        assert_eq!(life.touched(16_500).end(), Some(17_000));
        assert!(life.is_live(2599) && !life.is_live(2600));
    }

    #[test]
    fn a_use_counts_when_a_sixteenth_of_the_idle_time_is_gone() {
        let life = Life::of_session(1000, &LIFETIMES);
        assert!(!life.wants_touch(1100) && life.wants_touch(1101));
        assert!(!Life::of_subject(0, &LIFETIMES, Some(60)).wants_touch(30_000));
    }

    #[test]
    fn an_append_is_covered_only_if_both_ends_are() {
        let held = Life::of_session(0, &LIFETIMES);
        assert!(held.covers(Life::of_session(100, &LIFETIMES), 100));
        assert!(!held.covers(Life::of_session(101, &LIFETIMES), 101));
        let longer_only_in_max = Lifetimes {
            session_max_ms: 99_000,
            ..LIFETIMES
        };
        assert!(!held.covers(Life::of_session(0, &longer_only_in_max), 0));
        let forever = Life::of_subject(5, &LIFETIMES, None);
        assert!(forever.covers(Life::of_subject(9, &LIFETIMES, Some(60)), 9));
        assert!(!Life::of_subject(9, &LIFETIMES, Some(60)).covers(forever, 9));
    }

    #[test]
    fn a_time_of_zero_ends_at_once_and_is_not_never() {
        let life = Life::of_subject(0, &LIFETIMES, Some(0));
        assert!(life.end().is_some() && !life.is_live(1));
    }
}
