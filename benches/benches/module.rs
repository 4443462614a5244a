//! `make bench-module`: what the compiled filter needs, measured in the module itself, beside the bounds.
//!
//! The module runs in the ABI host of the tests, on wasmtime. What is timed is the host's callbacks: the copies into and out of
//! the module are part of it, as they are in a proxy. Loading is given in processor time where the system tells (Linux), the
//! rest as the median or shortest of many. `APLOMB_WASM` measures another module.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use apl_compiler::compile;
use aplomb_test_harness::abi::{Configured, Host};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

/// Routes of the large policy.
const MANY: usize = 10_000;

fn main() -> anyhow::Result<()> {
    // `cargo bench --bench module -- load` measures that part alone.
    let parts: Vec<String> = std::env::args()
        .skip(1)
        .filter(|arg| !arg.starts_with('-'))
        .collect();
    let wanted = |part: &str| parts.is_empty() || parts.iter().any(|wanted| wanted == part);
    println!(
        "{:<66} {:>9} {:>12}",
        "in the module (wasmtime)", "bound", "measured"
    );
    if wanted("load") {
        loading()?;
    }
    if wanted("request") {
        among_many("exact names", Routes::Names)?;
        among_many("globs", Routes::Globs)?;
        among_many("HTTP paths", Routes::Paths)?;
    }
    if wanted("body") {
        bodies()?;
    }
    if wanted("list") {
        list()?;
    }
    Ok(())
}

/// A point in this thread's time.
struct Moment {
    wall: Instant,
    processor: Option<u64>,
}

impl Moment {
    fn now() -> Self {
        // The first number: nanoseconds on a processor.
        let stat = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
        let processor = stat.and_then(|text| text.split(' ').next()?.parse().ok());
        let wall = Instant::now();
        Self { wall, processor }
    }

    fn elapsed(&self) -> Duration {
        let wall = self.wall.elapsed();
        match (self.processor, Self::now().processor) {
            (Some(before), Some(after)) => Duration::from_nanos(after.saturating_sub(before)),
            _ => wall,
        }
    }
}

fn line(what: &str, bound: &str, measured: impl std::fmt::Display) {
    println!("{what:<66} {bound:>9} {measured:>12}");
}

fn ms(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1e3)
}

