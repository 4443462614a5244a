//! Policies in shadow: what the compiler makes of them, and what the tool does with them.

use std::fs;
use std::path::Path;
use std::process::Command;

use apl_bytecode::Enforcement;
use apl_compiler::{Compilation, File, Options, Policy, Severity, compile, compile_with};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;

fn codes(compilation: &Compilation) -> Vec<(Severity, &str)> {
    let all = compilation.diagnostics.iter();
    all.map(|diagnostic| (diagnostic.severity, diagnostic.code.id()))
        .collect()
}

/// Of each route, and of what has none.
fn enforcements(policy: &str) -> (Vec<Enforcement>, Enforcement) {
    let compilation = compile("policy.yaml", policy);
    let output = compilation
        .output
        .unwrap_or_else(|| panic!("{:?}", compilation.diagnostics));
    let program = output.program.program();
    let routes = program.routes.iter().map(|route| route.enforcement).collect();
    (routes, program.settings.enforcement)
}

#[test]
fn a_route_has_its_own_word_and_else_that_for_everything() {
    let policy = "global: {enforcement: shadow, until: \"2030-01-01T01:00:00+01:00\"}\nroutes:\n  - tool: [a, b]\n  - tool: c\n    \
                  enforcement: enforce\n  - tool: d\n    enforcement: shadow\n";
    let until = Enforcement::Shadow(1_893_456_000);
    assert_eq!(
        enforcements(policy),
        (
            vec![until, until, Enforcement::Enforce, Enforcement::Shadow(0)],
            until
        )
    );
    let one = "routes:\n  - tool: a\n    enforcement: shadow\n  - tool: b\n";
    assert_eq!(
        enforcements(one),
        (
            vec![Enforcement::Shadow(0), Enforcement::Enforce],
            Enforcement::Enforce
        )
    );
}

#[test]
fn until_is_a_moment_and_stands_beside_shadow() {
    for route in [
        "until: 2030-01-01T00:00:00Z",
        "enforcement: enforce, until: 2030-01-01T00:00:00Z",
        "enforcement: shadow, until: 2030-01-01",
        "enforcement: shadow, until: 2030-02-30T00:00:00Z",
        "enforcement: shadow, until: 1893456000",
        "enforcement: shadow, until: 1960-01-01T00:00:00Z",
    ] {
        let found = compile("policy.yaml", &format!("routes:\n  - {{tool: a, {route}}}\n"));
        assert_eq!(codes(&found), [(Severity::Error, "APL0123")], "{route}");
    }
    let found = compile("policy.yaml", "routes:\n  - {tool: a, enforcement: shadwo}\n");
    assert_eq!(codes(&found), [(Severity::Error, "APL0104")]);
}

#[test]
fn a_shadow_that_is_over_is_a_warning_on_the_day() {
    let policy = "routes:\n  - {tool: [a, b], enforcement: shadow, until: 2030-01-01T00:00:00Z}\n";
    let at = |now: u64| {
        let options = Options {
            now: Some(now),
            ..Options::default()
        };
        let found = compile_with("policy.yaml", policy, &options);
        codes(&found)
            .iter()
            .map(|(severity, _)| *severity)
            .collect::<Vec<_>>()
    };
    assert_eq!(at(1_893_455_999), []);
    assert_eq!(at(1_893_456_000), [Severity::Warning]);
}

#[test]
fn says_what_a_shadow_does_without() {
    let policy = "plugins:\n  - {name: m, kind: elicitation/page}\nglobal: {session_store: {kind: embedded}}\nroutes:\n  - tool: a\n    \
                  enforcement: shadow\n    assertions: {response: {strip: [x-a]}}\n    pre_invocation: [\"require_approval(m, from: 'x')\"]\n";
    let found = compile("policy.yaml", policy);
    let note = found
        .diagnostics
        .iter()
        .find(|found| found.code.id() == "APL0316")
        .expect("a note");
    assert!(note.message.contains("neither asserted"), "{}", note.message);
    assert!(note.message.contains("unknown"), "{}", note.message);
}

#[test]
fn a_team_has_no_say_in_it() {
    let platform = File {
        name: "platform.yaml".into(),
        text: "teams: {t: {tool: [\"t-*\"]}}\nroutes:\n  - {tool: \"t-*\", enforcement: shadow}\n".into(),
    };
    let policy = |team: &str| Policy {
        main: platform.clone(),
        teams: vec![File {
            name: "teams/t.yaml".into(),
            text: format!("routes:\n  - {{tool: t-a{team}}}\n"),
        }],
        files: &apl_compiler::NoFiles,
    };
    let refused = apl_compiler::compile_policy(&policy(", enforcement: enforce"));
    assert_eq!(codes(&refused), [(Severity::Error, "APL0121")]);
    let fine = apl_compiler::compile_policy(&policy(""));
    let output = fine.output.unwrap_or_else(|| panic!("{:?}", fine.diagnostics));
    let routes = &output.program.program().routes;
    assert!(
        routes
            .iter()
            .all(|route| route.enforcement == Enforcement::Shadow(0)),
        "{routes:?}"
    );
}

