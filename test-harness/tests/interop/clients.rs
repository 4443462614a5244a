//! The clients of the official SDKs, one session each: everything works, a denial, a pending approval and a 401 come promptly as
//! errors that the client understands, and the session goes on after each.

use std::collections::BTreeMap;

use aplomb_test_harness::envoy::wasm::InstallMode;
use aplomb_test_harness::patience::PATIENCE;
use serde::Deserialize;
use tokio::process::Command;

use crate::{fixture, rust_client};

/// What a client says of a step.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Step {
    pub(crate) step: String,
    pub(crate) outcome: String,
    pub(crate) ms: u64,
}

/// A client program: its name, and the command with its arguments after URL and token.
struct Program {
    name: &'static str,
    revision: &'static str,
    kind: Kind,
}

enum Kind {
    Python(&'static str),
    Node(&'static [&'static str]),
    Rust(&'static str),
}

const PROGRAMS: [Program; 7] = [
    Program {
        name: "python",
        revision: "2025-11-25",
        kind: Kind::Python("legacy"),
    },
    Program {
        name: "python",
        revision: "2026-07-28",
        kind: Kind::Python("auto"),
    },
    Program {
        name: "typescript 1",
        revision: "2025-11-25",
        kind: Kind::Node(&["sdk"]),
    },
    Program {
        name: "typescript 2",
        revision: "2025-11-25",
        kind: Kind::Node(&["client"]),
    },
    Program {
        name: "typescript 2",
        revision: "2026-07-28",
        kind: Kind::Node(&["client", "auto"]),
    },
    Program {
        name: "rust",
        revision: "2025-11-25",
        kind: Kind::Rust("2025-11-25"),
    },
    Program {
        name: "rust",
        revision: "2026-07-28",
        kind: Kind::Rust("2026-07-28"),
    },
];

const SIMPLE: &str = "This is a simple text response for testing.";

/// Each step and what must come of it, in order; `refused` is any error that is no hang.
fn expected(revision: &str, denial_shape: &str) -> Vec<(&'static str, String)> {
    let denied = match denial_shape {
        "tool_result" => "isError",
        _ => "error -32001",
    };
    vec![
        ("initialize", revision.to_owned()),
        ("list", "employee True, forbidden False".to_owned()),
        ("call", SIMPLE.to_owned()),
        ("stream", "3 notifications".to_owned()),
        ("redacted", "[REDACTED] [REDACTED]".to_owned()),
        (
            "prompt",
            "5 prompts, Prompt with arguments: arg1='a', arg2='b'".to_owned(),
        ),
        (
            "resource",
            "3 resources, This is the content of the static text resource.".to_owned(),
        ),
        ("notification", "notified".to_owned()),
        ("denied", denied.to_owned()),
        ("after a denial", SIMPLE.to_owned()),
        // Not the failure of a tool in either shape: the client is to come back.
        ("pending", "error -32120".to_owned()),
        ("after an approval was asked", SIMPLE.to_owned()),
        ("unauthorized", "refused".to_owned()),
        ("after a 401", SIMPLE.to_owned()),
        ("stranger", "refused".to_owned()),
    ]
}

async fn play(program: &Program, url: &str) -> Vec<Step> {
    let token = fixture::token();
    let mut command = match &program.kind {
        Kind::Python(mode) => {
            let mut command = Command::new(fixture::python());
            command.args(["-W", "ignore"]).arg(fixture::file("client.py"));
            command.args([url, &token, mode]);
            command
        }
        Kind::Node(arguments) => {
            let mut command = Command::new(fixture::node());
            command
                .arg(fixture::file("client.mjs"))
                .args([url, &token])
                .args(*arguments);
            command.env("INTEROP_MODULES", fixture::modules());
            command
        }
        Kind::Rust(revision) => return rust_client::play(url, &token, revision).await,
    };
    let output = tokio::time::timeout(10 * PATIENCE, command.kill_on_drop(true).output())
        .await
        .unwrap_or_else(|_| panic!("{} {} does not end", program.name, program.revision))
        .expect("the client runs");
    let lines = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    lines
        .lines()
        .map(|line| {
            serde_json::from_str(line)
                .unwrap_or_else(|error| panic!("{}: {error}: {line}\n{errors}", program.name))
        })
        .collect()
}

/// An error that the SDK itself makes of a 401: its own exception, or (Python) -32603 under the request's id.
fn is_refusal(outcome: &str) -> bool {
    outcome.starts_with("refused") || outcome == "error -32603"
}

/// What is wrong with a session.
fn faults(program: &Program, steps: &[Step], denial_shape: &str) -> Vec<String> {
    let by_name: BTreeMap<&str, &Step> = steps.iter().map(|step| (step.step.as_str(), step)).collect();
    let mut faults = Vec::new();
    for (name, wanted) in expected(program.revision, denial_shape) {
        let who = format!("{} {}: {name}", program.name, program.revision);
        match by_name.get(name) {
            None => faults.push(format!("{who} was not reached: {steps:?}")),
            Some(step) if wanted == "refused" && is_refusal(&step.outcome) => {}
            Some(step) if step.outcome == wanted => {}
            Some(step) => faults.push(format!("{who}: wanted `{wanted}`, came `{}`", step.outcome)),
        }
    }
    faults
}

async fn official_clients(mode: InstallMode, denial_shape: &str) {
    let dir = tempfile::tempdir().expect("a directory");
    let (_server, address) = fixture::start(dir.path()).await;
    let (ground, _logs) = fixture::governed(mode, denial_shape, Vec::new(), address).await;
    let url = ground.envoy.url("/mcp");
    let mut all = Vec::new();
    println!(
        "\nofficial clients, {} mode, denials as {denial_shape}: milliseconds a step",
        mode.name()
    );
    let names = expected("", denial_shape);
    for program in &PROGRAMS {
        let steps = play(program, &url).await;
        let times: Vec<String> = names
            .iter()
            .filter_map(|(name, _)| steps.iter().find(|step| step.step == *name))
            .map(|step| format!("{} {}", step.step, step.ms))
            .collect();
        let faults = faults(program, &steps, denial_shape);
        let verdict = if faults.is_empty() { "fine" } else { "WRONG" };
        println!(
            "{:<13} {} {verdict}: {}",
            program.name,
            program.revision,
            times.join(", ")
        );
        all.extend(faults);
    }
    assert!(
        all.is_empty(),
        "{}\n---- Envoy\n{}",
        all.join("\n"),
        ground.envoy.log()
    );
}

#[tokio::test]
async fn official_clients_go_on_in_full_mode_with_denials_as_errors() {
    official_clients(InstallMode::Full, "error").await;
}

#[tokio::test]
async fn official_clients_go_on_in_paired_mode_with_denials_as_results() {
    official_clients(InstallMode::Paired, "tool_result").await;
}
