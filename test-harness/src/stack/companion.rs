//! The companion as a process of its own: started, killed, started again; its audit log and its counters.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

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
    options: Vec<String>,
    /// Where its approval pages are, also after a restart.
    pub pages: SocketAddr,
    /// Where it listens, also after a restart.
    pub address: SocketAddr,
}

impl Companion {
    pub(crate) async fn start(artefacts: &Artefacts, dir: &Path) -> anyhow::Result<Self> {
        Self::start_with(artefacts, dir, &[]).await
    }

    /// The same with more options of `serve`.
    pub(crate) async fn start_with(
        artefacts: &Artefacts,
        dir: &Path,
        options: &[&str],
    ) -> anyhow::Result<Self> {
        let address = ports::free()?;
        let config = artefacts.dir.join("companion.json");
        let http = reqwest::Client::builder().no_proxy().build()?;
        let pages = ports::free()?;
        let approvals = json!({"public_url": format!("http://{pages}"), "allow_http": true});
        super::write(&dir.join("approvals.json"), &approvals.to_string())?;
        let options: Vec<String> = options.iter().map(|&option| option.to_owned()).collect();
        let process = launch(&http, &config, [address, pages], dir, &options).await?;
        Ok(Companion {
            process,
            pages,
            http,
            config,
            dir: dir.to_owned(),
            options,
            address,
        })
    }

    async fn launch(&mut self) -> anyhow::Result<()> {
        let addresses = [self.address, self.pages];
        self.process = launch(&self.http, &self.config, addresses, &self.dir, &self.options).await?;
        Ok(())
    }

    /// Kills it with SIGKILL and starts it again at the same address over the same data.
    ///
    /// # Errors
    /// When it does not come back.
    pub async fn kill_and_restart(&mut self) -> anyhow::Result<()> {
        self.process.kill().await?;
        self.launch().await
    }

    /// Asks it to end (SIGTERM), waits until it has, and starts it again at the same address over the same data.
    ///
    /// # Errors
    /// When it does not end or does not come back.
    pub async fn replace(&mut self) -> anyhow::Result<()> {
        self.process.terminate(PATIENCE).await?;
        self.launch().await
    }

    /// Starts it again after [`Companion::kill`].
    ///
    /// # Errors
    /// When it does not come back.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.launch().await
    }

    /// Kills it with SIGKILL and leaves it so.
    ///
    /// # Errors
    /// When it cannot be killed.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        self.process.kill().await
    }

    /// The one-time links to requests for approval that it has printed, the oldest first.
    #[must_use]
    pub fn approval_links(&self) -> Vec<String> {
        let log = self.process.log();
        let words = log.split_ascii_whitespace();
        words
            .filter(|word| word.starts_with("http://") && word.contains("/approvals/link/"))
            .map(str::to_owned)
            .collect()
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
    options: &[String],
) -> anyhow::Result<Process> {
    let mut command = Command::new(programs::ours("aplomb-companion")?);
    command
        .arg("serve")
        .args(options)
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
