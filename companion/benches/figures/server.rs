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

    /// What a load asks for, as `redis-benchmark` takes it: one of the sessions at random.
    pub(crate) fn load() -> Vec<String> {
        vec!["hgetall".to_owned(), session()]
    }

    /// What an append asks for: the store's own script with the arguments that the store gives it.
    pub(crate) fn append(&self) -> Result<Vec<String>, Box<dyn Error>> {
        let output = Command::new("redis-cli")
            .args(["-p", &self.port.to_string(), "script", "load"])
            .arg(include_str!("../../src/store/valkey/append.lua"))
            .output()?;
        let digest = String::from_utf8(output.stdout)?.trim().to_owned();
        let subject = format!("aplomb:v1:{{{}}}:u", "0".repeat(64));
        let keys = [session(), subject];
        let mut words = vec!["evalsha".to_owned(), digest, "2".to_owned()];
        words.extend(keys);
        let rest = [
            "fresh",
            "256",
            "86400000",
            "604800000",
            "0",
            "aplomb:v1:epoch",
            "1",
        ];
        words.extend(rest.into_iter().chain(["secret", "watched"]).map(str::to_owned));
        Ok(words)
    }

    /// Commands a second that `redis-benchmark` gets out of one connection with so many under way, among so many keys.
    pub(crate) fn benchmark(
        &self,
        pipelined: u64,
        total: u64,
        keys: u64,
        words: &[String],
    ) -> Result<f64, Box<dyn Error>> {
        // Whole pipelines only: otherwise it finishes more than it was told to, and when its own clock ticks just then it takes
        // the connection that it closed for a lost one and ends without a rate ("All clients disconnected").
        let total = total.next_multiple_of(pipelined);
        let output = Command::new("redis-benchmark")
            .args([
                "-p",
                &self.port.to_string(),
                "-c",
                "1",
                "-P",
                &pipelined.to_string(),
            ])
            .args(["-n", &total.to_string(), "-r", &keys.to_string(), "-q"])
            .args(words)
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
        rate.ok_or_else(|| {
            let complaint = String::from_utf8_lossy(&output.stderr);
            let last = said.lines().rev().find(|line| !line.trim().is_empty());
            format!(
                "redis-benchmark ({}) said no rate: {}; last line: {}",
                output.status,
                complaint.trim(),
                last.unwrap_or_default().trim()
            )
            .into()
        })
    }
}

/// `redis-benchmark` puts a number of 12 digits there.
fn session() -> String {
    let zeros = "0".repeat(64);
    format!("aplomb:v1:{{{zeros}}}:s:{}__rand_int__", "0".repeat(52))
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
