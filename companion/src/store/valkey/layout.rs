//! Keys and rows.
//!
//! | key | type | holds |
//! |---|---|---|
//! | `<prefix>:{<subject>}:s:<session>` | hash | labels of a session: label → `<last use> <idle lifetime> <end>` in ms, 0: none |
//! | `<prefix>:{<subject>}:u` | hash | labels of the subject, in the same form |
//! | `<prefix>:epoch` | string | drawn at random when it is not there and at every clear |
//! | `<prefix>:epoch:lease` | string | written to see whether replicas follow: see [`lease`](super::lease) |
//! | `<prefix>:epoch:{<n>}` | string | the same as the epoch in a cluster, on every primary: see [`cluster`](super::cluster) |
//!
//! Subject and session are the digests in hex; the braces keep a subject's keys in one slot of a cluster. Times are the
//! server's. The server removes a bucket at the end of its last label; the ends of single labels are kept by us.

use std::ops::RangeInclusive;

use companion_protocol::SessionKey;

use super::super::bucket::{Entries, Entry};
use super::super::keys::BucketKeys;
use super::super::lifetime::Life;
use super::super::{Selection, StoreError};
use super::slots;

/// `append`, `touch`, `case` and `clear`.
pub(super) const SCRIPTS: [&str; 4] = [
    include_str!("append.lua"),
    include_str!("touch.lua"),
    include_str!("case.lua"),
    include_str!("clear.lua"),
];

/// Names of keys on one server.
#[derive(Debug, Clone)]
pub(super) struct Names {
    prefix: String,
    /// The epoch's keys. The first is read; a clear changes them all.
    epochs: Vec<String>,
}

impl Names {
    /// On a server of its own.
    pub(super) fn lone(prefix: &str) -> Self {
        let epochs = vec![format!("{prefix}:epoch")];
        let prefix = prefix.to_owned();
        Self { prefix, epochs }
    }

    /// On a server of a cluster that has these slots. `None`: it has too few to hold an epoch.
    pub(super) fn among(prefix: &str, ranges: &[RangeInclusive<u16>]) -> Option<Self> {
        let name = |tag| format!("{prefix}:epoch:{{{tag}}}");
        let epochs: Vec<String> = slots::anchors(ranges).map(name).collect();
        let prefix = prefix.to_owned();
        (!epochs.is_empty()).then_some(Self { prefix, epochs })
    }

    /// The one that is read.
    pub(super) fn epoch(&self) -> &str {
        self.epochs.first().map_or("", String::as_str)
    }

    /// What is written to see who follows: beside the epoch, so on the same server.
    pub(super) fn lease(&self) -> String {
        format!("{}:lease", self.epoch())
    }

    pub(super) fn epochs(&self) -> &[String] {
        &self.epochs
    }

    /// Session and subject bucket.
    pub(super) fn buckets(&self, key: &SessionKey) -> Result<[String; 2], StoreError> {
        BucketKeys::of(key)?;
        let Self { prefix, .. } = self;
        let SessionKey { subject, session } = key;
        Ok([
            [prefix, ":{", subject, "}:s:", session].concat(),
            self.subject(subject),
        ])
    }

    pub(super) fn subject(&self, subject: &str) -> String {
        [&self.prefix, ":{", subject, "}:u"].concat()
    }

    /// What every session bucket of the subject starts with. The prefix holds no character that `SCAN` takes for a
    /// pattern.
    pub(super) fn sessions(&self, selection: &Selection) -> Result<String, StoreError> {
        selection.keys()?;
        Ok(format!("{}:{{{}}}:s:", self.prefix, selection.subject))
    }
}

/// A bucket as the server gives it.
pub(super) type Rows = Vec<(String, String)>;

/// The live labels of a bucket, sorted. A row that is not ours is an error and not an absent label.
pub(super) fn live(rows: Rows, now_ms: u64) -> Result<Vec<Entry>, StoreError> {
    let mut entries = Vec::with_capacity(rows.len());
    for (label, value) in rows {
        let life = life(&value).ok_or_else(foreign)?;
        if life.is_live(now_ms) {
            entries.push((label, life));
        }
    }
    entries.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    Ok(entries)
}

/// The same of the bytes of so many labels and lives in turns, which are all taken from `next`, whatever is wrong with some.
pub(super) fn live_bytes<'a, E>(
    rows: u64,
    now_ms: u64,
    mut next: impl FnMut() -> Result<Option<&'a [u8]>, E>,
) -> Result<Result<Vec<Entry>, StoreError>, E> {
    let mut entries = Ok(Vec::new());
    for _ in 0..rows {
        let (label, value) = (next()?, next()?);
        let text = |bytes: Option<&'a [u8]>| std::str::from_utf8(bytes?).ok();
        let row = text(label).zip(text(value).and_then(life));
        match (&mut entries, row) {
            (Ok(entries), Some((label, life))) if life.is_live(now_ms) => {
                entries.push((label.to_owned(), life))
            }
            (Ok(_), Some(_)) | (Err(_), _) => {}
            (Ok(_), None) => entries = Err(foreign()),
        }
    }
    if let Ok(entries) = &mut entries {
        entries.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    }
    Ok(entries)
}

fn foreign() -> StoreError {
    tracing::error!("a row of the session store has another form");
    StoreError::Unavailable
}

/// Both buckets.
pub(super) fn entries(session: Rows, subject: Rows, now_ms: u64) -> Result<Entries, StoreError> {
    Ok(Entries {
        session: live(session, now_ms)?,
        subject: live(subject, now_ms)?,
    })
}

fn life(value: &str) -> Option<Life> {
    let mut parts = value.split(' ').map(|part| part.parse().ok());
    let life = Life {
        touched_ms: parts.next()??,
        idle_ms: parts.next()??,
        ends_ms: parts.next()??,
    };
    parts.next().is_none().then_some(life)
}
