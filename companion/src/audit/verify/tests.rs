use std::sync::Arc;
use std::time::Duration;

use ring::signature::{Ed25519KeyPair, KeyPair};

use super::super::tests::record;
use super::super::{AuditLog, AuditOptions, OpenError, SigningKey};
use super::*;
use crate::metrics::Metrics;

/// `openssl genpkey -algorithm ed25519`: a key of RFC 8410, section 10.3.
const PRIVATE: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC
-----END PRIVATE KEY-----
";

/// Its public key, of section 10.1.
const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=
-----END PUBLIC KEY-----
";

struct Bench {
    directory: tempfile::TempDir,
}

impl Bench {
    /// Records `0..records` in segments of about four.
    async fn with(records: u64) -> Self {
        let bench = Self {
            directory: tempfile::tempdir().expect("directory"),
        };
        bench.append(0..records).await;
        bench
    }

    fn log(&self) -> PathBuf {
        self.directory.path().join("audit.jsonl")
    }

    fn open(&self) -> Result<AuditLog, OpenError> {
        let options = AuditOptions {
            key: Some(SigningKey::from_pem(PRIVATE).expect("a key")),
            segment_bytes: 1500,
            ..AuditOptions::default()
        };
        AuditLog::open(&self.log(), options, Arc::new(Metrics::new()))
    }

    async fn append(&self, numbers: impl IntoIterator<Item = u64>) {
        let log = self.open().expect("opens");
        for seq in numbers {
            log.append(&record(seq)).await.expect("appends");
        }
    }

    fn verify(&self) -> Verdict {
        let key = VerifyingKey::from_pem(PUBLIC).expect("a key");
        verify(&self.log(), Some(&key)).expect("reads")
    }

    fn findings(&self) -> Vec<Finding> {
        self.verify().findings
    }

    fn segments(&self) -> Vec<PathBuf> {
        segments::sealed(&self.log()).expect("lists")
    }

    fn edit(&self, path: &Path, change: impl FnOnce(&mut Vec<String>)) {
        let text = std::fs::read_to_string(path).expect("reads");
        let mut lines = text.lines().map(str::to_owned).collect();
        change(&mut lines);
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        std::fs::write(path, text).expect("writes");
    }

    fn edit_first(&self, change: impl FnOnce(&mut Vec<String>)) {
        self.edit(&self.segments()[0], change);
    }
}

#[tokio::test]
async fn an_honest_log_has_no_findings_through_segments_and_restarts() {
    let bench = Bench::with(9).await;
    bench.append(9..20).await;
    assert!(bench.segments().len() >= 3);
    let verdict = bench.verify();
    assert_eq!(verdict.findings, []);
    assert_eq!((verdict.records, verdict.first, verdict.last), (20, 1, 20));
    // At the end everything is signed.
    assert_eq!(verdict.signed_to, 20);
    // A repeat across a seal and a restart is still one record.
    bench.append([18, 19]).await;
    assert_eq!(bench.verify().records, 20);
}

#[tokio::test]
async fn finds_a_changed_record() {
    let bench = Bench::with(6).await;
    bench.edit_first(|lines| lines[1] = lines[1].replace("deny", "allow"));
    assert_eq!(bench.findings(), [Finding::Changed { n: 2 }]);
}

#[tokio::test]
async fn finds_a_removed_record() {
    let bench = Bench::with(6).await;
    bench.edit_first(|lines| drop(lines.remove(1)));
    let lost = Finding::Lost {
        stream: "worker-1".to_owned(),
        from: 1,
        to: 1,
        missing: 1,
    };
    assert_eq!(bench.findings(), [Finding::Removed { from: 2, to: 2 }, lost]);
}

#[tokio::test]
async fn finds_reordered_and_repeated_records() {
    let bench = Bench::with(6).await;
    bench.edit_first(|lines| lines.swap(0, 1));
    assert!(bench.findings().contains(&Finding::Reordered { n: 1 }));
    let bench = Bench::with(6).await;
    bench.edit_first(|lines| lines.insert(1, lines[0].clone()));
    assert_eq!(bench.findings(), [Finding::Reordered { n: 1 }]);
}

