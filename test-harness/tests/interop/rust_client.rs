//! The client of the official Rust SDK, in this process; the same steps as `interop/client.py`.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use aplomb_test_harness::patience::PATIENCE;
use rmcp::model::{
    CallToolRequestParams, CallToolResult, GetPromptRequestParams, ProgressNotificationParam,
    ProtocolVersion, ReadResourceRequestParams, ResourceUpdatedNotificationParam, ServerNotification,
    SubscriptionFilter,
};
use rmcp::service::{NotificationContext, RunningService, ServiceError};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use rmcp::{ClientHandler, ClientLifecycleMode, ClientServiceExt as _, RoleClient};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::clients::Step;

const WATCHED: &str = "test://watched-resource";

#[derive(Debug, Default, Clone)]
struct Heard {
    progress: Arc<AtomicUsize>,
    updated: Arc<Notify>,
}

impl ClientHandler for Heard {
    async fn on_progress(&self, _: ProgressNotificationParam, _: NotificationContext<RoleClient>) {
        self.progress.fetch_add(1, Ordering::SeqCst);
    }

    async fn on_resource_updated(
        &self,
        _: ResourceUpdatedNotificationParam,
        _: NotificationContext<RoleClient>,
    ) {
        self.updated.notify_one();
    }
}

type Client = RunningService<RoleClient, Heard>;

struct Report(Vec<Step>);

impl Report {
    async fn step(&mut self, name: &str, what: impl Future<Output = Result<String, ServiceError>>) {
        let started = Instant::now();
        let outcome = match tokio::time::timeout(PATIENCE, what).await {
            Err(_) => "hangs".to_owned(),
            Ok(Ok(outcome)) => outcome,
            Ok(Err(ServiceError::McpError(error))) => format!("error {}", error.code.0),
            Ok(Err(error)) => format!("refused {error}"),
        };
        self.push(name, outcome, started);
    }

    fn push(&mut self, name: &str, outcome: String, started: Instant) {
        let ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.0.push(Step {
            step: name.to_owned(),
            outcome,
            ms,
        });
    }
}

fn lifecycle(revision: &str) -> ClientLifecycleMode {
    match revision {
        "2026-07-28" => ClientLifecycleMode::Discover {
            preferred_versions: vec![ProtocolVersion::V_2026_07_28],
        },
        _ => ClientLifecycleMode::Initialize,
    }
}

async fn connect(url: &str, token: &str, revision: &str) -> Result<(Client, Heard), String> {
    let mut config = StreamableHttpClientTransportConfig::default();
    config.uri = url.into();
    config.auth_header = Some(token.to_owned());
    let heard = Heard::default();
    let transport = StreamableHttpClientTransport::from_config(config);
    let connecting = heard.clone().serve_with_lifecycle(transport, lifecycle(revision));
    match tokio::time::timeout(PATIENCE, connecting).await {
        Err(_) => Err("hangs".to_owned()),
        Ok(Err(error)) => Err(format!("refused {error}")),
        Ok(Ok(client)) => Ok((client, heard)),
    }
}

