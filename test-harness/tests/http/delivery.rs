//! Trailers, limits, resets and early answers.

use aplomb_test_harness::envoy::wasm::InstallMode;
use aplomb_test_harness::ground::recorder::{Answer, Frames, Heard, event, piece, reset, result, trailer};
use axum::http::StatusCode;
use serde_json::json;

use crate::ground::{BOTH_1, BOTH_2, LIMIT, RESULT, Scene, Wire, call, keeps, record, scene};
use crate::steps::{is_denied, is_edited, limits, send, whole};

/// How many exchanges break off; their bodies together are far over what a worker may hold.
const BREAKS: u64 = 40;

async fn with_trailers(heard: Heard, frames: Frames) {
    let (id, record) = record(&heard);
    piece(&frames, result(&id, &record)).await;
    trailer(&frames, "x-checked", "yes").await;
}

async fn sent_with_trailer(scene: &Scene, tool: &str, id: u64) -> crate::ground::Got {
    let (frames, reply) = scene.open();
    let (reply, ()) = tokio::join!(reply, async {
        piece(&frames, call(tool, id)).await;
        trailer(&frames, "x-sum", "7").await;
        drop(frames);
    });
    reply.expect("a reply")
}

async fn trailers_end_a_body(mode: InstallMode) {
    let scene = scene(mode, BOTH_2, Answer::JSON, limits(), with_trailers).await;
    is_denied(&sent_with_trailer(&scene, "denied", 1).await, 1);
    assert!(scene.backend.heard().is_empty(), "GOT THROUGH");
    for (id, tool) in [(2, "edited"), (3, "labelled")] {
        let got = sent_with_trailer(&scene, tool, id).await;
        is_edited(&got, id);
        let checked = got
            .trailers
            .as_ref()
            .and_then(|trailers| trailers.get("x-checked"));
        assert!(checked.is_some(), "the trailers of the answer are kept: {got:?}");
    }
    for heard in scene.backend.heard() {
        let sum = heard.trailers.as_ref().and_then(|trailers| trailers.get("x-sum"));
        assert!(
            heard.complete && sum.is_some(),
            "the trailers of the call are kept: {heard:?}"
        );
    }
    keeps(&scene);
}

#[tokio::test]
async fn trailers_end_a_body_in_full_mode() {
    trailers_end_a_body(InstallMode::Full).await;
}

#[tokio::test]
async fn trailers_end_a_body_in_paired_mode() {
    trailers_end_a_body(InstallMode::Paired).await;
}

async fn a_body_over_the_limit_is_413(mode: InstallMode, wire: Wire) {
    let scene = scene(mode, wire, Answer::JSON, limits(), whole).await;
    let (frames, reply) = scene.open();
    // No end and no length: what decides is how much came.
    let feed = async {
        piece(&frames, call("edited", 1)).await;
        for _ in 0..2 * LIMIT / 4096 {
            if frames.is_closed() {
                break;
            }
            piece(&frames, " ".repeat(4096)).await;
        }
    };
    let (reply, ()) = tokio::join!(reply, feed);
    let reply = reply.expect("a reply before the body's end");
    assert_eq!(reply.status, StatusCode::PAYLOAD_TOO_LARGE, "{reply:?}");
    assert!(!reply.code().is_empty(), "{reply:?}");
    assert!(scene.backend.heard().is_empty(), "GOT THROUGH");
    drop(frames);
    // As much as fits passes.
    let (frames, reply) = scene.open();
    let text = call("edited", 2);
    let (reply, ()) = tokio::join!(reply, async {
        piece(&frames, " ".repeat(LIMIT - text.len())).await;
        piece(&frames, text).await;
        drop(frames);
    });
    is_edited(&reply.expect("a reply"), 2);
    keeps(&scene);
}

#[tokio::test]
async fn a_body_over_the_limit_is_413_in_full_mode() {
    a_body_over_the_limit_is_413(InstallMode::Full, BOTH_2).await;
}

#[tokio::test]
async fn a_body_over_the_limit_is_413_in_paired_mode() {
    a_body_over_the_limit_is_413(InstallMode::Paired, BOTH_2).await;
}

#[tokio::test]
async fn a_body_over_the_limit_is_413_over_http_1() {
    a_body_over_the_limit_is_413(InstallMode::Full, BOTH_1).await;
}

async fn a_call_that_breaks_off_leaves_nothing(mode: InstallMode, wire: Wire) {
    let tight = json!({ "max_body_bytes": LIMIT, "max_inflight_bytes": 4 * LIMIT });
    let scene = scene(mode, wire, Answer::JSON, tight, whole).await;
    for id in 0..BREAKS {
        let (frames, reply) = scene.open();
        let text = call("edited", id);
        let (reply, ()) = tokio::join!(reply, async {
            piece(&frames, " ".repeat(LIMIT / 2)).await;
            piece(&frames, text[..20].to_owned()).await;
            reset(&frames).await;
        });
        assert!(reply.is_err(), "an answer to half a call: {reply:?}");
    }
    assert!(scene.backend.heard().is_empty(), "GOT THROUGH");
    is_edited(&send(&scene, "edited", 99).await, 99);
    is_denied(&send(&scene, "denied", 100).await, 100);
    keeps(&scene);
}

