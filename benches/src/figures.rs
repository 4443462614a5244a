//! The project's five figures, each measured and held against its bound.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use aplomb_test_harness::backend::Role;
use aplomb_test_harness::envoy::wasm::InstallMode;
use aplomb_test_harness::envoy::{Envoy, Setup};
use aplomb_test_harness::mcp::McpClient;
use aplomb_test_harness::scenario::seed;
use aplomb_test_harness::stack::{Options, Stack, Tap};
use aplomb_test_harness::{ports, programs};
use serde_json::{Value, json};

use crate::table::median;

/// The largest module in bytes.
pub const MODULE_BYTES: f64 = 700_000.0;
/// The most seconds that the filter may add to Envoy's start.
pub const START_SECONDS: f64 = 0.8;
/// The largest seed program in bytes, without debug section and regex tables.
pub const PROGRAM_BYTES: f64 = 1_536.0;

/// How long one start may take before something is wrong.
const PATIENCE: Duration = Duration::from_secs(60);

/// A measured value and its bound.
#[derive(Debug, Clone)]
pub struct Figure {
    /// What was measured.
    pub what: String,
    /// In which unit.
    pub unit: &'static str,
    /// The most that is right.
    pub bound: f64,
    /// What it is.
    pub measured: f64,
}

impl Figure {
    /// Whether the value keeps the bound.
    #[must_use]
    pub fn met(&self) -> bool {
        self.measured <= self.bound
    }
}

/// Measures all of them; `starts` is how often each Envoy is started.
///
/// # Errors
/// When something is not built or does not start.
pub async fn measure(starts: usize, tell: impl Fn(&str)) -> anyhow::Result<Vec<Figure>> {
    let dir = tempfile::tempdir()?;
    let module = std::fs::metadata(programs::filter()?)?.len();
    let figure = |what: &str, unit, bound, measured| Figure {
        what: what.to_owned(),
        unit,
        bound,
        measured,
    };
    let mut figures = vec![figure("dist/aplomb.wasm", "bytes", MODULE_BYTES, as_f64(module))];

    let mut options = Options::new(seed::scenario().policy, InstallMode::Full, dir.path());
    options.tap = true;
    let stack = Stack::start(&options, &tell).await?;

    tell("starting Envoy with and without the filter, in turn");
    let added = added_start(&stack, starts, dir.path()).await?;
    figures.push(figure(
        "Envoy start to first governed reply, over no filter",
        "s",
        START_SECONDS,
        added,
    ));

    let program = program_bytes(&stack.artefacts.dir.join("policy.aplb"))?;
    figures.push(figure(
        "seed program without debug and regex tables",
        "bytes",
        PROGRAM_BYTES,
        program,
    ));

    tell("counting round trips to the companion");
    let (cold, warm) = round_trips(&stack, Role::Hr, "get_compensation", record()).await?;
    figures.push(figure("round trips, get_compensation, cold", "", 1.0, cold));
    figures.push(figure("round trips, get_compensation, warm", "", 0.0, warm));
    let (_, warm) = round_trips(&stack, Role::Email, "send_email", mail()).await?;
    figures.push(figure("round trips, send_email, warm", "", 1.0, warm));
    Ok(figures)
}

fn record() -> Value {
    json!({ "employee_id": "EMP-001234", "include_ssn": true })
}

fn mail() -> Value {
    json!({ "to": "partner@example.com", "subject": "FYI", "body": "See you at noon." })
}

/// The difference of the medians of both kinds of start, in seconds.
async fn added_start(stack: &Stack, starts: usize, dir: &Path) -> anyhow::Result<f64> {
    let dir = dir.join("starts");
    std::fs::create_dir_all(&dir)?;
    let mut bare = stack.setup.clone();
    bare.listeners
        .iter_mut()
        .for_each(|listener| listener.filters.clear());
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for _ in 0..starts {
        without.push(start_to_reply(stack, &bare, &dir).await?);
        with.push(start_to_reply(stack, &stack.setup, &dir).await?);
    }
    Ok(median(&with) - median(&without))
}

/// Seconds from starting Envoy to the first record that a client gets through it.
async fn start_to_reply(stack: &Stack, setup: &Setup, dir: &Path) -> anyhow::Result<f64> {
    let mut setup = setup.clone();
    for listener in &mut setup.listeners {
        listener.address = ports::free()?;
    }
    let address = setup
        .listeners
        .first()
        .map(|listener| listener.address)
        .context("no listener")?;
    let tokens = stack.idp.log_in("bob").await?;
    let headers = [
        ("authorization", format!("Bearer {}", tokens.client)),
        ("x-user-token", tokens.user),
        ("x-session-id", "start".to_owned()),
    ];
    // The session is made beforehand and is the backend's own: the first message through Envoy is the governed call.
    let url = format!("http://{address}{}", Role::Hr.path());
    let mut client = stack.backends.direct(Role::Hr)?;
    client.connect().await?;
    let client = client.moved_to(url, &headers)?;

    let started = Instant::now();
    let envoy = Envoy::start(&setup, dir);
    let reply = async {
        loop {
            if let Ok(reply) = client.call(&json!(1), "get_compensation", &record()).await {
                if reply.tool_json().is_some() {
                    return Ok(started.elapsed().as_secs_f64());
                }
                if started.elapsed() > PATIENCE {
                    bail!("no governed reply: {}", reply.summary());
                }
            }
            anyhow::ensure!(
                started.elapsed() < PATIENCE,
                "no reply within {} s",
                PATIENCE.as_secs()
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let (envoy, seconds) = tokio::join!(envoy, reply);
    envoy?.kill().await?;
    seconds
}

/// The size of the program with debug section and regex tables taken out.
fn program_bytes(path: &Path) -> anyhow::Result<f64> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut program =
        apl_bytecode::decode(&bytes).map_err(|error| anyhow::anyhow!("policy.aplb: {error:?}"))?;
    program.debug = None;
    program.regexes.iter_mut().for_each(|regex| regex.dfa.clear());
    Ok(as_f64(apl_bytecode::encode(&program).len() as u64))
}

/// The round trips of the first and of the third call of a fresh user in a fresh session. The queue of audit records is
/// not counted.
async fn round_trips(stack: &Stack, role: Role, tool: &str, arguments: Value) -> anyhow::Result<(f64, f64)> {
    let tap: &Tap = stack.tap.as_ref().context("no recorder")?;
    // Loads the key sets, which are not counted.
    let eve = stack.idp.log_in("eve").await?;
    stack.client(role, &eve, "keys")?.connect().await?;
    let bob = stack.idp.log_in("bob").await?;
    let mut client: McpClient = stack.client(role, &bob, &format!("figures-{tool}"))?;
    client.connect().await?;
    let mut counts = Vec::new();
    for number in 1..=3 {
        tap.forget();
        let reply = client.call(&json!(number), tool, &arguments).await?;
        anyhow::ensure!(reply.tool_json().is_some(), "{tool}: {}", reply.summary());
        counts.push(as_f64(tap.round_trips_beside_audit() as u64));
    }
    match counts.as_slice() {
        [cold, _, warm] => Ok((*cold, *warm)),
        _ => bail!("three calls were counted {} times", counts.len()),
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "sizes and counts here are far below 2^52"
)]
fn as_f64(number: u64) -> f64 {
    number as f64
}
