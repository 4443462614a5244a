//! The filter in Envoy's chain, in each way of installing it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;

use serde_json::{Value, json};

/// How request headers are held until the verdict. The names are those of `install.mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InstallMode {
    /// One plugin with Envoy's `allow_on_headers_stop_iteration`.
    Full,
    /// Two plugins of the one module, as two WasmPlugins.
    Paired,
    /// One plugin without that setting: headers are not held.
    Single,
}

impl InstallMode {
    /// The name in the filter configuration and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            InstallMode::Full => "full",
            InstallMode::Paired => "paired",
            InstallMode::Single => "single",
        }
    }

    /// The plugins of a right installation, in the order of the chain.
    #[must_use]
    pub fn plugins(self) -> Vec<Plugin> {
        let plugin = |role, stop_iteration| Plugin {
            mode: self,
            role,
            stop_iteration,
        };
        match self {
            InstallMode::Full => vec![plugin(None, true)],
            InstallMode::Paired => vec![
                plugin(Some(PairRole::Decider), false),
                plugin(Some(PairRole::Holder), false),
            ],
            InstallMode::Single => vec![plugin(None, false)],
        }
    }
}

impl FromStr for InstallMode {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "full" => Ok(InstallMode::Full),
            "paired" => Ok(InstallMode::Paired),
            "single" => Ok(InstallMode::Single),
            other => anyhow::bail!("unknown mode `{other}`: one of full, paired, single"),
        }
    }
}

/// Which half of a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PairRole {
    /// Reads the body and decides; first in the chain.
    Decider,
    /// Holds the headers; behind it.
    Holder,
}

impl PairRole {
    /// The name in the filter configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            PairRole::Decider => "decider",
            PairRole::Holder => "holder",
        }
    }
}

/// One plugin of the chain. A test of a wrong installation builds its own list of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plugin {
    /// What its configuration says it is.
    pub mode: InstallMode,
    /// Which half, in a pair.
    pub role: Option<PairRole>,
    /// Whether Envoy's `allow_on_headers_stop_iteration` is really set.
    pub stop_iteration: bool,
}

/// The filter with its configuration.
#[derive(Debug, Clone)]
pub struct Governed {
    /// The compiled module.
    pub module: PathBuf,
    /// The filter configuration without `install`, which each plugin gets of its own.
    pub configuration: Value,
    /// The VM's environment: what `hash_key_env` and the like name.
    pub environment: BTreeMap<String, String>,
    /// The plugins, in the order of the chain.
    pub plugins: Vec<Plugin>,
}

impl Governed {
    /// The HTTP filters of Envoy's chain.
    #[must_use]
    pub fn filters(&self) -> Vec<Value> {
        self.plugins.iter().map(|plugin| self.filter(*plugin)).collect()
    }

    fn filter(&self, plugin: Plugin) -> Value {
        let mut configuration = self.configuration.clone();
        let mut install = json!({ "mode": plugin.mode.name() });
        let mut name = "aplomb".to_owned();
        if let Some(role) = plugin.role {
            install["role"] = role.name().into();
            name = format!("aplomb-{}", role.name());
        }
        configuration["install"] = install;
        let mut config = json!({
            "name": name,
            // One `vm_id`, code and VM configuration: both plugins of a pair run in one VM a worker.
            "vm_config": {
                "vm_id": "aplomb",
                "runtime": "envoy.wasm.runtime.v8",
                "code": { "local": { "filename": self.module } },
                "environment_variables": { "key_values": self.environment },
            },
            "configuration": {
                "@type": "type.googleapis.com/google.protobuf.StringValue",
                "value": configuration.to_string(),
            },
            "failure_policy": "FAIL_RELOAD",
        });
        if plugin.stop_iteration {
            config["allow_on_headers_stop_iteration"] = true.into();
        }
        json!({
            "name": name,
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
                "config": config,
            },
        })
    }
}
