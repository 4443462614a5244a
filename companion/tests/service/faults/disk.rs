//! The disk is full, read-only, or gone.

use std::process::{Command, Stdio};

use serde_json::json;

use super::{ask_one, code, labels, missing, must_refuse, row};
use crate::client::{DIGEST, append, load};
use crate::durability::Process;

fn prlimit(pid: u32, bytes: &str) -> bool {
    let status = Command::new("prlimit")
        .args(["--pid", &pid.to_string(), &format!("--fsize={bytes}:unlimited")])
        .stderr(Stdio::null())
        .status();
    status.is_ok_and(|status| status.success())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_and_forgets_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let config = json!({"version": 1, "policy_digest": DIGEST});
    // The signal that comes with the limit would end the process; a full disk sends none.
    let process = Process::start_ignoring_xfsz(directory.path(), &config);
    let address = process.address;
    let mut acknowledged = Vec::new();
    for n in 0..20 {
        let label = format!("before{n}");
        let done = ask_one(address, append('a', &label)).await.expect("an answer");
        assert_eq!(code(&done), "done");
        acknowledged.push(label);
    }
    if !prlimit(process.pid(), "4096") {
        eprintln!("SKIPPED: prlimit is not here");
        return;
    }
    let mut codes = std::collections::BTreeMap::new();
    for n in 0..40 {
        let label = format!("full{n}{}", "x".repeat(100));
        let result = ask_one(address, append('a', &label))
            .await
            .expect("an answer, not a hang");
        if code(&result) == "done" {
            acknowledged.push(label);
        }
        *codes.entry(code(&result)).or_insert(0) += 1;
    }
    assert!(codes.contains_key("session.persist_failed"), "{codes:?}");
    assert!(
        codes
            .keys()
            .all(|code| code == "session.persist_failed" || code == "done"),
        "{codes:?}"
    );
    process.kill();
    let process = Process::start(directory.path(), &config, &[]);
    let lost = missing(&acknowledged, &labels(process.address, 'a').await);
    row(
        "embedded store: its disk is full (no file may grow)",
        &format!("{codes:?}"),
        acknowledged.len(),
        lost,
    );
    let done = ask_one(process.address, append('a', "after"))
        .await
        .expect("an answer");
    assert_eq!(code(&done), "done");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_audit_log_refuses_what_must_be_recorded() {
    let directory = tempfile::tempdir().expect("a directory");
    let config = json!({"version": 1, "policy_digest": DIGEST});
    let process = Process::start_ignoring_xfsz(directory.path(), &config);
    if !prlimit(process.pid(), "0") {
        eprintln!("SKIPPED: prlimit is not here");
        return;
    }
    let record = json!({"kind": "audit.append", "record": {"seq": 1, "stream": "w", "at_ms": 1, "decision_id": "d",
        "policy_digest": DIGEST, "verdict": "deny", "entity_type": "tool", "entity_name": "t"}});
    let effect = serde_json::from_value(record).expect("an effect");
    let result = ask_one(process.address, effect).await.expect("an answer");
    must_refuse(&result, "audit.unavailable");
    row("audit log's disk full", "`audit.unavailable`", 0, 0);
}

#[tokio::test]
async fn a_read_only_disk_stops_the_start_and_says_why() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path();
    let config = json!({"version": 1, "policy_digest": DIGEST});
    let process = Process::start(path, &config, &[]);
    let done = ask_one(process.address, append('a', "kept"))
        .await
        .expect("an answer");
    assert_eq!(code(&done), "done");
    process.kill();
    let program = env!("CARGO_BIN_EXE_aplomb-companion");
    let script = format!(
        "mount --bind {0} {0} && mount -o remount,ro,bind {0} || exit 77; exec {program} serve --listen 127.0.0.1:0 --config {1} --data {0}",
        path.join("data").display(),
        path.join("companion.json").display(),
    );
    let output = Command::new("unshare").args(["-m", "sh", "-c", &script]).output();
    match output {
        Ok(output) if output.status.code() == Some(2) => {
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(said.contains("because"), "{said}");
            let process = Process::start(path, &config, &[]);
            let lost = missing(&["kept".to_owned()], &labels(process.address, 'a').await);
            row(
                "embedded store: its disk is read-only at start",
                "exit code 2, with the reason",
                1,
                lost,
            );
        }
        // Without root there is no mounting.
        Ok(output) if output.status.code() != Some(0) => {
            eprintln!(
                "SKIPPED: cannot mount: {}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
        other => panic!("a companion that cannot write serves: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_are_taken_away_under_it_lose_nothing_that_was_acknowledged_while_it_runs() {
    let directory = tempfile::tempdir().expect("a directory");
    let config = json!({"version": 1, "policy_digest": DIGEST});
    let process = Process::start(directory.path(), &config, &[]);
    let done = ask_one(process.address, append('a', "before"))
        .await
        .expect("an answer");
    assert_eq!(code(&done), "done");
    std::fs::rename(directory.path().join("data"), directory.path().join("moved")).expect("renames");
    let after = ask_one(process.address, append('a', "after"))
        .await
        .expect("an answer");
    let seen = ask_one(process.address, load('a')).await.expect("an answer");
    assert_eq!(
        (code(&after), code(&seen)),
        ("done".to_owned(), "done".to_owned())
    );
    process.kill();
    std::fs::rename(directory.path().join("moved"), directory.path().join("data")).expect("renames");
    let process = Process::start(directory.path(), &config, &[]);
    let lost = missing(
        &["before".to_owned(), "after".to_owned()],
        &labels(process.address, 'a').await,
    );
    row(
        "embedded store: its directory is moved away while it runs",
        "goes on with the open files",
        2,
        lost,
    );
}
