//! `aplomb-companion audit verify`: what is wrong with a log, and what nobody can know.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use companion_protocol::AuditRecord;
use serde::Serialize;

use super::chain::{Chain, Hash, Linked};
use super::checkpoint::{self, Checkpoint, VerifyingKey};
use super::numbers::{Missing, Numbers};
use super::segments;
use crate::store::hex;

/// What no chain can prove. `audit verify` says so every time.
pub const LIMITS: [&str; 4] = [
    "records cut off the end together with their checkpoints leave no trace: compare the last number and hash with a copy kept elsewhere",
    "whoever holds the signing key can write another log",
    "what a worker numbered after its last delivery and lost is counted nowhere",
    "that a record is true: the chain shows that it was written, not that the proxy told the truth",
];

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, thiserror::Error)]
#[serde(tag = "finding", rename_all = "snake_case")]
pub enum Finding {
    /// The hash does not fit: the record, or its place, is another one than was written.
    #[error("record {n} was changed")]
    Changed {
        /// Which.
        n: u64,
    },
    /// Numbers are missing.
    #[error("records {from} to {to} were removed")]
    Removed {
        /// The first.
        from: u64,
        /// The last.
        to: u64,
    },
    /// It stands behind a later one, or twice.
    #[error("record {n} stands in another place than it was written")]
    Reordered {
        /// Which.
        n: u64,
    },
    /// A line that nobody chained stands among lines that are.
    #[error("line {line} of `{segment}` is no record of this log")]
    Foreign {
        /// Which file.
        segment: String,
        /// Which line, from 1.
        line: u64,
    },
    /// A checkpoint vouches for another record.
    #[error("record {n} is not the one that checkpoint {c} was signed over: the log was rewritten")]
    Rewritten {
        /// Which record.
        n: u64,
        /// Which checkpoint.
        c: u64,
    },
    /// A checkpoint vouches for a record behind the end.
    #[error("the log ends at record {last}, checkpoint {c} was signed over record {n}: the end was cut off")]
    Truncated {
        /// Where the log ends.
        last: u64,
        /// What the checkpoint has seen.
        n: u64,
        /// Which checkpoint.
        c: u64,
    },
    /// The signature is not this key's.
    #[error("checkpoint {c} has a wrong signature")]
    Signature {
        /// Which.
        c: u64,
    },
    /// A checkpoint is missing, or its line was changed.
    #[error("checkpoint {c} does not follow the one before it")]
    Checkpoint {
        /// Which.
        c: u64,
    },
    /// A line of the checkpoint file is none.
    #[error("line {line} of the checkpoint file is no checkpoint")]
    NoCheckpoint {
        /// Which line, from 1.
        line: u64,
    },
    /// A worker numbered records that never came: they were queued when it was killed, or were removed before they were
    /// chained.
    #[error("worker `{stream}` numbered {missing} records between {from} and {to} that are not here")]
    Lost {
        /// The worker's life.
        stream: String,
        /// The first missing number.
        from: u64,
        /// The last missing number.
        to: u64,
        /// How many.
        missing: u64,
    },
}

/// What was found out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// What is wrong, sorted.
    pub findings: Vec<Finding>,
    /// Records that were read.
    pub records: u64,
    /// Records from before the chain began; nothing is known about them.
    pub unchained: u64,
    /// The first record's number; greater than 1 when older segments were deleted.
    pub first: u64,
    /// The last record's number.
    pub last: u64,
    /// The last record's hash, hex.
    pub head: String,
    /// The last record that a checkpoint with a right signature vouches for; 0: none, or no key was given.
    pub signed_to: u64,
    /// Checkpoints that were read.
    pub checkpoints: u64,
    /// What workers had numbered when they sent their last records and what is not here: on its way from a worker that
    /// lives, lost with one that was killed.
    pub outstanding: Vec<Outstanding>,
}

/// Records behind the last one of a worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Outstanding {
    /// The worker's life.
    pub stream: String,
    /// The first number.
    pub from: u64,
    /// The last number.
    pub to: u64,
}

/// Logs that companions on one store wrote: a worker's records lie in one or another of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Together {
    /// Of each log alone, in the order in which they were given.
    pub logs: Vec<Verdict>,
    /// What is in none of them.
    pub findings: Vec<Finding>,
    /// As [`Verdict::outstanding`], in none of them.
    pub outstanding: Vec<Outstanding>,
}

