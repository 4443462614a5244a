//! `limit.count`: nothing beyond the limit, nothing counted twice, nothing forgotten.

use std::sync::atomic::{AtomicUsize, Ordering};

use companion_protocol::{Count, Effect, EffectCall, EffectResult, OnFail};

use crate::client::{DIGEST, call};
use crate::client::{Running, config, perform};
use crate::durability::Process;

/// Long, so that no window ends while a test runs.
const WINDOW_S: u64 = 1 << 40;

static CALLS: AtomicUsize = AtomicUsize::new(0);

fn ask(key: char, cost: u64, limit: u64) -> EffectCall {
    let effect = Effect::LimitCount {
        key: key.to_string().repeat(64),
        window_s: WINDOW_S,
        cost,
        limit,
    };
    let mut call = call(effect, OnFail::Continue);
    call.idempotency_key = format!("decision{}.0", CALLS.fetch_add(1, Ordering::Relaxed));
    call
}

fn count(result: &EffectResult) -> &Count {
    match result {
        EffectResult::Count(count) => count,
        other => panic!("no count: {other:?}"),
    }
}

async fn companion() -> Running {
    Running::with(config("http://127.0.0.1:1/token")).await
}

#[tokio::test]
async fn what_does_not_fit_is_refused_and_not_counted() {
    let companion = companion().await;
    let results = companion
        .effects(vec![
            ask('a', 3, 5),
            ask('a', 3, 5),
            ask('a', 2, 5),
            ask('a', 1, 5),
            ask('b', 5, 5),
        ])
        .await;
    let seen: Vec<(bool, u64, u64)> = results
        .iter()
        .map(count)
        .map(|count| (count.allow, count.count, count.remaining))
        .collect();
    assert_eq!(
        seen,
        [
            (true, 3, 2),
            (false, 3, 2),
            (true, 5, 0),
            (false, 5, 0),
            (true, 5, 0)
        ]
    );
}

#[tokio::test]
async fn a_repeated_call_counts_once() {
    let companion = companion().await;
    let once = ask('a', 4, 5);
    let results = companion.effects(vec![once.clone(), once]).await;
    assert!(
        results
            .iter()
            .map(count)
            .all(|count| count.allow && count.count == 4),
        "{results:?}"
    );
}

#[tokio::test]
async fn callers_at_one_time_get_no_more_than_the_limit() {
    let companion = companion().await;
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..40 {
        let address = companion.address;
        callers.spawn(async move {
            perform(address, DIGEST, vec![ask('a', 1, 25)])
                .await
                .results
                .remove(0)
        });
    }
    let allowed = callers
        .join_all()
        .await
        .iter()
        .filter(|result| count(result).allow)
        .count();
    assert_eq!(allowed, 25);
}

#[tokio::test]
async fn a_window_that_ended_counts_from_nothing() {
    let companion = companion().await;
    let short = |key: char| {
        let mut call = ask(key, 1, 1);
        if let Effect::LimitCount { window_s, .. } = &mut call.effect {
            *window_s = 1;
        }
        call
    };
    let first = companion.effects(vec![short('c')]).await.remove(0);
    let ends = count(&first).resets_at;
    // Until the clock says that the next window has begun.
    while std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .is_ok_and(|now| now.as_secs() < ends)
    {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let second = companion.effects(vec![short('c')]).await.remove(0);
    assert!(count(&second).allow, "{second:?}");
    assert!(count(&second).resets_at > ends);
}

#[tokio::test]
async fn what_was_counted_is_there_after_a_kill() {
    let directory = tempfile::tempdir().expect("a directory");
    let settings = config("http://127.0.0.1:1/token");
    let companion = Process::start(directory.path(), &settings, &[]);
    perform(companion.address, DIGEST, vec![ask('a', 5, 5)]).await;
    drop(companion);
    let companion = Process::start(directory.path(), &settings, &[]);
    let again = perform(companion.address, DIGEST, vec![ask('a', 1, 5)])
        .await
        .results
        .remove(0);
    assert!(!count(&again).allow, "{again:?}");
}

#[tokio::test]
async fn a_key_that_is_no_digest_is_refused() {
    let companion = companion().await;
    for key in ["", "a", "../x", &"g".repeat(64)] {
        let mut call = ask('a', 1, 5);
        if let Effect::LimitCount { key: asked, .. } = &mut call.effect {
            key.clone_into(asked);
        }
        let result = companion.effects(vec![call]).await.remove(0);
        let EffectResult::Failed { code, .. } = result else {
            panic!("{result:?}");
        };
        assert_eq!(code, "limit.unavailable");
    }
}
