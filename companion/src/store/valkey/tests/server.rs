//! Real servers: Debian's Redis 7 and Valkey 9.

#[expect(unreachable_pub, reason = "the harness's, where all of it is public and used")]
#[path = "../../../../../test-harness/src/patience.rs"]
mod patience;
#[expect(
    dead_code,
    unreachable_pub,
    reason = "the harness's, where all of it is public and used"
)]
#[path = "../../../../../test-harness/src/ports.rs"]
mod ports;
#[expect(
    dead_code,
    unreachable_pub,
    reason = "the harness's, where all of it is public and used"
)]
#[path = "../../../../../test-harness/src/tools.rs"]
mod tools;

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use patience::PATIENCE;
pub(super) use patience::eventually;

/// Which program.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Redis,
    Valkey,
}

/// A server on a loopback port, with its data; killed when it is dropped.
pub(super) struct Server {
    kind: Kind,
    child: Option<Child>,
    pub(super) port: u16,
    /// Where servers of a cluster speak with each other.
    pub(super) bus: Option<u16>,
    /// Where it speaks TLS besides.
    pub(super) tls: Option<u16>,
    pub(super) directory: TempDir,
    arguments: Vec<String>,
}

impl Kind {
    /// Where `make setup` put it, or where the system has it.
    fn program(self) -> Option<PathBuf> {
        let name = match self {
            Self::Redis => "redis-server",
            Self::Valkey => "valkey-server",
        };
        tools::needed(name, tools::program(name))
    }
}

/// What a server that holds labels needs.
pub(super) const DURABLE: [&str; 4] = ["--appendonly", "yes", "--appendfsync", "always"];

impl Server {
    /// `None`: the program is not installed.
    pub(super) async fn start(kind: Kind, arguments: &[&str]) -> Option<Self> {
        Self::start_at(kind, free_port(), arguments).await
    }

    /// The same, at a port that the arguments name too.
    pub(super) async fn start_at(kind: Kind, port: u16, arguments: &[&str]) -> Option<Self> {
        kind.program()?;
        let mut server = Self {
            kind,
            child: None,
            port,
            bus: None,
            tls: None,
            directory: tempfile::tempdir().expect("a directory"),
            arguments: arguments.iter().map(|text| (*text).to_owned()).collect(),
        };
        server.restart().await;
        Some(server)
    }

    /// One of a cluster. The port for the others is a free one of its own: the usual one, 10000 above, may not be.
    pub(super) async fn start_in_cluster(kind: Kind, arguments: &[&str]) -> Option<Self> {
        let bus = free_port();
        let text = bus.to_string();
        let mut all = arguments.to_vec();
        all.extend(["--cluster-port", &text]);
        let mut server = Self::start(kind, &all).await?;
        server.bus = Some(bus);
        let tls = arguments.iter().position(|argument| *argument == "--tls-port");
        server.tls = tls.and_then(|at| arguments.get(at + 1)?.parse().ok());
        Some(server)
    }

    /// Starts it over the same data at the same port.
    pub(super) async fn restart(&mut self) {
        self.kill();
        let program = self.kind.program().expect("it was there");
        let port = self.port.to_string();
        let mut command = Command::new(program);
        if !self.arguments.iter().any(|argument| argument == "--port") {
            command.args(["--port", &port]);
        }
        let child = command
            .args([
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--repl-diskless-sync-delay",
                "0",
            ])
            .args(&self.arguments)
            .arg("--dir")
            .arg(self.directory.path())
            .stdout(Stdio::null())
            .spawn()
            .expect("starts");
        self.child = Some(child);
        eventually("the server", async || {
            std::net::TcpStream::connect(("127.0.0.1", self.port)).ok()
        })
        .await;
    }

    /// One that watches others, with these lines of configuration.
    pub(super) async fn sentinel(kind: Kind, lines: &[&str]) -> Option<Self> {
        let program = kind.program()?;
        let mut server = Self {
            kind,
            child: None,
            port: free_port(),
            bus: None,
            tls: None,
            directory: tempfile::tempdir().expect("a directory"),
            arguments: Vec::new(),
        };
        let file = server.directory.path().join("sentinel.conf");
        std::fs::write(&file, lines.join("\n") + "\n").expect("writes");
        let child = Command::new(program)
            .arg(&file)
            .args([
                "--sentinel",
                "--bind",
                "127.0.0.1",
                "--port",
                &server.port.to_string(),
            ])
            .stdout(Stdio::null())
            .spawn()
            .expect("starts");
        server.child = Some(child);
        for _ in 0..500 {
            if std::net::TcpStream::connect(("127.0.0.1", server.port)).is_ok() {
                return Some(server);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("the sentinel does not listen");
    }

    /// Waits until a sentinel knows that there is a replica to promote.
    pub(super) async fn knows_a_replica(&self, name: &str) {
        for _ in 0..1500 {
            let replicas = self.command(&["SENTINEL", "REPLICAS", name]).await;
            let said = format!("{replicas:?}");
            if said.contains("slave") && !said.contains("s_down") && said.contains("master-link-status") {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("the sentinel finds no replica");
    }

    pub(super) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Stops it in the middle of whatever it does, or lets it go on. What is sent meanwhile waits.
    pub(super) fn hold(&self, held: bool) {
        let id = self.child.as_ref().expect("runs").id().to_string();
        let signal = if held { "-STOP" } else { "-CONT" };
        let sent = Command::new("kill").args([signal, &id]).status().expect("kill");
        assert!(sent.success());
    }

    /// How often a command was performed.
    pub(super) async fn calls(&self, command: &str) -> u64 {
        let info: String =
            redis::from_redis_value(self.command(&["INFO", "commandstats"]).await).expect("a text");
        let found = info.lines().find_map(|line| {
            let rest = line.strip_prefix("cmdstat_")?.strip_prefix(command)?;
            rest.strip_prefix(":calls=")?.split(',').next()?.parse().ok()
        });
        found.unwrap_or(0)
    }

    /// Performs one command as an administrator.
    pub(super) async fn command(&self, words: &[&str]) -> redis::Value {
        let client = redis::Client::open(format!("redis://127.0.0.1:{}", self.port)).expect("an address");
        // The client's own patience is half a second.
        let config = redis::AsyncConnectionConfig::new()
            .set_connection_timeout(Some(PATIENCE))
            .set_response_timeout(Some(PATIENCE));
        let mut connection = client
            .get_multiplexed_async_connection_with_config(&config)
            .await
            .expect("connects");
        let (name, arguments) = words.split_first().expect("a command");
        let mut command = redis::cmd(name);
        command
            .arg(arguments)
            .query_async(&mut connection)
            .await
            .expect("performs")
    }

    /// Waits until a replica has caught up.
    pub(super) async fn synced(&self) {
        eventually("the replica", async || {
            let info = self.command(&["INFO", "replication"]).await;
            format!("{info:?}")
                .contains("master_link_status:up")
                .then_some(())
        })
        .await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

pub(super) fn free_port() -> u16 {
    ports::free().expect("a port").port()
}
