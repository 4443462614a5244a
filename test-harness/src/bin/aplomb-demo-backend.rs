//! One demo backend, until it is ended.

use std::net::SocketAddr;

use aplomb_test_harness::backend::{self, Replies, Role};
use clap::Parser;

/// One of the demo's MCP servers.
#[derive(Parser)]
struct Cli {
    /// hr, repos or email
    #[arg(long)]
    role: Role,
    /// Address and port; port 0 picks a free one.
    #[arg(long)]
    listen: SocketAddr,
    /// sse (the SDK's default) or json
    #[arg(long, default_value = "sse")]
    replies: Replies,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    backend::serve(cli.role, cli.replies, cli.listen).await
}
