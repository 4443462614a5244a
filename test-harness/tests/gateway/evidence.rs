//! Evidence behind a real Envoy: what an operator can ask of captured decisions, and what is left when the proxy is killed.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aplomb_test_harness::envoy::wasm::InstallMode;
use aplomb_test_harness::ground::issuer;
use aplomb_test_harness::patience::{PATIENCE, eventually};
use aplomb_test_harness::process::{Process, answers};
use aplomb_test_harness::{ports, programs};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::rig::{build, done, envoy, text};
use crate::swap::backend;

/// A key as `openssl genpkey -algorithm x25519` writes one, and its public key.
const PRIVATE: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VuBCIEIHcHbQpzGKV9PBbBclGyZkXfTC+S68CZKsF3+6UduSwq
-----END PRIVATE KEY-----
";
const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----
MCowBQYDK2VuAyEA+KlTWi0v9gXo4UTVT071xiMTogVduyH93T/ZwpnrAV0=
-----END PUBLIC KEY-----
";

/// Bob may pay up to a limit, in two places of one policy.
fn policy(settings: &str, limit: u32) -> String {
    let user = issuer::plugin("user", "authorization", "user").expect("a key");
    format!(
        "plugins: {}\nengine_settings: {{unmatched: deny, {settings}}}\nglobal:\n  authentication: [user]\nroutes:\n\
           \x20 - tool: pay\n    pre_invocation:\n      - \"require(authenticated)\"\n      - \"args.amount > {limit}: deny('too much', 'pay.limit')\"\n",
        json!([user])
    )
}

/// A companion that can be killed and started anew on its data.
pub(crate) struct Companion {
    pub(crate) address: SocketAddr,
    dir: PathBuf,
    build: PathBuf,
    process: Option<Process>,
}

impl Companion {
    pub(crate) async fn start(dir: &Path, build: &Path, arguments: &[&str]) -> Self {
        let mut companion = Self {
            address: ports::free().expect("a port"),
            dir: dir.to_owned(),
            build: build.to_owned(),
            process: None,
        };
        companion.begin(arguments).await;
        companion
    }

    async fn begin(&mut self, arguments: &[&str]) {
        let mut command = Command::new(programs::ours("aplomb-companion").expect("built"));
        command.arg("serve").args(["--listen", &self.address.to_string()]);
        command.arg("--data").arg(self.dir.join("data"));
        command
            .arg("--config")
            .arg(self.build.join("companion.json"))
            .args(arguments);
        let mut process =
            Process::start("the companion", command, &self.dir.join("companion.log")).expect("starts");
        let http = reqwest::Client::new();
        let health = format!("http://{}/healthz", self.address);
        process
            .wait_until(PATIENCE, || answers(&http, &health))
            .await
            .expect("answers");
        self.process = Some(process);
    }

    async fn kill(&mut self) {
        let mut process = self.process.take().expect("it runs");
        process.kill().await.expect("killed");
    }

    fn log(&self) -> PathBuf {
        self.dir.join("data/audit.jsonl")
    }

    /// The records of verdicts.
    fn verdicts(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.log()).unwrap_or_default();
        // The last line may not be whole yet.
        let records = text.lines().filter_map(|line| serde_json::from_str(line).ok());
        records
            .filter(|record: &Value| record["verdict"].is_string())
            .collect()
    }

    pub(crate) fn trace_ids(&self) -> BTreeSet<String> {
        let ids = self.verdicts().into_iter();
        ids.filter_map(|record| Some(record["trace_id"].as_str()?.to_owned()))
            .collect()
    }

    fn verified(&self) -> Value {
        let log = self.log();
        let said = done(
            "aplomb-companion",
            &["audit", "verify", "--log", text(&log), "--format", "json"],
        );
        serde_json::from_str(&said).expect("JSON")
    }
}

/// One call by Bob, with a trace id to find its record by. The code of a denial, nothing for an answer of the tool; `None`: it
/// broke off.
async fn pay(
    http: &reqwest::Client,
    url: &str,
    token: &str,
    trace: &str,
    arguments: Value,
) -> Option<String> {
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": {"name": "pay", "arguments": arguments}});
    let sent = http
        .post(url)
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream")
        .header("traceparent", format!("00-{trace}-00f067aa0ba902b7-01"))
        .bearer_auth(token)
        .body(call.to_string())
        .send();
    let reply = sent.await.ok()?;
    let code = reply.headers().get("x-policy-violation").cloned();
    let body = reply.text().await.ok()?;
    match code {
        Some(code) => Some(code.to_str().expect("text").to_owned()),
        None if body.contains("done") => Some(String::new()),
        None => None,
    }
}