impl Together {
    /// Nothing is wrong with any.
    pub fn is_whole(&self) -> bool {
        self.findings.is_empty() && self.logs.iter().all(|log| log.findings.is_empty())
    }
}

/// Reads the log's segments and checkpoints. Without a key, signatures are not checked.
pub fn verify(log: &Path, key: Option<&VerifyingKey>) -> io::Result<Verdict> {
    let (mut verdict, numbers) = chained(log, key)?;
    let (lost, outstanding) = delivered(&numbers, verdict.first <= 1);
    verdict.findings.extend(lost);
    verdict.findings.sort_unstable();
    verdict.outstanding = outstanding;
    Ok(verdict)
}

/// The same for several logs with their keys: each chain by itself, and what workers numbered over all of them.
pub fn verify_together(logs: &[(&Path, Option<&VerifyingKey>)]) -> io::Result<Together> {
    let mut numbers = Numbers::default();
    let mut verdicts = Vec::new();
    for (log, key) in logs {
        let (verdict, of_log) = chained(log, *key)?;
        verdicts.push(verdict);
        numbers.extend(of_log);
    }
    let from_the_start = verdicts.iter().all(|verdict| verdict.first <= 1);
    let (findings, outstanding) = delivered(&numbers, from_the_start);
    Ok(Together {
        logs: verdicts,
        findings,
        outstanding,
    })
}

fn chained(log: &Path, key: Option<&VerifyingKey>) -> io::Result<(Verdict, Numbers)> {
    let mut verifier = Verifier::default();
    verifier.read_checkpoints(log, key)?;
    let mut files = segments::sealed(log)?;
    if log.exists() {
        files.push(log.to_owned());
    }
    if files.is_empty() {
        let message = format!("there is no log `{}`", log.display());
        return Err(io::Error::new(io::ErrorKind::NotFound, message));
    }
    for file in &files {
        verifier.read_segment(file)?;
    }
    Ok(verifier.finish())
}

/// What workers numbered and is not here. A worker numbers from 0; an operator's act is alone and has number 0. Deleted
/// segments explain a later start.
fn delivered(numbers: &Numbers, from_the_start: bool) -> (Vec<Finding>, Vec<Outstanding>) {
    let (mut findings, mut outstanding) = (Vec::new(), Vec::new());
    for Missing { stream, gaps, behind } in numbers.missing(from_the_start) {
        let stream = stream.to_owned();
        if let Some((from, to)) = behind {
            let stream = stream.clone();
            outstanding.push(Outstanding { stream, from, to });
        }
        if let (Some((from, _)), Some((_, to))) = (gaps.first(), gaps.last()) {
            findings.push(Finding::Lost {
                stream,
                from: *from,
                to: *to,
                missing: gaps.iter().map(|(from, to)| to - from + 1).sum(),
            });
        }
    }
    (findings, outstanding)
}

#[derive(Default)]
struct Verifier {
    findings: BTreeSet<Finding>,
    /// By record number: what checkpoints vouch for.
    vouched: BTreeMap<u64, (Hash, u64)>,
    checkpoints: u64,
    best_signed: BTreeSet<u64>,
    signed_to: u64,
    missing: BTreeSet<u64>,
    head: Option<Chain>,
    first: u64,
    records: u64,
    unchained: u64,
    numbers: Numbers,
}

/// More missing numbers than this are reported as a range at once; whether one of them turns up elsewhere is not looked at.
const MOST_REMEMBERED: u64 = 100_000;