fn aplc(folder: &Path, arguments: &[&str], code: i32) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_aplc"))
        .args(arguments)
        .current_dir(folder)
        .output()
        .expect("runs");
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8(text).expect("text");
    assert_eq!(output.status.code(), Some(code), "{text}");
    text
}

const LIVE: &str = "routes:\n  - tool: pay\n    pre_invocation: [\"require(exists(args.iban))\"]\n";
const NEXT: &str = "routes:\n  - tool: pay\n    enforcement: shadow\n    args: {iban: \"str | mask(4)\"}\n    pre_invocation:\n      \
                    - \"require(exists(args.iban))\"\n      - \"exists(args.amount) & args.amount > 10: deny('too much', 'pay.limit')\"\n";

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("policy.yaml"), LIVE).expect("written");
    fs::write(folder.path().join("next.yaml"), NEXT).expect("written");
    folder
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).expect("there")).expect("JSON")
}

#[test]
fn builds_a_second_policy_beside_the_first() {
    let folder = folder();
    let out = folder.path().join("out");
    aplc(
        folder.path(),
        &["build", "policy.yaml", "-o", "out", "--shadow", "next.yaml"],
        0,
    );
    let filter = json(&out.join("filter-config.json"));
    let second = STANDARD
        .decode(filter["shadow_policy"].as_str().expect("there"))
        .expect("base64");
    let second = apl_bytecode::load(&second).expect("loads");
    assert_ne!(filter["policy_digest"], second.digest_hex());
    assert_eq!(
        json(&out.join("shadow-companion.json"))["policy_digest"],
        second.digest_hex()
    );
    aplc(folder.path(), &["build", "policy.yaml", "-o", "out"], 0);
    assert!(
        !out.join("shadow-companion.json").exists(),
        "one of an earlier build is gone"
    );
    assert_eq!(
        json(&out.join("filter-config.json"))["shadow_policy"],
        Value::Null
    );
}

#[test]
fn a_second_policy_with_errors_builds_nothing() {
    let folder = folder();
    fs::write(folder.path().join("next.yaml"), "routes:\n  - tol: x\n").expect("written");
    let said = aplc(
        folder.path(),
        &["build", "policy.yaml", "-o", "out", "--shadow", "next.yaml"],
        1,
    );
    assert!(said.contains("next.yaml"), "{said}");
    assert!(!folder.path().join("out").exists());
}

#[test]
fn the_break_glass_is_one_word() {
    let folder = folder();
    aplc(
        folder.path(),
        &["build", "policy.yaml", "-o", "out", "--enforcement", "shadow"],
        0,
    );
    assert_eq!(
        json(&folder.path().join("out/filter-config.json"))["enforcement"],
        "shadow"
    );
}

#[test]
fn policy_tests_ask_what_the_shadow_would_say() {
    let folder = folder();
    let tests = "tests:\n  - name: too much\n    request: {tool: pay, args: {iban: DE02120300000000202051, amount: 11}}\n    expect: \
                 {verdict: would_deny, code: pay.limit}\n  - name: fine\n    request: {tool: pay, args: {iban: DE02120300000000202051, amount: 9}}\n    \
                 expect: {verdict: would_allow, edits: [\"args.iban:mask\"]}\n";
    fs::write(folder.path().join("next.test.yaml"), tests).expect("written");
    let said = aplc(folder.path(), &["test", "next.yaml"], 0);
    assert!(said.contains("2 passed"), "{said}");
}

#[test]
fn the_tools_show_what_is_in_shadow() {
    let folder = folder();
    let graph = aplc(folder.path(), &["graph", "next.yaml"], 0);
    assert!(
        graph.contains("in shadow") || graph.contains("shadow: recorded"),
        "{graph}"
    );
    let diff = aplc(folder.path(), &["diff", "policy.yaml", "next.yaml"], 0);
    assert!(diff.contains("recorded only, not enforced"), "{diff}");
    let schema: Value = serde_json::from_str(&aplc(folder.path(), &["schema"], 0)).expect("JSON");
    assert!(
        schema.to_string().contains("\"enforcement\""),
        "an editor knows the key"
    );
}
