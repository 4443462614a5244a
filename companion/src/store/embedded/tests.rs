use std::sync::Mutex;

use super::super::suite::{all_of, append, brief, key, labels};
use super::super::{Lifetimes, suite};
use super::*;

async fn fixture() -> Option<(Arc<dyn SessionStore>, tempfile::TempDir)> {
    let directory = tempfile::tempdir().expect("directory");
    let store = EmbeddedStore::open(directory.path()).expect("opens");
    Some((Arc::new(store), directory))
}

suite::suite!(fixture);

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// A clock that a test sets.
#[derive(Default)]
struct TestClock(Mutex<(u64, u64)>);

impl TestClock {
    fn at(wall_ms: u64) -> Arc<Self> {
        Arc::new(Self(Mutex::new((wall_ms, 0))))
    }

    /// Time goes by while the process runs.
    fn pass(&self, ms: u64) {
        let mut clock = self.0.lock().expect("lock");
        clock.0 += ms;
        clock.1 += ms;
    }

    /// Somebody sets the wall clock.
    fn set_wall(&self, wall_ms: u64) {
        self.0.lock().expect("lock").0 = wall_ms;
    }
}

impl TimeSource for TestClock {
    fn wall_ms(&self) -> u64 {
        self.0.lock().expect("lock").0
    }

    fn running_ms(&self) -> u64 {
        self.0.lock().expect("lock").1
    }
}

const START: u64 = 20_000 * DAY;

struct Bench {
    clock: Arc<TestClock>,
    directory: tempfile::TempDir,
    store: Option<EmbeddedStore>,
}

impl Bench {
    fn new() -> Self {
        let mut bench = Self {
            clock: TestClock::at(START),
            directory: tempfile::tempdir().expect("directory"),
            store: None,
        };
        bench.restart();
        bench
    }

    fn restart(&mut self) {
        self.store = None;
        let store = EmbeddedStore::open_with(self.directory.path(), self.clock.clone()).expect("opens");
        self.store = Some(store);
    }

    fn store(&self) -> &EmbeddedStore {
        self.store.as_ref().expect("is open")
    }

    async fn taint(&self) -> Held {
        self.store()
            .append(brief("secret", Lifetimes::default()))
            .await
            .expect("appends")
    }

    async fn is_tainted(&self) -> bool {
        !labels(self.store(), key('a', '1')).await.session.is_empty()
    }
}

#[tokio::test]
async fn a_session_label_ends_after_a_day_without_use_and_after_a_week_with_it() {
    let bench = Bench::new();
    let held = bench.taint().await;
    assert_eq!(held.labels.expires_at_ms, Some(START + DAY));
    bench.clock.pass(DAY - 1);
    assert!(bench.is_tainted().await);
    bench.clock.pass(DAY);
    assert!(!bench.is_tainted().await);
    bench.taint().await;
    for _ in 0..13 {
        bench.clock.pass(12 * HOUR);
        assert!(bench.is_tainted().await);
    }
    let ends = labels(bench.store(), key('a', '1')).await.expires_at_ms;
    assert_eq!(ends, Some(START + 2 * DAY - 1 + 7 * DAY));
    bench.clock.pass(12 * HOUR);
    assert!(!bench.is_tainted().await);
}

#[tokio::test]
async fn a_use_survives_a_restart() {
    let mut bench = Bench::new();
    bench.taint().await;
    bench.clock.pass(20 * HOUR);
    assert!(bench.is_tainted().await);
    bench.restart();
    bench.clock.pass(20 * HOUR);
    assert!(bench.is_tainted().await);
}

#[tokio::test]
async fn setting_the_wall_clock_ahead_ends_no_label() {
    let mut bench = Bench::new();
    bench.taint().await;
    bench.clock.set_wall(START + 400 * DAY);
    assert!(bench.is_tainted().await);
    // Its end is said on the clock that the proxy sees.
    let ends = labels(bench.store(), key('a', '1')).await.expires_at_ms;
    assert_eq!(ends, Some(START + 401 * DAY));
    // The minute's tick has noticed; a restart does not take the step for time that passed.
    bench.store().tick().await.expect("ticks");
    bench.restart();
    assert!(bench.is_tainted().await);
    bench.clock.pass(DAY);
    assert!(!bench.is_tainted().await);
}

