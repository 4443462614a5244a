//! Whether replicas still follow the server that labels are read from.
//!
//! A primary that is cut off goes on answering while one of its replicas is promoted elsewhere, and the labels that are
//! appended there are not here: whoever still asks here would read an untainted session. So where appends need `replicas`
//! replicas, loads do too: a load is answered when so many have confirmed a write of this companion's within the last
//! [`EVERY`]. A replica that has been promoted confirms nothing any more.
//!
//! That is as good as the number is: of two replicas, one may confirm here while the other is promoted. `replicas` must be
//! all that there are, or the window is as long as the partition.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::appender::SendError;
use super::link::Link;
use super::shared::Shared;

/// How old a confirmation may be; and for how long nobody asks again when there was none.
const EVERY: Duration = Duration::from_secs(1);

/// The last confirmation.
#[derive(Default)]
pub(super) struct Lease(Mutex<Option<Last>>);

/// What a server's replicas said when they were asked.
struct Last {
    /// The server's life.
    run_id: Arc<str>,
    /// When they were asked, which is before they answered.
    asked: Instant,
    confirmed: bool,
}

impl Lease {
    /// Returns when enough replicas follow the server at the other end.
    pub(super) async fn confirm(&self, shared: &Shared, link: &Link) -> Result<(), SendError> {
        let settings = &shared.settings;
        if settings.replicas == 0 {
            return Ok(());
        }
        match self.last(link) {
            Some(true) => return Ok(()),
            Some(false) => return Err(SendError::NotFollowed),
            None => {}
        }
        let asked = Instant::now();
        let mut pipe = redis::pipe();
        pipe.cmd("SET").arg(shared.names.lease()).arg(1).ignore();
        // What comes later than that has ended when it comes.
        let wait_ms = settings.wait_ms().min(EVERY.as_millis() as u64);
        pipe.cmd("WAIT").arg(settings.replicas).arg(wait_ms);
        let (following,): (i64,) = pipe.query_async(&mut link.connection()).await?;
        let confirmed = following >= i64::from(settings.replicas);
        let last = Last {
            run_id: Arc::clone(&link.run_id),
            // A refusal counts from when it came: callers must not queue up behind the next one.
            asked: if confirmed { asked } else { Instant::now() },
            confirmed,
        };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(last);
        match confirmed {
            true => Ok(()),
            false => Err(SendError::NotFollowed),
        }
    }

    /// What was said of this server, if that is not too long ago.
    fn last(&self, link: &Link) -> Option<bool> {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let last = last.as_ref()?;
        let counts = last.run_id == link.run_id && last.asked.elapsed() < EVERY;
        counts.then_some(last.confirmed)
    }
}
