use std::io::Write;

use companion_protocol::{StepRecord, VerdictKind};

use super::*;

pub(super) fn record(seq: u64) -> AuditRecord {
    AuditRecord {
        seq,
        stream: "worker-1".to_owned(),
        at_ms: 1,
        decision_id: format!("d{seq}"),
        policy_digest: "0".repeat(64),
        verdict: Some(VerdictKind::Deny),
        code: Some("session_tainted".to_owned()),
        entity_type: "tool".to_owned(),
        entity_name: "send_email".to_owned(),
        method: Some("tools/call".to_owned()),
        subject: Some("bob\nwith a line feed".to_owned()),
        ..AuditRecord::default()
    }
}

fn open(path: &Path) -> AuditLog {
    AuditLog::open(path, AuditOptions::default(), Arc::new(Metrics::new())).expect("opens")
}

fn read(path: &Path) -> Vec<AuditRecord> {
    std::fs::read_to_string(path)
        .expect("reads")
        .lines()
        .map(|line| serde_json::from_str(line).expect("a record a line"))
        .collect()
}

#[tokio::test]
async fn an_acknowledged_record_is_one_line_and_a_repeat_is_not_written() {
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("audit.jsonl");
    let log = open(&path);
    log.append(&record(1)).await.expect("appends");
    log.append(&record(1)).await.expect("acknowledges a repeat");
    let mut step = record(1);
    step.verdict = None;
    step.step = Some(StepRecord {
        plugin: "audit-log".to_owned(),
        source: "r[3]".to_owned(),
    });
    log.append(&step).await.expect("a step is another record");
    assert_eq!(read(&path), [record(1), step]);
}

#[tokio::test]
async fn a_repeat_is_recognised_after_a_restart() {
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("audit.jsonl");
    open(&path).append(&record(1)).await.expect("appends");
    let log = open(&path);
    log.append(&record(1)).await.expect("acknowledges a repeat");
    log.append(&record(2)).await.expect("appends");
    assert_eq!(read(&path).len(), 2);
}

#[tokio::test]
async fn a_torn_last_line_is_cut_off_and_the_rest_kept() {
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("audit.jsonl");
    open(&path).append(&record(1)).await.expect("appends");
    let mut file = std::fs::OpenOptions::new()
        .append(true)
        .open(&path)
        .expect("opens");
    file.write_all(br#"{"seq":2,"stream":"wor"#).expect("tears");
    let log = open(&path);
    log.append(&record(3)).await.expect("appends");
    assert_eq!(read(&path), [record(1), record(3)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_records_are_all_there_once() {
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("audit.jsonl");
    let log = Arc::new(open(&path));
    let tasks: Vec<_> = (0..200)
        .map(|n| {
            let log = Arc::clone(&log);
            tokio::spawn(async move { log.append(&record(n / 2)).await })
        })
        .collect();
    for task in tasks {
        task.await.expect("joins").expect("appends");
    }
    assert_eq!(read(&path).len(), 100);
}

#[test]
fn a_log_that_cannot_be_written_acknowledges_only_what_it_holds() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let held = RecordId::of(&record(1));
    let mut recent = Recent::new(RECENT);
    recent.insert(held);
    let mut writer = Writer {
        path: file.path().to_owned(),
        file: LogFile::unwritable(file.path()).expect("opens"),
        chain: Chain::START,
        segment_start: 1,
        segment_bytes: SEGMENT_BYTES,
        checkpoints: None,
        signed: 0,
        signed_at: None,
        recent,
        keep: None,
        metrics: Arc::new(Metrics::new()),
        healthy: Arc::new(AtomicBool::new(true)),
        copies: None,
    };
    let line = |seq| Line {
        id: RecordId::of(&record(seq)),
        line: b"{}".to_vec(),
        copy: None,
    };
    assert_eq!(writer.commit(vec![line(1), line(2)]), [Ok(()), Err(AuditError)]);
    assert!(!writer.healthy.load(Ordering::Relaxed));
    assert_eq!(writer.commit(vec![line(2)]), [Err(AuditError)]);
}
