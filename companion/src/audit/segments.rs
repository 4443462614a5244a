//! A log is a row of files: sealed segments, and the one that is written to.
//!
//! `audit.jsonl` is written to. When it is full it is renamed to `audit-000000000001.jsonl`, after the number of its first
//! record, and never touched again. Deleting the oldest segments is how an operator keeps a log short; `audit verify`
//! goes on from the checkpoint that sealed the last one deleted.

use std::io;
use std::path::{Path, PathBuf};

const DIGITS: usize = 12;

/// The name of a sealed segment.
pub(super) fn sealed_path(log: &Path, first: u64) -> PathBuf {
    log.with_file_name(format!("{}-{first:0DIGITS$}.jsonl", stem(log)))
}

/// The sealed segments, oldest first.
pub(super) fn sealed(log: &Path) -> io::Result<Vec<PathBuf>> {
    let directory = log.parent().filter(|d| !d.as_os_str().is_empty());
    let start = format!("{}-", stem(log));
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory.unwrap_or(Path::new(".")))? {
        let entry = entry?;
        let name = entry.file_name();
        let number = name
            .to_str()
            .and_then(|name| name.strip_prefix(&start)?.strip_suffix(".jsonl"))
            .filter(|digits| digits.len() >= DIGITS && digits.bytes().all(|b| b.is_ascii_digit()))
            .and_then(|digits| digits.parse::<u64>().ok());
        if let Some(number) = number {
            found.push((number, log.with_file_name(name)));
        }
    }
    found.sort();
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

fn stem(log: &Path) -> String {
    log.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}
