//! What `aplc emit` writes for the example, in every mode and place.

use std::path::Path;
use std::process::Command;

use aplomb_test_harness::programs;

/// A digest that no image has.
fn image() -> String {
    format!("oci://registry.example/aplomb@sha256:{}", "0".repeat(64))
}

fn aplc(arguments: &[&str]) {
    let output = Command::new(programs::ours("aplc").expect("built"))
        .args(arguments)
        .output()
        .expect("runs");
    assert!(
        output.status.success(),
        "aplc {arguments:?}:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of text")
}

/// Builds the example in `scratch` for this mode.
fn built(mode: &str, scratch: &Path) -> std::path::PathBuf {
    let policy = programs::root().join("examples/hr/policy.yaml");
    let build = scratch.join(mode);
    let arguments = ["build", text(&policy), "-o", text(&build), "--mode", mode];
    aplc(&[&arguments[..], &["--protocol", "/hr/mcp=mcp"]].concat());
    build
}

/// Writes the objects for Istio into `out`, for a gateway.
pub(crate) fn istio(mode: &str, out: &Path, scratch: &Path) {
    let build = built(mode, scratch);
    let arguments = ["emit", "istio", "--build", text(&build), "--image", &image()];
    aplc(&[&arguments[..], &["--protect", "hr/workday", "-o", text(out)]].concat());
}

/// The same of a policy whose labels lie in a store that companions share.
pub(crate) fn istio_with_a_shared_store(out: &Path, scratch: &Path) {
    let example =
        std::fs::read_to_string(programs::root().join("examples/hr/policy.yaml")).expect("the example");
    let store = "session_store: {kind: valkey, endpoint: 'rediss://labels.example:6379'}";
    let policy = scratch.join("shared.yaml");
    let text_of = example.replace("\nglobal:\n", &format!("\nglobal:\n  {store}\n"));
    std::fs::write(&policy, text_of).expect("written");
    let build = scratch.join("shared");
    let arguments = ["build", text(&policy), "-o", text(&build), "--mode", "paired"];
    aplc(&[&arguments[..], &["--protocol", "/hr/mcp=mcp"]].concat());
    let arguments = ["emit", "istio", "--build", text(&build), "--image", &image()];
    aplc(&[&arguments[..], &["-o", text(out)]].concat());
}

/// Name and text of every file.
pub(crate) fn all() -> Vec<(String, String)> {
    let folder = tempfile::tempdir().expect("a folder");
    let image = image();
    let mut files = Vec::new();
    let shared = folder.path().join("with-a-shared-store");
    istio_with_a_shared_store(&shared, folder.path());
    read(
        &shared,
        "emit istio (paired, gateway, a shared store)",
        &mut files,
    );
    for mode in ["paired", "full", "single"] {
        let build = built(mode, folder.path());
        for place in ["gateway", "waypoint", "sidecar"] {
            for kind in ["wasm-plugin", "traffic-extension"] {
                let out = folder.path().join(format!("{mode}-{place}-{kind}"));
                let mut arguments = vec!["emit", "istio", "--build", text(&build), "--image", &image];
                arguments.extend(["--place", place, "--protect", "hr/workday", "-o", text(&out)]);
                if kind == "traffic-extension" {
                    arguments.push("--traffic-extension");
                }
                aplc(&arguments);
                read(&out, &format!("emit istio ({mode}, {place}, {kind})"), &mut files);
            }
        }
        if mode != "full" {
            let out = folder.path().join(format!("gateway-{mode}.yaml"));
            aplc(&[
                "emit",
                "envoy-gateway",
                "--build",
                text(&build),
                "--image",
                &image,
                "-o",
                text(&out),
            ]);
            let written = std::fs::read_to_string(&out).expect("written");
            files.push((format!("emit envoy-gateway ({mode})"), written));
        }
    }
    files
}

fn read(folder: &Path, name: &str, files: &mut Vec<(String, String)>) {
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    paths.sort();
    for path in paths {
        let file = path.file_name().expect("a name").to_string_lossy().into_owned();
        files.push((
            format!("{name} {file}"),
            std::fs::read_to_string(&path).expect("a text"),
        ));
    }
}
