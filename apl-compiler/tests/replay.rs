//! `aplc replay`: captured decisions through another policy.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use companion_protocol::sealed::CaptureKey;
use companion_protocol::{AuditRecord, Captured, Json, VerdictKind};

/// A key as `openssl genpkey -algorithm x25519` writes one, and its public key.
const PRIVATE: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VuBCIEIHcHbQpzGKV9PBbBclGyZkXfTC+S68CZKsF3+6UduSwq
-----END PRIVATE KEY-----
";
const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----
MCowBQYDK2VuAyEA+KlTWi0v9gXo4UTVT071xiMTogVduyH93T/ZwpnrAV0=
-----END PUBLIC KEY-----
";

fn policy(limit: u32) -> String {
    format!(
        r#"engine_settings: {{ capture: facts }}
plugins:
  - name: who
    kind: identity/jwt
    config:
      role: user
      header: authorization
      trusted_issuers:
        - issuer: https://id.example
          audiences: [gw]
          algorithms: [RS256]
          decoding_key: {{ kind: jwks_url, url: https://id.example/jwks }}
global:
  authentication: [who]
routes:
  - tool: pay
    pre_invocation:
      - "require(role.finance)"
      - "args.amount > {limit}: deny('too much', 'pay.limit')"
      - "security.labels contains 'secret': deny('tainted', 'tainted')"
"#
    )
}

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

struct Decision {
    id: &'static str,
    amount: u32,
    role: bool,
    labels: Option<&'static [&'static str]>,
    code: Option<&'static str>,
}

/// As the companion writes them.
fn line(seq: u64, digest: &str, decision: &Decision) -> String {
    let attributes = match decision.role {
        true => BTreeMap::from([("role.finance".to_owned(), Json::Bool(true))]),
        false => BTreeMap::new(),
    };
    let facts = Captured {
        attributes,
        args: Some(format!(r#"{{"amount": {}}}"#, decision.amount)),
        labels: decision
            .labels
            .map(|labels| labels.iter().map(|label| (*label).to_owned()).collect()),
        ..Captured::default()
    };
    let mut record = AuditRecord {
        seq,
        stream: "w".to_owned(),
        decision_id: decision.id.to_owned(),
        policy_digest: digest.to_owned(),
        verdict: Some(match decision.code {
            None => VerdictKind::Allow,
            Some(_) => VerdictKind::Deny,
        }),
        code: decision.code.map(str::to_owned),
        entity_type: "tool".to_owned(),
        entity_name: "pay".to_owned(),
        method: Some("tools/call".to_owned()),
        subject: Some("bob".to_owned()),
        facts: Some(Box::new(facts)),
        ..AuditRecord::default()
    };
    let key = CaptureKey::from_pem(PUBLIC).expect("a key");
    key.seal(&mut record).expect("seals");
    serde_json::to_string(&record).expect("JSON") + "\n"
}

fn stage() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    fs::write(at("old.yaml"), policy(1000)).expect("writes");
    fs::write(at("new.yaml"), policy(100)).expect("writes");
    fs::write(at("capture.pem"), PRIVATE).expect("writes");
    aplc(folder.path(), &["build", "old.yaml", "-o", "out"], 0);
    let config = fs::read_to_string(at("out/companion.json")).expect("reads");
    let config: serde_json::Value = serde_json::from_str(&config).expect("JSON");
    assert_eq!(
        config["captures"], true,
        "the companion must know that it needs a key"
    );
    let digest = config["policy_digest"].as_str().expect("a digest");
    let decision = |id, amount, role, labels, code| Decision {
        id,
        amount,
        role,
        labels,
        code,
    };
    let none: Option<&'static [&'static str]> = Some(&[]);
    let decisions = [
        decision("small", 50, true, none, None),
        decision("medium", 500, true, none, None),
        decision("large", 5000, true, none, Some("pay.limit")),
        decision(
            "stranger",
            5,
            false,
            none,
            Some("routes.tool:pay.pre_invocation[0]"),
        ),
        decision("tainted", 5, true, Some(&["secret"]), Some("tainted")),
        // The store could not be asked, so the policy says nothing else than it may deny.
        decision("broken", 5, true, None, Some("session.load_failed")),
    ];
    let mut log = String::new();
    for (seq, decision) in decisions.iter().enumerate() {
        log.push_str(&line(seq as u64, digest, decision));
    }
    log.push_str(&line(9, &"0".repeat(64), &decisions[0]));
    log.push_str("{\"no\":\"record\"}\n");
    fs::write(at("audit.jsonl"), log).expect("writes");
    folder
}

const ASK: [&str; 9] = [
    "replay",
    "--log",
    "audit.jsonl",
    "--key",
    "capture.pem",
    "--from",
    "old.yaml",
    "--to",
    "new.yaml",
];

#[test]
fn says_which_decisions_would_differ_and_which_nobody_can_know() {
    let folder = stage();
    let (said, _) = aplc(folder.path(), &ASK, 0);
    assert_eq!(
        said,
        "6 verdicts: 4 the same, 1 different, 1 not replayable\n\
         1 verdicts of other policies\n\
         medium tool pay by bob: allowed, would be denied pay.limit\n\
         not replayable 1: it hangs on what was not captured, or on what a human or a counter says\n"
    );
    let (json, _) = aplc(folder.path(), &[&ASK[..], &["--format", "json"]].concat(), 0);
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(json["differences"][0]["decision_id"], "medium");
}

#[test]
fn its_own_policy_makes_no_difference() {
    let folder = stage();
    let mut ask = ASK;
    ask[8] = "out/policy.aplb";
    let (said, _) = aplc(folder.path(), &ask, 0);
    assert!(
        said.starts_with("6 verdicts: 5 the same, 0 different, 1 not replayable"),
        "{said}"
    );
}

#[test]
fn another_key_opens_nothing_and_a_public_one_is_told_apart() {
    let folder = stage();
    let key = folder.path().join("capture.pem");
    fs::write(&key, PRIVATE.replace("HcHbQ", "HcHbR")).expect("writes");
    let (said, _) = aplc(folder.path(), &ASK, 0);
    assert!(
        said.contains("not replayable 6: it was encrypted to another key"),
        "{said}"
    );
    fs::write(&key, PUBLIC).expect("writes");
    let (_, error) = aplc(folder.path(), &ASK, 2);
    assert!(error.contains("openssl genpkey -algorithm x25519"), "{error}");
}
