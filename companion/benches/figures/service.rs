//! The service itself: a process of its own, asked over HTTP.

use std::error::Error;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::post;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::Figure;
use crate::crowd;

const DIGEST: &str = "00000000000000000000000000000000000000000000000000000000000000aa";

struct Running {
    child: Child,
    address: String,
    _directory: tempfile::TempDir,
}

impl Running {
    fn start(config: &Value) -> Result<Self, Box<dyn Error>> {
        let directory = tempfile::tempdir()?;
        let file = directory.path().join("companion.json");
        std::fs::write(&file, config.to_string())?;
        let mut child = Command::new(env!("CARGO_BIN_EXE_aplomb-companion"))
            .args(["serve", "--listen", "127.0.0.1:0", "--egress-allow", "loopback"])
            .arg("--config")
            .arg(&file)
            .arg("--data")
            .arg(directory.path().join("data"))
            .env("APLOMB_LOG", "error")
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        let out = child.stdout.take().ok_or("no standard output")?;
        BufReader::new(out).read_line(&mut line)?;
        let address = line
            .trim()
            .rsplit("http://")
            .next()
            .ok_or("no address")?
            .to_owned();
        Ok(Self {
            child,
            address,
            _directory: directory,
        })
    }

    /// Resident memory in KiB.
    fn resident_kib(&self) -> Result<u64, Box<dyn Error>> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .ok_or("no VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").parse()?)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One connection that is kept.
struct Caller(TcpStream);

impl Caller {
    async fn perform(&mut self, effects: &Value) -> Result<Vec<u8>, Box<dyn Error>> {
        let body = json!({"policy_digest": DIGEST, "decision_id": "d", "effects": effects}).to_string();
        let head = format!(
            "POST /v1/effects HTTP/1.1\r\nhost: c\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        self.0.write_all((head + &body).as_bytes()).await?;
        let mut answer = Vec::new();
        loop {
            let mut part = [0; 16384];
            let read = self.0.read(&mut part).await?;
            if read == 0 {
                return Err("the companion closed the connection".into());
            }
            answer.extend_from_slice(part.get(..read).unwrap_or_default());
            if let Some(whole) = whole(&answer) {
                return Ok(whole);
            }
        }
    }
}

/// The body, when all of it is there.
fn whole(answer: &[u8]) -> Option<Vec<u8>> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let (head, body) = answer.split_at(end + 4);
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    let length: usize = head
        .split_once("content-length:")?
        .1
        .lines()
        .next()?
        .trim()
        .parse()
        .ok()?;
    (body.len() >= length).then(|| body.to_vec())
}

fn call(effect: &Value) -> Value {
    json!({"idempotency_key": "k", "on_fail": "stop", "source": "s", "effect": effect})
}

async fn provider() -> Result<String, Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let token = json!({
        "access_token": "minted", "token_type": "Bearer", "expires_in": 3600, "scope": "read",
        "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
    })
    .to_string();
    let answer = move || async move { ([(CONTENT_TYPE, "application/json")], token) };
    tokio::spawn(axum::serve(listener, Router::new().route("/token", post(answer))).into_future());
    Ok(format!("http://{address}/token"))
}