#[tokio::test]
async fn finds_lines_that_nobody_chained() {
    let bench = Bench::with(6).await;
    bench.edit_first(|lines| lines.insert(1, "{}".to_owned()));
    assert!(matches!(
        bench.findings().as_slice(),
        [Finding::Foreign { line: 2, .. }]
    ));
}

#[tokio::test]
async fn finds_a_log_that_was_written_anew_by_the_signatures() {
    let bench = Bench::with(3).await;
    let mut chain = Chain::START;
    bench.edit(&bench.log(), |lines| {
        for line in lines.iter_mut() {
            let (record, _) = line.split_once(",\"chain\"").expect("chained");
            let record = format!("{}}}", record.replace("deny", "allow"));
            *line = String::from_utf8(chain.add(record.as_bytes()))
                .expect("text")
                .trim_end()
                .to_owned();
        }
    });
    assert!(matches!(
        bench.findings().first(),
        Some(Finding::Rewritten { .. })
    ));
}

#[tokio::test]
async fn finds_an_end_that_was_cut_off_and_does_not_write_behind_it() {
    let bench = Bench::with(3).await;
    bench.edit(&bench.log(), |lines| drop(lines.pop()));
    assert!(matches!(
        bench.findings().as_slice(),
        [Finding::Truncated { last: 2, n: 3, .. }]
    ));
    assert!(matches!(
        bench.open(),
        Err(OpenError::Truncated {
            last: 2,
            signed: 3,
            ..
        })
    ));
}

#[tokio::test]
async fn finds_forged_and_missing_checkpoints() {
    let bench = Bench::with(9).await;
    let path = checkpoint::path_of(&bench.log());
    let kept = std::fs::read_to_string(&path).expect("reads");
    bench.edit(&path, |lines| drop(lines.remove(0)));
    assert_eq!(bench.findings(), [Finding::Checkpoint { c: 2 }]);
    std::fs::write(&path, &kept).expect("writes");
    bench.edit(&path, |lines| {
        lines[0] = lines[0].replace("\"at_ms\":1", "\"at_ms\":2")
    });
    assert_eq!(
        bench.findings(),
        [Finding::Signature { c: 1 }, Finding::Checkpoint { c: 2 }]
    );
    std::fs::write(&path, "nonsense\n").expect("writes");
    assert_eq!(bench.findings(), [Finding::NoCheckpoint { line: 1 }]);
}

#[tokio::test]
async fn deleted_segments_are_no_finding_and_the_rest_is_still_checked() {
    let bench = Bench::with(20).await;
    std::fs::remove_file(&bench.segments()[0]).expect("removes");
    let verdict = bench.verify();
    assert_eq!(verdict.findings, []);
    assert!(verdict.first > 1);
    bench.edit_first(|lines| lines[0] = lines[0].replace("deny", "allow"));
    assert_eq!(bench.findings(), [Finding::Changed { n: verdict.first }]);
    // A segment from the middle is another matter.
    std::fs::remove_file(&bench.segments()[1]).expect("removes");
    assert!(
        bench
            .findings()
            .iter()
            .any(|finding| matches!(finding, Finding::Removed { .. }))
    );
}

#[tokio::test]
async fn sealed_files_that_are_too_old_are_deleted_oldest_first_and_the_rest_is_whole() {
    let bench = Bench::with(20).await;
    let sealed = bench.segments();
    let ancient = std::time::SystemTime::now() - Duration::from_secs(90 * 86_400);
    // The third is as old, but a younger one stands before it.
    for old in [&sealed[0], &sealed[2]] {
        let file = File::options().append(true).open(old).expect("opens");
        file.set_modified(ancient).expect("dates it back");
    }
    let options = AuditOptions {
        keep: Some(Duration::from_secs(30 * 86_400)),
        segment_bytes: 1500,
        key: Some(SigningKey::from_pem(PRIVATE).expect("a key")),
        ..AuditOptions::default()
    };
    drop(AuditLog::open(&bench.log(), options, Arc::new(Metrics::new())).expect("opens"));
    assert_eq!(bench.segments(), sealed[1..]);
    assert_eq!(bench.findings(), []);
}

