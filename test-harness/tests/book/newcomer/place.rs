//! A folder that looks like a clone with everything built, in which a page may write what it likes.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use aplomb_test_harness::programs;
use tempfile::TempDir;

use super::page::{Page, missing};

/// Nothing takes so long but what hangs; seconds.
const LIMIT: &str = "1800";

/// What a page writes to, or what is not of the sources.
const OWN: [&str; 6] = [".git", "target", "istio", "build", "try", ".demo"];

/// The folder; `home` beside it has what the commands find in theirs.
pub(super) struct Place {
    dir: TempDir,
}

impl Place {
    /// Links to the sources and what was built; `make` works in the sources themselves, where everything is built already.
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let (root, place) = (programs::root(), Place { dir });
        let folder = place.folder();
        std::fs::create_dir_all(&folder).expect("a folder");
        for entry in std::fs::read_dir(&root).expect("the sources") {
            let entry = entry.expect("an entry");
            let name = entry.file_name();
            if !OWN.iter().any(|own| name.to_str() == Some(own)) {
                symlink(entry.path(), folder.join(&name)).expect("linked");
            }
        }
        let debug = programs::ours("aplc").expect("built");
        let target = debug.ancestors().nth(2).expect("a target folder");
        symlink(target, folder.join("target")).expect("linked");
        copy(&root.join("istio/overlays"), &folder.join("istio/overlays"));
        symlink(root.join("examples/hr/policy.yaml"), folder.join("policy.yaml")).expect("linked");
        let make = place.file(
            "bin/make",
            &format!(
                "#!/bin/sh\nunset LD_LIBRARY_PATH CARGO\nHOME='{}' PATH=\"${{PATH#*:}}\" exec make -C '{}' \"$@\"\n",
                std::env::var("HOME").unwrap_or_default(),
                root.display()
            ),
        );
        std::fs::set_permissions(&make, std::fs::Permissions::from_mode(0o755)).expect("executable");
        place
    }

    /// Where the commands run.
    pub(super) fn folder(&self) -> PathBuf {
        self.dir.path().join("clone")
    }

    /// Writes a file beside the folder.
    pub(super) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(&path, text).expect("written");
        path
    }

    /// Lets container programs use this registry without TLS.
    pub(super) fn allow_plain_registry(&self, address: &str) {
        let registry = format!("[[registry]]\nlocation = \"{address}\"\ninsecure = true\n");
        self.file("home/.config/containers/registries.conf", &registry);
        let anything = r#"{"default": [{"type": "insecureAcceptAnything"}]}"#;
        self.file("home/.config/containers/policy.json", anything);
    }

    /// Runs a page and compares what it shows.
    pub(super) fn run(&self, page: &Page) {
        let mut script = "set -euo pipefail\ntrap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n".to_owned();
        for (number, block) in page.blocks.iter().enumerate() {
            script.push_str(&format!("echo '@@@@{number}'\n{}\n", block.commands));
        }
        script.push_str("echo '@@@@end'\n");
        let script = self.file("page.sh", &script);
        let output = self.dir.path().join("output");
        let file = std::fs::File::create(&output).expect("a file");
        let path = std::env::var("PATH").unwrap_or_default();
        let (bin, target) = (self.dir.path().join("bin"), self.folder().join("target/debug"));
        let kubectl = programs::root().join(".tools/kubectl/bin");
        let status = Command::new("timeout")
            .args([LIMIT, "bash"])
            .arg(script)
            .current_dir(self.folder())
            .env(
                "PATH",
                format!(
                    "{}:{}:{}:{path}",
                    bin.display(),
                    target.display(),
                    kubectl.display()
                ),
            )
            .env("HOME", self.file("home/.keep", "").parent().expect("a folder"))
            .stdin(std::process::Stdio::null())
            .stdout(file.try_clone().expect("a file"))
            .stderr(file)
            .status()
            .expect("runs");
        let printed = String::from_utf8_lossy(&std::fs::read(&output).expect("output")).into_owned();
        for (number, block) in page.blocks.iter().enumerate() {
            let place = format!("{}, line {}", page.name, block.line);
            let begin = format!("@@@@{number}\n");
            let Some((_, rest)) = printed.split_once(&begin) else {
                panic!("{place} was not reached ({status}):\n{printed}");
            };
            let Some((own, _)) = rest.split_once("@@@@") else {
                panic!("{place} failed ({status}):\n{}\n{rest}", block.commands);
            };
            if let Some(line) = missing(&block.shown, own) {
                panic!("{place} does not print `{line}`, but\n{own}");
            }
        }
        assert!(status.success(), "{}: {status}", page.name);
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        match from.is_dir() {
            true => copy(&from, &to),
            false => drop(std::fs::copy(from, to).expect("copied")),
        }
    }
}