/// A plugin configuration with this policy; `stripped`: without its debug section.
fn configuration(policy: &str, stripped: bool) -> anyhow::Result<String> {
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

fn configured(json: &str) -> anyhow::Result<(Host, u32)> {
    let mut host = Host::start(&[])?;
    match host.configure(json)? {
        Configured::Accepted(root) => Ok((host, root)),
        Configured::Refused(why) => anyhow::bail!("refused: {why}"),
    }
}

/// What routes are found by.
#[derive(Clone, Copy)]
enum Routes {
    Names,
    Globs,
    Paths,
}

/// Small routes: two steps each.
fn routes(count: usize, found: Routes) -> String {
    let mut text = String::from("routes:\n");
    for route in 0..count {
        let selector = match (found, route % 2) {
            (Routes::Names, _) => format!("tool: \"tool_{route}\""),
            (Routes::Globs, 0) => format!("tool: \"team_{route}_*\""),
            (Routes::Globs, _) => format!("tool: \"*_administrative_action_{route}\""),
            (Routes::Paths, 0) => format!("http: \"/api/tenants/{{tenant}}/service_{route}/{{id}}\""),
            (Routes::Paths, _) => format!("http: {{ path_prefix: \"/api/reports-{route}-*/all\" }}"),
        };
        let args = if matches!(found, Routes::Paths) {
            "args.body"
        } else {
            "args"
        };
        text.push_str(&format!(
            "  - {selector}\n    pre_invocation:\n      - \"{args}.region == 'x{}': deny\"\n      - \"{args}.amount > {}: deny('too much')\"\n",
            route % 50,
            1000 + route
        ));
    }
    text
}

fn loading() -> anyhow::Result<()> {
    for (what, found, stripped, bound) in [
        ("load 10,000 small routes", Routes::Names, false, "50 ms"),
        ("  without the debug section", Routes::Names, true, ""),
        ("  with globs", Routes::Globs, false, "50 ms"),
        ("  with HTTP paths", Routes::Paths, false, "50 ms"),
        ("load 10 small routes", Routes::Names, false, ""),
    ] {
        let count = if what.contains("10 small") { 10 } else { MANY };
        let json = configuration(&routes(count, found), stripped)?;
        let mut best = Duration::MAX;
        for _ in 0..5 {
            let mut host = Host::start(&[])?;
            let start = Moment::now();
            let configured = host.configure(&json)?;
            best = best.min(start.elapsed());
            anyhow::ensure!(matches!(configured, Configured::Accepted(_)), "{configured:?}");
        }
        line(what, bound, ms(best));
        line("  configuration", "", format!("{} KB", json.len() / 1024));
    }
    Ok(())
}

const HEAD: [(&str, &str); 6] = [
    (":method", "POST"),
    (":path", "/mcp"),
    (":authority", "tools.example"),
    (":scheme", "http"),
    ("content-type", "application/json"),
    ("accept", "application/json, text/event-stream"),
];

fn call(tool: &str, arguments: &Value) -> String {
    json!({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {"name": tool, "arguments": arguments}})
        .to_string()
}

/// One exchange whose response is not governed, from the first callback to the last.
fn exchange(host: &mut Host, root: u32, (path, body): (&str, &str)) -> anyhow::Result<Duration> {
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

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn among_many(what: &str, found: Routes) -> anyhow::Result<()> {
    let arguments = json!({"amount": 12, "region": "eu", "note": "as agreed last week, with regards",
        "lines": [{"id": 1, "q": 2}, {"id": 2, "q": 9}]});
    let mut plugins = Vec::new();
    for count in [10, MANY] {
        let (host, root) = configured(&configuration(&routes(count, found), false)?)?;
        let bodies: Vec<(String, String)> = (0..10)
            .map(|at| at * count / 10)
            .map(|route| {
                let tool = |name: String| ("/mcp".to_owned(), call(&name, &arguments));
                match (found, route % 2) {
                    (Routes::Names, _) => tool(format!("tool_{route}")),
                    (Routes::Globs, 0) => tool(format!("team_{route}_read")),
                    (Routes::Globs, _) => tool(format!("any_administrative_action_{route}")),
                    (Routes::Paths, 0) => (
                        format!("/api/tenants/t1/service_{route}/7"),
                        arguments.to_string(),
                    ),
                    (Routes::Paths, _) => (format!("/api/reports-{route}-eu/all/7"), arguments.to_string()),
                }
            })
            .collect();
        plugins.push((host, root, bodies, Vec::new()));
    }
    // In turn, so that what the machine does beside it falls on both alike.
    for round in 0..4_000 {
        for (host, root, bodies, times) in &mut plugins {
            let (path, body) = bodies.get(round % 10).context("a body")?;
            times.push(exchange(host, *root, (path, body))?);
            if round % 500 == 0 {
                // Ships the records of the verdicts, which wait in a queue.
                host.tick(1_000)?;
            }
        }
    }
    let mut measured = plugins.into_iter().map(|(.., times)| median(times));
    let (few, many) = (
        measured.next().unwrap_or_default(),
        measured.next().unwrap_or_default(),
    );
    line(
        &format!("{what}: a request among 10 routes"),
        "",
        format!("{:.1} us", few.as_secs_f64() * 1e6),
    );
    line(
        &format!("{what}: among 10,000"),
        "",
        format!("{:.1} us", many.as_secs_f64() * 1e6),
    );
    line(
        &format!("{what}: ratio"),
        "1.20",
        format!(
            "{:.2}",
            many.as_secs_f64() / few.as_secs_f64().max(f64::MIN_POSITIVE)
        ),
    );
    Ok(())
}

/// Arguments of about a megabyte. Parsed, decided and spliced: from the body's arrival until it has gone on.
fn bodies() -> anyhow::Result<()> {
    let policy = "routes:\n  - tool: save\n    args:\n      \"rows.ssn\": \"redact\"\n      \"secret\": \"omit\"\n    pre_invocation:\n      - \"args.amount > 1000: deny\"\n";
    let (mut host, root) = configured(&configuration(policy, false)?)?;
    let record = |at: usize| json!({"id": at, "name": format!("person {at}"), "city": "Springfield", "note": "as agreed"});
    let records: Vec<Value> = (0..14_500).map(record).collect();
    let edited: Vec<Value> = (0..2_500)
        .map(|at| json!({"id": at, "ssn": "078-05-1120", "note": "x".repeat(360)}))
        .collect();
    let texts: Vec<Value> = (0..1_000)
        .map(|at| json!({"id": at, "text": "lorem ipsum ".repeat(85)}))
        .collect();
    for (what, bound, arguments) in [
        (
            "1 MB of 1,000 long texts, one field taken out",
            "4 ms",
            json!({"amount": 1, "secret": "s", "rows": texts}),
        ),
        (
            "1 MB of 2,500 records, each with a field redacted",
            "4 ms",
            json!({"amount": 1, "rows": edited}),
        ),
        (
            "1 MB of 14,500 small records, one field taken out",
            "4 ms",
            json!({"amount": 1, "secret": "s", "rows": records}),
        ),
    ] {
        let body = call("save", &arguments);
        let times = (0..15)
            .map(|_| exchange(&mut host, root, ("/mcp", &body)))
            .collect::<anyhow::Result<_>>()?;
        line(what, bound, ms(median(times)));
        line("  bytes", "", body.len());
    }
    Ok(())
}

/// A list of 200 tools, of which a caller may see some.
fn list() -> anyhow::Result<()> {
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
    line(
        "tools/list of 200 tools, filtered to 100",
        "1 ms",
        ms(median(times)),
    );
    line("  bytes", "", reply.len());
    Ok(())
}
