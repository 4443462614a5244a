//! The OpenAPI document against an independent client: schemathesis makes requests from it and looks at the answers.

use std::process::Command;

use serde_json::json;

use super::client::{DIGEST, get};
use super::durability::Process;
use super::real::program;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn schemathesis_finds_no_answer_that_the_document_does_not_describe() {
    let Some(program) = program("schemathesis/bin/schemathesis") else {
        return;
    };
    let directory = tempfile::tempdir().expect("a directory");
    let config = json!({"version": 1, "policy_digest": DIGEST});
    let process = Process::start(directory.path(), &config, &[]);
    let document = get(process.address, "/openapi.json").await;
    assert_eq!(document.json()["openapi"], "3.1.0");
    let output = tokio::task::spawn_blocking(move || {
        Command::new(program)
            .args(["run", &format!("http://{}/openapi.json", process.address)])
            .args(["--checks", "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"])
            .args(["--max-examples", "20", "--phases", "examples,coverage,fuzzing", "--request-timeout", "60", "--no-color"])
            // The same questions every time, however slow the machine.
            .args(["--seed", "7", "--generation-deterministic", "--suppress-health-check", "too_slow"])
            .current_dir(directory.path())
            .output()
            .expect("runs")
    });
    let output = output.await.expect("joins");
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success(), "{said}");
}
