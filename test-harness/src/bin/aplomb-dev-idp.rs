//! `aplomb-dev-idp`: the development identity provider on a port.

use std::io::Write;
use std::net::SocketAddr;
use std::process::ExitCode;

use aplomb_test_harness::idp::{DEFAULT_ISSUER, DevIdp, Options};
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

/// Emulates the Keycloak realm `cpex-demo` for development. Everybody's password is their name.
#[derive(Parser)]
#[command(name = "aplomb-dev-idp", version)]
struct Cli {
    /// Address and port; port 0 picks a free one.
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:8081")]
    listen: SocketAddr,
    /// The `iss` of its tokens.
    #[arg(long, value_name = "URL", default_value = DEFAULT_ISSUER)]
    issuer: String,
    /// Serves /control, which makes it slow, silent or untruthful.
    #[arg(long)]
    control: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Cli::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: {error}");
            ExitCode::from(2)
        }
    }
}

async fn run(cli: Cli) -> std::io::Result<()> {
    let options = Options {
        issuer: cli.issuer,
        control: cli.control,
    };
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let idp = DevIdp::bind(cli.listen, options).await?;
    writeln!(
        std::io::stdout(),
        "aplomb-dev-idp listens on http://{}",
        idp.address()
    )?;
    idp.run(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
    .await
}
