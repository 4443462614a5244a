//! `aplomb-companion sessions`, with a companion that runs and without one.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use axum::body::Bytes;
use axum::http::{Request, StatusCode};
use companion_protocol::{EffectResult, OnFail};
use http_body_util::Full;
use serde_json::{Value, json};

use crate::client::{DIGEST, Running, append, call, load, perform, send};
use crate::durability::Process;

fn config() -> Value {
    json!({"version": 1, "policy_digest": DIGEST})
}

/// Runs it over `directory/data`; exit code and standard output.
fn sessions(directory: &Path, arguments: &[&str]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_aplomb-companion"))
        .arg("sessions")
        .args(arguments)
        .args(["--subject", &"a".repeat(64)])
        .env("USER", "ada")
        .arg("--data")
        .arg(directory.join("data"))
        .output()
        .expect("runs");
    let code = output.status.code().expect("a code");
    (code, String::from_utf8(output.stdout).expect("text"))
}

fn audit(directory: &Path) -> Vec<Value> {
    let log = std::fs::read_to_string(directory.join("data/audit.jsonl")).expect("reads");
    log.lines()
        .map(|line| serde_json::from_str(line).expect("a record"))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_sees_and_clears_labels_of_a_running_companion_and_of_a_stopped_one() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path();
    let process = Process::start(path, &config(), &[]);
    let before = perform(
        process.address,
        DIGEST,
        vec![call(append('a', "secret"), OnFail::Stop)],
    )
    .await;
    let (code, text) = sessions(path, &["show"]);
    assert_eq!(code, 0);
    assert!(
        text.contains("secret") && text.contains(&"5".repeat(64)),
        "{text}"
    );
    // Without a reason nothing happens.
    assert_eq!(sessions(path, &["clear", "--reason", " "]).0, 2);
    assert!(audit(path).is_empty());
    let (code, text) = sessions(path, &["clear", "--reason", "false alarm, see ticket 7"]);
    assert_eq!(code, 0);
    assert!(text.contains("1 labels removed"), "{text}");
    let after = perform(process.address, DIGEST, vec![call(load('a'), OnFail::Stop)]).await;
    assert!(matches!(&after.results[0], EffectResult::Labels(labels) if labels.session.is_empty()));
    assert_ne!(before.epoch, after.epoch);
    perform(
        process.address,
        DIGEST,
        vec![call(append('a', "pii"), OnFail::Stop)],
    )
    .await;
    process.kill();
    let (code, text) = sessions(path, &["show", "--format", "json"]);
    assert_eq!(code, 0);
    let shown: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(shown[0]["labels"][0]["label"], "pii");
    assert_eq!(sessions(path, &["clear", "--reason", "again"]).0, 0);
    assert_eq!(sessions(path, &["show"]), (0, "no labels\n".to_owned()));
    let records = audit(path);
    let told = |n: usize| {
        let record = &records[n];
        [&record["step"]["source"], &record["client"], &record["labels"][0]]
            .map(|v| v.as_str().expect("text").to_owned())
    };
    assert_eq!(told(0), ["false alarm, see ticket 7", "ada", "secret"]);
    assert_eq!(told(1), ["again", "ada", "pii"]);
    assert_eq!(records.len(), 2);
}

#[tokio::test]
async fn only_the_operators_token_admits_to_sessions_even_on_loopback() {
    let companion = Running::with(config()).await;
    let door = companion.directory.path().join("data/admin.json");
    assert_eq!(
        std::fs::metadata(&door).expect("is there").permissions().mode() & 0o777,
        0o600
    );
    let token: Value = serde_json::from_slice(&std::fs::read(&door).expect("reads")).expect("JSON");
    let token = token["token"].as_str().expect("a token").to_owned();
    let ask = |path: &str, token: Option<&str>, body: Value| {
        let request = Request::post(format!("http://{}{path}", companion.address))
            .header("content-type", "application/json");
        let request = match token {
            Some(token) => request.header("authorization", format!("Bearer {token}")),
            None => request,
        };
        send(
            request
                .body(Full::new(Bytes::from(body.to_string())))
                .expect("a request"),
        )
    };
    let one = json!({"subject": "a".repeat(64)});
    for path in ["/v1/admin/sessions/show", "/v1/admin/sessions/clear"] {
        for wrong in [None, Some("x")] {
            assert_eq!(
                ask(path, wrong, one.clone()).await.expect("answers").status,
                StatusCode::UNAUTHORIZED
            );
        }
    }
    let shown = ask("/v1/admin/sessions/show", Some(&token), one)
        .await
        .expect("answers");
    assert_eq!((shown.status, shown.json()), (StatusCode::OK, json!([])));
    let refused = ask("/v1/admin/sessions/show", Some(&token), json!({"subject": "bob"}))
        .await
        .expect("answers");
    assert_eq!(refused.error_code(), "admin.bad_selection");
}

