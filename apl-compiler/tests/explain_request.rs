//! `aplc explain policy --request request`: every step, what it read, and why the others had no say.

#[path = "explain_request/effects.rs"]
mod effects;

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// Exit code, and all that is said.
fn explain(request: &str, more: &[&str], files: &[(&str, &str)]) -> (i32, String) {
    let policy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/hr/policy.yaml");
    let policy = fs::read_to_string(policy).expect("the example");
    run(&policy, request, more, files)
}

fn explained(policy: &str, request: &str) -> (i32, String) {
    run(policy, request, &[], &[])
}

fn run(policy: &str, request: &str, more: &[&str], files: &[(&str, &str)]) -> (i32, String) {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("policy.yaml"), policy).expect("written");
    fs::write(folder.path().join("request"), request).expect("written");
    for (name, text) in files {
        fs::write(folder.path().join(name), text).expect("written");
    }
    let output = Command::new(env!("CARGO_BIN_EXE_aplc"))
        .args(["explain", "policy.yaml", "--request", "request"])
        .args(more)
        .current_dir(folder.path())
        .output()
        .expect("runs");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (
        output.status.code().unwrap_or(-1),
        text(output.stdout) + &text(output.stderr),
    )
}

const SEARCH: &str = r#"
identity: { subject: sam, roles: [engineer], teams: [engineering], client: copilot }
request: { tool: search_repos, args: { visibility: top-secret-word } }
"#;

#[test]
fn each_step_is_told_with_what_it_read_and_payload_is_masked() {
    let (code, out) = explain(SEARCH, &[], &[]);
    assert_eq!(code, 0, "{out}");
    for told in [
        "tool:search_repos  (routes.tool:search_repos)",
        "policy.yaml:118  - \"require(team.engineering | team.security)\"",
        "team.security is absent",
        "args.visibility is a text of 15 characters",
        "denies with `cel.policy_denied`: engineers read internal only; security reads any",
        "verdict: deny",
        "rule: routes.tool:search_repos.pre_invocation[1].on_deny[0]",
    ] {
        assert!(out.contains(told), "{told}\n{out}");
    }
    assert!(!out.contains("top-secret-word"), "{out}");
    let (others, why) = out
        .split_once("why not the others")
        .map(|(_, others)| (others, "denied before it"))
        .expect("others");
    assert!(
        others.contains("delegate(github-oauth") && others.contains(why),
        "{out}"
    );
}

#[test]
fn values_are_shown_on_request() {
    let (_, out) = explain(SEARCH, &["--show-values"], &[]);
    assert!(out.contains("args.visibility is \"top-secret-word\""), "{out}");
}

#[test]
fn tools_get_the_same_as_json() {
    let (_, out) = explain(SEARCH, &["--format", "json"], &[]);
    let told: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(told["verdict"], "deny");
    assert_eq!(told["steps"][0]["reads"][0]["attribute"], "team.engineering");
    assert_eq!(told["steps"][0]["came_to"], "does not fire");
    assert!(
        told["others"].as_array().is_some_and(|others| others.len() == 2),
        "{out}"
    );
}

#[test]
fn both_phases_and_answers_are_told() {
    let (code, out) = explain(
        r#"
identity: { subject: eve, roles: [hr], client: copilot }
request: { tool: get_compensation }
delegations: [{ delegator: workday-oauth }]
result: { ssn: 123-45-6789 }
"#,
        &[],
        &[],
    );
    assert_eq!(code, 0, "{out}");
    for told in [
        "answer: a token for `workday-api` with [read_compensation] until 2026-01-01T12:05:00Z",
        "after the call",
        "perm.view_ssn is absent",
        "the condition of stage 2 holds: the value is hidden",
        "edits: result.ssn:redact",
    ] {
        assert!(out.contains(told), "{told}\n{out}");
    }
}

#[test]
fn a_json_rpc_message_takes_its_caller_from_a_file() {
    let message =
        r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"search_repos","arguments":{}}}"#;
    let (_, out) = explain(message, &[], &[]);
    assert!(
        out.contains("no rule was reached") && out.contains("auth.malformed_header"),
        "{out}"
    );
    let who = ("who.yaml", "{ subject: sam, teams: [hr], client: copilot }");
    let (code, out) = explain(message, &["--identity", "who.yaml"], &[who]);
    assert_eq!(code, 0, "{out}");
    assert!(
        out.contains("code: routes.tool:search_repos.pre_invocation[0]"),
        "{out}"
    );
}

#[test]
fn an_answer_that_is_not_given_leaves_the_verdict_open() {
    let (code, out) = explain(
        "identity: { subject: eve, roles: [hr], client: copilot }\nrequest: { tool: get_compensation }",
        &[],
        &[],
    );
    assert_eq!(code, 1, "{out}");
    assert!(
        out.contains("not given: the policy asks `workday-oauth` for a token"),
        "{out}"
    );
}

#[test]
fn what_cannot_be_read_is_refused_with_its_place() {
    let (code, out) = explain("request: { tol: x }", &[], &[]);
    assert_eq!(code, 1, "{out}");
    assert!(
        out.contains("request:1:12") && out.contains("did you mean `tool`?"),
        "{out}"
    );
}
