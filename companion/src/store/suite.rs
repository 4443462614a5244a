//! The laws of [`SessionStore`], held against every implementation: `suite!(fixture)` makes a test of each.

use std::sync::Arc;
use std::time::{Duration, Instant};

use companion_protocol::{Labels, SessionKey};

use super::{Append, Lifetimes, MAX_LABEL_BYTES, MAX_LABELS, Selection, SessionStore, StoreError};

/// Short enough to wait for.
const SHORT: Lifetimes = Lifetimes {
    session_idle_ms: 1600,
    session_max_ms: 3600,
    subject_ms: 1600,
};

/// Half of the idle lifetime, two ninths of the absolute one.
const STEP: Duration = Duration::from_millis(800);

/// On a machine too busy to keep the steps, with longer ones.
const FACTORS: [u32; 4] = [1, 4, 16, 64];

fn times(lifetimes: Lifetimes, factor: u32) -> Lifetimes {
    let factor = u64::from(factor);
    Lifetimes {
        session_idle_ms: lifetimes.session_idle_ms * factor,
        session_max_ms: lifetimes.session_max_ms * factor,
        subject_ms: lifetimes.subject_ms * factor,
    }
}

/// Sleeps until so long after `since` that a life which began before it has ended, by a clock that may be another one.
async fn outlive(since: Instant, ms: u64) {
    let life = Duration::from_millis(ms + 50);
    tokio::time::sleep(life.saturating_sub(since.elapsed())).await;
}

pub(super) fn key(subject: char, session: char) -> SessionKey {
    SessionKey {
        subject: subject.to_string().repeat(64),
        session: session.to_string().repeat(64),
    }
}

pub(super) fn append(
    key: SessionKey,
    labels: &[&str],
    subject_labels: &[&str],
    ttl_s: Option<u64>,
) -> Append {
    let owned = |list: &[&str]| list.iter().map(|label| (*label).to_owned()).collect();
    Append {
        key,
        labels: owned(labels),
        subject_labels: owned(subject_labels),
        ttl_s,
        lifetimes: Lifetimes::default(),
    }
}

/// A session label with a short life.
pub(super) fn brief(label: &str, lifetimes: Lifetimes) -> Append {
    Append {
        lifetimes,
        ..append(key('a', '1'), &[label], &[], None)
    }
}

pub(super) fn all_of(subject: char) -> Selection {
    Selection {
        subject: subject.to_string().repeat(64),
        session: None,
    }
}

pub(super) async fn labels(store: &dyn SessionStore, key: SessionKey) -> Labels {
    store.load(&key).await.expect("loads").labels
}

pub(super) async fn append_is_a_union_that_the_next_load_sees(store: Arc<dyn SessionStore>) {
    assert_eq!(labels(&*store, key('a', '1')).await, Labels::default());
    store
        .append(append(key('a', '1'), &["secret"], &[], None))
        .await
        .expect("appends");
    let union = store
        .append(append(key('a', '1'), &["pii", "secret"], &["watched"], None))
        .await
        .expect("appends")
        .labels;
    assert_eq!(union.session, ["pii", "secret"]);
    assert_eq!(union.subject, ["watched"]);
    let loaded = labels(&*store, key('a', '1')).await;
    assert_eq!((loaded.session, loaded.subject), (union.session, union.subject));
}

pub(super) async fn session_labels_stay_in_their_session_and_subject_labels_in_their_subject(
    store: Arc<dyn SessionStore>,
) {
    store
        .append(append(key('a', '1'), &["secret"], &["watched"], None))
        .await
        .expect("appends");
    let other_session = labels(&*store, key('a', '2')).await;
    assert_eq!((other_session.session.len(), other_session.subject.len()), (0, 1));
    assert_eq!(labels(&*store, key('b', '1')).await, Labels::default());
}

