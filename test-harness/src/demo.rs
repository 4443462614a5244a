//! The demo: plays the seed's scenario, or keeps everything running for a person to try.
//!
//! `up` starts a process of its own, the holder, that owns all the others and leaves its process id in `.demo/up/pid`; `down` ends
//! it, and with it everything.

mod hold;
mod try_it;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use tokio::signal::unix::{SignalKind, signal};

use crate::backend::Replies;
use crate::envoy::wasm::InstallMode;
use crate::programs;
use crate::scenario::{self, Scenario, cpex_demo, seed};
use crate::stack::{Options, Stack};
pub use hold::{down, hold, up};

/// Plays one scenario and tells each step; true if all agree. Nothing is left running, whatever happens.
///
/// # Errors
/// When something does not start or is interrupted; the logs stay in `.demo/run`.
pub async fn run(name: &str, mode: InstallMode, replies: Replies) -> anyhow::Result<bool> {
    let scenario = find(name)?;
    let dir = folder("run")?;
    let played = async {
        let mut options = Options::new(scenario.policy.clone(), mode, &dir);
        options.replies = replies;
        options.demo_ports = true;
        let mut stack = start(&options).await?;
        println!();
        println!(
            "scenario {} over {} (install mode {})",
            scenario.name,
            scenario.policy.display(),
            mode.name()
        );
        println!();
        scenario::run(stack.scene(), &scenario, |step| println!("{step}\n")).await
    };
    // Ending the future drops the stack, which kills what it started.
    let report = tokio::select! {
        played = played => played,
        signal = interrupted() => Err(anyhow::anyhow!("interrupted by {}", signal?)),
    };
    let report = report.map_err(|error| anyhow::anyhow!("{error:#}\nthe logs are in {}", shown(&dir)))?;
    println!("{report}");
    if !report.agrees() {
        println!("the logs are in {}", shown(&dir));
    }
    Ok(report.agrees())
}

fn find(name: &str) -> anyhow::Result<Scenario> {
    match name {
        "seed" => Ok(seed::scenario()),
        "cpex-demo" => cpex_demo::scenario().context(
            "the CPEX demo's policy is not part of this repository; fix: name the file in APLOMB_CPEX_DEMO",
        ),
        other => bail!("unknown scenario `{other}`: one of seed, cpex-demo"),
    }
}

async fn start(options: &Options) -> anyhow::Result<Stack> {
    let stack = Stack::start(options, |what| println!("==> {what}")).await?;
    let printed = stack.artefacts.printed.trim();
    if !printed.is_empty() {
        println!("    aplc: {}", printed.replace('\n', "\n          "));
    }
    Ok(stack)
}

/// An empty folder below `.demo`.
fn folder(name: &str) -> anyhow::Result<PathBuf> {
    let dir = programs::root().join(".demo").join(name);
    if dir.exists() {
        std::fs::remove_dir_all(&dir).with_context(|| format!("cannot empty {}", shown(&dir)))?;
    }
    std::fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", shown(&dir)))?;
    Ok(dir)
}

/// A path as a person in the source tree would type it.
fn shown(path: &Path) -> String {
    path.strip_prefix(programs::root())
        .unwrap_or(path)
        .display()
        .to_string()
}

/// Completes with the name of the signal that asks this process to end.
async fn interrupted() -> std::io::Result<&'static str> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    Ok(tokio::select! {
        _ = interrupt.recv() => "SIGINT",
        _ = terminate.recv() => "SIGTERM",
        _ = hang_up.recv() => "SIGHUP",
    })
}
