//! The OCI image of the module: a "compat" image as Istio's agent reads it, one gzipped tar layer that holds `plugin.wasm`
//! (istio `pkg/wasm/imagefetcher.go`), written as an OCI image layout (image-spec v1.1) without any daemon.
//!
//! Reproducible: the same module gives the same bytes, because every time is 0 and the compressor is part of this build.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use anyhow::Context as _;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Digest of the manifest: what a WasmPlugin pins.
    pub digest: String,
    /// Digest of the one layer.
    pub layer: String,
    /// Bytes of the layer.
    pub layer_bytes: usize,
}

/// Writes the layout of `module` into `folder`, which is made anew, with the tag `tag`.
///
/// # Errors
/// When a file cannot be read or written.
pub fn write(module: &Path, folder: &Path, tag: &str) -> anyhow::Result<Image> {
    let wasm =
        fs::read(module).with_context(|| format!("cannot read {}; fix: `make filter`", module.display()))?;
    anyhow::ensure!(
        wasm.starts_with(b"\0asm"),
        "{} is no WebAssembly module; fix: `make filter`",
        module.display()
    );
    if folder.exists() {
        anyhow::ensure!(
            folder.join("oci-layout").is_file(),
            "{} is there and is no OCI layout; name another folder",
            folder.display()
        );
        fs::remove_dir_all(folder).with_context(|| format!("cannot replace {}", folder.display()))?;
    }
    let blobs = folder.join("blobs/sha256");
    fs::create_dir_all(&blobs).with_context(|| format!("cannot make {}", blobs.display()))?;

    let tar = tar(&wasm)?;
    let layer = gzip(&tar)?;
    let layer_digest = blob(&blobs, &layer)?;
    let config = text(&json!({
        "architecture": "wasm",
        "os": "wasi",
        "config": {},
        "rootfs": { "type": "layers", "diff_ids": [digest(&tar)] },
    }))?;
    let config_digest = blob(&blobs, &config)?;
    let manifest = text(&json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": { "mediaType": CONFIG, "digest": config_digest, "size": config.len() },
        "layers": [{ "mediaType": LAYER, "digest": layer_digest, "size": layer.len() }],
        "annotations": {
            "org.opencontainers.image.title": "aplomb",
            "org.opencontainers.image.version": env!("CARGO_PKG_VERSION"),
            "org.opencontainers.image.licenses": "Apache-2.0",
        },
    }))?;
    let manifest_digest = blob(&blobs, &manifest)?;
    let index = text(&json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [{
            "mediaType": MANIFEST,
            "digest": manifest_digest,
            "size": manifest.len(),
            "annotations": { "org.opencontainers.image.ref.name": tag },
        }],
    }))?;
    put(&folder.join("index.json"), &index)?;
    put(
        &folder.join("oci-layout"),
        &text(&json!({ "imageLayoutVersion": "1.0.0" }))?,
    )?;
    Ok(Image {
        digest: manifest_digest,
        layer: layer_digest,
        layer_bytes: layer.len(),
    })
}

fn tar(wasm: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut header = tar::Header::new_ustar();
    header.set_size(wasm.len() as u64);
    header.set_mode(0o644);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    let mut archive = tar::Builder::new(Vec::new());
    archive.append_data(&mut header, "plugin.wasm", wasm)?;
    Ok(archive.into_inner()?)
}

fn gzip(bytes: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut out = flate2::GzBuilder::new()
        .mtime(0)
        .operating_system(255)
        .write(Vec::new(), flate2::Compression::best());
    out.write_all(bytes)?;
    Ok(out.finish()?)
}

fn digest(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = "sha256:".to_owned();
    for byte in Sha256::digest(bytes) {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn blob(folder: &Path, bytes: &[u8]) -> anyhow::Result<String> {
    let digest = digest(bytes);
    let name = digest.strip_prefix("sha256:").unwrap_or(&digest);
    put(&folder.join(name), bytes)?;
    Ok(digest)
}

fn put(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}

fn text(value: &Value) -> anyhow::Result<Vec<u8>> {
    Ok(serde_json::to_vec(value)?)
}
