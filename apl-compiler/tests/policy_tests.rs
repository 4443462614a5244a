//! `aplc test` as authors run it: the example's own tests, and what a test that is wrong says.

#[path = "policy_tests/identities.rs"]
mod identities;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

const POLICY: &str = r#"
plugins:
  - name: user
    kind: identity/jwt
    config:
      trusted_issuers:
        - issuer: "https://idp.example"
          audiences: ["gateway"]
          algorithms: ["EdDSA"]
          decoding_key: { kind: jwks_url, url: "https://idp.example/keys" }
  - name: tokens
    kind: delegator/oauth
    config:
      token_endpoint: "https://idp.example/token"
      client_id: gateway
      client_secret_source: { kind: env_var, name: GATEWAY_SECRET }
global:
  authentication: [user]
routes:
  - tool: pay
    args:
      iban: "str | mask(4)"
      note: "omit"
    pre_invocation:
      - "require(perm.pay)"
      - "security.labels contains \"secret\": deny('no', 'tainted')"
      - "delegate(tokens, target: payments, permissions: [pay])"
    result:
      card: "redact"
"#;

fn folder(tests: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("policy.yaml"), POLICY).expect("written");
    fs::write(folder.path().join("policy.test.yaml"), tests).expect("written");
    folder
}

/// Exit code, standard output, standard error.
fn aplc(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_aplc"))
        .args(arguments)
        .current_dir(folder)
        .output()
        .expect("runs");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    let (out, err) = (text(output.stdout), text(output.stderr));
    assert!(!err.contains("panicked"), "{err}");
    (output.status.code().unwrap_or(-1), out, err)
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the workspace")
        .to_owned()
}

/// Runs one test file that must not pass; what it says.
fn wrong(tests: &str) -> String {
    let folder = folder(tests);
    let (code, out, err) = aplc(folder.path(), &["test"]);
    assert_eq!(code, 1, "{out}{err}");
    out
}

#[test]
fn the_examples_tests_pass_and_reach_every_rule_both_ways() {
    let (code, out, err) = aplc(
        &workspace(),
        &["test", "examples", "--coverage", "--min-coverage", "100"],
    );
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains("examples/hr/policy.yaml: 100.0 %"), "{out}");
}

#[test]
fn a_rule_that_no_test_reaches_fails_the_coverage_asked_for() {
    let folder = folder("tests: [{name: nobody, request: {tool: pay}, expect: {unauthenticated: true}}]");
    let (code, out, err) = aplc(folder.path(), &["test", "--coverage", "--min-coverage", "50"]);
    assert_eq!(code, 1, "{out}{err}");
    assert!(out.contains("1 passed") && out.contains("never reached"), "{out}");
    assert!(err.contains("coverage is 0.0 %, less than the 50 %"), "{err}");
}

#[test]
fn edits_are_judged_on_the_bytes_that_backend_and_client_get() {
    let tests = r#"
tests:
  - name: edits
    identity: { subject: bob, permissions: [pay] }
    session: { labels: [] }
    delegations: [{ delegator: tokens, token: minted }]
    request: { tool: pay, args: { iban: "DE02120300000000202051", note: secret, amount: 1.50 } }
    result: { card: "4111", ok: true }
    expect:
      verdict: allow
      args: { iban: "******************2051", amount: 1.5 }
      headers: { authorization: Bearer minted }
      edits: ["args.iban:mask", "args.note:omit", "result.card:redact"]
      result: { card: "[REDACTED]", ok: true }
"#;
    let (code, out, err) = aplc(folder(tests).path(), &["test", "policy.yaml"]);
    assert_eq!(code, 0, "{out}{err}");
}

#[test]
fn a_failure_says_what_was_expected_and_which_line_of_the_policy_decided() {
    let out = wrong(
        r#"
tests:
  - name: pays
    identity: { subject: bob }
    request: { tool: pay }
    expect: { verdict: allow }
"#,
    );
    assert!(out.contains("policy.test.yaml:6"), "{out}");
    assert!(
        out.contains("verdict: expected `allow`, got `deny` with code `routes.tool:pay.pre_invocation[0]`"),
        "{out}"
    );
    assert!(
        out.contains("decided at policy.yaml:25: - \"require(perm.pay)\""),
        "{out}"
    );
}

#[test]
fn documents_that_differ_are_told_place_by_place() {
    let out = wrong(
        r#"
tests:
  - name: pays
    identity: { subject: bob, permissions: [pay] }
    session: { labels: [] }
    delegations: [{ delegator: tokens }]
    request: { tool: pay, args: { iban: "DE02120300000000202051" } }
    result: { card: "4111", items: [1, 2] }
    expect: { verdict: allow, result: { card: "4111", items: [1, 3] }, effects: [session.load] }
"#,
    );
    assert!(
        out.contains("result.card: expected \"4111\", got \"[REDACTED]\""),
        "{out}"
    );
    assert!(out.contains("result.items[1]: expected 3, got 2"), "{out}");
    assert!(
        out.contains("effects, in order: expected [session.load], got [session.load, token.exchange:tokens]"),
        "{out}"
    );
    assert!(out.contains("asked, and did not deny: policy.yaml:25"), "{out}");
}

