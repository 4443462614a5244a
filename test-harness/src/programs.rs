//! Where the programs are that the tests and the demo start.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

/// The root of the source tree that this crate was built from.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap_or(Path::new("."))
        .to_owned()
}

/// One of our own programs, built beside the one that asks.
///
/// # Errors
/// When it was not built.
pub fn ours(name: &str) -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("cannot tell where this program is")?;
    // Tests lie in `deps/` below the programs.
    let found = own
        .ancestors()
        .skip(1)
        .take(2)
        .map(|folder| folder.join(name))
        .find(|path| path.is_file());
    found.with_context(|| format!("{name} is not built beside {}; fix: `make build`", own.display()))
}

/// Envoy: `APLOMB_ENVOY`, else what `make setup` installed.
///
/// # Errors
/// When it is not there.
pub fn envoy() -> anyhow::Result<PathBuf> {
    file("APLOMB_ENVOY", ".tools/envoy", "make setup")
}

/// The compiled filter: `APLOMB_WASM`, else what `make filter` built.
///
/// # Errors
/// When it is not there.
pub fn filter() -> anyhow::Result<PathBuf> {
    file("APLOMB_WASM", "dist/aplomb.wasm", "make filter")
}

fn file(variable: &str, below_root: &str, fix: &str) -> anyhow::Result<PathBuf> {
    let path = std::env::var_os(variable).map_or_else(|| root().join(below_root), PathBuf::from);
    if !path.is_file() {
        bail!("{} is not there; fix: `{fix}`", path.display());
    }
    Ok(path)
}
