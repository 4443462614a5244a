//! `aplc emit`: what `aplc build` wrote, as complete configuration of a proxy.

mod built;
mod envoy;
mod gateway;
mod istio;
mod upstream;
mod yaml;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::{End, Fault};

/// `aplc emit`.
#[derive(Debug, Args)]
pub(crate) struct Emit {
    #[command(subcommand)]
    target: Target,
}

/// For whom.
#[derive(Debug, Subcommand)]
enum Target {
    /// An Envoy bootstrap with every cluster that the policy needs.
    Envoy(envoy::Options),
    /// Istio objects: the plugin, the companion, and what closes the ways around both.
    Istio(istio::Options),
    /// An EnvoyExtensionPolicy for Envoy Gateway or Envoy AI Gateway.
    EnvoyGateway(gateway::Options),
}

/// Writes it.
pub(crate) fn run(emit: &Emit) -> Result<End, Fault> {
    match &emit.target {
        Target::Envoy(options) => envoy::run(options)?,
        Target::Istio(options) => istio::run(options)?,
        Target::EnvoyGateway(options) => gateway::run(options)?,
    }
    Ok(End::Fine)
}

/// The second half of a pair.
fn envoy_holder() -> serde_json::Value {
    envoy::filter::holder()
}

/// A plugin with the stop-iteration flag, around code that is delivered in another way.
fn envoy_plugin(name: &str, built: &built::Built, code: yaml::Map, config: &serde_json::Value) -> yaml::Map {
    envoy::filter::plugin(name, built, code, config, true).typed
}

/// A file that was asked for, or standard output.
fn put(path: Option<&PathBuf>, text: &str) -> Result<(), Fault> {
    match path {
        None => {
            print!("{text}");
            Ok(())
        }
        Some(path) => write(path, text),
    }
}

fn write(path: &Path, text: &str) -> Result<(), Fault> {
    let fault = |doing| {
        move |cause| Fault::File {
            doing,
            path: path.to_owned(),
            cause,
        }
    };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(fault("create the folder of"))?;
    }
    std::fs::write(path, text).map_err(fault("write"))
}