#[test]
fn an_answer_that_is_asked_for_and_not_given_fails_and_says_what_to_add() {
    let test = |given: &str| {
        wrong(&format!(
            "tests: [{{name: pays, identity: {{subject: bob, permissions: [pay]}}, request: {{tool: pay}}, expect: {{verdict: deny}}{given}}}]"
        ))
    };
    let out = test("");
    assert!(
        out.contains("reads the session's labels: add `session: {labels: []}`"),
        "{out}"
    );
    let out = test(", session: {labels: []}");
    assert!(
        out.contains("asks `tokens` for a token for `payments` with [\"pay\"]: add `delegations: [{delegator: tokens}]`"),
        "{out}"
    );
    let out = test(", session: {labels: []}, delegations: [{delegator: tokens}]");
    assert!(
        out.contains("looks at the result of `pay`: add `result: {...}`"),
        "{out}"
    );
}

#[test]
fn unknown_keys_are_refused_with_their_place_and_a_suggestion() {
    for (text, told) in [
        (
            "tests: [{nam: x, request: {tool: pay}, expect: {verdict: deny}}]",
            "did you mean `name`?",
        ),
        (
            "tests: [{name: x, request: {tol: pay}, expect: {verdict: deny}}]",
            "did you mean `tool`?",
        ),
        (
            "tests: [{name: x, request: {tool: pay}, expect: {verdct: deny}}]",
            "did you mean `verdict`?",
        ),
        (
            "tests: [{name: x, request: {tool: pay}, expect: {verdict: denyy}}]",
            "did you mean `deny`?",
        ),
        (
            "tests: [{name: x, identity: bobb, request: {tool: pay}, expect: {verdict: deny}}]\nidentities: {bob: {subject: bob}}",
            "did you mean `bob`?",
        ),
        (
            "tests: [{name: x, identity: {subjct: b}, request: {tool: pay}, expect: {verdict: deny}}]",
            "did you mean `subject`?",
        ),
        ("tests: [{name: x, request: {tool: pay}}]", "nothing is expected"),
        (
            "tests: [{name: x, expect: {verdict: deny}}]",
            "there is no `request`",
        ),
        (
            "tests: [{name: x, request: {tool: pay}, expect: {code: a}}]",
            "`expect` says no verdict",
        ),
        (
            "tests: [{name: x, request: {http: /x}, expect: {verdict: deny}}]",
            "an HTTP request is a method and a path",
        ),
        (
            "tests: [{name: x, request: {tool: pay}, decisions: {p: alow}, expect: {verdict: deny}}]",
            "did you mean `allow`?",
        ),
        (
            "tests: [{name: x, request: {tool: pay}, elicitations: {p: aproved}, expect: {verdict: deny}}]",
            "did you mean `approved`?",
        ),
        ("tests: [{name: x, name: y}]", "policy.test.yaml:1:"),
    ] {
        let out = wrong(text);
        assert!(
            out.contains(told) && out.contains("policy.test.yaml:1:"),
            "{text}\n{out}"
        );
    }
}

#[test]
fn a_policy_that_does_not_compile_breaks_its_tests() {
    let folder = folder("tests: [{name: x, request: {tool: pay}, expect: {verdict: deny}}]");
    fs::write(
        folder.path().join("policy.yaml"),
        "routes: [{tool: pay, pre_invocations: []}]",
    )
    .expect("written");
    let (code, out, _) = aplc(folder.path(), &["test"]);
    assert_eq!(code, 1);
    assert!(
        out.contains("APL0101") && out.contains("1 files that cannot be tested"),
        "{out}"
    );
}

const MIXED: &str = r#"
tests:
  - name: nobody pays
    request: { tool: pay }
    expect: { unauthenticated: true }
  - name: "bob <&> \"pays\""
    identity: { subject: bob }
    request: { tool: pay }
    expect: { verdict: allow, reason: other }
"#;

#[test]
fn a_filter_selects_tests_by_name() {
    let folder = folder(MIXED);
    let (code, out, _) = aplc(folder.path(), &["test", "--filter", "nobody"]);
    assert_eq!(code, 0, "{out}");
    assert!(out.contains("1 passed, 0 failed"), "{out}");
}

