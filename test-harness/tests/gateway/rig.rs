//! What the tests have in common: built policies, a companion, load.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Output;

use aplomb_test_harness::envoy::config::COMPANION_CLUSTER;
use aplomb_test_harness::envoy::wasm::{Governed, InstallMode};
use aplomb_test_harness::envoy::{Envoy, Setup, Upstream};
use aplomb_test_harness::patience::PATIENCE;
use aplomb_test_harness::process::{Process, answers};
use aplomb_test_harness::{ports, programs};
use tokio::process::Command;

/// Runs one of our programs to its end.
pub(crate) fn run(program: &str, arguments: &[&str]) -> Output {
    std::process::Command::new(programs::ours(program).expect("built"))
        .args(arguments)
        .env("USER", "ada")
        .output()
        .expect("runs")
}

/// Runs one that must succeed; its standard output.
pub(crate) fn done(program: &str, arguments: &[&str]) -> String {
    let output = run(program, arguments);
    assert!(
        output.status.success(),
        "{program} {arguments:?}:\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("text")
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("a path of text")
}

/// Builds a policy for one server at `/mcp`.
pub(crate) fn build(dir: &Path, name: &str, policy: &str, mode: &str) -> PathBuf {
    let source = dir.join(format!("{name}.yaml"));
    std::fs::write(&source, policy).expect("written");
    let out = dir.join(name);
    let arguments = ["build", text(&source), "-o", text(&out), "--mode", mode];
    done("aplc", &[&arguments[..], &["--protocol", "/mcp=mcp"]].concat());
    out
}

/// An Envoy that governs one server at `/mcp` with a build.
pub(crate) async fn envoy(
    dir: &Path,
    build: &Path,
    mode: InstallMode,
    backend: SocketAddr,
    companion: SocketAddr,
) -> Envoy {
    let filter = std::fs::read_to_string(build.join("filter-config.json")).expect("built");
    let mut configuration: serde_json::Value = serde_json::from_str(&filter).expect("JSON");
    configuration
        .as_object_mut()
        .expect("an object")
        .remove("install");
    configuration["companion"]["cluster"] = COMPANION_CLUSTER.into();
    let governed = Governed {
        module: programs::filter().expect("built"),
        configuration,
        environment: BTreeMap::new(),
        plugins: mode.plugins(),
    };
    let upstream = Upstream {
        name: "tools".into(),
        path: "/mcp".into(),
        rewrite: "/mcp".into(),
        keep_host: false,
        address: backend,
    };
    let mut setup = Setup::new(ports::free().expect("a port"), governed.filters(), vec![upstream]);
    setup.companion = Some(companion);
    setup.workers = 1;
    Envoy::start(&setup, dir).await.expect("Envoy starts")
}

/// A companion that holds some builds.
pub(crate) struct Companion {
    process: Process,
    builds: Vec<PathBuf>,
    log: PathBuf,
    pub(crate) address: SocketAddr,
    pub(crate) data: PathBuf,
}

pub(crate) async fn companion(dir: &Path, builds: &[&Path]) -> Companion {
    let program = programs::ours("aplomb-companion").expect("built");
    companion_of(&program, dir, builds).await
}

/// The same, of this program.
pub(crate) async fn companion_of(program: &Path, dir: &Path, builds: &[&Path]) -> Companion {
    let address = ports::free().expect("a port");
    let (data, log) = (dir.join("companion-data"), dir.join("companion.log"));
    let builds: Vec<PathBuf> = builds.iter().map(|build| build.to_path_buf()).collect();
    Companion {
        process: serve(program, address, &data, &builds, &log).await,
        builds,
        log,
        address,
        data,
    }
}

impl Companion {
    /// Ends it as an operator would, and starts this program at its place.
    pub(crate) async fn replace(&mut self, program: &Path) {
        self.process.terminate(PATIENCE).await.expect("ends");
        self.process = serve(program, self.address, &self.data, &self.builds, &self.log).await;
    }
}

async fn serve(program: &Path, address: SocketAddr, data: &Path, builds: &[PathBuf], log: &Path) -> Process {
    let mut command = Command::new(program);
    command.arg("serve").args(["--listen", &address.to_string()]);
    command.arg("--data").arg(data);
    for build in builds {
        command.arg("--config").arg(build.join("companion.json"));
    }
    let mut process = Process::start("the companion", command, log).expect("starts");
    let http = reqwest::Client::new();
    let health = format!("http://{address}/healthz");
    process
        .wait_until(PATIENCE, || answers(&http, &health))
        .await
        .expect("answers");
    process
}
