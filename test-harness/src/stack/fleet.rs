//! Several gateways and several companions that share one store. Each Envoy runs what `aplc emit envoy` writes, with every
//! companion in one cluster.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use tokio::process::Command;

use super::{Artefacts, Backends, Companion, Idp, Store, VM_ENVIRONMENT};
use crate::backend::{Replies, Role};
use crate::envoy::Envoy;
use crate::envoy::wasm::InstallMode;
use crate::scenario::Scene;
use crate::{ports, programs};

/// What to start.
#[derive(Debug)]
pub struct FleetOptions<'a> {
    /// The policy. The identity provider's address in it is replaced by the real one, in a copy.
    pub policy: &'a Path,
    /// How the filter is installed.
    pub mode: InstallMode,
    /// How the backends answer.
    pub replies: Replies,
    /// Where labels, approvals and counters are.
    pub store: &'a Store,
    /// More options of every companion's `serve`.
    pub serve: &'a [&'a str],
    /// The folder for everything; it is there and empty.
    pub dir: &'a Path,
}

/// All of it, running until it is dropped.
#[derive(Debug)]
pub struct Fleet {
    /// The development identity provider.
    pub idp: Idp,
    /// The companions.
    pub companions: Vec<Companion>,
    /// The three backends.
    pub backends: Backends,
    /// The gateways.
    pub gateways: Vec<Envoy>,
    blueprints: Vec<Blueprint>,
}

/// How a gateway is started.
#[derive(Debug)]
struct Blueprint {
    document: Value,
    /// Where it serves, and its administration.
    at: (SocketAddr, SocketAddr),
    dir: PathBuf,
}

impl Blueprint {
    async fn start(&self) -> anyhow::Result<Envoy> {
        Envoy::start_with(&self.document, self.at, 2, &self.dir, &VM_ENVIRONMENT).await
    }
}

/// How many of each.
const EACH: usize = 2;

impl Fleet {
    /// Starts two companions and two gateways.
    ///
    /// # Errors
    /// When a part is not built, does not start, or the policy does not build.
    pub async fn start(options: &FleetOptions<'_>) -> anyhow::Result<Self> {
        let dir = options.dir;
        let idp = Idp::start(ports::free()?, dir).await?;
        let artefacts = Artefacts::build(options.policy, None, idp.address.port(), dir).await?;
        let store = json!({"kind": "valkey", "endpoint": options.store.address.to_string(), "replicas": 0});
        artefacts.extend_companion(&json!({ "session_store": store }))?;
        let backends = Backends::start(options.replies, dir).await?;
        let mut companions = Vec::new();
        for number in 0..EACH {
            let own = folder(dir, &format!("companion-{number}"))?;
            companions.push(Companion::start_with(&artefacts, &own, options.serve).await?);
        }
        let build = artefacts.for_emission(options.mode, dir)?;
        let (mut gateways, mut blueprints) = (Vec::new(), Vec::new());
        for number in 0..EACH {
            let at = (ports::free()?, ports::free()?);
            let blueprint = Blueprint {
                document: emitted(&build, at, &backends, &companions).await?,
                at,
                dir: folder(dir, &format!("gateway-{number}"))?,
            };
            gateways.push(blueprint.start().await?);
            blueprints.push(blueprint);
        }
        Ok(Fleet {
            idp,
            companions,
            backends,
            gateways,
            blueprints,
        })
    }

    /// Ends a gateway (SIGTERM) and starts it again at the same place.
    ///
    /// # Errors
    /// When there is none of this number, it does not end or does not come back.
    pub async fn replace_gateway(&mut self, number: usize) -> anyhow::Result<()> {
        let (Some(gateway), Some(blueprint)) = (self.gateways.get_mut(number), self.blueprints.get(number))
        else {
            anyhow::bail!("there is no gateway {number}");
        };
        gateway.end().await?;
        *gateway = blueprint.start().await?;
        Ok(())
    }

    /// What a scenario is played on.
    pub fn scene(&mut self) -> Scene<'_> {
        Scene {
            idp: &self.idp,
            backends: &self.backends,
            companions: &mut self.companions,
            gateways: &self.gateways,
        }
    }

    /// What every gateway logged.
    #[must_use]
    pub fn logs(&self) -> String {
        let logs: Vec<String> = self.gateways.iter().map(Envoy::log).collect();
        logs.join("\n---- the next gateway\n")
    }
}

fn folder(dir: &Path, name: &str) -> anyhow::Result<PathBuf> {
    let folder = dir.join(name);
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder)
}

/// What `aplc emit envoy` writes for these companions.
async fn emitted(
    build: &Path,
    (listen, admin): (SocketAddr, SocketAddr),
    backends: &Backends,
    companions: &[Companion],
) -> anyhow::Result<Value> {
    let mut command = Command::new(programs::ours("aplc")?);
    command
        .args(["emit", "envoy", "--build"])
        .arg(build)
        .arg("--module")
        .arg(programs::filter()?)
        .args(["--listen", &listen.to_string(), "--admin", &admin.to_string()]);
    for role in Role::ALL {
        let address = backends.address(role)?;
        command.args(["--upstream", &format!("{}=http://{address}/mcp", role.path())]);
    }
    for companion in companions {
        command.args(["--companion", &format!("http://{}", companion.address)]);
    }
    let output = command.output().await.context("cannot run aplc")?;
    ensure!(
        output.status.success(),
        "aplc emit envoy:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_saphyr::from_slice(&output.stdout).context("what aplc wrote is no YAML")
}
