//! `aplc init`: what it writes compiles without a warning, denies everything, and is the same each time.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use apl_compiler::{Severity, compile};

fn aplc(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_aplc"))
        .args(arguments)
        .current_dir(folder)
        .output()
        .expect("runs")
}

/// Everything that a foreign list may hold: quotes, line breaks, patterns of all kinds, names that no path can spell.
const TOOLS: &str = r#"{"tools": [
  {"name": "get_user", "description": "Reads a user.\n  - tool: evil", "inputSchema": {"type": "object", "required": ["id", "where", "maybe"], "properties": {
      "id": {"type": "string", "pattern": "^EMP-[0-9]+$", "maxLength": 20}, "kind": {"enum": ["a b", "c\"d", "e,f)"], "type": "string"},
      "limit": {"type": "integer", "minimum": 1, "exclusiveMaximum": 51}, "ratio": {"type": "number", "maximum": 1},
      "mail": {"type": "string", "format": "email"}, "loose": {"type": "string", "pattern": "[a-z]+"}, "back": {"type": "string", "pattern": "^(a)\\1$"},
      "maybe": {"type": ["string", "null"]}, "a.b": {"type": "string"}, "flag": {"type": "boolean"},
      "where": {"type": "object", "required": ["city"], "properties": {"city": {"type": "string"}}},
      "opt": {"type": "object", "required": ["x"], "properties": {"x": {"type": "integer"}}},
      "rows": {"type": "array", "items": {"type": "object", "required": ["n"], "properties": {"n": {"type": "number"}}}}}},
   "outputSchema": {"type": "object", "properties": {"ssn": {"type": "string"}, "name": {"type": "string"}, "home": {"type": "object", "properties": {"phone_number": {"type": "string"}}}}}},
  {"name": "del*", "description": "\u202e\u0007"},
  {"name": "quote\"me: {x}", "inputSchema": true}
]}"#;

#[test]
fn a_policy_from_tools_compiles_without_a_word_and_denies() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("tools.json"), TOOLS).expect("written");
    let done = aplc(folder.path(), &["init", "--tools", "tools.json"]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let text = fs::read_to_string(folder.path().join("policy.yaml")).expect("written");
    let compilation = compile("policy.yaml", &text);
    assert!(
        compilation
            .diagnostics
            .iter()
            .all(|diagnostic| diagnostic.severity == Severity::Note),
        "{:#?}\n{text}",
        compilation.diagnostics
    );
    let output = compilation.output.expect("compiles");
    assert_eq!(output.program.program().routes.len(), 3);
    for line in [
        r#"      "id": "required | str | len(..20) | regex(\"^EMP-[0-9]+$\")""#,
        r#"      "limit": "int | 1..50""#,
        r#"      "ratio": "float | ..1""#,
        r#"      "mail": "str | email""#,
        r#"      "loose": "str""#,
        r#"      "where.city": "required | str""#,
        r#"      "opt.x": "int""#,
        r#"      "rows.n": "float""#,
        r#"    #   "ssn": "redact(!perm.view_ssn)""#,
        r#"    #   "home.phone_number": "redact(!perm.view_home_phone_number)""#,
        r#"  - tool: ["del*"]"#,
    ] {
        assert!(text.lines().any(|known| known == line), "{line}\n{text}");
    }
    assert!(
        !text.contains("\u{202e}") && !text.contains("\n  - tool: evil"),
        "{text}"
    );
    assert!(!text.contains("\"name\": \"redact"), "{text}");
    // Every route denies: the gate is its first and only step.
    assert_eq!(text.matches("gate.missing')\"").count(), 3);

    let again = aplc(folder.path(), &["init", "--tools", "tools.json"]);
    assert_eq!(again.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&again.stderr).contains("--force"));
    fs::write(folder.path().join("policy.yaml"), "x").expect("written");
    assert!(
        aplc(folder.path(), &["init", "--tools", "tools.json", "--force"])
            .status
            .success()
    );
    assert_eq!(
        fs::read_to_string(folder.path().join("policy.yaml")).expect("written"),
        text
    );

    // What came of the tools fits the tools.
    let checked = aplc(
        folder.path(),
        &["check", "policy.yaml", "--tools", "tools.json", "--strict"],
    );
    assert!(checked.status.success());
    let said = String::from_utf8_lossy(&checked.stderr);
    assert!(!said.contains("APL032"), "{said}");
}

#[test]
fn a_policy_from_an_audit_log_has_a_route_for_what_was_called() {
    let folder = tempfile::tempdir().expect("a folder");
    let record = |kind: &str, name: &str, verdict: &str, subject: &str| {
        serde_json::json!({"seq": 1, "stream": "s", "at_ms": 1, "decision_id": "d", "policy_digest": "p", "verdict": verdict,
            "entity_type": kind, "entity_name": name, "subject": subject, "chain": {"n": 1, "hash": "00"}})
        .to_string()
    };
    let log = [
        record("tool", "pay", "allow", "ann"),
        record("tool", "pay", "deny", "bob"),
        record("resource", "file://x?y", "allow", "ann"),
        record("a2a", "message/send", "allow", "ann"),
        "not json".to_owned(),
        String::new(),
    ]
    .join("\n");
    fs::write(folder.path().join("audit.jsonl"), log).expect("written");
    let done = aplc(
        folder.path(),
        &["init", "--from-audit", "audit.jsonl", "-o", "new.yaml"],
    );
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let text = fs::read_to_string(folder.path().join("new.yaml")).expect("written");
    let compilation = compile("new.yaml", &text);
    assert!(
        compilation.diagnostics.is_empty(),
        "{:#?}",
        compilation.diagnostics
    );
    assert_eq!(
        compilation
            .output
            .expect("compiles")
            .program
            .program()
            .routes
            .len(),
        2
    );
    assert!(
        text.contains("# seen 2 times, 1 of them not allowed, by 2 subjects\n  - tool: \"pay\""),
        "{text}"
    );
    assert!(
        text.contains("  - resource: [\"file://x?y\"]") && text.contains("# a2a:message/send"),
        "{text}"
    );
    fs::write(folder.path().join("empty.jsonl"), "{}\n").expect("written");
    let none = aplc(
        folder.path(),
        &["init", "--from-audit", "empty.jsonl", "-o", "other.yaml"],
    );
    assert_eq!(none.status.code(), Some(2));
    assert!(!folder.path().join("other.yaml").exists());
}
