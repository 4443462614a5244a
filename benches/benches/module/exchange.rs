//! The module with a policy, and one exchange through it.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use apl_compiler::compile;
use aplomb_test_harness::abi::{Configured, Host};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

/// A plugin configuration with this policy; `stripped`: without its debug section.
pub(crate) fn configuration(policy: &str, stripped: bool) -> anyhow::Result<String> {
    let output = compile("policy.yaml", policy)
        .output
        .context("the policy does not compile")?;
    let mut program = output.program.program().clone();
    if stripped {
        program.debug = None;
    }
    Ok(json!({
        "policy": STANDARD.encode(apl_bytecode::encode(&program)),
        "protocols": [{"path_prefix": "/mcp", "speaks": "mcp"}, {"path_prefix": "/api", "speaks": "http"}],
        "limits": {"max_body_bytes": 2 << 20, "max_inflight_bytes": 64 << 20},
        "install": {"mode": "full"},
    })
    .to_string())
}

pub(crate) fn configured(json: &str) -> anyhow::Result<(Host, u32)> {
    let mut host = Host::start(&[])?;
    match host.configure(json)? {
        Configured::Accepted(root) => Ok((host, root)),
        Configured::Refused(why) => anyhow::bail!("refused: {why}"),
    }
}

pub(crate) const HEAD: [(&str, &str); 6] = [
    (":method", "POST"),
    (":path", "/mcp"),
    (":authority", "tools.example"),
    (":scheme", "http"),
    ("content-type", "application/json"),
    ("accept", "application/json, text/event-stream"),
];

pub(crate) fn call(tool: &str, arguments: &Value) -> String {
    json!({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {"name": tool, "arguments": arguments}})
        .to_string()
}

/// One exchange whose response is not governed, from the first callback to the last.
pub(crate) fn exchange(host: &mut Host, root: u32, (path, body): (&str, &str)) -> anyhow::Result<Duration> {
    let x = host.exchange(&[root], true);
    let head = HEAD.map(|(name, value)| (name, if name == ":path" { path } else { value }));
    // The system's account of processor time moves in steps of milliseconds, and an exchange takes less.
    let start = Instant::now();
    host.request_head(x, &head, false)?;
    host.request_body(x, body.as_bytes(), true)?;
    let time = start.elapsed();
    anyhow::ensure!(
        host.upstream(x).ended,
        "not let through: {:?}",
        host.local_reply(x)
    );
    host.response_head(
        x,
        &[(":status", "200"), ("content-type", "application/json")],
        false,
    )?;
    host.response_body(x, b"{}", true)?;
    host.end(x)?;
    Ok(time)
}

pub(crate) fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}
