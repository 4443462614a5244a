//! SIGKILL at random instants while labels, records and counters are written.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use companion_protocol::{Count, Effect, EffectResult, OnFail, SessionKey};
use serde_json::json;

use super::{ask, ask_one, missing, row, times};
use crate::client::{DIGEST, call};
use crate::durability::Process;

/// What was acknowledged.
#[derive(Default)]
struct Acknowledged {
    labels: BTreeMap<String, Vec<String>>,
    records: Vec<String>,
    /// The highest count of each counter that was answered.
    counts: BTreeMap<String, u64>,
    broken: usize,
}

fn record(id: &str, seq: u64) -> Effect {
    let record = json!({"seq": seq, "stream": "w1", "at_ms": 1, "decision_id": id, "policy_digest": DIGEST, "verdict": "deny",
        "entity_type": "tool", "entity_name": "t"});
    Effect::AuditAppend {
        record: serde_json::from_value(record).expect("a record"),
    }
}

/// A bucket holds 256 labels, so every caller of every round has its own.
fn session(number: usize) -> SessionKey {
    SessionKey {
        subject: "a".repeat(64),
        session: format!("{number:064x}"),
    }
}

fn append(number: usize, label: String) -> Effect {
    Effect::SessionAppend {
        session: session(number),
        labels: vec![label],
        subject_labels: Vec::new(),
        ttl_s: None,
    }
}

fn count(key: &str) -> Effect {
    Effect::LimitCount {
        key: key.to_owned(),
        window_s: 86_400,
        cost: 1,
        limit: 1_000_000,
    }
}

/// A generator that is good enough for instants (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % most
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_by_kills_at_random_instants() {
    let rounds = times(12, 200);
    let directory = tempfile::tempdir().expect("a directory");
    let config = json!({"version": 1, "policy_digest": DIGEST});
    let seed = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .expect("after 1970");
    let mut random = Random(u64::try_from(seed.as_nanos() & u128::from(u64::MAX)).expect("fits") | 1);
    let acknowledged = Arc::new(Mutex::new(Acknowledged::default()));
    let begun = Instant::now();
    for round in 0..rounds {
        let process = Process::start(directory.path(), &config, &[]);
        let callers: Vec<_> = (0..8_usize)
            .map(|caller| {
                let (address, acknowledged) = (process.address, Arc::clone(&acknowledged));
                tokio::spawn(async move {
                    for n in 0..1000_usize {
                        let id = format!("{round}-{caller}-{n}");
                        let key = format!("{caller:064}");
                        let mut calls = vec![
                            call(append(round * 8 + caller, format!("l{id}")), OnFail::Stop),
                            call(
                                record(&id, (round * 10_000 + caller * 1000 + n) as u64),
                                OnFail::Stop,
                            ),
                            call(count(&key), OnFail::Stop),
                        ];
                        for (at, call) in calls.iter_mut().enumerate() {
                            call.idempotency_key = format!("{id}.{at}");
                        }
                        let Some(results) = ask(address, calls).await else {
                            acknowledged.lock().expect("lock").broken += 1;
                            return;
                        };
                        let mut acknowledged = acknowledged.lock().expect("lock");
                        match results.as_slice() {
                            [
                                EffectResult::Labels(_),
                                EffectResult::Done,
                                EffectResult::Count(Count { count, .. }),
                            ] => {
                                let session = session(round * 8 + caller).session;
                                acknowledged
                                    .labels
                                    .entry(session)
                                    .or_default()
                                    .push(format!("l{id}"));
                                acknowledged.records.push(id);
                                let highest = acknowledged.counts.entry(key).or_default();
                                *highest = (*highest).max(*count);
                            }
                            other => panic!("neither done nor broken off: {other:?}"),
                        }
                    }
                })
            })
            .collect();
        tokio::time::sleep(Duration::from_micros(random.below(60_000))).await;
        process.kill();
        for caller in callers {
            caller.await.expect("joins");
        }
    }
    let process = Process::start(directory.path(), &config, &[]);
    let labels = acknowledged.lock().expect("lock").labels.clone();
    let (mut all_labels, mut lost_labels) = (0, 0);
    for (session, acknowledged) in labels {
        let subject = "a".repeat(64);
        let load = Effect::SessionLoad {
            session: SessionKey { subject, session },
        };
        match ask_one(process.address, load).await {
            Some(EffectResult::Labels(held)) => lost_labels += missing(&acknowledged, &held.session),
            other => panic!("no labels: {other:?}"),
        }
        all_labels += acknowledged.len();
    }
    let log = std::fs::read_to_string(directory.path().join("data/audit.jsonl")).expect("reads");
    let (all, lost) = {
        let acknowledged = acknowledged.lock().expect("lock");
        let lost_records = |id: &&String| log.matches(&format!(r#""decision_id":"{id}","#)).count() != 1;
        let lost = acknowledged.records.iter().filter(lost_records).count();
        (all_labels + acknowledged.records.len(), lost_labels + lost)
    };
    let counts = acknowledged.lock().expect("lock").counts.clone();
    let mut lost_counts = 0;
    for (key, highest) in &counts {
        match ask_one(process.address, count(key)).await {
            Some(EffectResult::Count(now)) => lost_counts += usize::from(now.count <= *highest),
            other => panic!("no count: {other:?}"),
        }
    }
    assert!(
        all > 0 || rounds < 20,
        "nothing was acknowledged: the kills came too early"
    );
    let broken = acknowledged.lock().expect("lock").broken;
    let answered = format!(
        "{broken} calls broke off, none was answered falsely; {} s",
        begun.elapsed().as_secs()
    );
    row(
        &format!("embedded store: the companion gets `kill -9` at {rounds} random instants"),
        &answered,
        all + counts.len(),
        lost + lost_counts,
    );
    let program = env!("CARGO_BIN_EXE_aplomb-companion");
    let verified = std::process::Command::new(program)
        .args(["audit", "verify", "--log"])
        .arg(directory.path().join("data/audit.jsonl"))
        .output()
        .expect("runs");
    let said = String::from_utf8_lossy(&verified.stdout).into_owned();
    // What a caller sent and nobody acknowledged may be a gap in the numbers; the chain itself is whole.
    assert!(!said.contains("changed") && !said.contains("reordered"), "{said}");
}
