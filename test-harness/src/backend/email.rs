//! Outbound mail that goes nowhere.

use rmcp::handler::server::router::tool::ToolRouter;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::model::{CallToolResult, ServerCapabilities, ServerConfig};
use rmcp::{ServerHandler, schemars, tool, tool_handler, tool_router};
use serde::{Deserialize, Serialize};

use super::json_text;

#[derive(Debug, Deserialize, schemars::JsonSchema)]
struct SendEmail {
    /// The recipient.
    to: String,
    /// The subject line.
    #[serde(default)]
    subject: String,
    /// The text.
    #[serde(default)]
    #[expect(dead_code, reason = "recorded with the request, not needed for the answer")]
    body: String,
}

#[derive(Serialize)]
struct Sent {
    status: &'static str,
    to: String,
    subject: String,
}

#[derive(Clone)]
pub(super) struct Email {
    #[expect(
        dead_code,
        reason = "the SDK's macro reads the tools from a function, its examples keep them here"
    )]
    tool_router: ToolRouter<Self>,
}

impl Email {
    pub(super) fn new() -> Self {
        Email {
            tool_router: Self::tool_router(),
        }
    }
}

#[tool_router]
impl Email {
    #[tool(description = "Send an e-mail")]
    fn send_email(&self, Parameters(mail): Parameters<SendEmail>) -> CallToolResult {
        json_text(&Sent {
            status: "sent",
            to: mail.to,
            subject: mail.subject,
        })
    }
}

#[tool_handler]
impl ServerHandler for Email {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
    }
}
