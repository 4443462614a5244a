//! Other people's programs: what `make setup` put into `.tools`, and what the system has.
//!
//! Used by the tests of other crates too, as a file: it stands on nothing but the standard library.

use std::path::{Path, PathBuf};

/// Where `make setup` puts them. Every crate lies directly below the root.
#[must_use]
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../.tools")
}

/// A program: ours in `.tools`, else the system's.
#[must_use]
pub fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let ours = folder().join(name);
    std::iter::once(ours)
        .chain(std::env::split_paths(&path).map(|folder| folder.join(name)))
        .find(|file| file.is_file())
}

/// What npm has installed, if `name` is among it: the folder of all of them, in which Node finds each.
#[must_use]
pub fn node_modules(name: &str) -> Option<PathBuf> {
    let modules = folder().join("node_modules");
    let there = modules.join(name).is_dir();
    there.then(|| std::fs::canonicalize(modules).ok()).flatten()
}

/// What a test needs and may be missing: without it the test says so and is skipped.
///
/// # Panics
/// With `CI=true`, where nothing may be missing.
#[must_use]
pub fn needed<T>(what: &str, found: Option<T>) -> Option<T> {
    if found.is_none() {
        let in_ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
        assert!(!in_ci, "{what} is not installed, and CI=true; fix: `make setup`");
        eprintln!("SKIPPED: {what} is not installed; fix: `make setup`");
    }
    found
}
