//! Source repositories.

use rmcp::handler::server::router::tool::ToolRouter;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::model::{CallToolResult, ServerCapabilities, ServerConfig};
use rmcp::{ServerHandler, schemars, tool, tool_handler, tool_router};
use serde::{Deserialize, Serialize};

use super::json_text;

#[derive(Debug, Clone, Serialize)]
struct Repo {
    name: &'static str,
    visibility: &'static str,
    language: &'static str,
    description: &'static str,
}

const REPOS: [Repo; 5] = [
    Repo {
        name: "web-app",
        visibility: "internal",
        language: "TypeScript",
        description: "The customer portal",
    },
    Repo {
        name: "billing",
        visibility: "internal",
        language: "Rust",
        description: "Invoices and dunning",
    },
    Repo {
        name: "infra",
        visibility: "internal",
        language: "HCL",
        description: "Clusters and networks",
    },
    Repo {
        name: "partner-sdk",
        visibility: "external",
        language: "Go",
        description: "What partners build on",
    },
    Repo {
        name: "docs",
        visibility: "external",
        language: "Markdown",
        description: "The public handbook",
    },
];

#[derive(Debug, Deserialize, schemars::JsonSchema)]
struct SearchRepos {
    /// Part of the name; all repositories when absent.
    #[serde(default)]
    repo_name: Option<String>,
    /// `internal` or `external`; both when absent.
    #[serde(default)]
    visibility: Option<String>,
}

#[derive(Serialize)]
struct Found {
    count: usize,
    matches: Vec<Repo>,
}

#[derive(Clone)]
pub(super) struct Repos {
    #[expect(
        dead_code,
        reason = "the SDK's macro reads the tools from a function, its examples keep them here"
    )]
    tool_router: ToolRouter<Self>,
}

impl Repos {
    pub(super) fn new() -> Self {
        Repos {
            tool_router: Self::tool_router(),
        }
    }
}

#[tool_router]
impl Repos {
    #[tool(description = "Search source repositories by name and visibility")]
    fn search_repos(&self, Parameters(asked): Parameters<SearchRepos>) -> CallToolResult {
        let matches: Vec<Repo> = REPOS
            .iter()
            .filter(|repo| {
                asked
                    .repo_name
                    .as_deref()
                    .is_none_or(|part| repo.name.contains(part))
            })
            .filter(|repo| {
                asked
                    .visibility
                    .as_deref()
                    .is_none_or(|wanted| repo.visibility == wanted)
            })
            .cloned()
            .collect();
        json_text(&Found {
            count: matches.len(),
            matches,
        })
    }
}

#[tool_handler]
impl ServerHandler for Repos {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
    }
}