#[test]
fn results_as_json_say_what_people_are_told() {
    let (code, out, _) = aplc(folder(MIXED).path(), &["test", "--format", "json"]);
    let report: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(
        (code, &report["passed"], &report["failed"]),
        (1, &1.into(), &1.into())
    );
    let failures = report
        .pointer("/suites/0/tests/1/failures")
        .and_then(Value::as_array)
        .expect("failures");
    assert_eq!(failures.len(), 2);
    assert_eq!(failures[0]["line"], 9);
}

/// Elements, their nesting, and the text in them, of well-formed XML; anything else panics.
fn elements(xml: &str) -> Vec<(usize, String)> {
    let mut rest = xml
        .strip_prefix("<?xml version=\"1.0\" encoding=\"UTF-8\"?>")
        .expect("a declaration")
        .trim_start();
    let (mut open, mut found) = (Vec::new(), Vec::new());
    while let Some(start) = rest.find('<') {
        let text = &rest[..start];
        assert!(!text.contains('>'), "`>` in text: {text}");
        let end = start + rest[start..].find('>').expect("a tag ends");
        let tag = &rest[start + 1..end];
        assert!(
            !tag.contains('<') && tag.matches('"').count().is_multiple_of(2),
            "{tag}"
        );
        for entity in text.split('&').skip(1).chain(tag.split('&').skip(1)) {
            let (name, _) = entity.split_once(';').expect("an entity ends");
            assert!(
                ["amp", "lt", "gt", "quot", "#10", "#9"].contains(&name),
                "&{name};"
            );
        }
        match tag.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop().as_deref(), Some(name)),
            None => {
                found.push((open.len(), tag.to_owned()));
                if !tag.ends_with('/') {
                    open.push(tag.split(' ').next().expect("a name").to_owned());
                }
            }
        }
        rest = &rest[end + 1..];
    }
    assert!(open.is_empty() && rest.trim().is_empty());
    found
}

#[test]
fn junit_reports_are_well_formed_and_count_right() {
    let (code, out, _) = aplc(folder(MIXED).path(), &["test", "--format", "junit"]);
    assert_eq!(code, 1);
    let found = elements(&out);
    let shape: Vec<(usize, &str)> = found
        .iter()
        .map(|(depth, tag)| (*depth, tag.split(' ').next().unwrap()))
        .collect();
    assert_eq!(
        shape,
        [
            (0, "testsuites"),
            (1, "testsuite"),
            (2, "testcase"),
            (2, "testcase"),
            (3, "failure")
        ]
    );
    assert!(
        found[0].1.contains("tests=\"2\" failures=\"1\" errors=\"0\""),
        "{}",
        found[0].1
    );
    assert!(
        found[1]
            .1
            .contains("tests=\"2\" failures=\"1\" errors=\"0\" skipped=\"0\" time=\""),
        "{}",
        found[1].1
    );
    assert!(
        found[3].1.contains("name=\"bob &lt;&amp;&gt; &quot;pays&quot;\""),
        "{}",
        found[3].1
    );
    assert!(found[4].1.contains("type=\"expectation\""));
}

#[test]
fn a_broken_file_is_an_error_in_junit() {
    let (code, out, _) = aplc(folder("tests: 1").path(), &["test", "--format", "junit"]);
    let found = elements(&out);
    assert_eq!(code, 1);
    assert!(
        found[0].1.contains("tests=\"1\" failures=\"0\" errors=\"1\""),
        "{}",
        found[0].1
    );
    assert!(
        found
            .iter()
            .any(|(depth, tag)| *depth == 3 && tag.starts_with("error ")),
        "{out}"
    );
}

#[test]
fn lcov_has_a_line_for_each_rule_and_a_branch_for_each_way() {
    let folder = folder(MIXED);
    let (_, out, err) = aplc(folder.path(), &["test", "--coverage=lcov"]);
    let lcov = fs::read_to_string(folder.path().join("lcov.info")).unwrap_or_else(|_| panic!("{out}{err}"));
    let lines: Vec<&str> = lcov.lines().collect();
    assert_eq!(lines.first().copied(), Some("TN:"));
    assert_eq!(lines.get(1).copied(), Some("SF:policy.yaml"));
    assert_eq!(lines.last().copied(), Some("end_of_record"));
    // Line 25, `require(perm.pay)`, was reached once and denied; line 26 was never reached.
    for wanted in [
        "DA:25,1",
        "BRDA:25,0,0,1",
        "BRDA:25,0,1,0",
        "DA:26,0",
        "BRDA:26,0,0,-",
    ] {
        assert!(lines.contains(&wanted), "{wanted}\n{lcov}");
    }
    let count = |prefix: &str| lines.iter().filter(|line| line.starts_with(prefix)).count();
    assert!(lines.contains(&format!("LF:{}", count("DA:")).as_str()), "{lcov}");
    assert!(
        lines.contains(&format!("BRF:{}", count("BRDA:")).as_str()),
        "{lcov}"
    );
}

