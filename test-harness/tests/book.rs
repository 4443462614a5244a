//! The book (`docs/`) and the ready-made configurations say what the source does.

#[path = "book/alerts.rs"]
mod alerts;
#[path = "book/codes.rs"]
mod codes;
#[path = "book/configuration.rs"]
mod configuration;
#[path = "book/deploy.rs"]
mod deploy;
#[path = "book/envoy.rs"]
mod envoy;
#[path = "book/language.rs"]
mod language;
#[path = "book/links.rs"]
mod links;
#[path = "book/newcomer.rs"]
mod newcomer;

use std::path::Path;

use aplomb_test_harness::programs;

/// The text of a file of this repository.
fn text(path: &str) -> String {
    let path = programs::root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Runs `aplc` and returns whether it was content, and everything that it printed.
fn aplc(arguments: &[&str], folder: &Path) -> (bool, String) {
    let output = std::process::Command::new(programs::ours("aplc").expect("built"))
        .args(arguments)
        .current_dir(folder)
        .output()
        .expect("runs");
    let printed = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&printed).into_owned(),
    )
}
