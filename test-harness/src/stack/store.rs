//! A real server for labels that several companions share.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use tokio::process::Command;

use crate::patience::PATIENCE;
use crate::process::Process;
use crate::{ports, tools};

/// Which product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Server {
    /// Debian's Redis.
    Redis,
    /// Valkey.
    Valkey,
}

/// A server whose every write is on disk before it answers.
#[derive(Debug)]
pub struct Store {
    process: Process,
    name: &'static str,
    program: PathBuf,
    dir: PathBuf,
    /// Where it listens, also after a restart.
    pub address: SocketAddr,
}

impl Store {
    /// Starts it with its data in `dir`; nothing if it is not installed.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start(server: Server, dir: &Path) -> anyhow::Result<Option<Self>> {
        let name = match server {
            Server::Redis => "redis-server",
            Server::Valkey => "valkey-server",
        };
        let Some(program) = tools::needed(name, tools::program(name)) else {
            return Ok(None);
        };
        let address = ports::free()?;
        Ok(Some(Store {
            process: launch(name, &program, address, dir).await?,
            name,
            program,
            dir: dir.to_owned(),
            address,
        }))
    }

    /// Kills it with SIGKILL.
    ///
    /// # Errors
    /// When it cannot be killed.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        self.process.kill().await
    }

    /// Starts it again over the same data.
    ///
    /// # Errors
    /// When it does not come back.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.process = launch(self.name, &self.program, self.address, &self.dir).await?;
        Ok(())
    }
}

async fn launch(name: &str, program: &Path, address: SocketAddr, dir: &Path) -> anyhow::Result<Process> {
    let data = dir.join("store");
    std::fs::create_dir_all(&data)?;
    let mut command = Command::new(program);
    command
        .args(["--port", &address.port().to_string(), "--bind", "127.0.0.1"])
        .args(["--save", "", "--appendonly", "yes", "--appendfsync", "always"])
        .arg("--dir")
        .arg(&data);
    let mut process = Process::start(name, command, &dir.join("store.log"))?;
    let connects = || async { tokio::net::TcpStream::connect(address).await.is_ok() };
    process.wait_until(PATIENCE, connects).await?;
    Ok(process)
}
