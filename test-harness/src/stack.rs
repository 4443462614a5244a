//! Everything together for one policy: identity provider, companion, backends, Envoy with the filter.
//!
//! All of it lives in one folder (artefacts, data, logs) and ends when the [`Stack`] is dropped.

mod artefacts;
mod backends;
mod companion;
mod fleet;
mod idp;
mod store;
mod tap;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::backend::{Replies, Role};
use crate::envoy::wasm::{Governed, InstallMode, Plugin};
use crate::envoy::{Adapt, Envoy, Setup};
use crate::mcp::McpClient;
use crate::scenario::Scene;
use crate::{ports, programs};
pub(crate) use artefacts::VM_ENVIRONMENT;
pub use artefacts::{Artefacts, SEAL_KEY_ENV};
pub use backends::Backends;
pub use companion::Companion;
pub use fleet::{Fleet, FleetOptions};
pub use idp::{Idp, Tokens};
pub use store::{Server, Store};
pub use tap::Tap;

/// The port on which the demo's Envoy serves, when it is free.
pub const DEMO_PORT: u16 = 8090;
/// The port of the demo's identity provider, when it is free; the policies name it.
pub const DEMO_IDP_PORT: u16 = 8081;

/// What to start.
#[derive(Debug, Clone)]
pub struct Options {
    /// The policy. The identity provider's address in it is replaced by the real one, in a copy.
    pub policy: PathBuf,
    /// A second policy, in shadow.
    pub shadow: Option<PathBuf>,
    /// The plugins in Envoy's chain.
    pub plugins: Vec<Plugin>,
    /// How the backends answer.
    pub replies: Replies,
    /// Take the demo's ports if they are free, for a person who tries it by hand.
    pub demo_ports: bool,
    /// Members that replace those of the filter configuration.
    pub filter_config: serde_json::Map<String, serde_json::Value>,
    /// Put a recorder between Envoy and the companion.
    pub tap: bool,
    /// Envoy's worker threads.
    pub workers: u32,
    /// A last change of Envoy's document.
    pub adapt: Option<Adapt>,
    /// The folder for everything; it is there and empty.
    pub dir: PathBuf,
}

impl Options {
    /// A right installation in this mode, on free ports, with one worker.
    #[must_use]
    pub fn new(policy: PathBuf, mode: InstallMode, dir: &Path) -> Self {
        Options {
            policy,
            shadow: None,
            plugins: mode.plugins(),
            replies: Replies::Sse,
            demo_ports: false,
            filter_config: serde_json::Map::new(),
            tap: false,
            workers: 1,
            adapt: None,
            dir: dir.to_owned(),
        }
    }
}

/// All of it, running.
#[derive(Debug)]
pub struct Stack {
    /// The development identity provider.
    pub idp: Idp,
    /// The companion.
    pub companion: Companion,
    /// What Envoy asked of the companion, if it was recorded.
    pub tap: Option<Tap>,
    /// The three backends.
    pub backends: Backends,
    /// How Envoy was set up.
    pub setup: Setup,
    /// Envoy.
    pub envoy: Envoy,
    /// What `aplc build` made of the policy.
    pub artefacts: Artefacts,
}

impl Stack {
    /// Starts one after the other and tells what it does.
    ///
    /// # Errors
    /// When a part is not built, does not start, or the policy does not build.
    pub async fn start(options: &Options, tell: impl Fn(&str)) -> anyhow::Result<Self> {
        let dir = &options.dir;
        // Found first, so that what is missing is said before anything starts.
        let module = programs::filter()?;

        tell("starting the development identity provider");
        let idp_address = port(options.demo_ports, DEMO_IDP_PORT)?;
        let idp = Idp::start(idp_address, dir).await?;

        tell("building the policy");
        let artefacts = Artefacts::build(
            &options.policy,
            options.shadow.as_deref(),
            idp.address.port(),
            dir,
        )
        .await?;

        tell("starting the companion");
        let companion = Companion::start(&artefacts, dir).await?;

        tell("starting the backends");
        let backends = Backends::start(options.replies, dir).await?;

        let tap = match options.tap {
            true => Some(Tap::start(companion.address).await?),
            false => None,
        };

        tell("starting Envoy with the filter");
        let mut configuration = artefacts.filter_configuration();
        if let Some(members) = configuration.as_object_mut() {
            members.extend(options.filter_config.clone());
        }
        let governed = Governed {
            module,
            configuration,
            environment: BTreeMap::from(
                VM_ENVIRONMENT.map(|(name, value)| (name.to_owned(), value.to_owned())),
            ),
            plugins: options.plugins.clone(),
        };
        let listen = port(options.demo_ports, DEMO_PORT)?;
        let mut setup = Setup::new(listen, governed.filters(), backends.upstreams());
        setup.workers = options.workers;
        setup.companion = Some(tap.as_ref().map_or(companion.address, |tap| tap.address));
        let envoy = match &options.adapt {
            None => Envoy::start(&setup, dir).await?,
            Some(adapt) => Envoy::start_adapted(&setup, dir, adapt).await?,
        };
        Ok(Stack {
            idp,
            companion,
            tap,
            backends,
            setup,
            envoy,
            artefacts,
        })
    }

    /// A client of one backend through Envoy, with these tokens and session.
    ///
    /// # Errors
    /// When a token is no header value.
    pub fn client(&self, role: Role, tokens: &Tokens, session: &str) -> anyhow::Result<McpClient> {
        tokens.client(&self.envoy, role, session)
    }

    /// What a scenario is played on.
    pub fn scene(&mut self) -> Scene<'_> {
        Scene {
            idp: &self.idp,
            backends: &self.backends,
            companions: std::slice::from_mut(&mut self.companion),
            gateways: std::slice::from_ref(&self.envoy),
        }
    }
}

fn port(demo: bool, wanted: u16) -> std::io::Result<std::net::SocketAddr> {
    if demo {
        ports::preferred(wanted)
    } else {
        ports::free()
    }
}

/// Writes a file and names it if that fails.
fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// Reads a file and names it if that fails.
fn read(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}
