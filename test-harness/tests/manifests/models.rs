//! A second opinion: `@kubernetes-models/istio`, made by others from Istio's definitions, asked through Node. It knows neither the
//! definitions' CEL rules nor unknown fields, and no TrafficExtension yet.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use aplomb_test_harness::tools;
use serde_json::Value;

/// What it has to say of one object.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Opinion {
    Unknown,
    Valid,
    Wrong(String),
}

/// Node, and the folder in which it finds the models.
pub(crate) struct Models {
    node: PathBuf,
    modules: PathBuf,
}

impl Models {
    /// `None`: not installed.
    pub(crate) fn installed() -> Option<Self> {
        let name = "@kubernetes-models/istio";
        Some(Self {
            node: tools::needed("node", tools::program("node"))?,
            modules: tools::needed(name, tools::node_modules(name))?,
        })
    }

    pub(crate) fn of(&self, objects: &[Value]) -> Vec<Opinion> {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("models.mjs"), include_str!("models.mjs")).expect("written");
        std::os::unix::fs::symlink(&self.modules, folder.path().join("node_modules")).expect("linked");
        let mut child = Command::new(&self.node)
            .arg(folder.path().join("models.mjs"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("node runs");
        let mut input = child.stdin.take().expect("piped");
        let text = serde_json::to_vec(objects).expect("JSON");
        let writing = std::thread::spawn(move || input.write_all(&text));
        let output = child.wait_with_output().expect("ends");
        writing.join().expect("no panic").expect("node reads all of it");
        assert!(output.status.success(), "node failed; it says why above");
        let told: Vec<Option<String>> = serde_json::from_slice(&output.stdout).expect("an array");
        assert_eq!(told.len(), objects.len());
        let opinion = |told: Option<String>| match told {
            None => Opinion::Unknown,
            Some(nothing) if nothing.is_empty() => Opinion::Valid,
            Some(what) => Opinion::Wrong(what),
        };
        told.into_iter().map(opinion).collect()
    }
}
