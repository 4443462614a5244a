//! What `kubectl kustomize` makes of the objects that `aplc emit istio` writes and of the overlays that we ship.

use std::path::Path;
use std::process::Command;

use aplomb_test_harness::{programs, tools};

/// Name and text of the base and of each overlay, as they would be applied. `None`: no kubectl.
pub(crate) fn all(mode: &str) -> Option<Vec<(String, String)>> {
    let kubectl = tools::needed("kubectl", tools::program("kubectl/bin/kubectl"))?;
    let folder = tempfile::tempdir().expect("a folder");
    // Where they lie in the repository: the overlays name `../../base`.
    let istio = folder.path().join("istio");
    crate::emitted::istio(mode, &istio.join("base"), folder.path());
    let mut targets = vec!["base".to_owned()];
    let overlays = programs::root().join("istio/overlays");
    for overlay in std::fs::read_dir(&overlays).expect("overlays") {
        let overlay = overlay.expect("an entry");
        let name = format!("overlays/{}", overlay.file_name().to_string_lossy());
        copy(&overlay.path(), &istio.join(&name));
        targets.push(name);
    }
    targets.sort();
    assert!(targets.len() > 2, "{targets:?}");
    let build = |name: String| {
        let output = Command::new(&kubectl)
            .arg("kustomize")
            .arg(istio.join(&name))
            .output()
            .expect("runs");
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{name} ({mode}): {errors}");
        let text = String::from_utf8(output.stdout).expect("text");
        (format!("kubectl kustomize {name} ({mode})"), text)
    };
    Some(targets.into_iter().map(build).collect())
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        std::fs::copy(entry.path(), to.join(entry.file_name())).expect("copied");
    }
}