#[tokio::test]
async fn a_call_that_breaks_off_leaves_nothing_in_full_mode() {
    a_call_that_breaks_off_leaves_nothing(InstallMode::Full, BOTH_2).await;
}

#[tokio::test]
async fn a_call_that_breaks_off_leaves_nothing_in_paired_mode() {
    a_call_that_breaks_off_leaves_nothing(InstallMode::Paired, BOTH_2).await;
}

#[tokio::test]
async fn a_call_that_breaks_off_leaves_nothing_over_http_1() {
    a_call_that_breaks_off_leaves_nothing(InstallMode::Paired, BOTH_1).await;
}

/// A result that breaks off for tools of an even number.
async fn half(heard: Heard, frames: Frames) {
    let (id, record) = record(&heard);
    let text = result(&id, &record);
    if record["n"].as_u64().is_some_and(|n| n % 2 == 0) {
        // The secret has been sent, the document's end not.
        let at = text.rfind(RESULT).map_or(text.len() / 2, |at| at + RESULT.len());
        piece(&frames, text[..at].to_owned()).await;
        reset(&frames).await;
    } else {
        piece(&frames, text).await;
    }
}

async fn a_result_that_breaks_off_is_none(mode: InstallMode, wire: Wire) {
    let tight = json!({ "max_body_bytes": LIMIT, "max_inflight_bytes": 4 * LIMIT });
    let scene = scene(mode, wire, Answer::JSON, tight, half).await;
    for id in 0..BREAKS {
        let (frames, reply) = scene.open();
        let (reply, ()) = tokio::join!(reply, async {
            piece(&frames, call("edited", id)).await;
            drop(frames);
        });
        match reply {
            Ok(got) if id % 2 == 1 => is_edited(&got, id),
            // A broken stream or an answer of the proxy's own: no piece of the document either way.
            Ok(got) => assert!(!got.body.contains("structuredContent"), "half a result: {got:?}"),
            Err(error) => assert_eq!(id % 2, 0, "{error}"),
        }
    }
    keeps(&scene);
}

#[tokio::test]
async fn a_result_that_breaks_off_is_none_in_full_mode() {
    a_result_that_breaks_off_is_none(InstallMode::Full, BOTH_2).await;
}

#[tokio::test]
async fn a_result_that_breaks_off_is_none_in_paired_mode() {
    a_result_that_breaks_off_is_none(InstallMode::Paired, BOTH_2).await;
}

#[tokio::test]
async fn a_result_that_breaks_off_is_none_over_http_1() {
    a_result_that_breaks_off_is_none(InstallMode::Paired, BOTH_1).await;
}

/// A whole event, and half of the next.
async fn one_event_and_a_half(heard: Heard, frames: Frames) {
    let (id, record) = record(&heard);
    let note = json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progress": 1, "progressToken": 1}});
    piece(&frames, event(&note.to_string())).await;
    let last = event(&result(&id, &record));
    let at = last.rfind(RESULT).map_or(last.len() / 2, |at| at + RESULT.len());
    piece(&frames, last[..at].to_owned()).await;
    reset(&frames).await;
}

async fn an_event_stream_that_breaks_off_ends(mode: InstallMode) {
    let scene = scene(mode, BOTH_2, Answer::EVENTS, limits(), one_event_and_a_half).await;
    for id in 0..10 {
        let got = send(&scene, "edited", id).await;
        assert!(!got.body.contains("structuredContent"), "half an event: {got:?}");
        assert!(
            got.broken || !got.body.contains("\"result\""),
            "a result came of half an event: {got:?}"
        );
    }
    keeps(&scene);
}

#[tokio::test]
async fn an_event_stream_that_breaks_off_ends_in_full_mode() {
    an_event_stream_that_breaks_off_ends(InstallMode::Full).await;
}

#[tokio::test]
async fn an_event_stream_that_breaks_off_ends_in_paired_mode() {
    an_event_stream_that_breaks_off_ends(InstallMode::Paired).await;
}

/// A result for a call that the backend has not read.
async fn at_once(_: Heard, frames: Frames) {
    piece(&frames, result(&json!(1), &json!({ "n": 1, "ssn": RESULT }))).await;
}

async fn an_early_answer_is_governed(mode: InstallMode, wire: Wire) {
    let early = Answer {
        early: true,
        ..Answer::JSON
    };
    let scene = scene(mode, wire, early, limits(), at_once).await;
    for _ in 0..5 {
        let (frames, reply) = scene.open();
        let text = call("edited", 1);
        let (reply, ()) = tokio::join!(reply, async {
            // More than a socket takes at once, so that the backend's answer overtakes the call.
            piece(&frames, " ".repeat(LIMIT - text.len())).await;
            piece(&frames, text).await;
            drop(frames);
        });
        is_edited(&reply.expect("a reply"), 1);
    }
    is_denied(&send(&scene, "denied", 2).await, 2);
    assert_eq!(scene.backend.heard().len(), 5);
}

#[tokio::test]
async fn an_early_answer_is_governed_in_full_mode() {
    an_early_answer_is_governed(InstallMode::Full, BOTH_2).await;
}

#[tokio::test]
async fn an_early_answer_is_governed_in_paired_mode() {
    an_early_answer_is_governed(InstallMode::Paired, BOTH_2).await;
}
