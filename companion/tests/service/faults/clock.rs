//! Somebody sets the system's clock: a library in front of the C library's adds what a file says.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::http::StatusCode;
use companion_protocol::{Effect, EffectResult};
use serde_json::json;

use super::{ask_one, code, labels, missing, row};
use crate::client::{append, config};
use crate::delegation::exchange;
use crate::durability::Process;
use crate::fault_idp::{FaultIdp, Script, honest_claims, honest_with};

/// `None`: no C compiler.
fn library(directory: &Path) -> Option<PathBuf> {
    let (source, library) = (directory.join("clock.c"), directory.join("clock.so"));
    std::fs::write(&source, include_str!("clock.c")).expect("writes");
    let mut command = Command::new("cc");
    let compiled = command
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .arg(&library)
        .arg(&source)
        .arg("-ldl")
        .status();
    match compiled {
        Ok(status) if status.success() => Some(library),
        Ok(_) | Err(_) => {
            eprintln!("SKIPPED: no C compiler");
            None
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_jumps_ends_no_label_and_keeps_no_token() {
    let idp = FaultIdp::answering(|_| {
        // The provider's clock is right; its tokens live for two hours.
        let mut claims = honest_claims();
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("after 1970")
            .as_secs();
        claims["exp"] = json!(now + 7200);
        let mut body = honest_with(&claims);
        body["expires_in"] = json!(7200);
        Script::Json(StatusCode::OK, body)
    })
    .await;
    let directory = tempfile::tempdir().expect("a directory");
    let Some(library) = library(directory.path()) else {
        return;
    };
    let offset = directory.path().join("offset");
    let jump = |seconds: i64| std::fs::write(&offset, seconds.to_string()).expect("writes");
    jump(0);
    let (preload, file) = (library.display().to_string(), offset.display().to_string());
    let environment = [
        ("LD_PRELOAD", preload.as_str()),
        ("APLOMB_TEST_CLOCK", file.as_str()),
    ];
    let process = Process::start(directory.path(), &config(&idp.endpoint()), &environment);
    let token = Effect::TokenExchange(exchange());
    let mut acknowledged = Vec::new();
    for (what, seconds, minted) in [
        ("is right", 0, 1),
        // A jump forgets what was minted, in either direction. What was minted has ended by this clock, and what is minted now has too: nothing is let through on it.
        ("is set ahead by 8 days", 8 * 86_400, 2),
        ("is set back by 10 years", -10 * 365 * 86_400, 3),
        ("is right again", 0, 4),
    ] {
        jump(seconds);
        let label = format!("l{}", acknowledged.len());
        let done = ask_one(process.address, append('a', &label))
            .await
            .expect("an answer");
        assert_eq!(code(&done), "done", "{what}");
        acknowledged.push(label);
        let result = ask_one(process.address, token.clone()).await.expect("an answer");
        match result {
            EffectResult::Granted(_) => {}
            refused => assert_eq!(
                (code(&refused).as_str(), seconds > 0),
                ("delegation.bad_response", true),
                "{what}"
            ),
        }
        assert!(idp.asked().len() <= minted, "{what}: {}", idp.asked().len());
        let lost = missing(&acknowledged, &labels(process.address, 'a').await);
        row(
            &format!("embedded store: the clock {what}"),
            "labels stay; a token lives by the earlier of two clocks",
            acknowledged.len(),
            lost,
        );
    }
    // Down while the clock is set back: nothing ends, nothing is lost.
    process.kill();
    jump(-86_400);
    let process = Process::start(directory.path(), &config(&idp.endpoint()), &environment);
    let lost = missing(&acknowledged, &labels(process.address, 'a').await);
    row(
        "embedded store: the clock is set back by a day across a restart",
        "labels stay",
        acknowledged.len(),
        lost,
    );
}
