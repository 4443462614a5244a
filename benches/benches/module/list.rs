//! A long list, filtered.

use std::time::Instant;

use serde_json::{Value, json};

use crate::{
    exchange::{HEAD, configuration, configured, median},
    row::{fact, ms},
};

/// A list of 200 tools, of which a caller may see some.
pub(crate) fn list() -> anyhow::Result<()> {
    let mut policy = String::from("routes:\n");
    let mut tools = Vec::new();
    for at in 0..200 {
        let rule = match at % 4 {
            0 => "require(authenticated)",
            1 => "args.amount > 1000: deny",
            2 => "require(role.hr | perm.read)",
            _ => "require(args.region == 'eu')",
        };
        policy.push_str(&format!(
            "  - tool: tool_{at}\n    pre_invocation: [\"{rule}\"]\n"
        ));
        tools.push(json!({"name": format!("tool_{at}"), "title": "A tool",
            "description": "Does what its name says, with the arguments below. ".repeat(3),
            "inputSchema": {"type": "object", "required": ["region"], "properties": {
                "region": {"type": "string", "description": "where"}, "amount": {"type": "number", "minimum": 0}}}}));
    }
    let (mut host, root) = configured(&configuration(&policy, false)?)?;
    let request = json!({"jsonrpc": "2.0", "id": 7, "method": "tools/list"}).to_string();
    let reply = json!({"jsonrpc": "2.0", "id": 7, "result": {"tools": tools}}).to_string();
    let mut times = Vec::new();
    let mut left = 0;
    for _ in 0..50 {
        let x = host.exchange(&[root], true);
        host.request_head(x, &HEAD, false)?;
        host.request_body(x, request.as_bytes(), true)?;
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
        let start = Instant::now();
        host.response_body(x, reply.as_bytes(), true)?;
        times.push(start.elapsed());
        let answer: Value = serde_json::from_slice(&host.client(x).body)?;
        left = answer["result"]["tools"].as_array().map_or(0, Vec::len);
        host.end(x)?;
    }
    anyhow::ensure!(left == 100, "{left} tools are left");
    ms(
        "tools/list of 200 tools, filtered to 100",
        Some(1.0),
        median(times),
    );
    fact("bytes", reply.len());
    Ok(())
}
