//! The three backends as processes of their own, and what they received.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::Context as _;
use tokio::process::Command;

use crate::backend::record::Request;
use crate::backend::{Replies, Role};
use crate::envoy::Upstream;
use crate::mcp::McpClient;
use crate::patience::PATIENCE;
use crate::process::{Process, answers};
use crate::{ports, programs};

/// The backends, running.
#[derive(Debug)]
pub struct Backends {
    running: BTreeMap<Role, (Process, SocketAddr)>,
    http: reqwest::Client,
}

impl Backends {
    pub(super) async fn start(replies: Replies, dir: &Path) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder().no_proxy().build()?;
        let mut running = BTreeMap::new();
        for role in Role::ALL {
            let address = ports::free()?;
            let mut command = Command::new(programs::ours("aplomb-demo-backend")?);
            command.args(["--role", role.name(), "--listen", &address.to_string()]);
            command.args(["--replies", replies.name()]);
            let name = format!("the {} backend", role.name());
            let mut process = Process::start(&name, command, &dir.join(format!("{}.log", role.name())))?;
            let log = format!("http://{address}/control/log");
            process.wait_until(PATIENCE, || answers(&http, &log)).await?;
            running.insert(role, (process, address));
        }
        Ok(Backends { running, http })
    }

    /// What Envoy needs to know of them.
    #[must_use]
    pub fn upstreams(&self) -> Vec<Upstream> {
        let upstream = |(role, (_, address)): (&Role, &(Process, SocketAddr))| Upstream {
            name: role.name().to_owned(),
            path: role.path(),
            rewrite: "/mcp".to_owned(),
            address: *address,
            keep_host: false,
        };
        self.running.iter().map(upstream).collect()
    }

    /// A client that goes to the backend without Envoy.
    ///
    /// # Errors
    /// When the role does not run.
    pub fn direct(&self, role: Role) -> anyhow::Result<McpClient> {
        McpClient::new(format!("http://{}/mcp", self.address(role)?), &[])
    }

    /// The tool calls that the backend received since the last [`Backends::forget`].
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn calls(&self, role: Role) -> anyhow::Result<Vec<Request>> {
        let reply = self.http.get(self.log_url(role)?).send().await?;
        let all: Vec<Request> = reply.json().await?;
        Ok(all
            .into_iter()
            .filter(|request| request.method.as_deref() == Some("tools/call"))
            .collect())
    }

    /// Empties every backend's log.
    ///
    /// # Errors
    /// When one does not answer.
    pub async fn forget(&self) -> anyhow::Result<()> {
        for role in Role::ALL {
            self.http.delete(self.log_url(role)?).send().await?;
        }
        Ok(())
    }

    fn log_url(&self, role: Role) -> anyhow::Result<String> {
        Ok(format!("http://{}/control/log", self.address(role)?))
    }

    pub(super) fn address(&self, role: Role) -> anyhow::Result<SocketAddr> {
        let (_, address) = self
            .running
            .get(&role)
            .with_context(|| format!("no {} backend runs", role.name()))?;
        Ok(*address)
    }
}
