//! Which files hold tests.

use std::fs;
use std::path::{Path, PathBuf};

use crate::Fault;

/// Deepest folder that is looked into.
const MAX_DEPTH: usize = 16;

/// Test files among these: files as they are, policies by the test file beside them, folders with all in them.
pub(super) fn find(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Fault> {
    let here = [PathBuf::from(".")];
    let paths = if paths.is_empty() { &here[..] } else { paths };
    let mut found = Vec::new();
    for path in paths {
        if path.is_dir() {
            let before = found.len();
            folder(path, 0, &mut found)?;
            if found.len() == before {
                return Err(Fault::Argument(format!(
                    "no `*.test.yaml` in `{}`; write one beside the policy, or name it",
                    path.display()
                )));
            }
        } else if is_test(path) {
            found.push(path.clone());
        } else {
            found.push(beside(path)?);
        }
    }
    found.dedup();
    Ok(found)
}

fn folder(path: &Path, depth: usize, found: &mut Vec<PathBuf>) -> Result<(), Fault> {
    let fault = |cause| Fault::File {
        doing: "read",
        path: path.to_owned(),
        cause,
    };
    let mut entries: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(path).map_err(fault)? {
        entries.push(entry.map_err(fault)?.path());
    }
    // The same order on every machine.
    entries.sort();
    for entry in entries {
        let name = entry
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        // A link may lead back up.
        if entry.is_dir() && !entry.is_symlink() {
            if depth < MAX_DEPTH && !name.starts_with('.') && name != "target" {
                folder(&entry, depth + 1, found)?;
            }
        } else if is_test(&entry) {
            // As people would type it.
            found.push(
                entry
                    .strip_prefix(".")
                    .map_or_else(|_| entry.clone(), Path::to_owned),
            );
        }
    }
    Ok(())
}

fn is_test(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.ends_with(".test.yaml") || name.ends_with(".test.yml")
}

/// `policy.test.yaml` for `policy.yaml`.
fn beside(policy: &Path) -> Result<PathBuf, Fault> {
    let stem = policy
        .file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let candidates = ["yaml", "yml"].map(|end| policy.with_file_name(format!("{stem}.test.{end}")));
    match candidates.iter().find(|path| path.is_file()) {
        Some(found) => Ok(found.clone()),
        None => Err(Fault::Argument(format!(
            "`{}` has no tests: there is no `{stem}.test.yaml` beside it",
            policy.display()
        ))),
    }
}