pub(super) async fn a_subject_label_ends_and_a_repeat_extends_it(store: Arc<dyn SessionStore>) {
    let held = store
        .append(append(key('a', '1'), &[], &["brief"], Some(0)))
        .await
        .expect("appends");
    assert!(held.labels.expires_at_ms.is_some() || held.labels.subject.is_empty());
    outlive(Instant::now(), 0).await;
    assert_eq!(labels(&*store, key('a', '1')).await, Labels::default());
    store
        .append(append(key('a', '1'), &[], &["brief"], Some(60)))
        .await
        .expect("appends");
    assert_eq!(labels(&*store, key('a', '1')).await.subject, ["brief"]);
    let forever = store
        .append(append(key('a', '1'), &[], &["brief"], None))
        .await
        .expect("appends");
    assert_eq!(forever.labels.expires_at_ms, None);
    assert_eq!(forever.labels.subject, ["brief"]);
}

pub(super) async fn a_subject_label_without_a_ttl_lives_as_the_policy_says(store: Arc<dyn SessionStore>) {
    let mut asked = append(key('a', '1'), &[], &["watched"], None);
    asked.lifetimes = SHORT;
    store.append(asked).await.expect("appends");
    outlive(Instant::now(), SHORT.subject_ms).await;
    assert_eq!(labels(&*store, key('a', '1')).await, Labels::default());
}

pub(super) async fn a_session_label_ends_when_its_session_is_idle(store: Arc<dyn SessionStore>) {
    let before = crate::clock::now_ms();
    let held = store.append(brief("secret", SHORT)).await.expect("appends");
    let after = crate::clock::now_ms();
    let ends = held.labels.expires_at_ms.expect("it ends");
    // The store's clock may be another one than ours, and either may be set meanwhile; the absolute lifetime is two seconds more.
    let wanted = before + SHORT.session_idle_ms - 900..=after + SHORT.session_idle_ms + 900;
    assert!(wanted.contains(&ends), "{ends} is not in {wanted:?}");
    outlive(Instant::now(), SHORT.session_idle_ms).await;
    assert_eq!(labels(&*store, key('a', '1')).await, Labels::default());
}

pub(super) async fn use_keeps_a_session_label_but_not_beyond_its_absolute_lifetime(
    store: Arc<dyn SessionStore>,
) {
    'busy: for factor in FACTORS {
        let lifetimes = times(SHORT, factor);
        let step = STEP * factor;
        let begun = Instant::now();
        store.append(brief("secret", lifetimes)).await.expect("appends");
        let appended = Instant::now();
        // Three steps are longer than the idle lifetime, and every load says so in its end.
        let mut ends = 0;
        for number in 1..=3 {
            tokio::time::sleep(step).await;
            let held = labels(&*store, key('a', '1')).await;
            if begun.elapsed() >= number * step + step / 2 {
                store.clear(&all_of('a')).await.expect("clears");
                continue 'busy;
            }
            assert_eq!(held.session, ["secret"]);
            let next = held.expires_at_ms.expect("it ends");
            assert!(next > ends);
            ends = next;
        }
        outlive(appended, lifetimes.session_max_ms).await;
        assert_eq!(labels(&*store, key('a', '1')).await, Labels::default());
        return;
    }
    panic!("the machine is too busy");
}

pub(super) async fn an_append_restarts_the_absolute_lifetime(store: Arc<dyn SessionStore>) {
    for factor in FACTORS {
        let lifetimes = times(SHORT, factor);
        let mut last = Instant::now();
        // Longer than the absolute lifetime.
        for _ in 0..6 {
            last = Instant::now();
            store.append(brief("secret", lifetimes)).await.expect("appends");
            tokio::time::sleep(STEP * factor).await;
        }
        let held = labels(&*store, key('a', '1')).await;
        if last.elapsed() < Duration::from_millis(lifetimes.session_idle_ms) {
            assert_eq!(held.session, ["secret"]);
            return;
        }
    }
    panic!("the machine is too busy");
}

pub(super) async fn refuses_keys_and_labels_out_of_contract_without_failing_others(
    store: Arc<dyn SessionStore>,
) {
    let short = SessionKey {
        subject: "a".to_owned(),
        session: "b".to_owned(),
    };
    assert_eq!(store.load(&short).await, Err(StoreError::InvalidKey));
    let long = "x".repeat(MAX_LABEL_BYTES + 1);
    for label in ["", long.as_str()] {
        let refused = store.append(append(key('a', '1'), &[label], &[], None)).await;
        assert_eq!(refused, Err(StoreError::InvalidLabel));
    }
    let many: Vec<String> = (0..=MAX_LABELS).map(|n| n.to_string()).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    // The subject's label goes with it: an append is performed whole or not at all.
    let refused = store
        .append(append(key('a', '1'), &many, &["watched"], None))
        .await;
    assert_eq!(refused, Err(StoreError::BucketFull));
    assert_eq!(labels(&*store, key('a', '1')).await, Labels::default());
    store
        .append(append(key('a', '1'), &["secret"], &[], None))
        .await
        .expect("still appends");
    assert!(store.healthy());
}

