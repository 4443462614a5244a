//! The development identity provider as a process of its own, and tokens from it.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::Context as _;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::backend::Role;
use crate::envoy::Envoy;
use crate::mcp::McpClient;
use crate::patience::PATIENCE;
use crate::process::{Process, answers};
use crate::programs;

/// The agent's client at the provider and its secret.
const AGENT: (&str, &str) = ("hr-copilot", "hr-copilot-secret");

/// The provider, running.
#[derive(Debug)]
pub struct Idp {
    _process: Process,
    http: reqwest::Client,
    /// Where it listens.
    pub address: SocketAddr,
}

/// What an agent that works for a user sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tokens {
    /// The agent's own, for `Authorization`.
    pub client: String,
    /// The user's, for `X-User-Token`.
    pub user: String,
}

impl Tokens {
    /// A client of one backend through a gateway, with these tokens and session.
    ///
    /// # Errors
    /// When a token is no header value.
    pub fn client(&self, gateway: &Envoy, role: Role, session: &str) -> anyhow::Result<McpClient> {
        let headers = [
            ("authorization", format!("Bearer {}", self.client)),
            ("x-user-token", self.user.clone()),
            ("x-session-id", session.to_owned()),
        ];
        McpClient::new(gateway.url(&role.path()), &headers)
    }
}

impl Idp {
    pub(super) async fn start(address: SocketAddr, dir: &Path) -> anyhow::Result<Self> {
        let mut command = Command::new(programs::ours("aplomb-dev-idp")?);
        let issuer = format!("http://localhost:{}/realms/cpex-demo", address.port());
        command.args(["--listen", &address.to_string(), "--issuer", &issuer, "--control"]);
        let mut process = Process::start("the identity provider", command, &dir.join("idp.log"))?;
        let http = reqwest::Client::builder().no_proxy().build()?;
        let control = format!("http://{address}/control");
        process.wait_until(PATIENCE, || answers(&http, &control)).await?;
        Ok(Idp {
            _process: process,
            http,
            address,
        })
    }

    /// The URL of its token endpoint.
    #[must_use]
    pub fn token_url(&self) -> String {
        format!(
            "http://{}/realms/cpex-demo/protocol/openid-connect/token",
            self.address
        )
    }

    /// Logs the user in (the password is the name) and the agent too.
    ///
    /// # Errors
    /// When the provider refuses.
    pub async fn log_in(&self, user: &str) -> anyhow::Result<Tokens> {
        let client = self.token(&[("grant_type", "client_credentials")]).await?;
        let password = [("grant_type", "password"), ("username", user), ("password", user)];
        Ok(Tokens {
            client,
            user: self.token(&password).await?,
        })
    }

    /// Makes exchanges grant less than asked, or as asked again.
    ///
    /// # Errors
    /// When the provider does not answer.
    pub async fn grant_less(&self, less: bool) -> anyhow::Result<()> {
        self.control(&json!({ "grant_less": less })).await
    }

    /// Sends a change to the control endpoint.
    ///
    /// # Errors
    /// When the provider does not take it.
    pub async fn control(&self, change: &Value) -> anyhow::Result<()> {
        let url = format!("http://{}/control", self.address);
        let reply = self.http.post(url).json(change).send().await?;
        anyhow::ensure!(
            reply.status().is_success(),
            "the identity provider answered {} to {change}",
            reply.status()
        );
        Ok(())
    }

    async fn token(&self, fields: &[(&str, &str)]) -> anyhow::Result<String> {
        let mut form = format!("client_id={}&client_secret={}", AGENT.0, AGENT.1);
        for (name, value) in fields {
            form.push_str(&format!("&{name}={value}"));
        }
        let request = self
            .http
            .post(self.token_url())
            .header("content-type", "application/x-www-form-urlencoded");
        let answer: Value = request.body(form).send().await?.json().await?;
        let token = answer.get("access_token").and_then(Value::as_str);
        Ok(token
            .with_context(|| format!("no token for {fields:?}: {answer}"))?
            .to_owned())
    }
}
