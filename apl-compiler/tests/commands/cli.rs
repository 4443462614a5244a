//! Running `aplc` in a folder of its own.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

/// A policy with something of everything.
pub(crate) const POLICY: &str = include_str!("policy.yaml");

/// A folder with `policy.yaml`.
pub(crate) fn folder(policy: impl AsRef<[u8]>) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("policy.yaml"), policy).expect("written");
    folder
}

/// Runs `aplc`.
pub(crate) fn aplc(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_aplc"))
        .args(arguments)
        .current_dir(folder)
        .output()
        .expect("runs")
}

/// Runs, checks the exit code, and returns standard output and standard error.
pub(crate) fn run(folder: &Path, arguments: &[&str], code: i32) -> (String, String) {
    let output = aplc(folder, arguments);
    let out = String::from_utf8(output.stdout).expect("text");
    let err = String::from_utf8(output.stderr).expect("text");
    assert_eq!(
        output.status.code(),
        Some(code),
        "aplc {arguments:?}\n{out}\n{err}"
    );
    assert!(!err.contains("panicked"), "{err}");
    (out, err)
}