impl Verifier {
    fn read_checkpoints(&mut self, log: &Path, key: Option<&VerifyingKey>) -> io::Result<()> {
        let path = checkpoint::path_of(log);
        if !path.exists() {
            return Ok(());
        }
        let (mut before, mut last_c) = (checkpoint::none(), 0);
        for (at, line) in BufReader::new(File::open(path)?).lines().enumerate() {
            let line = line?;
            let parsed = serde_json::from_str::<Checkpoint>(&line).ok();
            let Some((checkpoint, place)) = parsed.and_then(|c| c.place().map(|place| (c, place))) else {
                self.findings
                    .insert(Finding::NoCheckpoint { line: at as u64 + 1 });
                before = checkpoint::digest(&line);
                continue;
            };
            let c = checkpoint.c;
            self.checkpoints += 1;
            if c != last_c + 1 || checkpoint.before != before {
                self.findings.insert(Finding::Checkpoint { c });
            }
            (before, last_c) = (checkpoint::digest(&line), c);
            match key {
                Some(key) if !checkpoint.is_signed_by(key) => {
                    self.findings.insert(Finding::Signature { c });
                    continue;
                }
                Some(_) => {
                    self.best_signed.insert(place.n);
                }
                None => {}
            }
            self.vouched.insert(place.n, (place.hash, c));
        }
        Ok(())
    }

    fn read_segment(&mut self, path: &PathBuf) -> io::Result<()> {
        for (at, line) in BufReader::new(File::open(path)?).split(b'\n').enumerate() {
            let line = line?;
            let record = std::str::from_utf8(&line).ok().and_then(|text| {
                let record = serde_json::from_str::<AuditRecord>(text).ok()?;
                Some((Linked::parse(text), record))
            });
            match record {
                Some((Some(linked), record)) => {
                    self.link(&linked);
                    self.numbers.insert(&record);
                }
                // Written before there was a chain.
                Some((None, record)) if self.head.is_none() => {
                    self.unchained += 1;
                    self.numbers.insert(&record);
                }
                Some((None, _)) | None => {
                    self.findings.insert(Finding::Foreign {
                        segment: path
                            .file_name()
                            .unwrap_or_default()
                            .to_string_lossy()
                            .into_owned(),
                        line: at as u64 + 1,
                    });
                }
            }
        }
        Ok(())
    }

    fn link(&mut self, linked: &Linked<'_>) {
        let place = linked.place;
        self.records += 1;
        let before = match self.head {
            None => {
                self.first = place.n;
                match place.n {
                    1 => Some(Chain::START.hash),
                    n => self.vouched_for(n - 1),
                }
            }
            Some(head) if place.n <= head.n => {
                self.missing.remove(&place.n);
                self.findings.insert(Finding::Reordered { n: place.n });
                return;
            }
            Some(head) if place.n == head.n + 1 => Some(head.hash),
            Some(head) => {
                if place.n - head.n > MOST_REMEMBERED {
                    let (from, to) = (head.n + 1, place.n - 1);
                    self.findings.insert(Finding::Removed { from, to });
                } else {
                    self.missing.extend(head.n + 1..place.n);
                }
                self.vouched_for(place.n - 1)
            }
        };
        if before.is_some_and(|before| !linked.follows(&before)) {
            self.findings.insert(Finding::Changed { n: place.n });
        }
        if let Some((hash, c)) = self.vouched.get(&place.n) {
            if *hash != place.hash {
                self.findings.insert(Finding::Rewritten { n: place.n, c: *c });
            } else if self.best_signed.contains(&place.n) {
                self.signed_to = place.n;
            }
        }
        self.head = Some(place);
    }

    fn vouched_for(&self, n: u64) -> Option<Hash> {
        self.vouched.get(&n).map(|(hash, _)| *hash)
    }

    fn finish(mut self) -> (Verdict, Numbers) {
        let last = self.head.unwrap_or(Chain::START);
        let mut missing = self.missing.iter().copied().peekable();
        while let Some(from) = missing.next() {
            let mut to = from;
            while missing.next_if_eq(&(to + 1)).is_some() {
                to += 1;
            }
            self.findings.insert(Finding::Removed { from, to });
        }
        if let Some((&n, &(_, c))) = self.vouched.last_key_value()
            && n > last.n
        {
            let last = last.n;
            self.findings.insert(Finding::Truncated { last, n, c });
        }
        let verdict = Verdict {
            findings: self.findings.into_iter().collect(),
            records: self.records + self.unchained,
            unchained: self.unchained,
            first: self.first,
            last: last.n,
            head: hex(&last.hash),
            signed_to: self.signed_to,
            checkpoints: self.checkpoints,
            outstanding: Vec::new(),
        };
        (verdict, self.numbers)
    }
}

#[cfg(test)]
mod tests;
