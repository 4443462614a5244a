//! Faults behind a real Envoy: every call is answered, and what was not decided is not forwarded.
//!
//! A part runs with the other tests; `make faults` runs all of it (`APLOMB_FAULTS=all`).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use aplomb_test_harness::backend::{Replies, Role};
use aplomb_test_harness::envoy::wasm::InstallMode;
use aplomb_test_harness::mcp::{McpClient, Reply};
use aplomb_test_harness::patience::PATIENCE;
use aplomb_test_harness::scenario::seed;
use aplomb_test_harness::stack::{Options, Stack};
use serde_json::{Value, json};

fn times(few: usize, all: usize) -> usize {
    match std::env::var("APLOMB_FAULTS").as_deref() {
        Ok("all") => all,
        Ok(_) | Err(_) => few,
    }
}

async fn stack(dir: &std::path::Path) -> Stack {
    let mut options = Options::new(seed::scenario().policy, InstallMode::Full, dir);
    options.replies = Replies::Json;
    Stack::start(&options, |_| {}).await.expect("everything starts")
}

fn violation(reply: &Reply) -> Option<String> {
    let error = reply.message.as_ref()?.get("error")?;
    error
        .pointer("/data/violation")
        .and_then(Value::as_str)
        .map(str::to_owned)
}

/// Calls in a row until told to stop and allowed once; how many were allowed, and the codes of all others.
async fn caller(client: McpClient, stop: Arc<AtomicBool>) -> (usize, Vec<String>) {
    let (mut allowed, mut codes) = (0, Vec::new());
    let mail = json!({ "to": "partner@example.com", "subject": "FYI", "body": "noon" });
    for n in 0.. {
        if stop.load(Ordering::SeqCst) && allowed > 0 {
            break;
        }
        let answer = tokio::time::timeout(PATIENCE, client.call(&json!(n), "send_email", &mail)).await;
        let reply = answer.expect("no answer").expect("an answer");
        assert_eq!(
            reply.message.as_ref().and_then(|message| message.get("id")),
            Some(&json!(n)),
            "{}",
            reply.body
        );
        match violation(&reply) {
            None => {
                allowed += usize::from(
                    reply
                        .message
                        .is_some_and(|message| message.get("result").is_some()),
                )
            }
            Some(code) => codes.push(code),
        }
    }
    (allowed, codes)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_is_answered_while_the_companion_is_killed_again_and_again() {
    let rounds = times(3, 30);
    let dir = tempfile::tempdir().expect("a directory");
    let mut stack = stack(dir.path()).await;
    let tokens = stack.idp.log_in("bob").await.expect("logs in");
    let mut clients = Vec::new();
    for n in 0..8 {
        let mut client = stack
            .client(Role::Email, &tokens, &format!("s{n}"))
            .expect("a client");
        client.connect().await.expect("connects");
        clients.push(client);
    }
    stack.backends.forget().await.expect("forgets");
    let stop = Arc::new(AtomicBool::new(false));
    let callers: Vec<_> = clients
        .into_iter()
        .map(|client| tokio::spawn(caller(client, Arc::clone(&stop))))
        .collect();
    for round in 0..rounds {
        tokio::time::sleep(Duration::from_millis(150 + 53 * (round as u64 % 5))).await;
        stack.companion.kill_and_restart().await.expect("comes back");
    }
    stop.store(true, Ordering::SeqCst);
    let (mut allowed, mut codes) = (0, std::collections::BTreeMap::new());
    for caller in callers {
        let (more, refused) = caller.await.expect("joins");
        allowed += more;
        for code in refused {
            *codes.entry(code).or_insert(0) += 1;
        }
    }
    let forwarded = stack.backends.calls(Role::Email).await.expect("counts").len();
    println!(
        "| behind Envoy: companion killed {rounds} times under 8 callers | {allowed} allowed, {codes:?} | {allowed} | {} | {} | 0 |",
        allowed.saturating_sub(forwarded),
        forwarded.saturating_sub(allowed),
    );
    // Whatever was forwarded had a verdict, and whatever had a verdict to let it through was forwarded once.
    assert_eq!(forwarded, allowed, "{codes:?}");
    assert!(
        codes
            .keys()
            .all(|code| code == "session.load_failed" || code == "audit.unavailable"),
        "{codes:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_fails_or_lies_denies_behind_envoy_too() {
    let dir = tempfile::tempdir().expect("a directory");
    let stack = stack(dir.path()).await;
    for (fault, expected) in [
        (json!({"down": true}), "delegation.idp_rejected"),
        (json!({"delay_ms": 3_600_000}), "delegation.idp_timeout"),
        (json!({"lie": "subject"}), "delegation.subject_mismatch"),
        (json!({"lie": "audience"}), "delegation.audience_mismatch"),
        (json!({"lie": "scope"}), "delegation.scope_overgrant"),
        (
            json!({"lie": "issued_type"}),
            "delegation.issued_token_type_mismatch",
        ),
        (json!({"lie": "html"}), "delegation.bad_response"),
        (json!({"lie": "huge"}), "delegation.bad_response"),
    ] {
        // Tokens of their own: what was minted before must not answer.
        tokio::time::sleep(Duration::from_millis(1100)).await;
        let tokens = stack.idp.log_in("alice").await.expect("logs in");
        let mut client = stack.client(Role::Repos, &tokens, "s").expect("a client");
        client.connect().await.expect("connects");
        stack.backends.forget().await.expect("forgets");
        stack.idp.control(&fault).await.expect("takes it");
        let begun = Instant::now();
        let arguments = json!({ "repo_name": "web-app", "visibility": "internal" });
        let answer = tokio::time::timeout(PATIENCE, client.call(&json!(1), "search_repos", &arguments)).await;
        let reply = answer.expect("no answer").expect("an answer");
        assert_eq!(
            violation(&reply).as_deref(),
            Some(expected),
            "{fault}: {}",
            reply.body
        );
        let forwarded = stack.backends.calls(Role::Repos).await.expect("counts").len();
        assert_eq!(forwarded, 0, "{fault}");
        println!(
            "| behind Envoy: identity provider {fault} | `{expected}` in {} ms | 0 | 0 | {forwarded} | 0 |",
            begun.elapsed().as_millis()
        );
        let well = json!({"down": false, "delay_ms": 0, "lie": "none"});
        stack.idp.control(&well).await.expect("takes it");
    }
}
