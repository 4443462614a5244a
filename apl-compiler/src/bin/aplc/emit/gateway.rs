//! Envoy Gateway and Envoy AI Gateway.

use std::path::PathBuf;

use clap::Args;

use super::built::{Built, Install};
use super::yaml::{Map, Yaml, document};
use super::{Fault, put};

/// `aplc emit envoy-gateway`.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// The folder that `aplc build -o` wrote, with `--mode paired` or `--mode single`.
    #[arg(long, value_name = "DIR")]
    build: PathBuf,
    /// The image of the module, by digest: `registry.example/aplomb@sha256:...`.
    #[arg(long, value_name = "IMAGE")]
    image: String,
    /// The Gateway or HTTPRoute that is governed.
    #[arg(long, value_name = "KIND/NAME", default_value = "Gateway/agents")]
    target: String,
    /// Its namespace.
    #[arg(long, default_value = "default")]
    namespace: String,
    /// The file to write; otherwise standard output.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

const HEADING: &str = "Written by `aplc emit envoy-gateway`.
Envoy Gateway cannot set `allow_on_headers_stop_iteration`, and gives its Wasm filters no cluster of the companion by itself:
docs/envoy-gateway.md says what that means and how the companion becomes reachable.";

pub(super) fn run(options: &Options) -> Result<(), Fault> {
    let built = Built::read(&options.build)?;
    let (kind, name) = options.target.split_once('/').ok_or_else(|| {
        Fault::Argument(format!(
            "`--target {}`: write `Gateway/NAME` or `HTTPRoute/NAME`",
            options.target
        ))
    })?;
    let digest = super::istio::digest(&options.image)?;
    let whole = serde_json::Value::Object(built.filter.clone());
    let wasm = match built.install()? {
        Install::Full => {
            return Err(Fault::Argument(
                "an EnvoyExtensionPolicy cannot set what `install.mode: full` needs; build with `aplc build --mode paired`"
                    .to_owned(),
            ));
        }
        Install::Single => vec![entry("aplomb", options, &digest, &built, &whole)],
        Install::Paired => vec![
            entry("aplomb-decider", options, &digest, &built, &whole),
            entry("aplomb-holder", options, &digest, &built, &super::envoy_holder()),
        ],
    };
    let policy = Map::new()
        .with("apiVersion", "gateway.envoyproxy.io/v1alpha1")
        .with("kind", "EnvoyExtensionPolicy")
        .with(
            "metadata",
            Map::new()
                .with("name", "aplomb")
                .with("namespace", options.namespace.as_str()),
        )
        .with(
            "spec",
            Map::new()
                .with(
                    "targetRefs",
                    vec![
                        Map::new()
                            .with("group", "gateway.networking.k8s.io")
                            .with("kind", kind)
                            .with("name", name),
                    ],
                )
                .with("wasm", wasm)
                .because("Called in this order."),
        );
    put(options.output.as_ref(), &document(HEADING, policy))
}

fn entry(name: &str, options: &Options, digest: &str, built: &Built, config: &serde_json::Value) -> Map {
    let url = options.image.trim_start_matches("oci://");
    let mut map = Map::new()
        .with("name", name)
        .with("rootID", name)
        .with("failOpen", false)
        .because("Never true: a filter that fails must not let traffic through.")
        .with(
            "code",
            Map::new().with("type", "Image").with(
                "image",
                Map::new()
                    .with("url", url)
                    .with("sha256", digest)
                    .because("The digest of the manifest, as `make image` prints it."),
            ),
        )
        .with("config", Yaml::from(config));
    let variables = built.variables();
    if !variables.is_empty() {
        let names: Vec<String> = variables.into_iter().collect();
        map = map.with("env", Map::new().with("hostKeys", names));
    }
    map
}
