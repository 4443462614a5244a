//! A governed stream: how many events it holds back, and what an event costs.

use std::time::Instant;

use serde_json::json;

use crate::{
    exchange::{HEAD, call, configuration, configured, median},
    row::{count, us},
};

const POLICY: &str = "routes:
  - tool: watch
    result: {\"rows.ssn\": \"redact\"}
";

const EVENTS: usize = 500;

pub(crate) fn streams() -> anyhow::Result<()> {
    let (mut host, root) = configured(&configuration(POLICY, false)?)?;
    let x = host.exchange(&[root], true);
    host.request_head(x, &HEAD, false)?;
    host.request_body(x, call("watch", &json!({})).as_bytes(), true)?;
    host.response_head(
        x,
        &[(":status", "200"), ("content-type", "text/event-stream")],
        false,
    )?;
    let (mut times, mut held_back) = (Vec::new(), 0);
    for number in 1..=EVENTS {
        let message = json!({"jsonrpc": "2.0", "method": "notifications/progress",
            "params": {"progressToken": 1, "progress": number, "message": "x".repeat(200)}});
        let start = Instant::now();
        host.response_body(x, format!("data: {message}\n\n").as_bytes(), false)?;
        times.push(start.elapsed());
        let passed = String::from_utf8_lossy(&host.client(x).body)
            .matches("\n\n")
            .count();
        held_back = held_back.max(number.saturating_sub(passed));
    }
    let result = json!({"jsonrpc": "2.0", "id": 7, "result": {"content": [],
        "structuredContent": {"rows": [{"ssn": "078-05-1120"}]}}});
    host.response_body(x, format!("data: {result}\n\n").as_bytes(), true)?;
    let got = String::from_utf8_lossy(&host.client(x).body).into_owned();
    anyhow::ensure!(
        got.contains("[REDACTED]") && !got.contains("078-05-1120"),
        "the result was not redacted"
    );
    host.end(x)?;
    count("stream: events held back while later ones arrive", 1, held_back);
    us("stream: one event of 300 bytes", median(times));
    Ok(())
}
