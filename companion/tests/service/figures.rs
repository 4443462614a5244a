//! Prints what the service does in a second. Run alone, in release:
//! `cargo test --release -p aplomb-companion --test service figures -- --ignored --nocapture`.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::http::Request;
use companion_protocol::{Effect, OnFail, SessionKey};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::json;

use crate::client::{DIGEST, call, request};
use crate::durability::Process;

/// Makes the effect of the n-th request.
type Make = fn(usize) -> Effect;

const CALLERS: usize = 64;
const SECONDS: u64 = 5;

fn key(n: usize) -> SessionKey {
    SessionKey {
        subject: format!("{:064x}", n % 1000),
        session: format!("{n:064x}"),
    }
}

/// Requests a second and the 50th and 99th percentile.
async fn measure(address: SocketAddr, effect: Make) -> (f64, Duration, Duration) {
    let end = Instant::now() + Duration::from_secs(SECONDS);
    let callers: Vec<_> = (0..CALLERS)
        .map(|caller| {
            tokio::spawn(async move {
                let client = Client::builder(TokioExecutor::new()).build_http();
                let mut times = Vec::new();
                while Instant::now() < end {
                    let n = caller + times.len() * CALLERS;
                    let body = request(DIGEST, vec![call(effect(n), OnFail::Stop)]);
                    let request = Request::post(format!("http://{address}/v1/effects"))
                        .header("content-type", "application/json")
                        .body(Full::new(Bytes::from(body)))
                        .expect("a request");
                    let begun = Instant::now();
                    let response = client.request(request).await.expect("an answer");
                    let body = response.into_body().collect().await.expect("a body").to_bytes();
                    times.push(begun.elapsed());
                    assert!(!body.windows(6).any(|text| text == b"failed"), "{body:?}");
                }
                times
            })
        })
        .collect();
    let mut times = Vec::new();
    for caller in callers {
        times.extend(caller.await.expect("joins"));
    }
    times.sort_unstable();
    let rate = times.len() as f64 / SECONDS as f64;
    (rate, times[times.len() / 2], times[times.len() * 99 / 100])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement, and it wants the machine for itself"]
async fn figures() {
    let directory =
        tempfile::tempdir_in(std::env::var("FIGURES_DIR").unwrap_or(".".to_owned())).expect("a directory");
    let config = json!({"version": 1, "policy_digest": DIGEST});
    let process = Process::start(directory.path(), &config, &[]);
    let kinds: [(&str, Make); 3] = [
        ("session.append, new session each", |n| Effect::SessionAppend {
            session: key(n),
            labels: vec!["secret".to_owned()],
            subject_labels: Vec::new(),
            ttl_s: None,
        }),
        ("session.load", |n| Effect::SessionLoad { session: key(n) }),
        ("audit.append", |n| {
            let record = json!({
                "seq": n, "stream": "w1", "at_ms": 1, "decision_id": "d", "policy_digest": DIGEST,
                "verdict": "allow", "entity_type": "tool", "entity_name": "t",
            });
            Effect::AuditAppend {
                record: serde_json::from_value(record).expect("a record"),
            }
        }),
    ];
    for (name, effect) in kinds {
        let (rate, p50, p99) = measure(process.address, effect).await;
        println!("{name}: {rate:.0}/s with {CALLERS} callers, p50 {p50:?}, p99 {p99:?}");
    }
    println!("memory: {}", process.memory());
}
