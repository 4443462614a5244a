//! Istio objects.

mod around;
mod companion;
mod full;
mod plugins;

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use companion_protocol::config::LINES_FILE;
use serde_json::Value;

use super::built::{Built, Install};
use super::yaml::{Map, document, documents};
use super::{Fault, write};

/// The companion's port.
const PORT: u16 = 9470;

/// `aplc emit istio`.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// The folder that `aplc build -o` wrote. Its `--mode` decides what is written: `paired` (WasmPlugins), `full` (an
    /// EnvoyFilter), `single`.
    #[arg(long, value_name = "DIR")]
    build: PathBuf,
    /// The image of the module by digest, `oci://registry.example/aplomb@sha256:...` (`make image` prints the digest), or
    /// `file:///path` of a module that is mounted into the proxy.
    #[arg(long, value_name = "URL")]
    image: String,
    /// The image of the companion.
    #[arg(
        long,
        value_name = "IMAGE",
        default_value = "registry.example/aplomb-companion:0.1.0"
    )]
    companion_image: String,
    /// Where the filter runs.
    #[arg(long, value_enum, default_value = "gateway")]
    place: Place,
    /// The Gateway (gateway, waypoint) or the value of the label `app` (sidecar) that is governed.
    #[arg(long, value_name = "NAME", default_value = "agents")]
    name: String,
    /// Its namespace.
    #[arg(long, default_value = "agents")]
    namespace: String,
    /// The service account that the governed proxy runs as; only it may call the companion.
    #[arg(long, value_name = "NAME", default_value = "agents-istio")]
    service_account: String,
    /// The companion's namespace.
    #[arg(long, value_name = "NAMESPACE", default_value = "aplomb")]
    companion_namespace: String,
    /// A backend that must be reached through the governed proxy only, `NAMESPACE/APP`; may be given more than once.
    #[arg(long = "protect", value_name = "NAMESPACE/APP")]
    protected: Vec<String>,
    /// Write TrafficExtensions (Istio 1.31 and later) in place of WasmPlugins.
    #[arg(long)]
    traffic_extension: bool,
    /// The folder to write.
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
}

/// Where the filter runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Place {
    /// An ingress or egress gateway.
    Gateway,
    /// An ambient waypoint.
    Waypoint,
    /// The sidecar of the backend.
    Sidecar,
}

impl Options {
    fn companion_host(&self) -> String {
        format!("aplomb-companion.{}.svc.cluster.local", self.companion_namespace)
    }
}

pub(super) fn run(options: &Options) -> Result<(), Fault> {
    let mut built = Built::read(&options.build)?;
    if !options.image.starts_with("file://") {
        digest(&options.image)?;
    }
    adapt(&mut built, options);
    let mut files = vec![];
    files.push((
        "plugins.yaml",
        match built.install()? {
            Install::Full => full::objects(options, &built)?,
            Install::Paired | Install::Single => plugins::objects(options, &built)?,
        },
    ));
    if built.companion_cluster().is_some() {
        files.push(("companion.yaml", companion::objects(options, &built)));
    }
    files.push(("around.yaml", around::objects(options, &built)?));
    let names: Vec<&str> = files.iter().map(|(name, _)| *name).collect();
    let mut kustomization = Map::new()
        .with("apiVersion", "kustomize.config.k8s.io/v1beta1")
        .with("kind", "Kustomization")
        .with("resources", names);
    if built.companion_cluster().is_some() {
        write(&options.output.join("companion.json"), &built.companion_text)?;
        let mut mounted = vec!["companion.json"];
        if let Some(lines) = &built.lines_text {
            write(&options.output.join(LINES_FILE), lines)?;
            mounted.push(LINES_FILE);
        }
        kustomization = kustomization
            .with(
                "configMapGenerator",
                vec![
                    Map::new()
                        .with("name", "aplomb-companion")
                        .with("namespace", options.companion_namespace.as_str())
                        .with("files", mounted),
                ],
            )
            .because("Named by its content: another policy restarts the companion.");
    }
    let heading =
        "Written by `aplc emit istio`. Try it with `kubectl kustomize`, install it with `kubectl apply -k`.";
    files.push(("kustomization.yaml", document(heading, kustomization)));
    for (name, text) in &files {
        write(&options.output.join(name), text)?;
    }
    Ok(())
}

/// What the filter's configuration says otherwise in a mesh: the companion is a service of the mesh, and its token comes
/// from the proxy's environment.
fn adapt(built: &mut Built, options: &Options) {
    let host = options.companion_host();
    if let Some(Value::Object(companion)) = built.filter.get_mut("companion") {
        companion.insert("cluster".to_owned(), format!("outbound|{PORT}||{host}").into());
        companion.insert("authority".to_owned(), host.into());
        companion
            .entry("token_env")
            .or_insert_with(|| "APLOMB_COMPANION_TOKEN".into());
    }
}

/// The digest of an image that is named by it.
pub(super) fn digest(image: &str) -> Result<String, Fault> {
    let digest = image.split_once("@sha256:").map(|(_, digest)| digest);
    match digest {
        Some(digest)
            if digest.len() == 64
                && digest
                    .bytes()
                    .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)) =>
        {
            Ok(digest.to_owned())
        }
        _ => Err(Fault::Argument(format!(
            "`--image {image}` names no digest: a tag can be moved to another module; write `oci://REGISTRY/NAME@sha256:` and the 64 hex digits that `make image` prints"
        ))),
    }
}

/// `apiVersion`, `kind` and `metadata`.
fn object(api: &str, kind: &str, name: &str, namespace: &str) -> Map {
    Map::new().with("apiVersion", api).with("kind", kind).with(
        "metadata",
        Map::new().with("name", name).with("namespace", namespace),
    )
}

/// Objects of one file.
fn file(heading: &str, objects: Vec<Map>) -> String {
    let mut texts = Vec::new();
    for (number, object) in objects.into_iter().enumerate() {
        texts.push(document(if number == 0 { heading } else { "" }, object));
    }
    documents(texts)
}

/// What the plugin is attached to: `targetRefs` or `selector`.
fn attached(options: &Options, spec: Map) -> Map {
    match options.place {
        Place::Gateway | Place::Waypoint => spec.with(
            "targetRefs",
            vec![
                Map::new()
                    .with("group", "gateway.networking.k8s.io")
                    .with("kind", "Gateway")
                    .with("name", options.name.as_str()),
            ],
        ),
        Place::Sidecar => spec.with(
            "selector",
            Map::new().with("matchLabels", Map::new().with("app", options.name.as_str())),
        ),
    }
}
