//! The audit log: one [`AuditRecord`] a line, appended, on disk before it is acknowledged.
//!
//! A line is written whole or not at all: what a crash left behind the last line feed was never acknowledged and is cut
//! off at start. A record that was acknowledged and comes again (the proxy did not see the answer) is acknowledged
//! again and not written twice, within the [`RECENT`] last records, restarts included.
//!
//! Records are hash-chained ([`chain`]), the chain's head is signed now and then ([`checkpoint`]), a full file is sealed
//! and a new one begun ([`segments`]). [`verify`] tells what was done to a log since.

mod chain;
mod checkpoint;
mod file;
mod numbers;
mod privacy;
mod recent;
mod report;
mod segments;
mod verify;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use companion_protocol::AuditRecord;
use companion_protocol::sealed::CaptureKey;
use opentelemetry_proto::tonic::logs::v1::LogRecord;

use crate::group_commit::{Commit, GroupCommitter};
use crate::metrics::Metrics;
use crate::otlp::{Feed, log_record, with_line};
use chain::{Chain, Linked};
use checkpoint::Checkpoints;
use file::LogFile;
use privacy::Privacy;
use recent::{Recent, RecordId};

/// How many records are remembered to recognise a repeat. A proxy repeats within seconds; this is minutes of full load.
pub const RECENT: usize = 65_536;

pub use checkpoint::{KeyError, SigningKey, VerifyingKey};
pub use privacy::{Pseudonyms, ShortKey};
pub use report::{
    Approval, Change, Enforcement, OperatorsAct, PolicyUse, Report, Signer, SignerError, Signers, report,
};
pub use verify::{Finding, LIMITS, Outstanding, Together, Verdict, verify, verify_together};

/// The size in bytes at which a file is sealed, unless configured.
pub const SEGMENT_BYTES: u64 = 256 << 20;

/// A checkpoint is signed with the first commit so long after the last one, and at the end.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(1);

/// How a log is kept.
pub struct AuditOptions {
    /// Signs checkpoints; without it the chain is there and unsigned.
    pub key: Option<SigningKey>,
    /// The size in bytes at which a file is sealed.
    pub segment_bytes: u64,
    /// Sealed files whose newest record is older than this are deleted; `None`: none is.
    pub keep: Option<Duration>,
    /// Names become pseudonyms.
    pub pseudonyms: Option<Pseudonyms>,
    /// What policies captured is encrypted to it; without it records that carry something are refused.
    pub capture_key: Option<CaptureKey>,
    /// Copies of what is on disk go there.
    pub(crate) copies: Option<Feed<LogRecord>>,
}

impl Default for AuditOptions {
    fn default() -> Self {
        Self {
            key: None,
            segment_bytes: SEGMENT_BYTES,
            keep: None,
            pseudonyms: None,
            capture_key: None,
            copies: None,
        }
    }
}

/// The callers' end of the log.
pub struct AuditLog {
    writer: GroupCommitter<Writer>,
    privacy: Privacy,
    is_copied: bool,
    healthy: Arc<AtomicBool>,
}

/// The log cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The system refused.
    #[error("cannot open audit log `{path}`")]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A checkpoint was signed over records that are gone.
    #[error(
        "audit log `{path}` ends at record {last}, but a checkpoint was signed over record {signed}: keep it as evidence, and start with another `--audit`"
    )]
    Truncated {
        /// Which log.
        path: PathBuf,
        /// Where it ends.
        last: u64,
        /// What was signed.
        signed: u64,
    },
}

/// The record is not on disk; the program's own log says why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the audit log cannot be written")]
pub struct AuditError;

impl AuditLog {
    /// Opens or creates the log, cuts off a torn last line and remembers the newest records.
    pub fn open(path: &Path, options: AuditOptions, metrics: Arc<Metrics>) -> Result<Self, OpenError> {
        let failed = |source| OpenError::File {
            path: path.to_owned(),
            source,
        };
        let (file, torn) = LogFile::open(path).map_err(failed)?;
        if torn > 0 {
            tracing::warn!(path = %path.display(), bytes = torn, "cut off a torn last record; it was never acknowledged");
        }
        let mut lines = LogFile::tail(path).map_err(failed)?;
        if lines.len() < RECENT
            && let Some(newest) = segments::sealed(path).map_err(failed)?.last()
        {
            let younger = std::mem::replace(&mut lines, LogFile::tail(newest).map_err(failed)?);
            lines.extend(younger);
        }
        let mut recent = Recent::new(RECENT);
        for line in &lines {
            match serde_json::from_str::<AuditRecord>(line) {
                Ok(record) => {
                    recent.insert(RecordId::of(&record));
                }
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "a line of the audit log is not a record");
                }
            }
        }
        let head = lines.iter().rev().find_map(|line| Linked::parse(line));
        let chain = head.map_or(Chain::START, |linked| linked.place);
        let checkpoints = match options.key {
            None => None,
            Some(key) => {
                let (checkpoints, signed) = Checkpoints::open(path, key).map_err(failed)?;
                if let Some(signed) = signed.filter(|signed| signed.n > chain.n) {
                    return Err(OpenError::Truncated {
                        path: path.to_owned(),
                        last: chain.n,
                        signed: signed.n,
                    });
                }
                Some(checkpoints)
            }
        };
        let first = LogFile::first_line(path).map_err(failed)?;
        let first = first
            .as_deref()
            .and_then(Linked::parse)
            .map(|linked| linked.place.n);
        let healthy = Arc::new(AtomicBool::new(true));
        let writer = Writer {
            path: path.to_owned(),
            file,
            chain,
            segment_start: first.unwrap_or(chain.n + 1),
            segment_bytes: options.segment_bytes,
            checkpoints,
            signed: chain.n,
            signed_at: None,
            recent,
            keep: options.keep,
            metrics,
            healthy: Arc::clone(&healthy),
            copies: options.copies,
        };
        writer.retire();
        Ok(Self {
            is_copied: writer.copies.is_some(),
            privacy: Privacy {
                pseudonyms: options.pseudonyms,
                capture_key: options.capture_key,
            },
            writer: GroupCommitter::spawn("audit-writer", writer).map_err(failed)?,
            healthy,
        })
    }

    /// Appends a record; it is on disk when this returns.
    pub async fn append(&self, record: &AuditRecord) -> Result<(), AuditError> {
        let id = RecordId::of(record);
        let hidden = self.privacy.apply(record)?;
        let shown = hidden.as_ref().unwrap_or(record);
        let line = serde_json::to_vec(shown).map_err(|_| AuditError)?;
        let copy = self.is_copied.then(|| log_record(shown));
        self.writer
            .submit(Line { id, line, copy })
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
    /// The record as JSON, not yet chained.
    line: Vec<u8>,
    /// What goes to a collector once it is on disk.
    copy: Option<LogRecord>,
}

