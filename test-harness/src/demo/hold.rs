//! `up`, the holder that it starts, and `down`.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use super::{folder, interrupted, shown, start, try_it};
use crate::backend::Replies;
use crate::envoy::wasm::InstallMode;
use crate::programs;
use crate::scenario::seed;
use crate::stack::Options;

/// How long everything may take to be up: each of its parts has two minutes.
const UP: Duration = Duration::from_secs(600);
/// How long the holder may take to end what it holds before it is killed with all of it.
const DOWN: Duration = Duration::from_secs(10);

/// Starts everything in the background and prints how to try it.
///
/// # Errors
/// When it runs already or does not come up.
pub fn up(mode: InstallMode) -> anyhow::Result<()> {
    if let Some(pid) = running_holder() {
        bail!("the demo is running already (process {pid}); fix: `make demo-down`");
    }
    let dir = folder("up")?;
    let log_path = dir.join("holder.log");
    let log = File::create(&log_path).with_context(|| format!("cannot write {}", shown(&log_path)))?;
    let own = std::env::current_exe().context("cannot tell where this program is")?;
    let mut command = Command::new(own);
    command.args(["hold", "--mode", mode.name()]);
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    // A process group of its own: Ctrl-C here does not reach it, and the whole group can be ended by one number.
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let mut holder = command.spawn().context("cannot start the holder")?;

    let started = Instant::now();
    let mut printed = 0;
    let ready = dir.join("try-it.txt");
    loop {
        let progress = std::fs::read_to_string(&log_path).unwrap_or_default();
        print!("{}", progress.get(printed..).unwrap_or_default());
        printed = progress.len();
        if let Ok(text) = std::fs::read_to_string(&ready) {
            println!("\n{text}");
            return Ok(());
        }
        if let Some(status) = holder.try_wait()? {
            bail!(
                "the demo did not start ({status}); the logs are in {}",
                shown(&dir)
            );
        }
        if started.elapsed() > UP {
            end(holder.id(), Duration::ZERO)?;
            bail!(
                "the demo was not up within {} s; the logs are in {}",
                UP.as_secs(),
                shown(&dir)
            );
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Owns everything until a signal comes. `up` starts it.
///
/// # Errors
/// When something does not start.
pub async fn hold(mode: InstallMode) -> anyhow::Result<()> {
    let dir = demo_dir();
    std::fs::write(dir.join("pid"), std::process::id().to_string())?;
    let mut options = Options::new(seed::scenario().policy, mode, &dir);
    // Stateless servers: one curl line is a whole call.
    options.replies = Replies::Json;
    options.demo_ports = true;
    let held = async {
        let stack = start(&options).await?;
        let text = try_it::text(&stack, &dir).await?;
        let unfinished = dir.join("try-it.new");
        std::fs::write(&unfinished, text)?;
        std::fs::rename(unfinished, dir.join("try-it.txt"))?;
        std::future::pending::<anyhow::Result<()>>().await
    };
    let result = tokio::select! {
        held = held => held,
        signal = interrupted() => { println!("ended by {}", signal?); Ok(()) }
    };
    let _ = std::fs::remove_file(dir.join("pid"));
    result
}

/// Ends what `up` started.
///
/// # Errors
/// When it cannot be ended.
pub fn down() -> anyhow::Result<()> {
    let Some(pid) = running_holder() else {
        println!("the demo is not running");
        return Ok(());
    };
    end(pid, DOWN)?;
    let _ = std::fs::remove_file(demo_dir().join("pid"));
    println!("the demo has ended");
    Ok(())
}

fn demo_dir() -> PathBuf {
    programs::root().join(".demo").join("up")
}

/// The holder's process id, if it is alive and really is one: ids are used again.
fn running_holder() -> Option<u32> {
    let pid: u32 = std::fs::read_to_string(demo_dir().join("pid"))
        .ok()?
        .trim()
        .parse()
        .ok()?;
    is_holder(pid).then_some(pid)
}

fn is_holder(pid: u32) -> bool {
    let command_line =
        std::fs::read(Path::new("/proc").join(pid.to_string()).join("cmdline")).unwrap_or_default();
    let mut words = command_line.split(|byte| *byte == 0);
    words
        .next()
        .is_some_and(|program| program.ends_with(b"aplomb-demo"))
        && words.next() == Some(b"hold")
}

fn end(pid: u32, patience: Duration) -> anyhow::Result<()> {
    kill("-TERM", &pid.to_string())?;
    let started = Instant::now();
    while is_holder(pid) {
        if started.elapsed() > patience {
            // The holder leads its group: this ends everything that it started, too.
            return kill("-KILL", &format!("-{pid}"));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

fn kill(signal: &str, target: &str) -> anyhow::Result<()> {
    let status = Command::new("kill")
        .args([signal, "--", target])
        .status()
        .context("cannot run kill")?;
    anyhow::ensure!(status.success(), "kill {signal} {target}: {status}");
    Ok(())
}
