//! `--watch`: runs again whenever a test file or a policy changes.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, SystemTime};

use crate::command::Test as Arguments;
use crate::{End, Fault};

/// Between two looks. Polling works the same on every system and on every file system.
const PAUSE: Duration = Duration::from_millis(300);

/// Never ends by itself.
pub(super) fn run(arguments: &Arguments) -> Result<End, Fault> {
    loop {
        let involved = match super::once(arguments) {
            Ok((_, involved)) => involved,
            // A file may be half written, or gone for a moment while an editor replaces it.
            Err(fault) => {
                eprintln!("aplc: {fault}");
                super::files::find(&arguments.paths).unwrap_or_default()
            }
        };
        let seen = stamps(&involved);
        println!("watching {} files; press Ctrl-C to end", involved.len());
        loop {
            thread::sleep(PAUSE);
            if stamps(&involved) != seen || !known(arguments, &involved) {
                break;
            }
        }
    }
}

fn stamps(files: &[PathBuf]) -> BTreeMap<&PathBuf, Option<(SystemTime, u64)>> {
    let stamp = |file: &PathBuf| {
        let about = std::fs::metadata(file).ok()?;
        Some((about.modified().ok()?, about.len()))
    };
    files.iter().map(|file| (file, stamp(file))).collect()
}

/// Whether there is no test file but those that ran.
fn known(arguments: &Arguments, involved: &[PathBuf]) -> bool {
    match super::files::find(&arguments.paths) {
        Ok(found) => found.iter().all(|file| involved.contains(file)),
        Err(_) => involved.is_empty(),
    }
}
