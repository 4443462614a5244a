//! The official clients of OpenAI, Anthropic and A2A through a real Envoy with the filter: what is allowed arrives whole and in
//! pieces, what is denied is the library's own exception, and the session goes on.

use std::collections::BTreeMap;
use std::time::Duration;

use aplomb_test_harness::envoy::wasm::InstallMode;
use aplomb_test_harness::ground::{Ground, Options, issuer, untouched};
use aplomb_test_harness::ports;
use aplomb_test_harness::process::Process;
use serde_json::json;
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::clients::Step;
use crate::fixture;

/// How long a whole session may take; a client that retries for ever meets it.
const SESSION: Duration = Duration::from_secs(300);
/// Python starts slowly on a busy machine.
const START: Duration = Duration::from_secs(120);

const WORDS: &str = "hello 123-45-6789";
const HIDDEN: &str = "hello [REDACTED]";

fn policy() -> String {
    let user = issuer::plugin("user", "authorization", "user").expect("a key");
    format!(
        r#"
plugins: [{user}]
global: {{authentication: [user]}}
routes:
  - llm: [gpt-4o, claude-sonnet]
    pre_invocation:
      - "require(role.tester)"
      - "exists(args.max_tokens) & args.max_tokens > 100: deny('too many tokens', 'model.tokens')"
  - llm: [gpt-guarded, claude-guarded]
    pre_invocation: ["require(role.tester)"]
    result:
      "choices.message.content": pii.redact
      "content.text": pii.redact
      "output.content.text": pii.redact
  - a2a: [message/send, message/stream]
    args: {{"message.parts.text": "regex(\"^hello$\")"}}
    pre_invocation: ["require(role.tester)"]
    result: {{"**.text": pii.redact}}
"#
    )
}

/// Each step of a client and how its outcome begins, in order.
fn expected(client: &str) -> Vec<(&'static str, &'static str)> {
    let denied = "PermissionDeniedError model.tokens";
    let unlisted = "PermissionDeniedError route.unmatched";
    let unauthorized = "AuthenticationError auth.malformed_header";
    match client {
        "openai" => vec![
            ("allowed", WORDS),
            ("streamed", WORDS),
            ("redacted", HIDDEN),
            ("response", WORDS),
            ("response streamed", WORDS),
            ("response redacted", HIDDEN),
            ("denied", denied),
            ("after a denial", WORDS),
            ("unlisted", unlisted),
            ("unauthorized", unauthorized),
            ("after a 401", WORDS),
        ],
        "anthropic" => vec![
            ("allowed", WORDS),
            ("streamed", WORDS),
            ("redacted", HIDDEN),
            ("denied", denied),
            ("after a denial", WORDS),
            ("unlisted", unlisted),
            ("unauthorized", unauthorized),
            ("after a 401", WORDS),
        ],
        _ => vec![
            ("allowed", HIDDEN),
            ("streamed", HIDDEN),
            ("denied", "A2AClientError"),
            ("denied streamed", "A2AClientError"),
            ("after a denial", HIDDEN),
            ("unlisted", "A2AClientError"),
            ("unauthorized", "A2AClientError"),
            ("after a 401", HIDDEN),
        ],
    }
}

async fn play(client: &str, url: &str) -> Vec<Step> {
    let mut command = Command::new(fixture::python());
    command.args(["-W", "ignore"]).arg(fixture::file("models.py"));
    command.args([client, url, &fixture::token()]);
    let output = tokio::time::timeout(SESSION, command.kill_on_drop(true).output())
        .await
        .unwrap_or_else(|_| panic!("{client} does not end"))
        .expect("the client runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(|line| {
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{client}: {error}: {line}\n{errors}"))
        })
        .collect()
}

async fn clients_go_on(mode: InstallMode) {
    let dir = tempfile::tempdir().expect("a directory");
    let address = ports::free().expect("a port");
    let options = Options {
        policy: policy(),
        beside_companion: Vec::new(),
        mode,
        filter_config: json!({ "protocols": [
            { "path_prefix": "/v1", "speaks": "llm" },
            { "path_prefix": "/agent", "speaks": "a2a" },
        ] }),
        companion: None,
        upstreams: ["/v1", "/agent", "/.well-known"]
            .map(|path| untouched(path, address))
            .into(),
        in_front: Vec::new(),
        adapt: None,
    };
    let ground = Ground::start(options, dir.path())
        .await
        .expect("everything starts");
    let url = ground.envoy.url("");
    // The agent's card tells where it is, which is where Envoy is.
    let mut command = Command::new(fixture::python());
    command
        .arg(fixture::file("providers.py"))
        .args([&address.port().to_string(), &url]);
    let mut providers =
        Process::start("the providers", command, &dir.path().join("providers.log")).expect("starts");
    providers
        .wait_until(START, || async move { TcpStream::connect(address).await.is_ok() })
        .await
        .expect("listens");

    println!(
        "\nofficial clients of models and agents, {} mode: milliseconds a step",
        mode.name()
    );
    let mut faults = Vec::new();
    for client in ["openai", "anthropic", "a2a"] {
        let steps = play(client, &url).await;
        let by_name: BTreeMap<&str, &Step> = steps.iter().map(|step| (step.step.as_str(), step)).collect();
        let mut times = Vec::new();
        for (name, wanted) in expected(client) {
            match by_name.get(name) {
                None => faults.push(format!("{client}: {name} was not reached: {steps:?}")),
                Some(step) if step.outcome.starts_with(wanted) => times.push(format!("{name} {}", step.ms)),
                Some(step) => faults.push(format!(
                    "{client}: {name}: wanted `{wanted}`, came `{}`",
                    step.outcome
                )),
            }
        }
        println!("{client:<10} {}", times.join(", "));
    }
    assert!(
        faults.is_empty(),
        "{}\n---- Envoy\n{}",
        faults.join("\n"),
        ground.envoy.log()
    );
}

#[tokio::test]
async fn official_clients_of_models_and_agents_go_on_in_full_mode() {
    clients_go_on(InstallMode::Full).await;
}

#[tokio::test]
async fn official_clients_of_models_and_agents_go_on_in_paired_mode() {
    clients_go_on(InstallMode::Paired).await;
}
