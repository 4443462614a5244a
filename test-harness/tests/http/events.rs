//! Server-sent events are judged one by one, and none waits for the next: the backend sends an event only after the client has the
//! one before it, so that a filter that held one back would never see another.

use std::sync::{Arc, Mutex};

use aplomb_test_harness::envoy::wasm::InstallMode;
use aplomb_test_harness::ground::recorder::{Answer, event, piece, result};
use aplomb_test_harness::patience::PATIENCE;
use http_body_util::BodyExt as _;
use serde_json::json;
use tokio::sync::mpsc;

use crate::ground::{BOTH_1, BOTH_2, RESULT, Wire, call, record, scene};
use crate::steps::limits;

const EVENTS: u64 = 20;

async fn no_event_waits_for_the_next(mode: InstallMode, wire: Wire, tool: &str) {
    let (go, waits) = mpsc::channel::<()>(1);
    let waits = Arc::new(Mutex::new(Some(waits)));
    let script = move |heard, frames| {
        let waits = waits.lock().expect("one call").take();
        async move {
            let mut waits = waits.expect("one call");
            let (id, record) = record(&heard);
            for number in 0..EVENTS {
                let note = json!({"jsonrpc": "2.0", "method": "notifications/progress",
                    "params": {"progress": number, "progressToken": 1, "message": "working on it"}});
                piece(&frames, event(&note.to_string())).await;
                if waits.recv().await.is_none() {
                    return;
                }
            }
            piece(&frames, event(&result(&id, &record))).await;
        }
    };
    let scene = scene(mode, wire, Answer::EVENTS, limits(), script).await;
    let (frames, reply) = scene.begin();
    piece(&frames, call(tool, 1)).await;
    drop(frames);
    let mut body = reply.await.expect("a reply").into_body();
    let mut seen = String::new();
    for number in 0..EVENTS {
        let mark = format!("\"progress\":{number},");
        while !(seen.contains(&mark) && seen.ends_with("\n\n")) {
            // A held one takes for ever.
            let frame = tokio::time::timeout(PATIENCE, body.frame())
                .await
                .unwrap_or_else(|_| panic!("event {number} is held back; so far:\n{seen}"))
                .expect("no end")
                .expect("no break");
            if let Ok(data) = frame.into_data() {
                seen.push_str(&String::from_utf8_lossy(&data));
            }
        }
        assert!(!seen.contains(&format!("\"progress\":{},", number + 1)));
        go.send(()).await.expect("the backend waits");
    }
    let rest = body.collect().await.expect("an end").to_bytes();
    seen.push_str(&String::from_utf8_lossy(&rest));
    assert!(seen.contains("[REDACTED]") && !seen.contains(RESULT), "{seen}");
}

#[tokio::test]
async fn no_event_waits_for_the_next_in_full_mode() {
    no_event_waits_for_the_next(InstallMode::Full, BOTH_2, "edited").await;
}

#[tokio::test]
async fn no_event_waits_for_the_next_in_paired_mode() {
    no_event_waits_for_the_next(InstallMode::Paired, BOTH_2, "edited").await;
}

#[tokio::test]
async fn no_event_waits_for_the_next_over_http_1() {
    no_event_waits_for_the_next(InstallMode::Full, BOTH_1, "edited").await;
}

#[tokio::test]
async fn no_event_waits_for_a_scanner_in_full_mode() {
    no_event_waits_for_the_next(InstallMode::Full, BOTH_1, "scanned").await;
}

#[tokio::test]
async fn no_event_waits_for_a_scanner_in_paired_mode() {
    no_event_waits_for_the_next(InstallMode::Paired, BOTH_2, "scanned").await;
}