pub(super) async fn concurrent_appends_are_all_kept(store: Arc<dyn SessionStore>) {
    let tasks: Vec<_> = (0..64)
        .map(|n| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                store
                    .append(append(key('a', '1'), &[&format!("l{n:02}")], &[], None))
                    .await
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("joins").expect("appends");
    }
    assert_eq!(labels(&*store, key('a', '1')).await.session.len(), 64);
}

pub(super) async fn the_epoch_stays_while_nothing_is_lost(store: Arc<dyn SessionStore>) {
    let first = store.load(&key('a', '1')).await.expect("loads").epoch;
    let second = store
        .append(append(key('a', '1'), &["x"], &[], None))
        .await
        .expect("appends")
        .epoch;
    assert_eq!((&first, &second), (&second, &store.epoch()));
}

pub(super) async fn a_clear_removes_what_was_selected_and_changes_the_epoch(store: Arc<dyn SessionStore>) {
    for (subject, session) in [('a', '1'), ('a', '2'), ('b', '1')] {
        store
            .append(append(key(subject, session), &["secret"], &["watched"], None))
            .await
            .expect("appends");
    }
    let before = store.load(&key('a', '1')).await.expect("loads").epoch;
    let listed = store.list(&all_of('a')).await.expect("lists");
    let mut sessions: Vec<_> = listed.iter().map(|bucket| bucket.session.clone()).collect();
    sessions.sort();
    assert_eq!(sessions, [None, Some("1".repeat(64)), Some("2".repeat(64))]);
    assert!(
        listed
            .iter()
            .all(|bucket| bucket.subject == "a".repeat(64) && bucket.labels.len() == 1)
    );
    let one = Selection {
        session: Some("1".repeat(64)),
        ..all_of('a')
    };
    assert_eq!(store.list(&one).await.expect("lists").len(), 1);
    let cleared = store.clear(&one).await.expect("clears");
    assert_eq!(cleared.labels, 1);
    let held = store.load(&key('a', '1')).await.expect("loads");
    assert_eq!((held.labels.session.len(), held.labels.subject.len()), (0, 1));
    assert_ne!(held.epoch, before);
    assert_eq!(store.clear(&all_of('a')).await.expect("clears").labels, 2);
    assert!(store.list(&all_of('a')).await.expect("lists").is_empty());
    assert_eq!(labels(&*store, key('b', '1')).await.session, ["secret"]);
    assert_ne!(store.epoch(), held.epoch);
}

/// Makes a test of every law. `$fixture` is a function that opens an empty store and gives it with whatever has to
/// outlive it, or `None` where the server that it needs is not installed.
macro_rules! suite {
    ($fixture:path: $($law:ident)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $law() {
            if let Some((store, _alive)) = $fixture().await {
                $crate::store::suite::$law(store).await;
            }
        }
    )*};
    ($fixture:path) => {
        $crate::store::suite::suite!($fixture:
            append_is_a_union_that_the_next_load_sees
            session_labels_stay_in_their_session_and_subject_labels_in_their_subject
            a_subject_label_ends_and_a_repeat_extends_it
            a_subject_label_without_a_ttl_lives_as_the_policy_says
            a_session_label_ends_when_its_session_is_idle
            use_keeps_a_session_label_but_not_beyond_its_absolute_lifetime
            an_append_restarts_the_absolute_lifetime
            refuses_keys_and_labels_out_of_contract_without_failing_others
            concurrent_appends_are_all_kept
            the_epoch_stays_while_nothing_is_lost
            a_clear_removes_what_was_selected_and_changes_the_epoch
        );
    };
}
pub(super) use suite;