#[test]
fn a_policy_of_several_files_is_covered_file_by_file() {
    let folder = folder(
        "policy: shop\ntests: [{name: x, identity: {subject: b, roles: [emp]}, request: {tool: pay}, expect: {verdict: deny}}]",
    );
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("written");
    fs::create_dir_all(folder.path().join("shop/teams")).expect("made");
    let (plugins, _) = POLICY.split_once("  - name: tokens").expect("plugins");
    write(
        "shop/platform.yaml",
        &format!(
            "{plugins}global:\n  authentication: [user]\n  pre_invocation:\n    - \"require(role.emp)\"\nteams: {{pay: {{tool: [pay]}}}}\n"
        ),
    );
    write(
        "shop/teams/pay.yaml",
        "routes:\n  - tool: pay\n    pre_invocation:\n      - \"require(perm.pay)\"\n",
    );
    let (code, out, err) = aplc(folder.path(), &["test", "--coverage=lcov"]);
    assert_eq!(code, 0, "{out}{err}");
    let lcov = fs::read_to_string(folder.path().join("lcov.info")).expect("written");
    for wanted in [
        "SF:shop/platform.yaml\n",
        "SF:shop/teams/pay.yaml\n",
        "DA:14,1\n",
        "DA:4,1\n",
    ] {
        assert!(lcov.contains(wanted), "{wanted}{lcov}");
    }
    let (_, out, _) = aplc(folder.path(), &["test", "--format", "json"]);
    let report: Value = serde_json::from_str(&out).expect("JSON");
    let missing = report
        .pointer("/coverage/policies/0/missing")
        .expect("missing")
        .to_string();
    assert!(
        missing.contains("shop/teams/pay.yaml:4: - \\\"require(perm.pay)\\\": never does not deny"),
        "{missing}"
    );
}

#[test]
fn a_policy_that_brings_its_own_keys_is_tested_with_the_tests() {
    // RFC 8037, appendix A.2.
    let jwk = r#"{ kind: jwk, jwk: { kty: OKP, crv: Ed25519, kid: k, x: 11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo } }"#;
    let folder = folder(
        "tests: [{name: x, identity: {subject: b}, request: {tool: pay}, expect: {verdict: deny, unauthenticated: false}}]",
    );
    let policy = POLICY.replace(r#"{ kind: jwks_url, url: "https://idp.example/keys" }"#, jwk);
    assert_ne!(policy, POLICY);
    fs::write(folder.path().join("policy.yaml"), policy).expect("written");
    let (code, out, err) = aplc(folder.path(), &["test"]);
    assert_eq!(code, 0, "{out}{err}");
}

#[test]
fn tokens_are_signed_by_whatever_algorithm_the_policy_names() {
    for algorithm in [
        "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "EdDSA",
    ] {
        let folder = folder(
            "tests: [{name: x, identity: {subject: b}, request: {tool: pay}, expect: {verdict: deny, unauthenticated: false}}]",
        );
        fs::write(
            folder.path().join("policy.yaml"),
            POLICY.replace("EdDSA", algorithm),
        )
        .expect("written");
        let (code, out, err) = aplc(folder.path(), &["test"]);
        assert_eq!(code, 0, "{algorithm}\n{out}{err}");
    }
}

#[test]
fn an_invocation_that_names_nothing_to_test_is_at_fault() {
    let folder = tempfile::tempdir().expect("a folder");
    let (code, _, err) = aplc(folder.path(), &["test"]);
    assert_eq!(code, 2);
    assert!(err.contains("no `*.test.yaml` in `.`"), "{err}");
    fs::write(folder.path().join("a.yaml"), "routes: []").expect("written");
    let (code, _, err) = aplc(folder.path(), &["test", "a.yaml"]);
    assert_eq!(code, 2);
    assert!(err.contains("there is no `a.test.yaml` beside it"), "{err}");
}

/// A program that ends with the test, however that ends.
struct Running(std::process::Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn watching_runs_again_when_a_policy_changes() {
    use std::io::{BufRead as _, BufReader};
    let folder = folder(MIXED);
    let mut running = Running(
        Command::new(env!("CARGO_BIN_EXE_aplc"))
            .args(["test", "--watch", "--filter", "nobody"])
            .current_dir(folder.path())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .expect("runs"),
    );
    let mut lines = BufReader::new(running.0.stdout.take().expect("piped")).lines();
    let mut until = |wanted: &str| {
        lines
            .by_ref()
            .map_while(Result::ok)
            .any(|line| line.contains(wanted))
    };
    assert!(until("1 passed") && until("watching 2 files"));
    // The change is of another length, so that a coarse clock cannot hide it.
    let changed = POLICY.replace("authentication: [user]", "authentication: []");
    fs::write(folder.path().join("policy.yaml"), changed).expect("written");
    assert!(until("0 passed"));
}