#[tokio::test]
async fn finds_what_a_killed_worker_lost() {
    let bench = Bench::with(0).await;
    bench.append([1, 2, 5, 4, 9]).await;
    let lost = Finding::Lost {
        stream: "worker-1".to_owned(),
        from: 0,
        to: 8,
        missing: 1 + 1 + 3,
    };
    assert_eq!(bench.findings(), [lost]);
}

#[tokio::test]
async fn says_what_a_killed_worker_had_numbered_and_never_sent() {
    let bench = Bench::with(0).await;
    let log = bench.open().expect("opens");
    for (seq, numbered) in [(0, 1), (1, 5), (2, 5)] {
        let sent = AuditRecord {
            numbered: Some(numbered),
            ..record(seq)
        };
        log.append(&sent).await.expect("appends");
    }
    drop(log);
    let verdict = bench.verify();
    assert_eq!(verdict.findings, []);
    let never_came = Outstanding {
        stream: "worker-1".to_owned(),
        from: 3,
        to: 4,
    };
    assert_eq!(verdict.outstanding, [never_came]);
}

#[tokio::test]
async fn a_log_from_before_the_chain_goes_on_with_one() {
    let bench = Bench {
        directory: tempfile::tempdir().expect("directory"),
    };
    let old = serde_json::to_string(&record(0)).expect("JSON");
    std::fs::write(bench.log(), format!("{old}\n")).expect("writes");
    bench.append([1]).await;
    let verdict = bench.verify();
    assert_eq!(
        (verdict.findings, verdict.unchained, verdict.last),
        (Vec::new(), 1, 1)
    );
}

#[test]
fn reads_the_keys_that_openssl_writes_and_no_others() {
    assert!(VerifyingKey::from_pem(PRIVATE).is_err());
    assert!(SigningKey::from_pem(PUBLIC).is_err());
    let rsa = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    assert!(SigningKey::from_pem(rsa).is_err());
    // That both constants are one pair is what the other tests stand on.
    let seed = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).expect("a key");
    assert_eq!(seed.public_key().as_ref().len(), 32);
}

#[tokio::test]
async fn a_worker_whose_records_lie_in_two_logs_has_lost_only_what_is_in_neither() {
    let one = Bench::with(0).await;
    let two = Bench::with(0).await;
    // The third was on its way to a companion that was killed, and went to the other one, too.
    one.append([0, 1, 2, 6, 7]).await;
    two.append([2, 3, 4, 8]).await;
    assert!(!one.verify().findings.is_empty() && !two.verify().findings.is_empty());
    let key = VerifyingKey::from_pem(PUBLIC).expect("a key");
    let (one_log, two_log) = (one.log(), two.log());
    let both = [(one_log.as_path(), Some(&key)), (two_log.as_path(), Some(&key))];
    let together = verify_together(&both).expect("reads");
    let lost = Finding::Lost {
        stream: "worker-1".to_owned(),
        from: 5,
        to: 5,
        missing: 1,
    };
    assert_eq!(together.findings, [lost]);
    assert!(!together.is_whole());
    two.append([5]).await;
    let together = verify_together(&both).expect("reads");
    assert!(together.is_whole(), "{together:?}");
    let records: Vec<u64> = together.logs.iter().map(|log| log.records).collect();
    assert_eq!(records, [5, 5]);
    // Each chain is still its own.
    let text = std::fs::read_to_string(&two_log).expect("reads");
    std::fs::write(&two_log, text.replacen("send_email", "read_email", 1)).expect("writes");
    let together = verify_together(&both).expect("reads");
    assert!(together.findings.is_empty() && !together.is_whole());
    assert!(together.logs[0].findings.is_empty());
}
