//! Fault injection: the real binary, killed with SIGKILL. What it acknowledged is there afterwards.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Bytes;
use axum::http::Request;
use companion_protocol::{EffectResult, EffectsResponse, OnFail};
use http_body_util::Full;
use serde_json::{Value, json};

use crate::client::{DIGEST, append, call, load, perform, request, send};
use crate::patience::eventually;

/// A companion in a process of its own.
pub(crate) struct Process {
    child: Child,
    pub(crate) address: SocketAddr,
    /// What it printed before its address.
    pub(crate) announced: Vec<String>,
}

impl Process {
    pub(crate) fn start(directory: &Path, config: &Value, environment: &[(&str, &str)]) -> Self {
        Self::start_with(directory, config, environment, &[])
    }

    pub(crate) fn start_with(
        directory: &Path,
        config: &Value,
        environment: &[(&str, &str)],
        arguments: &[&str],
    ) -> Self {
        let command = Command::new(env!("CARGO_BIN_EXE_aplomb-companion"));
        Self::run(command, directory, config, environment, arguments)
    }

    /// The same, where a file that may not grow is an error and not the end.
    pub(crate) fn start_ignoring_xfsz(directory: &Path, config: &Value) -> Self {
        let mut command = Command::new("sh");
        command.args([
            "-c",
            "trap '' XFSZ; exec \"$0\" \"$@\"",
            env!("CARGO_BIN_EXE_aplomb-companion"),
        ]);
        Self::run(command, directory, config, &[], &[])
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    fn run(
        mut command: Command,
        directory: &Path,
        config: &Value,
        environment: &[(&str, &str)],
        arguments: &[&str],
    ) -> Self {
        let path = directory.join("companion.json");
        std::fs::write(&path, config.to_string()).expect("writes");
        let child = command
            .args([
                "serve",
                "--egress-allow",
                "loopback",
                "--listen",
                "127.0.0.1:0",
                "--config",
            ])
            .arg(&path)
            .arg("--data")
            .arg(directory.join("data"))
            .args(arguments)
            .envs(environment.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("starts");
        let mut process = Self {
            child,
            address: SocketAddr::from(([0, 0, 0, 0], 0)),
            announced: Vec::new(),
        };
        let stdout = process.child.stdout.take().expect("piped");
        let mut lines = BufReader::new(stdout).lines();
        loop {
            let line = lines.next().expect("an address line").expect("text");
            if let Some((_, address)) = line.split_once("http://") {
                process.address = address.parse().expect("an address");
                return process;
            }
            process.announced.push(line);
        }
    }

    /// Resident memory as the kernel prints it.
    pub(crate) fn memory(&self) -> String {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(path).unwrap_or_default();
        let line = status.lines().find(|line| line.starts_with("VmRSS"));
        line.unwrap_or("unknown").to_owned()
    }

    pub(crate) fn kill(mut self) {
        self.child.kill().expect("SIGKILL");
        self.child.wait().expect("reaped");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // After `kill` both fail, which is fine.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn config() -> Value {
    json!({"version": 1, "policy_digest": DIGEST})
}

async fn labels(address: SocketAddr) -> (String, Vec<String>) {
    let mut response = perform(address, DIGEST, vec![call(load('a'), OnFail::Stop)]).await;
    match response.results.remove(0) {
        EffectResult::Labels(labels) => (response.epoch, labels.session),
        other => panic!("no labels: {other:?}"),
    }
}

fn record(seq: usize) -> companion_protocol::Effect {
    let record = json!({
        "seq": seq, "stream": "w1", "at_ms": 1, "decision_id": format!("d{seq}"), "policy_digest": DIGEST,
        "verdict": "deny", "entity_type": "tool", "entity_name": "t",
    });
    companion_protocol::Effect::AuditAppend {
        record: serde_json::from_value(record).expect("a record"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_acknowledged_is_there_after_a_kill() {
    let directory = tempfile::tempdir().expect("a directory");
    let acknowledged = Arc::new(Mutex::new(Vec::new()));
    let mut epochs = Vec::new();
    for round in 0..6_usize {
        let process = Process::start(directory.path(), &config(), &[]);
        let (epoch, held) = labels(process.address).await;
        epochs.push(epoch);
        for label in acknowledged.lock().expect("lock").iter() {
            assert!(held.contains(label), "`{label}` was acknowledged and is lost");
        }
        let callers: Vec<_> = (0..8_usize)
            .map(|caller| {
                let (address, acknowledged) = (process.address, Arc::clone(&acknowledged));
                tokio::spawn(async move {
                    for n in 0..4 {
                        let seq = round * 100 + caller * 10 + n;
                        let label = format!("l{seq}");
                        let calls = vec![
                            call(append('a', &label), OnFail::Stop),
                            call(record(seq), OnFail::Stop),
                        ];
                        let request = Request::post(format!("http://{address}/v1/effects"))
                            .header("content-type", "application/json")
                            .body(Full::new(Bytes::from(request(DIGEST, calls))))
                            .expect("a request");
                        let Some(answer) = send(request).await else {
                            return;
                        };
                        let response: EffectsResponse = serde_json::from_slice(&answer.body).expect("whole");
                        assert!(matches!(
                            response.results.as_slice(),
                            [EffectResult::Labels(_), EffectResult::Done]
                        ));
                        acknowledged.lock().expect("lock").push(label);
                    }
                })
            })
            .collect();
        if round == 0 {
            eventually("an acknowledgement", async || {
                (!acknowledged.lock().expect("lock").is_empty()).then_some(())
            })
            .await;
        } else {
            // Another instant every round.
            tokio::time::sleep(Duration::from_millis(3 + 7 * round as u64)).await;
        }
        process.kill();
        for caller in callers {
            caller.await.expect("joins");
        }
    }
    let process = Process::start(directory.path(), &config(), &[]);
    let (epoch, held) = labels(process.address).await;
    let acknowledged = acknowledged.lock().expect("lock").clone();
    assert!(!acknowledged.is_empty());
    let log = std::fs::read_to_string(directory.path().join("data/audit.jsonl")).expect("reads");
    for label in &acknowledged {
        assert!(held.contains(label), "`{label}` was acknowledged and is lost");
        let id = format!(r#""decision_id":"d{}""#, &label[1..]);
        assert_eq!(log.matches(&format!("{id},")).count(), 1, "record {label}");
    }
    // A store that was put back from a copy looks like one that was killed, so no epoch comes twice.
    epochs.push(epoch);
    let all = epochs.len();
    epochs.sort_unstable();
    epochs.dedup();
    assert_eq!(epochs.len(), all);
}

#[tokio::test]
async fn an_operator_who_overrules_a_policys_store_is_told_so() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut config = config();
    config["session_store"] = json!({"kind": "valkey", "endpoint": "localhost:6379"});
    let process = Process::start_with(directory.path(), &config, &[], &["--store", "embedded"]);
    let text = process.announced.join("\n");
    assert!(
        text.contains("localhost:6379") && text.contains("embedded"),
        "{text}"
    );
}

#[tokio::test]
async fn sigterm_ends_it_with_success() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut process = Process::start(directory.path(), &config(), &[]);
    perform(
        process.address,
        DIGEST,
        vec![call(append('a', "x"), OnFail::Stop)],
    )
    .await;
    let pid = process.child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-TERM", &pid])
            .status()
            .expect("kill")
            .success()
    );
    assert!(process.child.wait().expect("reaped").success());
}
