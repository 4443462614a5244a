//! The companion as a process of its own: started, killed, started again; its audit log and its counters.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use companion_protocol::AuditRecord;
use serde_json::json;
use tokio::process::Command;

use super::Artefacts;
use crate::patience::PATIENCE;
use crate::process::{Process, answers};
use crate::{ports, programs};

/// The variable that the seed policy names for its client secret, and the secret that the development identity provider knows.
const CLIENT_SECRET: (&str, &str) = ("APLOMB_DEMO_CLIENT_SECRET", "praxis-gateway-secret");

/// The companion.
#[derive(Debug)]
pub struct Companion {
    process: Process,
    http: reqwest::Client,
    config: PathBuf,
    dir: PathBuf,
    pages: SocketAddr,
    /// Where it listens, also after a restart.
    pub address: SocketAddr,
}

impl Companion {
    pub(crate) async fn start(artefacts: &Artefacts, dir: &Path) -> anyhow::Result<Self> {
        let address = ports::free()?;
        let config = artefacts.dir.join("companion.json");
        let http = reqwest::Client::builder().no_proxy().build()?;
        let pages = ports::free()?;
        let approvals = json!({"public_url": format!("http://{pages}"), "allow_http": true});
        super::write(&dir.join("approvals.json"), &approvals.to_string())?;
        let process = launch(&http, &config, [address, pages], dir).await?;
        Ok(Companion {
            process,
            pages,
            http,
            config,
            dir: dir.to_owned(),
            address,
        })
    }

    /// Kills it with SIGKILL and starts it again at the same address over the same data.
    ///
    /// # Errors
    /// When it does not come back.
    pub async fn kill_and_restart(&mut self) -> anyhow::Result<()> {
        self.process.kill().await?;
        self.process = launch(&self.http, &self.config, [self.address, self.pages], &self.dir).await?;
        Ok(())
    }

    /// Kills it with SIGKILL and leaves it so.
    ///
    /// # Errors
    /// When it cannot be killed.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        self.process.kill().await
    }

    /// The newest one-time link to a request for approval.
    ///
    /// # Errors
    /// When it has printed none.
    pub fn approval_link(&self) -> anyhow::Result<String> {
        let log = self.process.log();
        let mut words = log.split_ascii_whitespace().rev();
        let link = words.find(|word| word.starts_with("http://") && word.contains("/approvals/link/"));
        Ok(link
            .context("the companion printed no link to an approval")?
            .to_owned())
    }

    /// The records in its audit log. A line that is still being written is left out.
    ///
    /// # Errors
    /// When a complete line is no record.
    pub fn audit(&self) -> anyhow::Result<Vec<AuditRecord>> {
        let log = std::fs::read_to_string(data_dir(&self.dir).join("audit.jsonl")).unwrap_or_default();
        let complete = log.rfind('\n').map_or("", |end| &log[..end]);
        complete
            .lines()
            .map(|line| Ok(serde_json::from_str(line)?))
            .collect()
    }

    /// Its metrics as text.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn metrics(&self) -> anyhow::Result<String> {
        Ok(self
            .http
            .get(format!("http://{}/metrics", self.address))
            .send()
            .await?
            .text()
            .await?)
    }
}

async fn launch(
    http: &reqwest::Client,
    config: &Path,
    [address, pages]: [SocketAddr; 2],
    dir: &Path,
) -> anyhow::Result<Process> {
    let mut command = Command::new(programs::ours("aplomb-companion")?);
    command
        .arg("serve")
        // The demo's identity provider is on this machine.
        .args(["--egress-allow", "loopback", "--demo-links"])
        .args(["--approvals-listen", &pages.to_string()])
        .arg("--approvals")
        .arg(dir.join("approvals.json"))
        .arg("--config")
        .arg(config)
        .args(["--listen", &address.to_string()]);
    let second = config.with_file_name("shadow-companion.json");
    if second.exists() {
        command.arg("--config").arg(second);
    }
    command
        .arg("--data")
        .arg(data_dir(dir))
        .env(CLIENT_SECRET.0, CLIENT_SECRET.1);
    let mut process = Process::start("the companion", command, &dir.join("companion.log"))?;
    let health = format!("http://{address}/healthz");
    process.wait_until(PATIENCE, || answers(http, &health)).await?;
    Ok(process)
}

fn data_dir(dir: &Path) -> PathBuf {
    dir.join("companion-data")
}
