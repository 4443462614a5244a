//! The audit log: one [`AuditRecord`] a line, appended, on disk before it is acknowledged.
//!
//! A line is written whole or not at all: what a crash left behind the last line feed was never acknowledged and is cut
//! off at start. A record that was acknowledged and comes again (the proxy did not see the answer) is acknowledged
//! again and not written twice, within the [`RECENT`] last records, restarts included.

mod file;
mod recent;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use companion_protocol::AuditRecord;

use crate::group_commit::{Commit, GroupCommitter};
use crate::metrics::Metrics;
use file::LogFile;
use recent::{Recent, RecordId};

/// How many records are remembered to recognise a repeat. A proxy repeats within seconds; this is minutes of full load.
pub const RECENT: usize = 65_536;

/// The callers' end of the log.
pub struct AuditLog {
    writer: GroupCommitter<Writer>,
    healthy: Arc<AtomicBool>,
}

/// The log cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot open audit log `{path}`")]
pub struct OpenError {
    path: PathBuf,
    source: std::io::Error,
}

/// The record is not on disk; the program's own log says why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the audit log cannot be written")]
pub struct AuditError;

impl AuditLog {
    /// Opens or creates the log, cuts off a torn last line and remembers the newest records.
    pub fn open(path: &Path, metrics: Arc<Metrics>) -> Result<Self, OpenError> {
        let failed = |source| OpenError {
            path: path.to_owned(),
            source,
        };
        let (file, torn) = LogFile::open(path).map_err(failed)?;
        if torn > 0 {
            tracing::warn!(path = %path.display(), bytes = torn, "cut off a torn last record; it was never acknowledged");
        }
        let mut recent = Recent::new(RECENT);
        for line in LogFile::tail(path).map_err(failed)? {
            match serde_json::from_str::<AuditRecord>(&line) {
                Ok(record) => {
                    recent.insert(RecordId::of(&record));
                }
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "a line of the audit log is not a record");
                }
            }
        }
        let healthy = Arc::new(AtomicBool::new(true));
        let writer = Writer {
            file,
            recent,
            metrics,
            healthy: Arc::clone(&healthy),
        };
        Ok(Self {
            writer: GroupCommitter::spawn("audit-writer", writer).map_err(failed)?,
            healthy,
        })
    }

    /// Appends a record; it is on disk when this returns.
    pub async fn append(&self, record: &AuditRecord) -> Result<(), AuditError> {
        let mut line = serde_json::to_vec(record).map_err(|_| AuditError)?;
        line.push(b'\n');
        let id = RecordId::of(record);
        self.writer
            .submit(Line { id, line })
            .await
            .map_err(|_| AuditError)?
    }

    /// False when the log has failed.
    pub fn healthy(&self) -> bool {
        self.healthy.load(Ordering::Relaxed)
    }
}

struct Line {
    id: RecordId,
    line: Vec<u8>,
}

struct Writer {
    file: LogFile,
    recent: Recent,
    metrics: Arc<Metrics>,
    healthy: Arc<AtomicBool>,
}

impl Commit for Writer {
    type Item = Line;
    type Ack = Result<(), AuditError>;

    fn commit(&mut self, items: Vec<Line>) -> Vec<Self::Ack> {
        let mut bytes = Vec::new();
        let mut fresh = Vec::new();
        for item in &items {
            if !self.recent.contains(&item.id) && !fresh.contains(&item.id) {
                bytes.extend_from_slice(&item.line);
                fresh.push(item.id);
            }
        }
        let outcome = if bytes.is_empty() {
            Ok(())
        } else {
            self.file.append(&bytes)
        };
        self.healthy.store(outcome.is_ok(), Ordering::Relaxed);
        match outcome {
            Ok(()) => {
                self.metrics.audit_written(fresh.len(), items.len());
                for id in fresh {
                    self.recent.insert(id);
                }
                items.iter().map(|_| Ok(())).collect()
            }
            Err(error) => {
                tracing::error!(%error, records = fresh.len(), "the audit log cannot be written");
                // A repeat of something that is on disk is true whatever happened to the others.
                items
                    .iter()
                    .map(|item| match self.recent.contains(&item.id) {
                        true => Ok(()),
                        false => Err(AuditError),
                    })
                    .collect()
            }
        }
    }
}

#[cfg(test)]
mod tests;