fn text(result: &CallToolResult) -> String {
    if result.is_error == Some(true) {
        return "isError".to_owned();
    }
    let block = serde_json::to_value(&result.content).unwrap_or_default();
    block
        .pointer("/0/text")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

async fn say(client: &Client, tool: &'static str) -> Result<String, ServiceError> {
    client
        .call_tool(CallToolRequestParams::new(tool))
        .await
        .map(|result| text(&result))
}

async fn listed(client: &Client) -> Result<String, ServiceError> {
    let tools = client.list_all_tools().await?;
    let yes = |name: &str| match tools.iter().any(|tool| tool.name == name) {
        true => "True",
        false => "False",
    };
    Ok(format!(
        "employee {}, forbidden {}",
        yes("employee"),
        yes("forbidden")
    ))
}

async fn streamed(client: &Client, heard: &Heard) -> Result<String, ServiceError> {
    let arguments = json!({ "count": 3 }).as_object().cloned().unwrap_or_default();
    client
        .call_tool(CallToolRequestParams::new("steps").with_arguments(arguments))
        .await?;
    Ok(format!("{} notifications", heard.progress.load(Ordering::SeqCst)))
}

async fn employee(client: &Client) -> Result<String, ServiceError> {
    let result = client.call_tool(CallToolRequestParams::new("employee")).await?;
    let twin: Value = serde_json::from_str(&text(&result)).unwrap_or_default();
    let structured = result.structured_content.unwrap_or_default();
    let ssn = |value: &Value| value["ssn"].as_str().unwrap_or_default().to_owned();
    Ok(format!("{} {}", ssn(&twin), ssn(&structured)))
}

async fn prompt(client: &Client) -> Result<String, ServiceError> {
    let arguments = json!({ "arg1": "a", "arg2": "b" })
        .as_object()
        .cloned()
        .unwrap_or_default();
    let result = client
        .get_prompt(GetPromptRequestParams::new("test_prompt_with_arguments").with_arguments(arguments))
        .await?;
    let count = client.list_all_prompts().await?.len();
    let message = serde_json::to_value(&result.messages).unwrap_or_default();
    let words = message.pointer("/0/content/text").and_then(Value::as_str);
    Ok(format!("{count} prompts, {}", words.unwrap_or_default()))
}

async fn resource(client: &Client) -> Result<String, ServiceError> {
    let count = client.list_all_resources().await?.len();
    let result = client
        .read_resource(ReadResourceRequestParams::new("test://static-text"))
        .await?;
    let contents = serde_json::to_value(&result.contents).unwrap_or_default();
    let words = contents.pointer("/0/text").and_then(Value::as_str);
    Ok(format!("{count} resources, {}", words.unwrap_or_default()))
}

async fn notified(client: &Client, heard: &Heard, revision: &str) -> Result<String, ServiceError> {
    if revision == "2026-07-28" {
        let filter = SubscriptionFilter::builder().tools_list_changed().build();
        let mut subscription = client.listen(filter).await?;
        say(client, "test_trigger_tool_change").await?;
        return Ok(match subscription.next().await? {
            Some(ServerNotification::ToolListChangedNotification(_)) => "notified".to_owned(),
            other => format!("{other:?}"),
        });
    }
    subscribe(client).await?;
    heard.updated.notified().await;
    Ok("notified".to_owned())
}

#[expect(deprecated, reason = "what the stateful revisions have")]
async fn subscribe(client: &Client) -> Result<(), ServiceError> {
    client
        .subscribe(rmcp::model::SubscribeRequestParams::new(WATCHED))
        .await
}

/// The steps of a session.
pub(crate) async fn play(url: &str, token: &str, revision: &str) -> Vec<Step> {
    let mut report = Report(Vec::new());
    let started = Instant::now();
    match connect(url, token, revision).await {
        Err(why) => report.push("initialize", why, started),
        Ok((client, heard)) => {
            report.push("initialize", negotiated(&client), started);
            report.step("list", listed(&client)).await;
            report.step("call", say(&client, "test_simple_text")).await;
            report.step("stream", streamed(&client, &heard)).await;
            report.step("redacted", employee(&client)).await;
            report.step("prompt", prompt(&client)).await;
            report.step("resource", resource(&client)).await;
            report
                .step("notification", notified(&client, &heard, revision))
                .await;
            for (name, tool) in [
                ("denied", "forbidden"),
                ("after a denial", "test_simple_text"),
                ("pending", "guarded"),
                ("after an approval was asked", "test_simple_text"),
                ("unauthorized", "elsewhere"),
                ("after a 401", "test_simple_text"),
            ] {
                report.step(name, say(&client, tool)).await;
            }
            let _ended = client.cancel().await;
        }
    }
    let started = Instant::now();
    let outcome = connect(url, "nonsense", revision)
        .await
        .map_or_else(|why| why, |_| "let in".to_owned());
    report.push("stranger", outcome, started);
    report.0
}

fn negotiated(client: &Client) -> String {
    client
        .peer_info()
        .map(|info| info.protocol_version.to_string())
        .unwrap_or_default()
}