/// A token that the service has, asked for again and again over one connection.
pub(crate) async fn cached_token() -> Result<Vec<Figure>, Box<dyn Error>> {
    let endpoint = provider().await?;
    let running = Running::start(&json!({
        "version": 1, "policy_digest": DIGEST,
        "delegators": {"tokens": {
            "kind": "oauth", "token_endpoint": endpoint, "allow_http": true, "client_id": "gw",
            "client_secret": {"env": "PATH"}, "strict_response_validation": false,
        }},
    }))?;
    let exchange = json!([call(&json!({
        "kind": "token.exchange", "delegator": "tokens", "subject": "this_workload", "target": "api",
        "audience": "api", "permissions": ["read"],
    }))]);
    let caller = Caller(TcpStream::connect(&running.address).await?);
    caller.0.set_nodelay(true)?;
    let caller = std::sync::Arc::new(tokio::sync::Mutex::new(caller));
    let first = caller.lock().await.perform(&exchange).await?;
    if !String::from_utf8_lossy(&first).contains("granted") {
        return Err(String::from_utf8_lossy(&first).into());
    }
    let pace = crowd::run(1, 20_000, move |_| {
        let (caller, exchange) = (std::sync::Arc::clone(&caller), exchange.clone());
        async move {
            caller.lock().await.perform(&exchange).await.expect("answers");
        }
    })
    .await;
    let measured = metrics(&running.address).await?;
    let inside = half_within(
        &measured,
        "aplomb_companion_request_seconds_bucket",
        r#"path="/v1/effects""#,
    )?;
    let effect = half_within(
        &measured,
        "aplomb_companion_effect_seconds_bucket",
        r#"kind="token.exchange""#,
    )?;
    let outside = pace.percentile(50).as_secs_f64() * 1e6;
    Ok(vec![
        Figure::new(
            "a cached token in the service, from a request's head to its answer: half within",
            "≤ 100 µs",
            format!("{inside:.0} µs (the effect alone: {effect:.0} µs)"),
            inside <= 100.0,
        ),
        Figure::plain(
            "the same as its caller waits for it, loopback and wake-ups included: half within",
            format!("{outside:.0} µs"),
        ),
    ])
}

async fn metrics(address: &str) -> Result<String, Box<dyn Error>> {
    let mut connection = TcpStream::connect(address).await?;
    connection
        .write_all(b"GET /metrics HTTP/1.1\r\nhost: c\r\nconnection: close\r\n\r\n")
        .await?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await?;
    Ok(answer)
}

/// The least bound of the service's own histogram that half of what it measured kept, in microseconds.
fn half_within(metrics: &str, name: &str, label: &str) -> Result<f64, Box<dyn Error>> {
    let mut buckets = Vec::new();
    for line in metrics.lines() {
        let Some((labels, count)) = line
            .strip_prefix(name)
            .and_then(|rest| rest.rsplit_once(' '))
            .filter(|(labels, _)| labels.contains(label))
        else {
            continue;
        };
        let bound = labels
            .split_once("le=\"")
            .and_then(|(_, rest)| rest.split_once('"'));
        let (bound, _) = bound.ok_or("a bucket without a bound")?;
        let bound = if bound == "+Inf" {
            f64::INFINITY
        } else {
            bound.parse()?
        };
        buckets.push((bound, count.parse::<u64>()?));
    }
    let all = buckets.last().ok_or("the service has no such histogram")?.1;
    let half = buckets.iter().find(|(_, count)| count * 2 >= all);
    Ok(half.ok_or("an empty histogram")?.0 * 1e6)
}

/// Memory with 100,000 sessions.
pub(crate) async fn memory() -> Result<Vec<Figure>, Box<dyn Error>> {
    const SESSIONS: u64 = 100_000;
    let running = Running::start(&json!({"version": 1, "policy_digest": DIGEST}))?;
    let empty = running.resident_kib()?;
    let address = running.address.clone();
    let mut callers = Vec::new();
    for part in 0..8_u64 {
        let address = address.clone();
        callers.push(tokio::spawn(async move {
            let mut caller = Caller(TcpStream::connect(&address).await.expect("connects"));
            let numbers: Vec<u64> = (0..SESSIONS).filter(|number| number % 8 == part).collect();
            for batch in numbers.chunks(64) {
                let effects: Vec<Value> = batch
                    .iter()
                    .map(|number| {
                        let session = json!({
                            "subject": format!("{:064x}", number % 20_000), "session": format!("{number:064x}"),
                        });
                        call(&json!({"kind": "session.append", "session": session, "labels": ["secret"]}))
                    })
                    .collect();
                let answer = caller.perform(&json!(effects)).await.expect("answers");
                assert!(!String::from_utf8_lossy(&answer).contains("failed"), "an append failed");
            }
        }));
    }
    for caller in callers {
        caller.await?;
    }
    let full = running.resident_kib()?;
    Ok(vec![Figure::new(
        "resident memory with 100,000 sessions",
        "≤ 64 MB",
        format!(
            "{:.1} MB (empty {:.1} MB)",
            full as f64 / 1000.0,
            empty as f64 / 1000.0
        ),
        full <= 64_000,
    )])
}