#[tokio::test]
async fn setting_the_wall_clock_back_neither_ends_nor_prolongs_while_it_runs() {
    let bench = Bench::new();
    bench.taint().await;
    bench.clock.set_wall(START - 400 * DAY);
    assert!(bench.is_tainted().await);
    bench.clock.pass(DAY);
    assert!(!bench.is_tainted().await);
}

#[tokio::test]
async fn a_machine_that_comes_up_in_1970_and_is_set_right_later_ends_no_label_early() {
    let mut bench = Bench::new();
    bench.taint().await;
    bench.clock.set_wall(0);
    bench.restart();
    assert!(bench.is_tainted().await);
    bench.taint().await;
    bench.clock.set_wall(START + HOUR);
    assert!(bench.is_tainted().await);
    bench.store().tick().await.expect("ticks");
    bench.restart();
    assert!(bench.is_tainted().await);
}

#[tokio::test]
async fn time_that_passes_while_it_is_down_counts() {
    let mut bench = Bench::new();
    bench.taint().await;
    bench.clock.set_wall(START + 2 * DAY);
    bench.restart();
    assert!(!bench.is_tainted().await);
}

#[tokio::test]
async fn ticks_remove_what_ended_in_buckets_that_nobody_comes_back_to() {
    let bench = Bench::new();
    bench.taint().await;
    let store = bench.store();
    store
        .append(append(key('b', '1'), &["x"], &["forever"], None))
        .await
        .expect("appends");
    bench.clock.pass(8 * DAY);
    store.tick().await.expect("ticks");
    let rows = |definition| {
        use redb::ReadableTableMetadata;
        let transaction = store.database.begin_read().expect("reads");
        transaction
            .open_table(definition)
            .expect("table")
            .len()
            .expect("length")
    };
    assert_eq!((rows(SESSION), rows(SUBJECT)), (0, 1));
}

#[tokio::test]
async fn labels_survive_reopening_and_every_opening_has_another_epoch() {
    let directory = tempfile::tempdir().expect("directory");
    let store = EmbeddedStore::open(directory.path()).expect("opens");
    store
        .append(append(key('a', '1'), &["secret"], &[], None))
        .await
        .expect("appends");
    assert!(matches!(
        EmbeddedStore::open(directory.path()),
        Err(OpenError::InUse(_))
    ));
    let epoch = store.epoch();
    drop(store);
    let store = EmbeddedStore::open(directory.path()).expect("opens again");
    assert_eq!(labels(&store, key('a', '1')).await.session, ["secret"]);
    // A copy that was put back looks just like this.
    assert_ne!(store.epoch(), epoch);
}

#[tokio::test]
async fn another_layout_is_refused() {
    let directory = tempfile::tempdir().expect("directory");
    drop(EmbeddedStore::open(directory.path()).expect("opens"));
    let database = Database::open(directory.path().join(FILE)).expect("opens");
    let transaction = database.begin_write().expect("writes");
    let meta = redb::TableDefinition::<&str, &str>::new("meta");
    transaction
        .open_table(meta)
        .expect("table")
        .insert("format", "1")
        .expect("inserts");
    transaction.commit().expect("commits");
    drop(database);
    assert!(matches!(
        EmbeddedStore::open(directory.path()),
        Err(OpenError::Format { found, .. }) if found == "1"
    ));
}

#[tokio::test]
async fn a_clear_is_durable_and_reads_that_began_before_it_carry_the_old_epoch() {
    let mut bench = Bench::new();
    let before = bench.taint().await.epoch;
    bench.store().clear(&all_of('a')).await.expect("clears");
    assert_ne!(bench.store().epoch(), before);
    bench.restart();
    assert!(!bench.is_tainted().await);
}
