//! The fault list: what is injected, what the companion answers, what is lost of what it had acknowledged (nothing).
//!
//! A part of it runs with the other tests; `make faults` runs all of it (`APLOMB_FAULTS=all`) and prints the table.

#[path = "faults/clock.rs"]
mod clock;
#[path = "faults/disk.rs"]
mod disk;
#[path = "faults/kill.rs"]
mod kill;
#[path = "faults/provider.rs"]
mod provider;
#[path = "faults/relay.rs"]
mod relay;
#[path = "faults/valkey.rs"]
pub(crate) mod valkey;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::Bytes;
use axum::http::Request;
use companion_protocol::{Effect, EffectCall, EffectResult, EffectsResponse, OnFail};
use http_body_util::Full;

use super::client::{DIGEST, call, load, request, send};
use crate::patience::PATIENCE;

/// `few` in the daily tests, `all` in `make faults`.
fn times(few: usize, all: usize) -> usize {
    match std::env::var("APLOMB_FAULTS").as_deref() {
        Ok("all") => all,
        Ok(_) | Err(_) => few,
    }
}

/// Calls that had to be refused and were not, and calls without an answer, of all tests together: one is too many.
static OPEN: AtomicUsize = AtomicUsize::new(0);
static UNANSWERED: AtomicUsize = AtomicUsize::new(0);

/// One line of the table; what was lost must be nothing.
fn row(injected: &str, answered: &str, acknowledged: usize, lost: usize) {
    let (open, unanswered) = (OPEN.load(Ordering::SeqCst), UNANSWERED.load(Ordering::SeqCst));
    println!("| {injected} | {answered} | {acknowledged} | {lost} | {open} | {unanswered} |");
    assert_eq!(lost, 0, "{injected}: lost of what was acknowledged");
    assert_eq!(
        (open, unanswered),
        (0, 0),
        "{injected}: failed open, or no answer"
    );
}

/// The fault must be seen, under a code that begins so.
fn must_refuse(result: &EffectResult, expected: &str) {
    let code = code(result);
    if code == "done" {
        OPEN.fetch_add(1, Ordering::SeqCst);
    }
    assert!(code.starts_with(expected), "{expected}: {result:?}");
}

/// The results, or `None` when the connection broke: nothing was acknowledged then.
async fn ask(address: SocketAddr, calls: Vec<EffectCall>) -> Option<Vec<EffectResult>> {
    let request = Request::post(format!("http://{address}/v1/effects"))
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(request(DIGEST, calls))))
        .expect("a request");
    let Ok(answer) = tokio::time::timeout(PATIENCE, send(request)).await else {
        UNANSWERED.fetch_add(1, Ordering::SeqCst);
        return None;
    };
    let answer = answer?;
    let response: EffectsResponse = serde_json::from_slice(&answer.body).ok()?;
    Some(response.results)
}

async fn ask_one(address: SocketAddr, effect: Effect) -> Option<EffectResult> {
    Some(ask(address, vec![call(effect, OnFail::Stop)]).await?.remove(0))
}

/// The code of a refusal; `done` of a success.
fn code(result: &EffectResult) -> String {
    match result {
        EffectResult::Denied { code, .. } | EffectResult::Failed { code, .. } => code.clone(),
        EffectResult::Skipped => "skipped".to_owned(),
        EffectResult::Done
        | EffectResult::Labels(_)
        | EffectResult::Granted(_)
        | EffectResult::Elicitation(_)
        | EffectResult::Decision(_)
        | EffectResult::Identity { .. }
        | EffectResult::Count(_) => "done".to_owned(),
    }
}

/// The labels of the subject's session.
async fn labels(address: SocketAddr, subject: char) -> Vec<String> {
    match ask_one(address, load(subject)).await {
        Some(EffectResult::Labels(labels)) => labels.session,
        other => panic!("no labels: {other:?}"),
    }
}

/// How many of these are not among those.
fn missing(acknowledged: &[String], held: &[String]) -> usize {
    let held: std::collections::HashSet<&String> = held.iter().collect();
    acknowledged.iter().filter(|label| !held.contains(label)).count()
}