struct Writer {
    path: PathBuf,
    file: LogFile,
    chain: Chain,
    /// The number of the first record in `file`.
    segment_start: u64,
    segment_bytes: u64,
    checkpoints: Option<Checkpoints>,
    /// The number of the record that was signed last.
    signed: u64,
    signed_at: Option<Instant>,
    recent: Recent,
    keep: Option<Duration>,
    metrics: Arc<Metrics>,
    healthy: Arc<AtomicBool>,
    copies: Option<Feed<LogRecord>>,
}

impl Commit for Writer {
    type Item = Line;
    type Ack = Result<(), AuditError>;

    fn commit(&mut self, mut items: Vec<Line>) -> Vec<Self::Ack> {
        let mut bytes = Vec::new();
        let mut copies = Vec::new();
        let mut fresh = Vec::new();
        let mut chain = self.chain;
        for item in &mut items {
            if !self.recent.contains(&item.id) && !fresh.contains(&item.id) {
                let line = chain.add(&item.line);
                bytes.extend_from_slice(&line);
                copies.extend(item.copy.take().map(|copy| with_line(copy, &line)));
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
                self.chain = chain;
                self.metrics.audit_written(fresh.len(), items.len());
                if let Some(feed) = &self.copies {
                    copies.into_iter().for_each(|copy| feed.offer(copy));
                }
                for id in fresh {
                    self.recent.insert(id);
                }
                if self.signed_at.is_none_or(|at| at.elapsed() >= CHECKPOINT_EVERY) {
                    self.sign(None);
                }
                if self.file.len() >= self.segment_bytes {
                    self.seal();
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

impl Writer {
    /// The records are on disk whether or not this succeeds; what is not signed now is signed with the next.
    fn sign(&mut self, seals: Option<String>) {
        let Some(checkpoints) = &mut self.checkpoints else {
            return;
        };
        if self.signed == self.chain.n && seals.is_none() {
            return;
        }
        match checkpoints.sign(&self.chain, seals) {
            Ok(()) => (self.signed, self.signed_at) = (self.chain.n, Some(Instant::now())),
            Err(error) => tracing::error!(%error, "a checkpoint of the audit log cannot be written"),
        }
    }

    /// Deletes sealed files, oldest first, whose newest record is too old. What was sealed stays in the checkpoints.
    fn retire(&self) {
        let Some(keep) = self.keep else { return };
        for sealed in segments::sealed(&self.path).unwrap_or_default() {
            let written = std::fs::metadata(&sealed).and_then(|file| file.modified());
            let age = written.ok().and_then(|at| at.elapsed().ok());
            if age.is_none_or(|age| age < keep) {
                return;
            }
            match std::fs::remove_file(&sealed) {
                Ok(()) => {
                    tracing::info!(segment = %sealed.display(), "deleted a sealed file of the audit log: it is older than `--audit-keep`")
                }
                Err(error) => {
                    tracing::error!(%error, segment = %sealed.display(), "a sealed file of the audit log cannot be deleted");
                    return;
                }
            }
        }
    }

    /// Gives the full file its name and begins another. If that fails, the full one grows on.
    fn seal(&mut self) {
        let sealed = segments::sealed_path(&self.path, self.segment_start);
        let name = sealed
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let begun = std::fs::rename(&self.path, &sealed).and_then(|()| LogFile::open(&self.path));
        match begun {
            Ok((file, _)) => {
                self.file = file;
                self.segment_start = self.chain.n + 1;
                self.sign(Some(name));
                self.retire();
            }
            Err(error) => {
                tracing::error!(%error, segment = name, "the audit log cannot be rotated");
                if sealed.exists() && !self.path.exists() {
                    let _ = std::fs::rename(&sealed, &self.path);
                }
            }
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.sign(None);
    }
}

#[cfg(test)]
mod tests;
