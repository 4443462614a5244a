//! The demo's commands, as `make demo`, `make demo-up` and `make demo-down` call them.

use std::process::ExitCode;

use aplomb_test_harness::backend::Replies;
use aplomb_test_harness::demo;
use aplomb_test_harness::envoy::wasm::InstallMode;
use clap::{Parser, Subcommand};

/// Policy in a real Envoy, end to end.
#[derive(Parser)]
#[command(name = "aplomb-demo", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Plays a scenario and ends; 0 if every step agrees.
    Run {
        /// full, or paired for two plugins of the one module
        #[arg(long, default_value = "full")]
        mode: InstallMode,
        /// seed or cpex-demo
        #[arg(long, default_value = "seed")]
        scenario: String,
        /// how the backends answer: sse or json
        #[arg(long, default_value = "sse")]
        replies: Replies,
    },
    /// Starts everything in the background and prints how to try it.
    Up {
        /// full, or paired for two plugins of the one module
        #[arg(long, default_value = "full")]
        mode: InstallMode,
    },
    /// Ends what `up` started.
    Down,
    /// Owns everything until a signal comes; `up` starts it.
    #[command(hide = true)]
    Hold {
        /// as for `up`
        #[arg(long, default_value = "full")]
        mode: InstallMode,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Run {
            mode,
            scenario,
            replies,
        } => demo::run(&scenario, mode, replies).await,
        Command::Up { mode } => demo::up(mode).map(|()| true),
        Command::Down => demo::down().map(|()| true),
        Command::Hold { mode } => demo::hold(mode).await.map(|()| true),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}
