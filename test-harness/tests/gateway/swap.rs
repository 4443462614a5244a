//! A policy changes while requests go on: by ECDS from files, as `aplc emit envoy --ecds` sets it up.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use aplomb_test_harness::envoy::Envoy;
use aplomb_test_harness::patience::{PATIENCE, eventually};
use aplomb_test_harness::{ports, programs};
use serde_json::{Value, json};

use crate::rig::{build, companion, done, text};

/// A policy that says its name when it denies, and lets `open` pass.
pub(crate) fn policy(name: &str) -> String {
    format!(
        "engine_settings: {{unmatched: deny}}\nroutes:\n  - tool: ask\n    pre_invocation: [\"deny('it is {name}', 'policy.{name}')\"]\n\
           \x20 - tool: open\n    pre_invocation: [\"args.x: deny\"]\n\
           \x20 - tool: counted\n    pre_invocation: [\"limit(1000 per 1h, by: args.k)\"]\n"
    )
}

fn call(tool: &str) -> String {
    json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "arguments": {"k": "a"}}}).to_string()
}

/// The backend: answers every call, knows nothing.
pub(crate) async fn backend() -> std::net::SocketAddr {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0))
        .await
        .expect("a port");
    let address = listener.local_addr().expect("an address");
    let answer =
        json!({"jsonrpc": "2.0", "id": 1, "result": {"content": [{"type": "text", "text": "done"}]}});
    let router = axum::Router::new().fallback(move || {
        let answer = answer.clone();
        async move { axum::Json(answer) }
    });
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

/// One verdict of many.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Verdict {
    /// Denied by the policy of this name.
    Denied(String),
    /// Let through to the backend.
    Passed,
    /// Anything else.
    Other(String),
}

pub(crate) async fn ask(http: &reqwest::Client, url: &str, tool: &str) -> Verdict {
    let sent = http
        .post(url)
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream")
        .body(call(tool))
        .send()
        .await;
    let reply = match sent {
        Err(error) => return Verdict::Other(format!("{error:?}")),
        Ok(reply) => reply,
    };
    let status = reply.status();
    let code = reply.headers().get("x-policy-violation").cloned();
    let body = reply.text().await.unwrap_or_else(|error| error.to_string());
    match code.as_ref().and_then(|code| code.to_str().ok()) {
        Some(code) => Verdict::Denied(code.to_owned()),
        None if status == 200 && body.contains("done") => Verdict::Passed,
        None => Verdict::Other(format!("{status} {body}")),
    }
}

struct Load {
    stop: Arc<AtomicBool>,
    clients: Vec<Client>,
}

type Seen = Arc<Mutex<Vec<(Instant, Verdict)>>>;

/// One client, and what it has seen so far.
struct Client {
    tool: &'static str,
    seen: Seen,
    task: tokio::task::JoinHandle<()>,
}

const CLIENTS: usize = 6;

/// Clients that ask without a pause: half of them what is denied, half of them what passes.
fn load(url: &str) -> Load {
    let stop = Arc::new(AtomicBool::new(false));
    let clients = (0..CLIENTS).map(|number| {
        let (url, stop, seen) = (url.to_owned(), Arc::clone(&stop), Seen::default());
        let tool = if number % 2 == 0 { "ask" } else { "open" };
        let log = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            let http = reqwest::Client::builder().no_proxy().build().expect("a client");
            while !stop.load(Ordering::SeqCst) {
                let verdict = ask(&http, &url, tool).await;
                log.lock().expect("a lock").push((Instant::now(), verdict));
            }
        });
        Client { tool, seen, task }
    });
    Load {
        clients: clients.collect(),
        stop,
    }
}

impl Load {
    async fn end(self) -> Vec<(Instant, Verdict)> {
        self.stop.store(true, Ordering::SeqCst);
        let mut all = Vec::new();
        for client in self.clients {
            client.task.await.expect("a client");
            all.append(&mut client.seen.lock().expect("a lock"));
        }
        all.sort_by_key(|(at, _)| *at);
        all
    }

