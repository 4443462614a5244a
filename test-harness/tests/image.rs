//! The module's image: reproducible, and in a real registry what Istio's agent looks for.

use std::path::{Path, PathBuf};
use std::process::Command;

use aplomb_test_harness::patience::PATIENCE;
use aplomb_test_harness::process::{Process, answers};
use aplomb_test_harness::{image, ports, programs, tools};
use sha2::{Digest as _, Sha256};

const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

fn installed(name: &str) -> Option<PathBuf> {
    tools::needed(name, tools::program(name))
}

fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for folder in [folder.to_owned(), folder.join("blobs/sha256")] {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_file() {
                let name = path.file_name().expect("a name").to_string_lossy().into_owned();
                all.push((name, std::fs::read(&path).expect("a file")));
            }
        }
    }
    all.sort();
    all
}

#[test]
fn the_same_module_gives_the_same_bytes() {
    let folder = tempfile::tempdir().expect("a folder");
    let module = programs::filter().expect("built");
    let (one, two) = (folder.path().join("one"), folder.path().join("two"));
    let first = image::write(&module, &one, "1").expect("written");
    let second = image::write(&module, &two, "1").expect("written");
    assert_eq!(first, second);
    assert_eq!(files(&one), files(&two));
    // Each blob lies under its digest.
    for (name, bytes) in files(&one) {
        if name.len() == 64 {
            let digest: String = Sha256::digest(&bytes)
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect();
            assert_eq!(digest, name);
        }
    }
}

#[test]
fn what_is_no_module_or_no_layout_is_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = folder.path().join("text");
    std::fs::write(&text, "no module").expect("written");
    let error = image::write(&text, &folder.path().join("out"), "1").expect_err("refused");
    assert!(error.to_string().contains("make filter"), "{error}");
    let taken = folder.path().join("taken");
    std::fs::create_dir(&taken).expect("made");
    std::fs::write(taken.join("precious"), "x").expect("written");
    let module = programs::filter().expect("built");
    image::write(&module, &taken, "1").expect_err("refused");
    assert!(taken.join("precious").is_file());
}

#[tokio::test]
async fn a_registry_serves_it_as_istio_expects() {
    let (Some(registry), Some(skopeo)) = (installed("docker-registry"), installed("skopeo")) else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let module = programs::filter().expect("built");
    let layout = folder.path().join("layout");
    let written = image::write(&module, &layout, "1").expect("written");
    let address = ports::free().expect("a port");
    let config = folder.path().join("registry.yml");
    let storage = folder.path().join("storage");
    let text = format!(
        "version: 0.1\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: \"{address}\"}}\n",
        storage.display()
    );
    std::fs::write(&config, text).expect("written");
    let mut command = tokio::process::Command::new(registry);
    command.arg("serve").arg(&config);
    let log = folder.path().join("registry.log");
    let mut process = Process::start("docker-registry", command, &log).expect("starts");
    let root = format!("http://{address}/v2/");
    let client = reqwest::Client::new();
    process
        .wait_until(PATIENCE, || answers(&client, &root))
        .await
        .expect("answers");

    let copied = Command::new(skopeo)
        .args(["--insecure-policy", "copy", "--dest-tls-verify=false"])
        .arg(format!("oci:{}:1", layout.display()))
        .arg(format!("docker://{address}/aplomb:1"))
        .output()
        .expect("runs");
    assert!(
        copied.status.success(),
        "{}",
        String::from_utf8_lossy(&copied.stderr)
    );

    // What Istio's agent does: the manifest by its digest, its last layer, `plugin.wasm` in that.
    let answer = client
        .get(format!("{root}aplomb/manifests/{}", written.digest))
        .header("accept", "application/vnd.oci.image.manifest.v1+json")
        .send()
        .await
        .expect("answers");
    assert!(answer.status().is_success(), "{}", answer.status());
    let bytes = answer.bytes().await.expect("a body");
    let manifest: serde_json::Value = serde_json::from_slice(&bytes).expect("JSON");
    let layers = manifest["layers"].as_array().expect("layers");
    assert_eq!(layers.len(), 1);
    assert_eq!(layers[0]["mediaType"], LAYER);
    assert_eq!(layers[0]["digest"], written.layer.as_str());
    let layer = client
        .get(format!("{root}aplomb/blobs/{}", written.layer))
        .send()
        .await
        .expect("answers")
        .bytes()
        .await
        .expect("a body");
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(&layer[..]));
    let mut entries = archive.entries().expect("a tar");
    let mut entry = entries.next().expect("one file").expect("readable");
    assert_eq!(entry.path().expect("a path").to_string_lossy(), "plugin.wasm");
    let mut wasm = Vec::new();
    std::io::Read::read_to_end(&mut entry, &mut wasm).expect("readable");
    assert_eq!(wasm, std::fs::read(&module).expect("the module"));
    assert!(entries.next().is_none(), "one file only");
}
