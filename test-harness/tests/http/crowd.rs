//! Two hundred calls at a time on one connection and one worker, each sent in pieces between those of the others.

use aplomb_test_harness::envoy::wasm::InstallMode;
use aplomb_test_harness::ground::recorder::{Answer, Frames, Heard, event, piece, result};
use aplomb_test_harness::patience::PATIENCE;
use axum::http::StatusCode;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::ground::{BOTH_2, Got, Scene, call, record, scene};
use crate::steps::{is_denied, limits};

const STREAMS: u64 = 200;

/// The tools in turn: some decided at once, some after a call to the companion, some denied.
fn tool(id: u64) -> &'static str {
    match id % 4 {
        0 => "edited",
        1 => "labelled",
        2 => "denied",
        _ => "plain",
    }
}

/// Progress, then the result, with other streams' pieces between its halves.
async fn in_pieces(heard: Heard, frames: Frames) {
    let (id, mut record) = record(&heard);
    if heard.tool() == "plain" {
        // No rule reads this one, so that nothing would remove it.
        record["ssn"] = json!("none");
    }
    let note = json!({"jsonrpc": "2.0", "method": "notifications/progress",
        "params": {"progress": 1, "progressToken": id}});
    piece(&frames, event(&note.to_string())).await;
    let last = event(&result(&id, &record));
    let (first, rest) = last.split_at(last.len() / 2);
    tokio::task::yield_now().await;
    piece(&frames, first.to_owned()).await;
    tokio::task::yield_now().await;
    piece(&frames, rest.to_owned()).await;
}

fn has_its_own(got: &Got, id: u64) {
    assert_eq!((got.status, got.code()), (StatusCode::OK, ""), "{id}: {got:?}");
    let events: Vec<Value> = got
        .body
        .lines()
        .filter_map(|line| serde_json::from_str(line.strip_prefix("data:")?.trim()).ok())
        .collect();
    let [note, result] = events.as_slice() else {
        panic!("{id}: two events were sent: {got:?}");
    };
    assert_eq!(note["params"]["progressToken"], json!(id), "{got:?}");
    assert_eq!(result["id"], json!(id), "{got:?}");
    let record = &result["result"]["structuredContent"];
    let ssn = if tool(id) == "plain" { "none" } else { "[REDACTED]" };
    assert_eq!(
        (&record["n"], &record["ssn"]),
        (&json!(id), &json!(ssn)),
        "{got:?}"
    );
}

async fn two_hundred_streams_keep_apart(mode: InstallMode) {
    let scene = scene(mode, BOTH_2, Answer::EVENTS, limits(), in_pieces).await;
    let mut calls = JoinSet::new();
    let mut feeds = Vec::new();
    for id in 0..STREAMS {
        let (frames, reply) = scene.open();
        feeds.push((frames, call(tool(id), id)));
        calls.spawn(async move { (id, reply.await) });
    }
    // A piece of each, then the next piece of each.
    for part in 0..3 {
        for (frames, text) in &feeds {
            let third = text.len() / 3;
            let end = if part == 2 { text.len() } else { (part + 1) * third };
            piece(frames, text[part * third..end].to_owned()).await;
        }
    }
    drop(feeds);
    let all = async {
        let mut answered = 0;
        while let Some(call) = calls.join_next().await {
            let (id, reply) = call.expect("no panic");
            let got = reply.unwrap_or_else(|error| panic!("{id}: {error}"));
            match tool(id) {
                "denied" => is_denied(&got, id),
                _ => has_its_own(&got, id),
            }
            answered += 1;
        }
        answered
    };
    let answered = tokio::time::timeout(4 * PATIENCE, all)
        .await
        .expect("all of them end");
    assert_eq!(answered, STREAMS);
    assert_eq!(scene.backend.heard().len() as u64, STREAMS * 3 / 4);
    keeps_plain_apart(&scene);
    let connections = scene.ground.envoy.stat("http.in.downstream_cx_http2_total").await;
    println!("{} streams over {connections:?} connections", STREAMS);
}

/// What `plain` calls carry is theirs to keep.
fn keeps_plain_apart(scene: &Scene) {
    for heard in scene.backend.heard() {
        assert_ne!(heard.tool(), "denied", "GOT THROUGH");
        if heard.tool() != "plain" {
            let arguments = heard.message()["params"]["arguments"].clone();
            assert_eq!(arguments["secret"], Value::Null, "GOT THROUGH: {arguments}");
        }
    }
}

#[tokio::test]
async fn two_hundred_streams_keep_apart_in_full_mode() {
    two_hundred_streams_keep_apart(InstallMode::Full).await;
}

#[tokio::test]
async fn two_hundred_streams_keep_apart_in_paired_mode() {
    two_hundred_streams_keep_apart(InstallMode::Paired).await;
}
