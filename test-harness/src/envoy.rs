//! A real Envoy: configured from typed values, on ports of its own, its log kept, killed when dropped.

pub mod config;
pub mod wasm;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::Value;
use tokio::process::Command;

use crate::patience::PATIENCE;
use crate::process::{Process, answers};
use crate::{ports, programs};
pub use config::{Adapt, Listener, Setup, Upstream};

/// A running Envoy.
#[derive(Debug)]
pub struct Envoy {
    process: Process,
    /// Where it serves.
    pub listen: SocketAddr,
    admin: SocketAddr,
    dir: PathBuf,
    http: reqwest::Client,
}

impl Envoy {
    /// Starts Envoy and waits until its listeners are there. Its files lie in `dir`: `envoy.json`, `envoy.log`,
    /// `access.log`.
    ///
    /// # Errors
    /// When it is not installed or refuses its configuration; the message shows the end of its log.
    pub async fn start(setup: &Setup, dir: &Path) -> anyhow::Result<Self> {
        Self::start_adapted(setup, dir, &Adapt::new(|_| ())).await
    }

    /// The same with a last change of the bootstrap document.
    ///
    /// # Errors
    /// As [`Envoy::start`].
    pub async fn start_adapted(setup: &Setup, dir: &Path, adapt: &Adapt) -> anyhow::Result<Self> {
        let admin = ports::free()?;
        let mut document = config::bootstrap(setup, admin, &dir.join("access.log"));
        adapt.apply(&mut document);
        let listen = setup
            .listeners
            .first()
            .map(|listener| listener.address)
            .context("no listener")?;
        Self::start_document(&document, (listen, admin), setup.workers, dir).await
    }

    /// The same with a bootstrap document of one's own and the addresses of its first listener and its admin port.
    ///
    /// # Errors
    /// As [`Envoy::start`].
    pub async fn start_document(
        document: &Value,
        addresses: (SocketAddr, SocketAddr),
        workers: u32,
        dir: &Path,
    ) -> anyhow::Result<Self> {
        Self::start_with(document, addresses, workers, dir, &[]).await
    }

    /// The same with variables in its environment, which a filter's configuration names.
    ///
    /// # Errors
    /// As [`Envoy::start`].
    pub async fn start_with(
        document: &Value,
        (listen, admin): (SocketAddr, SocketAddr),
        workers: u32,
        dir: &Path,
        environment: &[(&str, &str)],
    ) -> anyhow::Result<Self> {
        let config = dir.join("envoy.json");
        std::fs::write(&config, serde_json::to_vec_pretty(document)?)
            .with_context(|| format!("cannot write {}", config.display()))?;
        let mut command = Command::new(programs::envoy()?);
        command.arg("-c").arg(&config);
        // No hot restart: it is what would need a base id and shared memory of its own.
        command.args(["--disable-hot-restart", "--file-flush-interval-msec", "100"]);
        command.args(["--concurrency", &workers.to_string()]);
        command.args(["--log-level", "warning", "--component-log-level", "wasm:info"]);
        // What `aplc emit istio` has every proxy pass on to the filter.
        command.env("APLOMB_COMPANION_TOKEN", "a-token-for-development");
        command.envs(environment.iter().copied());
        let mut process = Process::start("Envoy", command, &dir.join("envoy.log"))?;
        let http = reqwest::Client::builder().no_proxy().build()?;
        let ready = format!("http://{admin}/ready");
        process.wait_until(PATIENCE, || answers(&http, &ready)).await?;
        Ok(Envoy {
            process,
            listen,
            admin,
            dir: dir.to_owned(),
            http,
        })
    }

    /// The URL of `path` at this Envoy.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.listen)
    }

    /// What it logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Its access log, one JSON object a line. Lines appear within about 100 ms.
    #[must_use]
    pub fn access_log(&self) -> String {
        std::fs::read_to_string(self.dir.join("access.log")).unwrap_or_default()
    }

    /// Its process id while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.process.pid()
    }

    /// The value of the counter or gauge `name`; nothing if there is none.
    ///
    /// # Errors
    /// When the admin port does not answer.
    pub async fn stat(&self, name: &str) -> anyhow::Result<Option<u64>> {
        let text = self.admin_get("/stats").await?;
        Ok(text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")?.parse().ok()))
    }

    /// The answer of the admin port, as `/stats`, `/config_dump`, `/server_info`.
    ///
    /// # Errors
    /// When the admin port does not answer.
    pub async fn admin_get(&self, path: &str) -> anyhow::Result<String> {
        let url = format!("http://{}{path}", self.admin);
        Ok(self.http.get(url).send().await?.text().await?)
    }

    /// The same as JSON.
    ///
    /// # Errors
    /// When the admin port does not answer, or not with JSON.
    pub async fn admin_json(&self, path: &str) -> anyhow::Result<Value> {
        Ok(serde_json::from_str(&self.admin_get(path).await?)?)
    }

    /// Asks it to end (SIGTERM) and waits until it has.
    ///
    /// # Errors
    /// When it does not end.
    pub async fn end(&mut self) -> anyhow::Result<()> {
        self.process.terminate(PATIENCE).await
    }

    /// Kills it and waits until it is gone.
    ///
    /// # Errors
    /// When it cannot be killed.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        self.process.kill().await
    }
}
