//! The example policy, as the compiler really compiles it, through the scenario of the demo.

use serde_json::{Value, json};

use crate::{
    host::{Backend, Seen, Worker, call},
    jwt::{claims, jwks, rs256},
};

const ISSUER: &str = "http://localhost:8081/realms/cpex-demo";

fn worker() -> Worker {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/hr/policy.yaml");
    let text = std::fs::read_to_string(path).expect("the example");
    let compilation = apl_compiler::compile("policy.yaml", &text);
    let output = compilation
        .output
        .unwrap_or_else(|| panic!("{:?}", compilation.diagnostics));
    let policy = apl_bytecode::encode(output.program.program());
    let mut worker = Worker::cold(&policy, |_| {});
    worker.companion.jwks = Some(jwks(&[&rs256()]));
    worker.tick();
    worker
}

fn token(user: &str, team: &str) -> String {
    let mut all = claims(user);
    all["iss"] = json!(ISSUER);
    all["aud"] = json!(["praxis-gateway"]);
    all["teams"] = json!([team]);
    rs256().sign(&all)
}

fn as_user(worker: &mut Worker, user: &str, team: &str, tool: &str, args: &Value) -> Seen {
    let (client, person) = (format!("Bearer {}", token("hr-copilot", "")), token(user, team));
    let record = json!({"ssn": "123-45-6789", "salary": 125_000}).to_string();
    let result =
        json!({"jsonrpc": "2.0", "id": 1, "result": {"content": [{"type": "text", "text": record}]}});
    let backend = Backend::events(&format!("event: message\ndata: {result}\n\n"));
    let headers = [
        ("authorization", client.as_str()),
        ("x-user-token", person.as_str()),
        ("x-session-id", "demo"),
    ];
    worker.post(&headers, &call(tool, &args.to_string()), Some(&backend))
}

#[test]
fn the_example_policy_decides_the_demos_scenario() {
    let mut worker = worker();
    let mail = json!({"to": "partner@example.com", "subject": "FYI", "body": "the roadmap is attached"});

    let seen = as_user(
        &mut worker,
        "bob",
        "hr",
        "get_compensation",
        &json!({"employee_id": "EMP-001234"}),
    );
    assert!(seen.forwarded(), "{seen:?}");
    assert!(seen.client_body().contains("123-45-6789"));
    assert_eq!(
        seen.upstream_header("authorization").as_deref(),
        Some("Bearer minted-for-bob")
    );
    assert_eq!(seen.upstream_header("x-user-token"), None);

    let seen = as_user(
        &mut worker,
        "eve",
        "hr",
        "get_compensation",
        &json!({"employee_id": "EMP-001234"}),
    );
    assert!(seen.client_body().contains("[REDACTED]") && !seen.client_body().contains("123-45-6789"));
    assert!(seen.client_body().contains("125000"));

    let seen = as_user(
        &mut worker,
        "alice",
        "engineering",
        "get_compensation",
        &json!({}),
    );
    assert_eq!(
        (seen.forwarded(), seen.code().as_str()),
        (false, "routes.tool:get_compensation.pre_invocation[0]")
    );

    let seen = as_user(
        &mut worker,
        "alice",
        "engineering",
        "search_repos",
        &json!({"visibility": "internal"}),
    );
    assert!(seen.forwarded(), "{seen:?}");
    let seen = as_user(
        &mut worker,
        "alice",
        "engineering",
        "search_repos",
        &json!({"visibility": "external"}),
    );
    assert_eq!(
        (seen.forwarded(), seen.code().as_str()),
        (false, "cel.policy_denied")
    );
    let seen = as_user(&mut worker, "alice", "engineering", "search_repos", &json!({}));
    assert_eq!(
        seen.code(),
        "cel.policy_denied",
        "an error in the expression is a denial of the step"
    );

    let seen = as_user(&mut worker, "bob", "hr", "send_email", &mail);
    assert_eq!(
        (seen.forwarded(), seen.code().as_str()),
        (false, "session_tainted")
    );
    worker.companion.sessions.clear();
    assert!(as_user(&mut worker, "bob", "hr", "send_email", &mail).forwarded());
    let mut with_number = mail.clone();
    with_number["body"] = json!("it is 555-12-3456");
    let seen = as_user(&mut worker, "bob", "hr", "send_email", &with_number);
    assert_eq!((seen.forwarded(), seen.code().as_str()), (false, "pii.detected"));
    assert!(!String::from_utf8_lossy(&seen.reply.as_ref().unwrap().body).contains("555-12"));
}

#[test]
fn a_warm_get_compensation_needs_no_round_trip_and_a_cold_one_needs_one() {
    let mut worker = worker();
    let args = json!({"employee_id": "EMP-001234"});
    assert_eq!(
        as_user(&mut worker, "bob", "hr", "get_compensation", &args).companion_calls,
        1
    );
    assert_eq!(
        as_user(&mut worker, "bob", "hr", "get_compensation", &args).companion_calls,
        0
    );
    assert_eq!(
        as_user(&mut worker, "bob", "hr", "send_email", &json!({})).companion_calls,
        1
    );
}
