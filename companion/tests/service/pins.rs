//! `aplomb-companion pins`: what an operator does about a tool whose definition changed.

use std::path::Path;
use std::process::Command;

use apl_bytecode::{Pin, Pins, Program, encode};
use aplomb_enforcer::PinMark;
use companion_protocol::{Effect, EffectResult, OnFail};
use serde_json::json;

use crate::client::{DIGEST, call, perform};
use crate::durability::Process;

fn pins(directory: &Path, arguments: &[&str]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_aplomb-companion"))
        .arg("pins")
        .args(arguments)
        .env("USER", "ada")
        .arg("--data")
        .arg(directory.join("data"))
        .arg("--policy")
        .arg(directory.join("policy.aplb"))
        .output()
        .expect("runs");
    let code = output.status.code().expect("a code");
    (code, String::from_utf8(output.stdout).expect("text"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_sees_a_changed_tool_and_clears_its_mark_alone() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path();
    let program = Program {
        strings: vec!["pay".into(), "search".into(), "hr".into()],
        pins: vec![Pins {
            scope: Some(apl_bytecode::StrId(2)),
            hides_unpinned: false,
            tools: vec![
                Pin {
                    name: apl_bytecode::StrId(0),
                    digest: [1; 32],
                },
                Pin {
                    name: apl_bytecode::StrId(1),
                    digest: [2; 32],
                },
            ],
        }],
        ..Program::default()
    };
    std::fs::write(path.join("policy.aplb"), encode(&program)).expect("written");
    let config = json!({"version": 1, "policy_digest": DIGEST});
    let process = Process::start(path, &config, &[]);
    let marks = [("pay", [1; 32]), ("search", [2; 32])].map(|(tool, pin)| PinMark::new("hr", tool, &pin));
    for mark in &marks {
        let append = Effect::SessionAppend {
            session: mark.session.clone(),
            labels: Vec::new(),
            subject_labels: vec![mark.label.clone()],
            ttl_s: Some(3_153_600_000),
        };
        let done = perform(process.address, DIGEST, vec![call(append, OnFail::Stop)]).await;
        assert!(matches!(done.results[0], EffectResult::Labels(_)), "{done:?}");
    }
    let (code, text) = pins(path, &["show"]);
    assert_eq!(code, 0);
    assert!(
        text.contains("pin:hr/pay") && text.contains("pin:hr/search"),
        "{text}"
    );
    assert_ne!(pins(path, &["clear", "--tool", "pay", "--reason", " "]).0, 0);
    assert_ne!(pins(path, &["clear", "--tool", "other", "--reason", "x"]).0, 0);
    let (code, text) = pins(
        path,
        &["clear", "--tool", "pay", "--reason", "looked at, ticket 7"],
    );
    assert_eq!((code, text.as_str()), (0, "pin:hr/pay: removed\n"));
    let log = std::fs::read_to_string(path.join("data/audit.jsonl")).expect("reads");
    assert!(log.contains("pin:hr/pay: looked at, ticket 7"), "{log}");
    process.kill();
    // The other one is still there, also for a companion that does not run.
    let (_, text) = pins(path, &["show"]);
    assert!(
        !text.contains("pin:hr/pay") && text.contains("pin:hr/search"),
        "{text}"
    );
    assert_eq!(pins(path, &["clear", "--tool", "search", "--reason", "too"]).0, 0);
    assert_eq!(pins(path, &["show"]).1, "no marks\n");
}
