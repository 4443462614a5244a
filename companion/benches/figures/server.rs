//! A Redis server and its own benchmark.

use std::error::Error;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Running until it is dropped.
pub(crate) struct Server {
    child: Child,
    /// Where.
    pub(crate) port: u16,
    /// Which.
    pub(crate) name: &'static str,
    _directory: tempfile::TempDir,
}

impl Server {
    /// `None`: there is none on this machine.
    pub(crate) async fn start() -> Result<Option<Self>, Box<dyn Error>> {
        let name = "redis-server";
        if Command::new(name).arg("--version").output().is_err() {
            return Ok(None);
        }
        let directory = tempfile::tempdir()?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let child = Command::new(name)
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
            .args(["--appendonly", "yes", "--appendfsync", "always", "--save", ""])
            .arg("--dir")
            .arg(directory.path())
            .stdout(Stdio::null())
            .spawn()?;
        let server = Self {
            child,
            port,
            name,
            _directory: directory,
        };
        let until = Instant::now() + Duration::from_secs(60);
        while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            if Instant::now() > until {
                return Err("redis-server does not start".into());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(Some(server))
    }

    /// Commands a second that `redis-benchmark` gets out of one connection with so many under way.
    pub(crate) fn benchmark(&self, pipelined: u64, total: u64) -> Result<f64, Box<dyn Error>> {
        let output = Command::new("redis-benchmark")
            .args([
                "-p",
                &self.port.to_string(),
                "-c",
                "1",
                "-P",
                &pipelined.to_string(),
            ])
            .args(["-n", &total.to_string(), "-q", "hgetall", "aplomb:v1:{none}:u"])
            .output()?;
        let said = String::from_utf8_lossy(&output.stdout).replace('\r', "\n");
        let rate = said.lines().rev().find_map(|line| {
            line.split_once(" requests per second")?
                .0
                .rsplit(' ')
                .next()?
                .parse()
                .ok()
        });
        rate.ok_or_else(|| format!("redis-benchmark said no rate: {said}").into())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
