//! Child processes that end with whoever started them.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use tokio::process::{Child, Command};

/// How much of a log an error message shows, in bytes.
const SHOWN: usize = 4_000;

/// A running program. It is killed when this value is dropped.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command` without input; what it prints is appended to the file `log`.
    ///
    /// # Errors
    /// When the log cannot be opened or the program cannot be started.
    pub fn start(name: &str, mut command: Command, log: &Path) -> anyhow::Result<Self> {
        let out = std::fs::File::options()
            .create(true)
            .append(true)
            .open(log)
            .with_context(|| format!("cannot write {}", log.display()))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| {
                format!(
                    "cannot start {name} ({})",
                    command.as_std().get_program().display()
                )
            })?;
        Ok(Process {
            name: name.to_owned(),
            child,
            log: log.to_owned(),
        })
    }

    /// Its process id while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Everything it printed so far.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read(&self.log)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// Kills it with SIGKILL and waits until it is gone.
    ///
    /// # Errors
    /// When it cannot be killed.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        self.child
            .kill()
            .await
            .with_context(|| format!("cannot kill {}", self.name))
    }

    /// Asks it to end (SIGTERM) and waits until it has.
    ///
    /// # Errors
    /// When it cannot be asked, or does not end within `limit`.
    pub async fn terminate(&mut self, limit: Duration) -> anyhow::Result<()> {
        let Some(pid) = self.pid() else {
            return Ok(());
        };
        let asked = Command::new("kill")
            .args(["-TERM", &pid.to_string()])
            .status()
            .await
            .context("cannot run `kill`")?;
        if !asked.success() {
            bail!("cannot end {}: `kill` says {asked}", self.name);
        }
        match tokio::time::timeout(limit, self.child.wait()).await {
            Ok(ended) => ended
                .map(drop)
                .with_context(|| format!("cannot wait for {}", self.name)),
            Err(_) => bail!(
                "{} was asked to end and runs after {limit:?}:\n{}",
                self.name,
                self.log()
            ),
        }
    }

    /// Waits until `ready` says so.
    ///
    /// # Errors
    /// When the program ends first or `limit` passes; the message shows the end of its log.
    pub async fn wait_until<F>(&mut self, limit: Duration, mut ready: impl FnMut() -> F) -> anyhow::Result<()>
    where
        F: Future<Output = bool>,
    {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                bail!(
                    "{} ended before it was ready ({status}):\n{}",
                    self.name,
                    self.log_end()
                );
            }
            if ready().await {
                return Ok(());
            }
            if started.elapsed() > limit {
                bail!(
                    "{} was not ready within {} s:\n{}",
                    self.name,
                    limit.as_secs(),
                    self.log_end()
                );
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn log_end(&self) -> String {
        let log = self.log();
        let from = log.len().saturating_sub(SHOWN);
        let from = (from..=log.len())
            .find(|at| log.is_char_boundary(*at))
            .unwrap_or(log.len());
        log[from..].to_owned()
    }
}

/// Whether a GET of `url` answers 200 now.
pub async fn answers(http: &reqwest::Client, url: &str) -> bool {
    http.get(url)
        .send()
        .await
        .is_ok_and(|reply| reply.status() == reqwest::StatusCode::OK)
}