    /// Waits until each client that asks was denied by the policy of this name, and each other has passed since.
    async fn reached(&self, name: &str) {
        let since = Instant::now();
        let by = Verdict::Denied(format!("policy.{name}"));
        eventually(&format!("the policy {name}"), async || {
            let has = |client: &Client| {
                let seen = client.seen.lock().expect("a lock");
                let wanted = if client.tool == "ask" {
                    &by
                } else {
                    &Verdict::Passed
                };
                seen.last()
                    .is_some_and(|(at, last)| *at > since && last == wanted)
            };
            self.clients.iter().all(has).then_some(())
        })
        .await;
    }
}

/// Puts every plugin's file of another build in the place of the running one's.
fn push(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).expect("files").flatten() {
        let beside = to.join(format!(".{}", entry.file_name().to_string_lossy()));
        std::fs::copy(entry.path(), &beside).expect("copied");
        std::fs::rename(&beside, to.join(entry.file_name())).expect("renamed");
    }
}

/// A request whose body ends only after the policy has changed.
fn begin_slowly(envoy: &Envoy, body: &str) -> TcpStream {
    let mut stream = TcpStream::connect(envoy.listen).expect("connects");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let head = format!(
        "POST /mcp HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\naccept: application/json, text/event-stream\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).expect("sent");
    stream.write_all(&body.as_bytes()[..10]).expect("sent");
    stream
}

fn end_slowly(mut stream: TcpStream, body: &str) -> String {
    stream.write_all(&body.as_bytes()[10..]).expect("sent");
    let mut all = String::new();
    let _end = stream.read_to_string(&mut all);
    all
}

/// The sum of statistics whose names have this in them.
async fn stats(envoy: &Envoy, part: &str) -> u64 {
    let text = envoy.admin_get("/stats").await.expect("stats");
    let ours = text.lines().filter(|line| line.contains(part));
    ours.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
        .sum()
}

/// The program in a plugin's configuration with a few other bytes in its middle.
fn damaged(good: &str) -> String {
    let mut text = good.to_owned();
    // `APLB` in base64.
    if let Some(at) = text.find("QVBMQ").map(|at| at + 200) {
        let other = if &text[at..at + 4] == "AAAA" {
            "BBBB"
        } else {
            "AAAA"
        };
        text.replace_range(at..at + 4, other);
    }
    text
}

async fn a_policy_changes_under_load(mode: &str) {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path();
    let builds = ["one", "two", "three"].map(|name| build(path, name, &policy(name), mode));
    // The third is one that the companion does not know.
    let companion = companion(path, &[&builds[0], &builds[1]]).await;
    let upstream = format!("/mcp=http://{}/mcp", backend().await);
    let (listen, admin) = (ports::free().expect("a port"), ports::free().expect("a port"));
    let module = programs::filter().expect("built");
    let running = path.join("ecds");
    let emit = |build: &Path, ecds: &Path| {
        std::fs::create_dir_all(ecds).expect("a folder");
        let (listen, admin) = (listen.to_string(), admin.to_string());
        let companion = format!("http://{}", companion.address);
        let arguments = [
            "emit",
            "envoy",
            "--build",
            text(build),
            "--module",
            text(&module),
            "--upstream",
            &upstream,
        ];
        let more = [
            "--listen",
            &listen,
            "--admin",
            &admin,
            "--companion",
            &companion,
            "--ecds",
            text(ecds),
        ];
        done("aplc", &[&arguments[..], &more].concat())
    };
    let bootstrap = emit(&builds[0], &running);
    let [two, three] = [1, 2].map(|at| {
        let folder = path.join(format!("ecds-{at}"));
        emit(&builds[at], &folder);
        folder
    });
    let document: Value = serde_saphyr::from_str(&bootstrap).expect("YAML");
    let envoy = Envoy::start_document(&document, (listen, admin), 2, path)
        .await
        .expect("Envoy starts");
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    let url = envoy.url("/mcp");
    let one = Verdict::Denied("policy.one".to_owned());
    assert_eq!(ask(&http, &url, "ask").await, one, "{}", envoy.log());
    assert_eq!(ask(&http, &url, "counted").await, Verdict::Passed);

    // Under load, with streams that begin before and end after.
    let body = call("ask");
    let slow: Vec<TcpStream> = (0..4).map(|_| begin_slowly(&envoy, &body)).collect();
    eventually("four requests under way", async || {
        (stats(&envoy, "http.agents.downstream_rq_active").await >= 4).then_some(())
    })
    .await;
    let running_load = load(&url);
    running_load.reached("one").await;
    let pushed = Instant::now();
    push(&two, &running);
    running_load.reached("two").await;
    for stream in slow {
        let answer = end_slowly(stream, &body);
        assert!(
            answer.contains("policy.one"),
            "an old stream ends under the old policy: {answer}"
        );
    }
    let seen = running_load.end().await;
    let strange: Vec<_> = seen
        .iter()
        .filter(|(_, verdict)| match verdict {
            Verdict::Passed => false,
            Verdict::Denied(code) => !matches!(code.as_str(), "policy.one" | "policy.two"),
            Verdict::Other(_) => true,
        })
        .collect();
    let broken = strange
        .iter()
        .filter(|(_, verdict)| matches!(verdict, Verdict::Other(_)));
    assert_eq!(
        broken.count(),
        0,
        "a request without a verdict: {strange:?}\n{}",
        envoy.log()
    );
    let is = |verdict: &Verdict, name: &str| *verdict == Verdict::Denied(format!("policy.{name}"));
    let first = seen
        .iter()
        .find(|(_, verdict)| is(verdict, "two"))
        .expect("the new policy counts");
    let last = seen
        .iter()
        .rfind(|(_, verdict)| is(verdict, "one"))
        .expect("the old policy counted");
    println!(
        "{mode}: {} requests, {} of them denied while the plugins changed; {} ms from push to the first verdict of the new policy, {} ms to the last of the old one",
        seen.len(),
        strange.len(),
        first.0.saturating_duration_since(pushed).as_millis(),
        last.0.saturating_duration_since(pushed).as_millis(),
    );
    assert_eq!(
        ask(&http, &url, "counted").await,
        Verdict::Passed,
        "the companion holds both"
    );

    // What does not load is refused, and the policy before it stays: a key that nobody knows, a program that is damaged.
    let refused = async || stats(&envoy, ".config_fail").await + stats(&envoy, ".update_rejected").await;
    for damage in [
        (|good: &str| good.replace("policy_digest", "policy_digst")) as fn(&str) -> String,
        damaged,
    ] {
        let bad = tempfile::tempdir_in(path).expect("a folder");
        let mut changed = 0;
        for entry in std::fs::read_dir(&two).expect("files").flatten() {
            let good = std::fs::read_to_string(entry.path()).expect("text");
            let worse = damage(&good);
            changed += usize::from(worse != good);
            std::fs::write(bad.path().join(entry.file_name()), worse).expect("written");
        }
        assert!(changed > 0);
        let before = refused().await;
        push(bad.path(), &running);
        eventually("a metric that says so", async || {
            (refused().await > before).then_some(())
        })
        .await;
        for _ in 0..20 {
            assert_eq!(
                ask(&http, &url, "ask").await,
                Verdict::Denied("policy.two".to_owned())
            );
            assert_eq!(ask(&http, &url, "open").await, Verdict::Passed);
        }
    }

    // Skew: a policy that the companion does not hold decides what it can alone, and is denied what it cannot.
    push(&three, &running);
    let three = Verdict::Denied("policy.three".to_owned());
    let unknown = Verdict::Denied("companion.unknown_policy".to_owned());
    for (tool, verdict) in [("ask", three), ("counted", unknown)] {
        eventually("the third policy", async || {
            (ask(&http, &url, tool).await == verdict).then_some(())
        })
        .await;
    }
    // And back.
    push(&two, &running);
    eventually("the rollback", async || {
        (ask(&http, &url, "counted").await == Verdict::Passed).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_changes_under_load_in_full_mode() {
    a_policy_changes_under_load("full").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_changes_under_load_in_paired_mode() {
    a_policy_changes_under_load("paired").await;
}
