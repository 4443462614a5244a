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
    let p50 = pace.percentile(50).as_secs_f64() * 1e6;
    Ok(vec![Figure::new(
        "a cached token over HTTP, half of them within",
        "≤ 100 µs",
        format!("{p50:.0} µs"),
        p50 <= 100.0,
    )])
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
