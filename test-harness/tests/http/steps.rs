//! The same calls over every pair of HTTP versions.

use aplomb_test_harness::envoy::wasm::InstallMode;
use aplomb_test_harness::ground::recorder::{Answer, Frames, Heard, piece, result};
use axum::http::{StatusCode, Version};
use serde_json::{Value, json};

use crate::ground::{BOTH_1, BOTH_2, Got, LIMIT, Scene, TWO_TO_ONE, Wire, call, keeps, record, scene};

/// A whole result, in two pieces.
pub(crate) async fn whole(heard: Heard, frames: Frames) {
    let (id, record) = record(&heard);
    let text = result(&id, &record);
    let (first, rest) = text.split_at(text.len() / 2);
    piece(&frames, first.to_owned()).await;
    piece(&frames, rest.to_owned()).await;
}

pub(crate) fn limits() -> Value {
    json!({ "max_body_bytes": LIMIT })
}

/// Sends a call in three pieces and waits for what comes of it.
pub(crate) async fn send(scene: &Scene, tool: &str, id: u64) -> Got {
    let (frames, reply) = scene.open();
    let text = call(tool, id);
    let third = text.len() / 3;
    let (reply, ()) = tokio::join!(reply, async {
        piece(&frames, text[..third].to_owned()).await;
        piece(&frames, text[third..2 * third].to_owned()).await;
        piece(&frames, text[2 * third..].to_owned()).await;
        drop(frames);
    });
    reply.expect("a reply")
}

/// The call was edited on its way, and its result on its way back.
pub(crate) fn is_edited(got: &Got, id: u64) {
    assert_eq!((got.status, got.code()), (StatusCode::OK, ""), "{got:?}");
    let message: Value = serde_json::from_str(&got.body).expect("JSON");
    assert_eq!(message["id"], json!(id), "{got:?}");
    let record = &message["result"]["structuredContent"];
    assert_eq!(record["n"], json!(id), "{got:?}");
    assert_eq!(record["ssn"], json!("[REDACTED]"), "{got:?}");
}

pub(crate) fn is_denied(got: &Got, id: u64) {
    assert_eq!(
        (got.status, got.code()),
        (StatusCode::OK, "test.denied"),
        "{got:?}"
    );
    let message: Value = serde_json::from_str(&got.body).expect("JSON");
    assert_eq!(
        (&message["id"], &message["error"]["code"]),
        (&json!(id), &json!(-32001)),
        "{got:?}"
    );
}

async fn calls_are_governed(mode: InstallMode, wire: Wire) {
    let scene = scene(mode, wire, Answer::JSON, limits(), whole).await;
    is_denied(&send(&scene, "denied", 1).await, 1);
    assert!(scene.backend.heard().is_empty(), "GOT THROUGH");
    for (id, tool) in [(2, "edited"), (3, "labelled"), (4, "edited")] {
        is_edited(&send(&scene, tool, id).await, id);
    }
    let heard = scene.backend.heard();
    assert_eq!(heard.len(), 3);
    for request in &heard {
        assert_eq!(request.version, wire.upstream);
        assert_eq!(request.message()["params"]["arguments"]["secret"], Value::Null);
        assert!(request.complete);
    }
    keeps(&scene);
    let version = match wire.downstream == Version::HTTP_2 {
        true => "http.in.downstream_cx_http2_total",
        false => "http.in.downstream_cx_http1_total",
    };
    let connections = scene.ground.envoy.stat(version).await.expect("statistics");
    assert!(connections > Some(0), "{version} {connections:?}");
}

#[tokio::test]
async fn calls_over_http_2_on_both_sides_are_governed_in_full_mode() {
    calls_are_governed(InstallMode::Full, BOTH_2).await;
}

#[tokio::test]
async fn calls_over_http_2_on_both_sides_are_governed_in_paired_mode() {
    calls_are_governed(InstallMode::Paired, BOTH_2).await;
}

#[tokio::test]
async fn calls_over_http_1_on_both_sides_are_governed_in_full_mode() {
    calls_are_governed(InstallMode::Full, BOTH_1).await;
}

#[tokio::test]
async fn calls_over_http_1_on_both_sides_are_governed_in_paired_mode() {
    calls_are_governed(InstallMode::Paired, BOTH_1).await;
}

#[tokio::test]
async fn calls_from_http_2_to_http_1_are_governed_in_full_mode() {
    calls_are_governed(InstallMode::Full, TWO_TO_ONE).await;
}

#[tokio::test]
async fn calls_from_http_2_to_http_1_are_governed_in_paired_mode() {
    calls_are_governed(InstallMode::Paired, TWO_TO_ONE).await;
}