#[tokio::test]
async fn lifetimes_come_from_the_policy_and_the_operator_wins() {
    let labels_end_in = async |companion: &Running| {
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .expect("after 1970")
            .as_secs();
        let EffectResult::Labels(labels) = companion.one(append('a', "secret")).await else {
            panic!("no labels")
        };
        labels.expires_at_ms.expect("it ends") / 1000 - now
    };
    let mut config = config();
    config["session_store"] = json!({"kind": "embedded", "lifetimes": {"session_idle_s": 600}});
    let companion = Running::with(config.clone()).await;
    assert!((599..=601).contains(&labels_end_in(&companion).await));
    let directory = tempfile::tempdir().expect("a directory");
    let mut options = crate::client::options(&directory, &config);
    options.lifetimes.session_idle_s = Some(0);
    options.lifetimes.session_max_s = Some(50);
    let companion = Running::with_options(directory, &options).await;
    assert!((49..=51).contains(&labels_end_in(&companion).await));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn audit_verify_and_report_read_what_a_companion_wrote() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path();
    let key = path.join("key.pem");
    let (private, public) = ed25519_pair();
    std::fs::write(&key, private).expect("writes");
    std::fs::write(path.join("public.pem"), public).expect("writes");
    let key = key.display().to_string();
    let process = Process::start_with(path, &config(), &[], &["--audit-key", &key]);
    for seq in 0..3_u64 {
        let record = json!({
            "seq": seq, "stream": "w", "at_ms": 1, "decision_id": format!("d{seq}"), "policy_digest": DIGEST,
            "verdict": "deny", "code": "a.b", "entity_type": "tool", "entity_name": "t",
        });
        let effect = companion_protocol::Effect::AuditAppend {
            record: serde_json::from_value(record).expect("a record"),
        };
        perform(process.address, DIGEST, vec![call(effect, OnFail::Stop)]).await;
    }
    process.kill();
    let audit = |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_aplomb-companion"));
        command
            .arg("audit")
            .args(words)
            .arg("--log")
            .arg(path.join("data/audit.jsonl"));
        let output = command.output().expect("runs");
        (
            output.status.code(),
            String::from_utf8(output.stdout).expect("text"),
        )
    };
    let public = path.join("public.pem").display().to_string();
    let (code, text) = audit(&["verify", "--public-key", &public]);
    assert_eq!(code, Some(0), "{text}");
    assert!(
        text.contains("3 records, 1 to 3") && text.contains("cannot prove"),
        "{text}"
    );
    let (code, text) = audit(&["report", "--format", "json"]);
    assert_eq!(code, Some(0));
    let report: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(
        (&report["verdicts"]["deny"], &report["operations"]["tool:t"]),
        (&json!(3), &json!(3))
    );
    let (code, text) = audit(&["report"]);
    assert_eq!(code, Some(0));
    for line in [
        "policies",
        "not known: give it as --program",
        "decides",
        "3 tool:t",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    let log = path.join("data/audit.jsonl");
    let changed = std::fs::read_to_string(&log)
        .expect("reads")
        .replacen("a.b", "a.c", 1);
    std::fs::write(&log, changed).expect("writes");
    let (code, text) = audit(&["verify", "--public-key", &public]);
    assert_eq!(code, Some(1));
    assert!(text.contains("FOUND: record 1 was changed"), "{text}");
}

/// A pair in PEM.
fn ed25519_pair() -> (String, String) {
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).expect("a key");
    (pair.serialize_pem(), pair.public_key_pem())
}

#[tokio::test]
async fn records_say_on_which_line_their_rule_stands() {
    let directory = tempfile::tempdir().expect("a directory");
    let lines = json!({"policy_digest": DIGEST, "lines": {"r[1]": "hr.yaml:7", "r[2]": "hr.yaml:8"}});
    std::fs::write(directory.path().join("lines.json"), lines.to_string()).expect("writes");
    let process = Process::start(directory.path(), &config(), &[]);
    let other = "b".repeat(64);
    for (seq, digest, rule) in [
        (0, DIGEST, "r[1]"),
        (1, DIGEST, "r[3]"),
        (2, other.as_str(), "r[1]"),
    ] {
        let record = json!({"seq": seq, "stream": "w", "at_ms": 1, "decision_id": "d", "policy_digest": digest, "verdict": "deny",
            "rule": rule, "entity_type": "tool", "entity_name": "t", "labels_of_policy": {"owner": "hr"}});
        let record = serde_json::from_value(record).expect("a record");
        let effect = companion_protocol::Effect::AuditAppend { record };
        let results = perform(process.address, DIGEST, vec![call(effect, OnFail::Stop)])
            .await
            .results;
        assert_eq!(results, [EffectResult::Done]);
    }
    drop(process);
    let told: Vec<Value> = audit(directory.path())
        .iter()
        .map(|record| record["labels_of_policy"].clone())
        .collect();
    assert_eq!(
        told,
        [
            json!({"owner": "hr", "line": "hr.yaml:7"}),
            json!({"owner": "hr"}),
            json!({"owner": "hr"})
        ]
    );
}
