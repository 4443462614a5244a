//! One policy in a real Envoy in front of a test's own backends: without the demo's backends and identity provider, which
//! [`stack`](crate::stack) has. Tokens are signed here, by an issuer that only such a policy believes ([`issuer`]).

pub mod issuer;
pub mod recorder;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use serde_json::{Map, Value};

use crate::envoy::wasm::{Governed, InstallMode};
use crate::envoy::{Adapt, Envoy, Setup, Upstream, config};
use crate::stack::{Artefacts, Companion, VM_ENVIRONMENT};
use crate::{ports, programs};

/// What to start.
#[derive(Debug)]
pub struct Options {
    /// The policy's text.
    pub policy: String,
    /// Files that go beside the policy or beside `companion.json`: name and text.
    pub beside_companion: Vec<(String, String)>,
    /// How the filter is installed.
    pub mode: InstallMode,
    /// Members that replace those of the filter configuration; `protocols` must be among them.
    pub filter_config: Value,
    /// Members that replace those of `companion.json`; nothing for no companion.
    pub companion: Option<Value>,
    /// What is behind Envoy.
    pub upstreams: Vec<Upstream>,
    /// Filters of Envoy's own in front of the filter.
    pub in_front: Vec<Value>,
    /// A last change of Envoy's document.
    pub adapt: Option<Adapt>,
}

/// All of it, running until it is dropped.
#[derive(Debug)]
pub struct Ground {
    /// Envoy.
    pub envoy: Envoy,
    /// The companion, where one was wanted.
    pub companion: Option<Companion>,
    /// What `aplc build` made of the policy.
    pub artefacts: Artefacts,
}

impl Ground {
    /// Builds the policy and starts companion and Envoy; files and logs lie in `dir`.
    ///
    /// # Errors
    /// When a part is not built or does not start, or the policy does not build.
    pub async fn start(options: Options, dir: &Path) -> anyhow::Result<Self> {
        let module = programs::filter()?;
        let policy = dir.join("policy.yaml");
        std::fs::write(&policy, &options.policy).context("cannot write the policy")?;
        let artefacts = Artefacts::of(&policy, None, dir).await?;
        for (name, text) in &options.beside_companion {
            std::fs::write(artefacts.dir.join(name), text).with_context(|| format!("cannot write {name}"))?;
        }
        let companion = match &options.companion {
            None => None,
            Some(members) => {
                artefacts.extend_companion(members)?;
                Some(Companion::start(&artefacts, dir).await?)
            }
        };

        let mut configuration = artefacts.filter_configuration();
        extend(&mut configuration, &options.filter_config);
        if companion.is_none() {
            configuration["companion"] = Value::Null;
        }
        let governed = Governed {
            module,
            configuration,
            environment: BTreeMap::from(
                VM_ENVIRONMENT.map(|(name, value)| (name.to_owned(), value.to_owned())),
            ),
            plugins: options.mode.plugins(),
        };
        let mut filters = options.in_front;
        filters.extend(governed.filters());
        let mut setup = Setup::new(ports::free()?, filters, options.upstreams);
        setup.companion = companion.as_ref().map(|companion| companion.address);
        let envoy = match &options.adapt {
            None => Envoy::start(&setup, dir).await?,
            Some(adapt) => Envoy::start_adapted(&setup, dir, adapt).await?,
        };
        Ok(Ground {
            envoy,
            companion,
            artefacts,
        })
    }
}

/// A backend at `address` that hears `path` and the host as the client sent them.
#[must_use]
pub fn untouched(path: &str, address: std::net::SocketAddr) -> Upstream {
    Upstream {
        name: config::cluster_name(path),
        path: path.to_owned(),
        rewrite: path.to_owned(),
        address,
        keep_host: true,
    }
}

/// Puts the members of one object into another.
pub(crate) fn extend(object: &mut Value, members: &Value) {
    if let (Some(object), Some(members)) = (object.as_object_mut(), members.as_object()) {
        let members: &Map<String, Value> = members;
        object.extend(members.clone());
    }
}
