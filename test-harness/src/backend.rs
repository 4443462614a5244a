//! The demo backends: ordinary MCP servers on the official Rust SDK that know nothing of policy.
//!
//! Each serves MCP Streamable HTTP at `/mcp` and, for tests, what it received at `/control/log` ([`record`]). The data
//! are those of the seed's demo: three employees, five repositories, a mailbox that sends nothing.

mod email;
mod hr;
pub mod record;
mod repos;

use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;

use anyhow::Context as _;
use axum::Router;
use rmcp::ServerHandler;
use rmcp::model::{CallToolResult, ContentBlock};
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use serde::Serialize;
use tokio::net::TcpListener;

use record::Received;

/// Which of the three backends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// HR records: `get_compensation`, `adjust_compensation`.
    Hr,
    /// Source repositories: `search_repos`.
    Repos,
    /// Outbound mail: `send_email`.
    Email,
}

impl Role {
    /// All of them, in the order in which they are started and shown.
    pub const ALL: [Role; 3] = [Role::Hr, Role::Repos, Role::Email];

    /// The name on the command line, in the Envoy path and in its cluster.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Role::Hr => "hr",
            Role::Repos => "repos",
            Role::Email => "email",
        }
    }

    /// The path at which the demo's Envoy serves it.
    #[must_use]
    pub fn path(self) -> String {
        format!("/{}/mcp", self.name())
    }
}

impl FromStr for Role {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Role::ALL
            .into_iter()
            .find(|role| role.name() == name)
            .with_context(|| format!("unknown role `{name}`: one of hr, repos, email"))
    }
}

/// How the server answers a `tools/call`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replies {
    /// The SDK's default: sessions, and each reply as a server-sent event.
    Sse,
    /// Stateless, each reply as one JSON document.
    Json,
}

impl Replies {
    /// The name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Replies::Sse => "sse",
            Replies::Json => "json",
        }
    }
}

impl FromStr for Replies {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "sse" => Ok(Replies::Sse),
            "json" => Ok(Replies::Json),
            other => anyhow::bail!("unknown kind of replies `{other}`: one of sse, json"),
        }
    }
}

/// Serves one backend until the process ends; says on standard output where it listens.
///
/// # Errors
/// When the address cannot be bound or the server fails.
pub async fn serve(role: Role, replies: Replies, listen: SocketAddr) -> anyhow::Result<()> {
    let listener = TcpListener::bind(listen)
        .await
        .with_context(|| format!("cannot listen on {listen}"))?;
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, router(role, replies)).await?;
    Ok(())
}

fn router(role: Role, replies: Replies) -> Router {
    let received = Received::default();
    let mcp = match role {
        Role::Hr => {
            let records = hr::Records::default();
            mcp_service(replies, move || hr::Hr::new(records.clone()))
        }
        Role::Repos => mcp_service(replies, repos::Repos::new),
        Role::Email => mcp_service(replies, email::Email::new),
    };
    record::wrap(mcp, received)
}

fn mcp_service<S>(replies: Replies, make: impl Fn() -> S + Send + Sync + 'static) -> Router
where
    S: ServerHandler + Send + 'static,
{
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(replies == Replies::Sse)
        .with_json_response(replies == Replies::Json);
    let service = StreamableHttpService::new(
        move || Ok(make()),
        Arc::new(LocalSessionManager::default()),
        config,
    );
    Router::new().nest_service("/mcp", service)
}

/// One text block with indented JSON, as the upstream demo's tools answer.
fn json_text(value: &impl Serialize) -> CallToolResult {
    match serde_json::to_string_pretty(value) {
        Ok(text) => CallToolResult::success(vec![ContentBlock::text(text)]),
        Err(error) => CallToolResult::error(vec![ContentBlock::text(error.to_string())]),
    }
}

/// The same, with the document as `structuredContent` beside it.
fn json_text_and_structured(value: &impl Serialize) -> CallToolResult {
    let mut result = json_text(value);
    result.structured_content = serde_json::to_value(value).ok();
    result
}
