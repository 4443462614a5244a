//! What `aplc build` makes of a policy, fitted to the ports of this run.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use tokio::process::Command;

use super::{DEMO_IDP_PORT, read, write};
use crate::backend::Role;
use crate::envoy::config::COMPANION_CLUSTER;
use crate::envoy::wasm::InstallMode;
use crate::programs;

/// The variable in the VM's environment that holds the key of `hash`.
const HASH_KEY_ENV: &str = "APLOMB_HASH_KEY";
/// A key for development.
const HASH_KEY: &str = "6465762d6b65792d666f722d7468652d6861726e6573732d6f6e6c792d2d2d2d";
/// The variable in the VM's environment that holds the key of sealed ids; used where a test's filter configuration names it.
pub const SEAL_KEY_ENV: &str = "APLOMB_SEAL_KEY";
/// A key for development.
const SEAL_KEY: &str = "7365616c2d6b65792d666f722d7468652d6861726e6573732d6f6e6c792d2d2d";

/// The VM's environment: name and value.
pub(crate) const VM_ENVIRONMENT: [(&str, &str); 2] = [(HASH_KEY_ENV, HASH_KEY), (SEAL_KEY_ENV, SEAL_KEY)];

/// The artefacts of one policy.
#[derive(Debug, Clone)]
pub struct Artefacts {
    /// The folder with `policy.aplb`, `companion.json`, `filter-config.json`.
    pub dir: PathBuf,
    /// What `aplc build` printed: warnings and notes.
    pub printed: String,
    filter_config: Value,
}

impl Artefacts {
    /// Builds the policy with `aplc` into `dir/policy`, with the identity provider at `idp_port`.
    ///
    /// # Errors
    /// When the policy does not build; the message is what `aplc` printed.
    pub(super) async fn build(
        policy: &Path,
        shadow: Option<&Path>,
        idp_port: u16,
        dir: &Path,
    ) -> anyhow::Result<Self> {
        let source = with_port(policy, &dir.join("policy.yaml"), idp_port)?;
        let shadow = shadow
            .map(|shadow| with_port(shadow, &dir.join("shadow.yaml"), idp_port))
            .transpose()?;
        Self::of(&source, shadow.as_deref(), dir).await
    }

    /// Builds the policy as it stands into `dir/policy`.
    ///
    /// # Errors
    /// When the policy does not build; the message is what `aplc` printed.
    pub(crate) async fn of(policy: &Path, shadow: Option<&Path>, dir: &Path) -> anyhow::Result<Self> {
        let out = dir.join("policy");
        std::fs::create_dir_all(&out)?;
        let mut command = Command::new(programs::ours("aplc")?);
        command.arg("build").arg(policy).arg("-o").arg(&out);
        if let Some(shadow) = shadow {
            command.arg("--shadow").arg(shadow);
        }
        let output = command
            .kill_on_drop(true)
            .output()
            .await
            .context("cannot run aplc")?;
        let printed = format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        ensure!(
            output.status.success(),
            "aplc build {} ({}):\n{printed}",
            policy.display(),
            output.status
        );
        let filter_config = serde_json::from_str(&read(&out.join("filter-config.json"))?)?;
        use_embedded_store(&out.join("companion.json"))?;
        if shadow.is_some() {
            use_embedded_store(&out.join("shadow-companion.json"))?;
        }
        Ok(Artefacts {
            dir: out,
            printed,
            filter_config,
        })
    }

    /// Puts members into `companion.json`, in place of those of the same name.
    ///
    /// # Errors
    /// When the file cannot be read or written.
    pub(crate) fn extend_companion(&self, members: &Value) -> anyhow::Result<()> {
        let path = self.dir.join("companion.json");
        let mut config: Value = serde_json::from_str(&read(&path)?)?;
        crate::ground::extend(&mut config, members);
        write(&path, &serde_json::to_string_pretty(&config)?)
    }

    /// The same folder with the harness's [filter configuration](Self::filter_configuration) in this mode, for `aplc emit`.
    ///
    /// # Errors
    /// When a file cannot be read or written.
    pub(super) fn for_emission(&self, mode: InstallMode, dir: &Path) -> anyhow::Result<PathBuf> {
        let mut config = self.filter_configuration();
        config["install"] = json!({ "mode": mode.name() });
        if mode == InstallMode::Paired {
            config["install"]["role"] = "decider".into();
        }
        let folder = dir.join("emitted");
        std::fs::create_dir_all(&folder)?;
        write(&folder.join("filter-config.json"), &config.to_string())?;
        write(
            &folder.join("companion.json"),
            &read(&self.dir.join("companion.json"))?,
        )?;
        Ok(folder)
    }

    /// The filter configuration for the harness's Envoy: as `aplc` wrote it, with the paths of the three backends, the
    /// companion's cluster and the hash key's variable; `install` is added by each plugin.
    #[must_use]
    pub fn filter_configuration(&self) -> Value {
        let mut config = self.filter_config.clone();
        let protocols = Role::ALL
            .iter()
            .map(|role| json!({ "path_prefix": role.path(), "speaks": "mcp" }));
        config["protocols"] = protocols.collect();
        if !config["companion"].is_object() {
            config["companion"] = json!({});
        }
        config["companion"]["cluster"] = COMPANION_CLUSTER.into();
        config["companion"]["authority"] = COMPANION_CLUSTER.into();
        config["hash_key_env"] = HASH_KEY_ENV.into();
        if let Some(fields) = config.as_object_mut() {
            fields.remove("install");
        }
        config
    }
}

/// The policy with the identity provider's real port. The demo's own ports need no copy: then the file is built unchanged.
fn with_port(policy: &Path, copy: &Path, idp_port: u16) -> anyhow::Result<PathBuf> {
    let text = read(policy)?;
    let here = text.replace(
        &format!("localhost:{DEMO_IDP_PORT}"),
        &format!("localhost:{idp_port}"),
    );
    if here == text {
        return Ok(policy.to_owned());
    }
    write(copy, &here)?;
    Ok(copy.to_owned())
}

/// The harness has no Valkey: a policy that asks for one gets the embedded store, which passes the same tests.
fn use_embedded_store(companion_json: &Path) -> anyhow::Result<()> {
    let mut config: Value = serde_json::from_str(&read(companion_json)?)?;
    if config
        .pointer("/session_store/kind")
        .is_some_and(|kind| kind != "embedded")
    {
        config["session_store"] = json!({ "kind": "embedded" });
        write(companion_json, &serde_json::to_string_pretty(&config)?)?;
    }
    Ok(())
}