fn trace(number: usize) -> String {
    format!("{:032x}", number + 1)
}

fn client() -> (reqwest::Client, String) {
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    (http, issuer::token(&json!({"sub": "bob"})).expect("a token"))
}

async fn captured_decisions_run_through_another_policy(install: InstallMode) {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path();
    let at = |name: &str| path.join(name).display().to_string();
    for (name, text) in [
        ("capture.pem", PRIVATE.to_owned()),
        ("capture.pub.pem", PUBLIC.to_owned()),
        ("stricter.yaml", policy("capture: facts", 100)),
    ] {
        std::fs::write(path.join(name), text).expect("written");
    }
    let built = build(path, "policy", &policy("capture: facts", 1000), install.name());
    let companion = Companion::start(path, &built, &["--capture-key", &at("capture.pub.pem")]).await;
    let envoy = envoy(path, &built, install, backend().await, companion.address).await;
    let (http, token) = client();
    let note = "between us";
    for (number, (amount, expected)) in [(50, ""), (500, ""), (5000, "pay.limit")].into_iter().enumerate() {
        let arguments = json!({"amount": amount, "note": note});
        let code = pay(&http, &envoy.url("/mcp"), &token, &trace(number), arguments).await;
        assert_eq!(code.as_deref(), Some(expected), "{amount}\n{}", envoy.log());
    }
    eventually("three records", async || {
        (companion.verdicts().len() == 3).then_some(())
    })
    .await;
    let log = std::fs::read_to_string(companion.log()).expect("a log");
    assert!(
        log.contains("\"sealed\"") && !log.contains(note) && !log.contains("5000"),
        "{log}"
    );

    let differs = |key: &str, to: &str| {
        let log = at("data/audit.jsonl");
        let arguments = [
            "replay",
            "--log",
            &log,
            "--key",
            key,
            "--from",
            &at("policy.yaml"),
            "--to",
            to,
        ];
        done("aplc", &arguments)
    };
    let key = at("capture.pem");
    let said = differs(&key, &at("stricter.yaml"));
    let mut lines = said.lines();
    assert_eq!(
        lines.next(),
        Some("3 verdicts: 2 the same, 1 different, 0 not replayable"),
        "{said}"
    );
    let medium = companion
        .verdicts()
        .into_iter()
        .find(|record| record["trace_id"] == trace(1).as_str());
    let id = medium.expect("the record")["decision_id"]
        .as_str()
        .expect("an id")
        .to_owned();
    assert_eq!(
        said.lines().nth(1),
        Some(format!("{id} tool pay by bob: allowed, would be denied pay.limit").as_str())
    );
    let said = differs(&key, &at("policy.yaml"));
    assert!(
        said.starts_with("3 verdicts: 3 the same, 0 different, 0 not replayable"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn captured_decisions_run_through_another_policy_in_full_mode() {
    captured_decisions_run_through_another_policy(InstallMode::Full).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn captured_decisions_run_through_another_policy_in_paired_mode() {
    captured_decisions_run_through_another_policy(InstallMode::Paired).await;
}

/// Calls from eight callers until `enough` are answered, or for ever.
struct Load {
    answered: Arc<Mutex<Vec<String>>>,
    callers: Vec<tokio::task::JoinHandle<()>>,
}

impl Load {
    fn begin(url: &str, most: usize) -> Self {
        let (http, token) = client();
        let answered = Arc::new(Mutex::new(Vec::new()));
        let next = Arc::new(AtomicUsize::new(0));
        let callers = (0..8).map(|_| {
            let (http, token, url) = (http.clone(), token.clone(), url.to_owned());
            let (answered, next) = (Arc::clone(&answered), Arc::clone(&next));
            tokio::spawn(async move {
                loop {
                    let number = next.fetch_add(1, Ordering::SeqCst);
                    if number >= most {
                        return;
                    }
                    let id = trace(number);
                    let code = pay(&http, &url, &token, &id, json!({"amount": 1})).await;
                    match code {
                        None => return,
                        Some(code) => assert_eq!(code, ""),
                    }
                    answered.lock().expect("lock").push(id);
                }
            })
        });
        Self {
            callers: callers.collect(),
            answered,
        }
    }

    fn count(&self) -> usize {
        self.answered.lock().expect("lock").len()
    }

    /// What was answered, once every caller has ended.
    async fn end(self) -> BTreeSet<String> {
        for caller in self.callers {
            caller.await.expect("joins");
        }
        self.answered.lock().expect("lock").iter().cloned().collect()
    }
}

async fn a_killed_envoy_loses_no_record_of_an_answer_that_waited_for_it(install: InstallMode) {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path();
    let built = build(path, "policy", &policy("audit: durable", 1000), install.name());
    let companion = Companion::start(path, &built, &[]).await;
    let mut envoy = envoy(path, &built, install, backend().await, companion.address).await;
    let load = Load::begin(&envoy.url("/mcp"), usize::MAX);
    eventually("answers", async || (load.count() >= 100).then_some(())).await;
    envoy.kill().await.expect("killed");
    let answered = load.end().await;
    let lost = answered.difference(&companion.trace_ids()).count();
    println!(
        "| Envoy killed under 8 callers, `audit: durable`, mode `{}` | {} answered, the rest broke off | {} | {lost} |",
        install.name(),
        answered.len(),
        answered.len()
    );
    assert_eq!(lost, 0);
    assert_eq!(companion.verified()["verdict"]["findings"], json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_envoy_loses_no_record_of_an_answer_that_waited_for_it_in_full_mode() {
    a_killed_envoy_loses_no_record_of_an_answer_that_waited_for_it(InstallMode::Full).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_envoy_loses_no_record_of_an_answer_that_waited_for_it_in_paired_mode() {
    a_killed_envoy_loses_no_record_of_an_answer_that_waited_for_it(InstallMode::Paired).await;
}

/// How many calls wait in the worker's queue when it is killed; less than it holds.
const WAITING: usize = 900;

async fn a_killed_envoy_loses_what_it_had_not_delivered_and_the_log_says_how_much(install: InstallMode) {
    // The kill races with deliveries that go on: once in a while all of them got through before.
    for _ in 0..10 {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path();
        let settings = policy("audit: batched", 1000);
        let built = build(path, "policy", &settings, install.name());
        let mut companion = Companion::start(path, &built, &[]).await;
        let mut envoy = envoy(path, &built, install, backend().await, companion.address).await;
        companion.kill().await;
        let answered = Load::begin(&envoy.url("/mcp"), WAITING).end().await;
        assert_eq!(answered.len(), WAITING, "{}", envoy.log());
        companion.begin(&[]).await;
        let begun = tokio::time::Instant::now();
        while companion.trace_ids().is_empty() {
            assert!(
                begun.elapsed() < PATIENCE,
                "nothing is delivered\n{}",
                envoy.log()
            );
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        envoy.kill().await.expect("killed");
        // What was on its way when the proxy died may still be written down.
        let delivered = settled(&companion).await;
        let lost = answered.difference(&delivered).count();
        if lost == 0 {
            continue;
        }
        let verified = companion.verified();
        let outstanding = verified["verdict"]["outstanding"].as_array().expect("a list");
        let number = |range: &Value, at: &str| range[at].as_u64().expect("a number");
        let named: u64 = outstanding
            .iter()
            .map(|range| number(range, "to") + 1 - number(range, "from"))
            .sum();
        println!(
            "| Envoy killed with {WAITING} records to deliver, `audit: batched`, mode `{}` | {} had been delivered, {lost} are lost with the proxy; `audit verify` names {named} | {} | 0 |",
            install.name(),
            delivered.len(),
            delivered.len()
        );
        assert_eq!(
            verified["verdict"]["findings"],
            json!([]),
            "a gap among what was delivered"
        );
        assert_eq!(named, lost as u64, "{outstanding:?}");
        let printed = done(
            "aplomb-companion",
            &["audit", "verify", "--log", text(&companion.log())],
        );
        assert!(printed.contains("had numbered records"), "{printed}");
        return;
    }
    panic!("every record was delivered before the kill, ten times");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_envoy_loses_what_it_had_not_delivered_and_the_log_says_how_much_in_full_mode() {
    a_killed_envoy_loses_what_it_had_not_delivered_and_the_log_says_how_much(InstallMode::Full).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_envoy_loses_what_it_had_not_delivered_and_the_log_says_how_much_in_paired_mode() {
    a_killed_envoy_loses_what_it_had_not_delivered_and_the_log_says_how_much(InstallMode::Paired).await;
}

/// What is in the log when nothing more is added.
async fn settled(companion: &Companion) -> BTreeSet<String> {
    let mut before = companion.trace_ids();
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let now = companion.trace_ids();
        if now.len() == before.len() {
            return now;
        }
        before = now;
    }
}
