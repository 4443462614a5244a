//! `aplc why`: from a decision's id to the rule, its line, and what to do.

use std::fs;
use std::path::Path;
use std::process::Command;

const POLICY: &str = r#"plugins:
  - name: who
    kind: identity/jwt
    config:
      role: user
      header: authorization
      trusted_issuers:
        - issuer: https://id.example
          audiences: [gw]
          algorithms: [RS256]
          decoding_key: { kind: jwks_url, url: https://id.example/jwks }
global:
  authentication: [who]
routes:
  - tool: read
    policy: ["taint(secret, session)"]
  - tool: send
    owner: mail-team
    policy:
      - "require(perm.send)"
      - "security.labels contains 'secret': deny('no mail after secrets', 'tainted')"
"#;

fn aplc(folder: &Path, arguments: &[&str], expected: i32) -> (String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_aplc"))
        .args(arguments)
        .current_dir(folder)
        .output()
        .expect("runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert_eq!(output.status.code(), Some(expected), "{}", text(&output.stderr));
    (text(&output.stdout), text(&output.stderr))
}

/// A log in two files: what set the label is in the sealed one.
fn stage() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("policy.yaml"), POLICY).expect("writes");
    aplc(folder.path(), &["build", "policy.yaml", "-o", "out"], 0);
    let config = fs::read_to_string(folder.path().join("out/companion.json")).expect("reads");
    let config: serde_json::Value = serde_json::from_str(&config).expect("JSON");
    let digest = config["policy_digest"].as_str().expect("a digest");
    let record = |seq: u64, id: &str, more: &str| {
        format!(
            r#"{{"seq":{seq},"stream":"w","at_ms":{seq},"decision_id":"{id}","policy_digest":"{digest}","entity_type":"tool","subject":"bob",{more}}}"#
        ) + "\n"
    };
    let sealed = record(
        1,
        "d1",
        r#""verdict":"allow","entity_name":"read","session":"s1","labels_added":["secret"]"#,
    ) + &record(
        2,
        "d2",
        r#""verdict":"allow","entity_name":"other","session":"s2","labels_added":["secret"]"#,
    );
    let current = record(
        3,
        "d3",
        r#""verdict":"deny","entity_name":"send","session":"s1","code":"tainted","rule":"routes.tool:send.pre_invocation[1]","labels":["secret"],"labels_of_policy":{"owner":"mail-team"}"#,
    ) + &record(
        4,
        "d4",
        r#""verdict":"deny","entity_name":"send","session":"s1","code":"session.load_failed""#,
    ) + &record(
        5,
        "d5",
        r#""verdict":"allow","entity_name":"send","session":"s1""#,
    ) + &record(
        6,
        "d5",
        r#""verdict":"deny_after","entity_name":"send","code":"delegation.failed","missing":["role.hr"],"untrue":["delegation.granted"],"took_ms":412,"calls":[{"effect":"token.exchange:mail","code":"delegation.failed","ms":380,"provider":"400 invalid_grant"},{"effect":"session.load","ms":2}]"#,
    );
    fs::write(folder.path().join("audit-000000000001.jsonl"), sealed).expect("writes");
    fs::write(folder.path().join("audit.jsonl"), current).expect("writes");
    folder
}

#[test]
fn names_rule_line_label_owner_and_next_step() {
    let folder = stage();
    for policy in ["policy.yaml", "out/policy.aplb"] {
        let (out, _) = aplc(
            folder.path(),
            &["why", "d3", "--log", "audit.jsonl", "--policy", policy],
            0,
        );
        for part in [
            "denied before the call",
            "code       tainted",
            "rule       routes.tool:send.pre_invocation[1]",
            ":21",
            "no mail after secrets",
            "security.labels",
            "secret by decision d1 (tool read)",
            "owner      mail-team",
        ] {
            assert!(out.contains(part), "{policy}: no `{part}` in\n{out}");
        }
    }
    let (out, _) = aplc(folder.path(), &["why", "d4", "--log", "audit.jsonl"], 0);
    assert!(out.contains("next       check the companion"), "{out}");
    let (out, _) = aplc(
        folder.path(),
        &[
            "why",
            "d3",
            "--log",
            "audit.jsonl",
            "--policy",
            "policy.yaml",
            "--format",
            "json",
        ],
        0,
    );
    let json: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(json["labels_set"][0]["decision_id"], "d1");
    assert_eq!(json["rule"]["reads"][0], "security.labels");
}

#[test]
fn tells_what_was_missing_who_was_asked_and_the_last_verdict() {
    let folder = stage();
    let (out, _) = aplc(folder.path(), &["why", "d5", "--log", "audit.jsonl"], 0);
    for part in [
        "denied after the call",
        "not there  role.hr",
        "false      delegation.granted",
        "asked      token.exchange:mail: delegation.failed, 380 ms, the identity provider answered 400 invalid_grant",
        "asked      session.load: performed, 2 ms",
        "took       412 ms",
    ] {
        assert!(out.contains(part), "no `{part}` in\n{out}");
    }
}

#[test]
fn says_what_it_does_not_know() {
    let folder = stage();
    let (_, err) = aplc(folder.path(), &["why", "d9", "--log", "audit.jsonl"], 2);
    assert!(err.contains("no verdict of decision `d9`"), "{err}");
    fs::write(
        folder.path().join("other.yaml"),
        POLICY.replace("no mail", "never mail"),
    )
    .expect("writes");
    let (out, _) = aplc(
        folder.path(),
        &["why", "d3", "--log", "audit.jsonl", "--policy", "other.yaml"],
        0,
    );
    assert!(
        out.contains("none of the policies given has that digest"),
        "{out}"
    );
    let (_, err) = aplc(folder.path(), &["why", "d3", "--log", "absent.jsonl"], 2);
    assert!(err.contains("absent.jsonl"), "{err}");
}
