//! `aplomb-companion sessions import`: labels of CPEX and praxis 0.5 on real servers, under keys as those write them.

use std::path::Path;
use std::process::Command;

use apl_bytecode::TokenRole;
use aplomb_enforcer::Owner;
use aplomb_enforcer::config::SessionSource;
use companion_protocol::{Effect, EffectResult, Labels, OnFail, SessionKey};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::client::{DIGEST, call, perform};
use crate::durability::Process;
use crate::faults::valkey::Server;

const ISSUER: &str = "https://idp.example";

fn sha256(text: &str) -> String {
    Sha256::digest(text)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Upstream's key: of the id, which is the first half of a digest.
fn key(raw: &str) -> String {
    format!("taint:v1:{}", sha256(&sha256(raw)[..16]))
}

/// A server with what upstream has written, and a user who may read it and nothing else.
async fn upstream(program: &str) -> Option<Server> {
    let server = Server::of(program, None).await?;
    for (raw, labels) in [
        ("alice:chat-7", &["secret", "PII"][..]),
        ("alice:-:-", &["injection"]),
        ("bob:hr-copilot:praxis-gateway", &["finance"]),
        ("mallory:chat-1", &["secret"]),
    ] {
        let key = key(raw);
        let mut words = vec!["SADD", &key];
        words.extend(labels);
        server.command(&words).await;
    }
    server.command(&["EXPIRE", &key("alice:chat-7"), "3600"]).await;
    server.command(&["SET", "taint:v1:version", "2"]).await;
    server.command(&["SET", "other:v1:x", "y"]).await;
    let reader = [
        "ACL",
        "SETUSER",
        "reader",
        "on",
        ">hunter2",
        "~taint:v1:*",
        "+scan",
        "+smembers",
    ];
    server.command(&reader).await;
    Some(server)
}

fn subjects(directory: &Path) {
    let rows = [
        json!({"issuer": ISSUER, "subject": "alice", "session": "chat-7"}),
        json!({"issuer": ISSUER, "subject": "alice", "session": "chat-8"}),
        json!({"issuer": ISSUER, "subject": "u-17", "upstream_subject": "bob",
            "caller_workload": "hr-copilot", "this_workload": "praxis-gateway"}),
    ];
    let lines: Vec<String> = rows.iter().map(Value::to_string).collect();
    std::fs::write(directory.join("subjects.jsonl"), lines.join("\n")).expect("writes");
}

/// Runs it as the reader; exit code, standard output and standard error.
fn import(directory: &Path, source: &Server, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_aplomb-companion"))
        .args([
            "sessions",
            "import",
            "--from-user",
            "reader",
            "--from-password-env",
            "FROM_PASSWORD",
        ])
        .args(["--from", &format!("127.0.0.1:{}", source.port)])
        .arg("--subjects")
        .arg(directory.join("subjects.jsonl"))
        .arg("--data")
        .arg(directory.join("data"))
        .args(arguments)
        .env("FROM_PASSWORD", "hunter2")
        .env("USER", "ada")
        .output()
        .expect("runs");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn owner(id: &str) -> Owner<'_> {
    Owner {
        role: TokenRole::User,
        issuer: ISSUER,
        id,
    }
}

/// As the filter asks for them.
async fn labels(process: &Process, session: SessionKey) -> Labels {
    let effect = Effect::SessionLoad { session };
    let mut response = perform(process.address, DIGEST, vec![call(effect, OnFail::Stop)]).await;
    match response.results.remove(0) {
        EffectResult::Labels(labels) => labels,
        other => panic!("no labels: {other:?}"),
    }
}

/// What the filter finds in the sessions that had labels at upstream.
async fn takes_over(process: &Process) {
    let alice = owner("alice");
    for source in [SessionSource::XSessionId, SessionSource::Claim] {
        let found = labels(process, alice.session(Some((source, "chat-7")))).await;
        assert_eq!(
            (found.session, found.subject),
            (words(&["PII", "secret"]), words(&["injection"]))
        );
    }
    let found = labels(process, alice.session(Some((SessionSource::McpSessionId, "m")))).await;
    assert_eq!(
        (found.session, found.subject),
        (words(&[]), words(&["injection"]))
    );
    let found = labels(process, owner("u-17").session(None)).await;
    assert_eq!((found.session, found.subject), (words(&[]), words(&["finance"])));
    let found = labels(process, owner("mallory").session(None)).await;
    assert_eq!((found.session, found.subject), (words(&[]), words(&[])));
}

fn words(list: &[&str]) -> Vec<String> {
    list.iter().map(|word| (*word).to_owned()).collect()
}

/// The records of imports.
fn records(directory: &Path) -> Vec<Value> {
    let log = std::fs::read_to_string(directory.join("data/audit.jsonl")).unwrap_or_default();
    log.lines()
        .map(|line| serde_json::from_str(line).expect("a record"))
        .collect()
}

fn config() -> Value {
    json!({"version": 1, "policy_digest": DIGEST})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn labels_of_upstream_are_taken_over_once_and_what_is_left_behind_is_told() {
    for program in ["redis-server", "valkey-server"] {
        let Some(source) = upstream(program).await else {
            continue;
        };
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path();
        subjects(path);
        std::fs::create_dir(path.join("data")).expect("a directory");
        // Nothing is written unless it is asked for.
        let (code, text, errors) = import(path, &source, &[]);
        assert_eq!(code, Some(1), "{text}{errors}");
        let name = |raw: &str| key(raw)["taint:v1:".len()..].to_owned();
        for expected in [
            format!(
                "| found | {} | alice, session chat-7 | PII, secret |",
                name("alice:chat-7")
            ),
            format!(
                "| found | {} | alice, no session | injection |",
                name("alice:-:-")
            ),
            "u-17, no session, hr-copilot at praxis-gateway | finance |".to_owned(),
            "| not found | | alice, session chat-8 | |".to_owned(),
            format!(
                "| left behind | {} | no line of the files explains it: secret |",
                name("mallory:chat-1")
            ),
            "| left behind | version | no key of a session's labels | |".to_owned(),
            "3 sets found, 1 not found, 2 left behind; 6 labels to write, 0 there already".to_owned(),
            "nothing was written".to_owned(),
        ] {
            assert!(text.contains(&expected), "`{expected}` is missing in\n{text}");
        }
        assert_eq!(records(path).len(), 0);
        // Without a reason nothing is written either.
        assert_eq!(import(path, &source, &["--apply"]).0, Some(2));
        assert_eq!(import(path, &source, &["--apply", "--reason", " "]).0, Some(2));
        let (code, text, errors) = import(path, &source, &["--apply", "--reason", "we moved"]);
        assert_eq!(code, Some(1), "{text}{errors}");
        assert!(text.contains("6 labels written, 0 there already"), "{text}");
        let written = records(path);
        // Two buckets of chat-7, by header and by claim, and one for each subject without a session.
        assert_eq!(written.len(), 4);
        for record in &written {
            assert_eq!(record["step"]["plugin"], "aplomb.sessions.import");
            assert_eq!(
                (&record["step"]["source"], &record["client"]),
                (&json!("we moved"), &json!("ada"))
            );
        }
        let process = Process::start(path, &config(), &[]);
        takes_over(&process).await;
        // Once more, and now a companion runs.
        let (_, text, _) = import(path, &source, &["--apply", "--reason", "again"]);
        assert!(text.contains("0 labels written, 6 there already"), "{text}");
        assert_eq!(records(path).len(), 4);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn labels_are_imported_into_a_server_through_the_companion_that_uses_it() {
    let (Some(source), Some(target)) = (upstream("valkey-server").await, Server::start(None).await) else {
        return;
    };
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path();
    subjects(path);
    let store = format!("127.0.0.1:{}", target.port);
    let arguments = ["--store", &store, "--store-replicas", "0"];
    let process = Process::start_with(path, &config(), &[], &arguments);
    let (code, text, errors) = import(
        path,
        &source,
        &["--apply", "--reason", "we moved", "--format", "json"],
    );
    assert_eq!(code, Some(1), "{text}{errors}");
    let report: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(report["sets"].as_array().map(Vec::len), Some(3));
    takes_over(&process).await;
    let (_, text, _) = import(path, &source, &[]);
    assert!(text.contains("0 labels to write, 6 there already"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_line_a_wrong_password_and_a_set_that_is_none_are_told() {
    let Some(source) = upstream("redis-server").await else {
        return;
    };
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path();
    std::fs::create_dir(path.join("data")).expect("a directory");
    std::fs::write(path.join("subjects.jsonl"), "\n{\"subject\": \"alice\"}\n").expect("writes");
    let (code, _, errors) = import(path, &source, &[]);
    assert_eq!(code, Some(2));
    assert!(errors.contains("line 2: missing field `issuer`"), "{errors}");
    subjects(path);
    source.command(&["SET", &key("alice:chat-8"), "no set"]).await;
    source
        .command(&["SADD", &key("alice:-:-"), &"x".repeat(129)])
        .await;
    let (code, text, errors) = import(path, &source, &[]);
    assert_eq!(code, Some(1), "{text}{errors}");
    assert!(
        text.contains("WRONGTYPE") && text.contains("longer than 128 bytes"),
        "{text}"
    );
    // What can be taken over is.
    assert!(text.contains("6 labels to write"), "{text}");
    source
        .command(&["ACL", "SETUSER", "reader", "resetpass", ">other"])
        .await;
    let (code, _, errors) = import(path, &source, &[]);
    assert_eq!(code, Some(2));
    assert!(errors.contains("cannot read labels from `127.0.0.1:"), "{errors}");
}
