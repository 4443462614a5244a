//! The ground under the real-Envoy tests: the demo backends answer MCP through an Envoy without the filter.

use std::net::SocketAddr;
use std::path::Path;

use aplomb_test_harness::backend::{Role, record};
use aplomb_test_harness::envoy::{Envoy, Setup, Upstream};
use aplomb_test_harness::mcp::McpClient;
use aplomb_test_harness::patience::PATIENCE;
use aplomb_test_harness::process::{Process, answers};
use aplomb_test_harness::{ports, programs};
use serde_json::json;
use tokio::process::Command;

async fn start_hr(replies: &str, dir: &Path) -> (Process, SocketAddr) {
    let address = ports::free().expect("a port");
    let mut command = Command::new(programs::ours("aplomb-demo-backend").expect("built"));
    command.args([
        "--role",
        "hr",
        "--listen",
        &address.to_string(),
        "--replies",
        replies,
    ]);
    let mut process = Process::start("hr", command, &dir.join("hr.log")).expect("starts");
    let http = reqwest::Client::new();
    let log = format!("http://{address}/control/log");
    process
        .wait_until(PATIENCE, || answers(&http, &log))
        .await
        .expect("answers");
    (process, address)
}

async fn passes_a_call_through(replies: &str) {
    let dir = tempfile::tempdir().expect("a directory");
    let (_hr, address) = start_hr(replies, dir.path()).await;
    let upstream = Upstream {
        name: "hr".into(),
        path: Role::Hr.path(),
        rewrite: "/mcp".into(),
        address,
        keep_host: false,
    };
    let setup = Setup::new(ports::free().expect("a port"), Vec::new(), vec![upstream]);
    let envoy = Envoy::start(&setup, dir.path()).await.expect("Envoy starts");

    let headers = [("authorization", "Bearer the-agent".to_owned())];
    let mut client = McpClient::new(envoy.url("/hr/mcp"), &headers).expect("headers");
    client.connect().await.expect("handshake");
    let arguments = json!({ "employee_id": "EMP-001234" });
    let reply = client
        .call(&json!("seven"), "get_compensation", &arguments)
        .await
        .expect("a reply");

    assert_eq!(reply.status, 200, "{}", reply.body);
    assert_eq!(
        reply.message.as_ref().and_then(|m| m.get("id")),
        Some(&json!("seven"))
    );
    assert_eq!(
        reply.tool_json().and_then(|record| record.get("salary").cloned()),
        Some(json!(125_000))
    );
    let log = reqwest::get(format!("http://{address}/control/log"))
        .await
        .expect("the log");
    let seen: Vec<record::Request> = serde_json::from_str(&log.text().await.expect("text")).expect("a log");
    let call = seen
        .iter()
        .find(|request| request.tool.is_some())
        .expect("the call");
    assert_eq!(call.arguments, Some(arguments));
    assert_eq!(call.authorization.as_deref(), Some("Bearer the-agent"));
    assert_eq!(
        envoy.stat("http.in.downstream_rq_5xx").await.expect("stats"),
        Some(0)
    );
}

#[tokio::test]
async fn a_server_that_answers_in_events_is_reached_through_envoy() {
    passes_a_call_through("sse").await;
}

#[tokio::test]
async fn a_server_that_answers_in_json_is_reached_through_envoy() {
    passes_a_call_through("json").await;
}
