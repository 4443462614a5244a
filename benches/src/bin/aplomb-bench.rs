//! Requests per second and latency of each chain in one Envoy, in interleaved rounds.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use aplomb_benches::load::{Message, Round, round};
use aplomb_benches::rivals::{Chain, compared, fixed_upstream, listeners};
use aplomb_benches::table::{lines, median};
use aplomb_test_harness::backend::Role;
use aplomb_test_harness::envoy::Envoy;
use aplomb_test_harness::envoy::wasm::InstallMode;
use aplomb_test_harness::mcp::McpClient;
use aplomb_test_harness::scenario::seed;
use aplomb_test_harness::stack::{Options, Stack, Tokens};
use clap::Parser;
use serde_json::{Value, json};

/// What each chain costs.
#[derive(Parser)]
#[command(name = "aplomb-bench", version)]
struct Cli {
    /// The assembled no-op module.
    #[arg(long)]
    noop: PathBuf,
    /// Rounds of each row.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds of a round.
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// Connections.
    #[arg(long, default_value_t = 16)]
    connections: u32,
    /// full or paired
    #[arg(long, default_value = "full")]
    mode: InstallMode,
}

/// One row of the table.
struct Row {
    name: String,
    url: String,
    message: Message,
    rounds: Vec<Round>,
}

/// A call that ours decides, and what must come of it for the row to mean what it says.
struct Call {
    name: &'static str,
    user: &'static str,
    role: Role,
    tool: &'static str,
    arguments: Value,
    denied: bool,
    /// Stands in the reply.
    shows: &'static str,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    let dir = tempfile::tempdir()?;
    let options = Options::new(seed::scenario().policy, cli.mode, dir.path());
    let stack = Stack::start(&options, |what| println!("==> {what}")).await?;
    let ours = stack
        .setup
        .listeners
        .first()
        .map(|listener| listener.filters.clone())
        .context("no listener")?;
    let (_fixed, upstreams) = fixed_upstream(dir.path()).await?;
    let listeners = listeners(&ours, &cli.noop)?;
    let addresses: Vec<_> = listeners.iter().map(|listener| listener.address).collect();
    let envoy = compared(listeners, upstreams, stack.setup.companion, dir.path()).await?;

    let mut rows = Vec::new();
    for call in calls() {
        let tokens = stack.idp.log_in(call.user).await?;
        let message = message(&call, &tokens);
        for (chain, address) in Chain::ALL.into_iter().zip(&addresses) {
            let url = format!("http://{address}{}", call.role.path());
            if chain == Chain::Ours {
                warm_up(&url, &call, &message)
                    .await
                    .with_context(|| envoy.log())?;
                rows.push(Row {
                    name: format!("aplomb: {}", call.name),
                    url,
                    message: message.clone(),
                    rounds: vec![],
                });
            } else if call.name == calls()[0].name {
                rows.push(Row {
                    name: chain.name().to_owned(),
                    url,
                    message: message.clone(),
                    rounds: vec![],
                });
            }
        }
    }
    measure(&cli, &envoy, &mut rows, dir.path()).await?;
    println!("{}", report(&rows));
    println!(
        "one Envoy, one worker, {} connections, {} rounds of {} s, install mode {}, medians; the share is of no filter",
        cli.connections,
        cli.rounds,
        cli.seconds,
        cli.mode.name()
    );
    Ok(())
}

fn calls() -> Vec<Call> {
    let record = json!({ "employee_id": "EMP-001234", "include_ssn": true });
    let search = json!({ "repo_name": "web-app", "visibility": "internal" });
    let mail = json!({ "to": "partner@example.com", "subject": "FYI", "body": "See you at noon." });
    let call = |name, user, role, tool, arguments, denied, shows| Call {
        name,
        user,
        role,
        tool,
        arguments,
        denied,
        shows,
    };
    vec![
        call(
            "denied",
            "alice",
            Role::Hr,
            "get_compensation",
            record.clone(),
            true,
            "get_compensation.pre_invocation[0]",
        ),
        call(
            "allowed, token cached",
            "alice",
            Role::Repos,
            "search_repos",
            search,
            false,
            "Jane",
        ),
        call(
            "allowed, result redacted",
            "eve",
            Role::Hr,
            "get_compensation",
            record,
            false,
            "[REDACTED]",
        ),
        call(
            "allowed, one companion call",
            "bob",
            Role::Email,
            "send_email",
            mail,
            false,
            "Jane",
        ),
    ]
}

fn message(call: &Call, tokens: &Tokens) -> Message {
    let params = json!({ "name": call.tool, "arguments": call.arguments });
    Message {
        headers: vec![
            ("Content-Type", "application/json".to_owned()),
            ("Accept", "application/json, text/event-stream".to_owned()),
            ("Authorization", format!("Bearer {}", tokens.client)),
            ("X-User-Token", tokens.user.clone()),
            ("X-Session-Id", "bench".to_owned()),
        ],
        body: json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params }).to_string(),
    }
}

/// Fills the caches and makes sure that the row measures what its name says.
async fn warm_up(url: &str, call: &Call, message: &Message) -> anyhow::Result<()> {
    let client = McpClient::new(url.to_owned(), &message.headers)?;
    for _ in 0..3 {
        let reply = client.send_bytes(message.body.clone().into_bytes()).await?;
        let denied = reply.header("x-policy-violation").is_some();
        ensure!(
            denied == call.denied && reply.body.contains(call.shows),
            "`{}` does not do what it is named for: {}",
            call.name,
            reply.summary()
        );
    }
    Ok(())
}

async fn measure(cli: &Cli, envoy: &Envoy, rows: &mut [Row], dir: &Path) -> anyhow::Result<()> {
    let time = Duration::from_secs(cli.seconds);
    for number in 1..=cli.rounds {
        println!("==> round {number} of {}", cli.rounds);
        for row in rows.iter_mut() {
            let measured = round(&row.url, &row.message, cli.connections, time, dir).await;
            row.rounds
                .push(measured.with_context(|| format!("{}\n{}", row.name, envoy.log()))?);
        }
    }
    Ok(())
}

fn report(rows: &[Row]) -> String {
    let of = |row: &Row, value: fn(&Round) -> f64| median(&row.rounds.iter().map(value).collect::<Vec<_>>());
    let bare = rows.first().map_or(0.0, |row| of(row, |round| round.per_second));
    let head = ["chain", "req/s", "share", "p50 µs", "p99 µs"];
    let mut table = vec![head.map(str::to_owned).to_vec()];
    for row in rows {
        let rate = of(row, |round| round.per_second);
        table.push(vec![
            row.name.clone(),
            format!("{rate:.0}"),
            format!("{:.2}", rate / bare),
            format!("{:.0}", of(row, |round| round.p50_us)),
            format!("{:.0}", of(row, |round| round.p99_us)),
        ]);
    }
    lines(&table)
}
