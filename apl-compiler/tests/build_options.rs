//! What `aplc build` is told beside the policy, the label store, determinism, and `aplc pin`.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

const PASSWORD: &str = "pass-w0rd-of-the-store";

fn policy(store: &str) -> String {
    format!(
        "global:\n  session_store: {store}\nroutes:\n  - tool: pay\n    pre_invocation:\n      - \"deny('no', 'x.no')\"\n"
    )
}

/// Runs in a folder, checks the exit code, and returns standard output and standard error.
fn run(folder: &Path, arguments: &[&str], code: i32) -> (String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_aplc"))
        .args(arguments)
        .current_dir(folder)
        .output()
        .expect("runs");
    let out = String::from_utf8(output.stdout).expect("text");
    let err = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(code), "{arguments:?}\n{out}\n{err}");
    (out, err)
}

fn folder(policy: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("policy.yaml"), policy).expect("written");
    folder
}

fn build(folder: &Path, arguments: &[&str]) -> (Value, String) {
    let (out, _) = run(
        folder,
        &[&["build", "policy.yaml", "-o", "out"], arguments].concat(),
        0,
    );
    (json_of(&folder.join("out/filter-config.json")), out)
}

fn json_of(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).expect("there")).expect("JSON")
}

#[test]
fn every_field_of_a_valkey_store_reaches_the_companion() {
    let store = format!(
        "{{kind: valkey, endpoint: 'kv.example:6380', tls: true, username: aplomb, password: {PASSWORD}, ca_file: ca.pem, \
         key_prefix: 'team:v1', replicas: 2, ttl_seconds: 600, max_session_lifetime_seconds: 7200, \
         subject_ttl_seconds: 86400, connect_timeout_ms: 250, command_timeout_ms: 3500}}"
    );
    let folder = folder(&policy(&store));
    let (filter, said) = build(folder.path(), &[]);
    let companion = json_of(&folder.path().join("out/companion.json"));
    assert_eq!(
        companion["session_store"],
        json!({
            "kind": "valkey", "endpoint": "rediss://kv.example:6380", "allow_plain": false, "username": "aplomb",
            "password": { "env": "APLOMB_SECRET_SESSION_STORE" }, "ca_file": "ca.pem", "key_prefix": "team:v1",
            "replicas": 2, "connect_timeout_ms": 250, "command_timeout_ms": 3500,
            "lifetimes": { "session_idle_s": 600, "session_max_s": 7200, "subject_s": 86400 }
        })
    );
    assert_eq!(
        filter["companion"]["timeout_ms"], 3700,
        "the slowest effect and 200 ms"
    );
    let secrets = fs::read_to_string(folder.path().join("out/secrets.env")).expect("there");
    assert_eq!(secrets, format!("APLOMB_SECRET_SESSION_STORE='{PASSWORD}'\n"));
    assert!(
        said.contains("APLOMB_SECRET_SESSION_STORE: companion") && !said.contains(PASSWORD),
        "{said}"
    );
}

#[test]
fn a_password_by_reference_leaves_no_secret() {
    let store =
        "{kind: redis, endpoint: 'rediss://kv.example', password_source: {kind: file, path: /run/kv}}";
    let folder = folder(&policy(store));
    build(folder.path(), &[]);
    let companion = json_of(&folder.path().join("out/companion.json"));
    assert_eq!(
        companion["session_store"]["password"],
        json!({ "file": "/run/kv" })
    );
    assert!(!folder.path().join("out/secrets.env").exists());
}

#[test]
fn a_store_that_the_companion_would_refuse_does_not_compile() {
    for (store, word) in [
        ("{kind: valkey, endpoint: 'kv.example:6379'}", "not encrypted"),
        (
            "{kind: valkey, endpoint: 'redis://kv.example', tls: true}",
            "contradicts",
        ),
        ("{kind: valkey, endpoint: 'https://kv.example'}", "another scheme"),
        (
            "{kind: valkey, endpoint: 'rediss://u:hunter2-hunter2@kv'}",
            "carries credentials",
        ),
        ("{kind: valkey, endpoint: 'localhost.example:1'}", "not encrypted"),
        // One host of several that is far away is enough.
        (
            "{kind: valkey, endpoint: 'redis+cluster://127.0.0.1:7000,kv.example:7000'}",
            "not encrypted",
        ),
        (
            "{kind: valkey, endpoint: 'redis+cluster://127.0.0.1:7000', tls: true}",
            "contradicts",
        ),
        (
            "{kind: valkey, endpoint: 'rediss+cluster://u:hunter2-hunter2@kv.example:7000'}",
            "carries credentials",
        ),
        (
            "{kind: valkey, endpoint: 'valkey+cluster://kv.example:7000'}",
            "another scheme",
        ),
        (
            "{kind: valkey, endpoint: localhost, username: me}",
            "needs a password",
        ),
        (
            "{kind: valkey, endpoint: localhost, key_prefix: 'a b'}",
            "key_prefix",
        ),
        (
            "{kind: valkey, endpoint: localhost, command_timeout_ms: 0}",
            "between 4",
        ),
    ] {
        let folder = folder(&policy(store));
        let (_, err) = run(folder.path(), &["build", "policy.yaml", "-o", "out"], 1);
        let err = err.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(err.contains(word), "{store}: {err}");
    }
    for store in [
        "{kind: valkey, endpoint: 'redis://[::1]:6379/2'}",
        "{kind: valkey, endpoint: '127.0.0.1:6379'}",
        "{kind: valkey, endpoint: 'kv:6379', allow_plain: true}",
    ] {
        build(folder(&policy(store)).path(), &[]);
    }
}

#[test]
fn servers_of_a_cluster_and_sentinels_reach_the_companion_as_they_are_written() {
    for endpoint in [
        "redis+cluster://127.0.0.1:7000,[::1]:7001",
        "rediss+cluster://a.example:6379,b.example:6379",
        "redis+sentinel://127.0.0.1:26379/main",
        "rediss+sentinel://a.example:26379,b.example:26379/main",
    ] {
        let folder = folder(&policy(&format!("{{kind: valkey, endpoint: '{endpoint}'}}")));
        build(folder.path(), &[]);
        let companion = json_of(&folder.path().join("out/companion.json"));
        assert_eq!(companion["session_store"]["endpoint"], endpoint);
    }
}

#[test]
fn names_variables_and_the_companions_place_in_the_filters_configuration() {
    let folder = folder(&policy("{kind: embedded}"));
    let (filter, said) = build(
        folder.path(),
        &[
            "--hash-key-env=HASH_KEY",
            "--seal-key-env=SEAL_KEY",
            "--companion-token-env=TOKEN",
            "--companion-cluster=beside",
            "--companion-authority=companion.example",
            "--companion-path=/aplomb",
            "--denial-shape=tool_result",
            "--mode=paired",
            "--role=holder",
        ],
    );
    assert_eq!(filter["hash_key_env"], "HASH_KEY");
    assert_eq!(filter["seal_key_env"], "SEAL_KEY");
    assert_eq!(filter["denial_shape"], "tool_result");
    assert_eq!(filter["install"], json!({ "mode": "paired", "role": "holder" }));
    assert_eq!(
        filter["companion"],
        json!({ "cluster": "beside", "authority": "companion.example", "path": "/aplomb", "token_env": "TOKEN",
                "timeout_ms": 2200 })
    );
    for variable in ["HASH_KEY", "SEAL_KEY", "TOKEN"] {
        assert!(said.contains(&format!("{variable}: filter, ")), "{said}");
    }
}

#[test]
fn a_flag_that_makes_no_sense_is_the_invocations_fault() {
    let folder = folder(&policy("{kind: embedded}"));
    for flag in [
        "--hash-key-env=the key itself",
        "--companion-path=relative",
        "--companion-path=/a/",
        "--role=holder",
        "--sign-key=policy.yaml",
    ] {
        let (_, err) = run(folder.path(), &["build", "policy.yaml", "-o", "out", flag], 2);
        assert!(err.starts_with("aplc: "), "{err}");
        assert!(!folder.path().join("out/filter-config.json").exists(), "{flag}");
    }
}

#[test]
fn a_protocol_names_authority_prefix_and_scope() {
    let folder = folder(&policy("{kind: embedded}"));
    let (filter, _) = build(
        folder.path(),
        &[
            "--protocol=/mcp=mcp@hr",
            "--protocol=mcp.example.com:8443/mcp=mcp@pay",
            "--protocol=/x=mcp",
        ],
    );
    assert_eq!(
        filter["protocols"],
        json!([
            { "path_prefix": "/mcp", "speaks": "mcp", "scope": "hr" },
            { "authority": "mcp.example.com:8443", "path_prefix": "/mcp", "speaks": "mcp", "scope": "pay" },
            { "path_prefix": "/x", "speaks": "mcp" },
        ])
    );
    for bad in ["mcp.example.com=mcp", "user@host/mcp=mcp", "/mcp=mcp@"] {
        run(
            folder.path(),
            &["build", "policy.yaml", "-o", "out", "--protocol", bad],
            2,
        );
    }
}

/// PKCS#8 of an Ed25519 key whose 32 bytes are all 7.
const KEY: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIAcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH\n-----END PRIVATE KEY-----\n";

#[test]
fn a_build_signs_and_has_the_filter_demand_it() {
    let folder = folder(&policy("{kind: embedded}"));
    fs::write(folder.path().join("key.pem"), KEY).expect("written");
    let (filter, _) = build(folder.path(), &["--sign-key", "key.pem"]);
    let key = filter["policy_public_key"].as_str().expect("a key");
    let (said, _) = run(
        folder.path(),
        &["verify", "--public-key", key, "out/policy.aplb"],
        0,
    );
    assert!(said.contains("signed by this key"), "{said}");
    let (unsigned, _) = build(folder.path(), &[]);
    assert_eq!(
        unsigned["policy_digest"], filter["policy_digest"],
        "a signature is no part of the digest"
    );
    assert_ne!(unsigned["policy"], filter["policy"]);
    assert!(unsigned.get("policy_public_key").is_none());
}

#[test]
fn the_same_folder_gives_the_same_bytes_wherever_and_in_whatever_order_it_was_written() {
    let teams = ["alpha", "beta", "gamma", "delta"];
    let made = |order: &[&str]| {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().join("policy");
        fs::create_dir_all(root.join("teams")).expect("made");
        let claims: String = teams
            .iter()
            .map(|team| format!("  {team}: {{tool: [{team}_*]}}\n"))
            .collect();
        let platform =
            format!("teams:\n{claims}routes:\n  - tool: shared\n    pre_invocation: [\"require(perm.x)\"]\n");
        fs::write(root.join("platform.yaml"), platform).expect("written");
        for team in order {
            let text =
                format!("routes:\n  - tool: {team}_get\n    pre_invocation: [\"require(role.{team})\"]\n");
            fs::write(root.join(format!("teams/{team}.yaml")), text).expect("written");
        }
        folder
    };
    let read = |folder: &Path| {
        ["policy.aplb", "companion.json", "filter-config.json"]
            .map(|name| fs::read(folder.join(name)).expect("there"))
    };
    let one = made(&teams);
    run(one.path(), &["build", "policy", "-o", "out"], 0);
    run(one.path(), &["build", "policy", "-o", "again"], 0);
    let bytes = read(&one.path().join("out"));
    assert!(bytes == read(&one.path().join("again")), "twice");
    let reversed: Vec<&str> = teams.into_iter().rev().collect();
    let two = made(&reversed);
    run(two.path(), &["build", "policy", "-o", "out"], 0);
    assert!(
        bytes == read(&two.path().join("out")),
        "written in another order, at another place"
    );
    // Named otherwise, the names in the debug section differ, and nothing that decides does.
    let inside = two.path().join("policy");
    run(&inside, &["build", ".", "-o", "../elsewhere"], 0);
    let digest = |path: &Path| json_of(&path.join("filter-config.json"))["policy_digest"].clone();
    assert_eq!(
        digest(&one.path().join("out")),
        digest(&two.path().join("elsewhere"))
    );
    run(&inside, &["build", ".", "-o", "../stripped", "--strip"], 0);
    assert_eq!(
        digest(&one.path().join("out")),
        digest(&two.path().join("stripped"))
    );
    run(one.path(), &["build", "policy", "-o", "stripped", "--strip"], 0);
    assert!(
        read(&one.path().join("stripped")) == read(&two.path().join("stripped")),
        "stripped, no name of a file is left"
    );
}

#[test]
fn pins_are_the_digests_of_canonical_definitions() {
    let folder = tempfile::tempdir().expect("a folder");
    let list = r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[
        {"title":"left out","name":"pay \"now\"","inputSchema":{"type":"object","properties":{"b":{},"a":{}}}},
        {"description":"d","name":"a","inputSchema":{"type":"object"},"annotations":{"readOnlyHint":true}}]}}"#;
    fs::write(folder.path().join("tools.json"), list).expect("written");
    let (yaml, _) = run(folder.path(), &["pin", "tools.json"], 0);
    // `sha256sum` over {"annotations":{"readOnlyHint":true},"description":"d","inputSchema":{"type":"object"},"name":"a"}
    // and {"inputSchema":{"properties":{"a":{},"b":{}},"type":"object"},"name":"pay \"now\""}.
    assert_eq!(
        yaml,
        "pins:\n  - tools:\n      \"a\": \"56f295571c89ffe3c2b199f9bc172d6a7f75d3a876724259e892e61c798f6432\"\n      \"pay \\\"now\\\"\": \"181837217e6b17708696f6ab55da91c82a5b0f50924e7c2a75ff84b182c53b2f\"\n"
    );
    let (text, _) = run(folder.path(), &["pin", "tools.json", "--format", "json"], 0);
    let answer: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(
        answer["pins"][0]["tools"]["a"],
        "56f295571c89ffe3c2b199f9bc172d6a7f75d3a876724259e892e61c798f6432"
    );
}

#[test]
fn a_list_that_cannot_be_pinned_is_refused_by_its_reason() {
    let folder = tempfile::tempdir().expect("a folder");
    for (list, word) in [
        (r#"{"tools":[{"name":"a"},{"name":"a"}]}"#, "stands twice"),
        (r#"{"tools":[{"title":"a"}]}"#, "tool 1 of the list has no `name`"),
        (
            r#"{"tools":[{"name":"a","inputSchema":{"maximum":1e999}}]}"#,
            "`a` cannot be pinned",
        ),
        (r#"{"tools":[],"nextCursor":"2"}"#, "one page of several"),
        (r#"{"error":{"code":1}}"#, "JSON-RPC error"),
        (r#"{"tools":{}}"#, "no `tools/list` answer"),
        (r#"{"tools":[{"name":"a","name":"b"}]}"#, "not JSON"),
    ] {
        fs::write(folder.path().join("tools.json"), list).expect("written");
        let (out, err) = run(folder.path(), &["pin", "tools.json"], 2);
        assert!(out.is_empty() && err.contains(word), "{list}: {err}");
    }
}

#[test]
fn the_example_on_the_page_is_what_pin_prints() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/aplc.md");
    let page = fs::read_to_string(page).expect("there");
    let (_, rest) = page.split_once("## `aplc pin").expect("a section");
    let block = |mark: &str| {
        let (_, rest) = rest.split_once(mark).expect("a block");
        rest.split_once("```").expect("its end").0
    };
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("tools.json"), block("```json\n")).expect("written");
    let (out, _) = run(folder.path(), &["pin", "tools.json"], 0);
    assert_eq!(out, block("```text\n"));
}

#[test]
fn the_page_has_every_command_and_every_flag_of_build() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/aplc.md");
    let page = fs::read_to_string(page).expect("there");
    let folder = tempfile::tempdir().expect("a folder");
    let (help, _) = run(folder.path(), &["--help"], 0);
    let (_, commands) = help.split_once("Commands:").expect("commands");
    let names: Vec<&str> = commands
        .lines()
        .take_while(|line| !line.starts_with("Options:"))
        .filter_map(|line| line.strip_prefix("  ").filter(|line| !line.starts_with(' ')))
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert!(names.len() > 10, "{help}");
    for name in names.into_iter().filter(|name| *name != "help") {
        let at = page.contains(&format!("`aplc {name}"));
        assert!(at, "docs/aplc.md says nothing of `aplc {name}`");
    }
    let (help, _) = run(folder.path(), &["build", "--help"], 0);
    for word in help.split(|ch: char| ch.is_whitespace() || ",.`".contains(ch)) {
        if word.starts_with("--") && word != "--help" {
            assert!(
                page.contains(word),
                "docs/aplc.md says nothing of `aplc build {word}`"
            );
        }
    }
}

#[test]
fn the_companion_is_told_where_every_rule_stands() {
    let text = "\
plugins:
  - { name: who, kind: identity/jwt, config: { role: user, header: authorization, trusted_issuers: [{ issuer: 'https://id.example',
      audiences: [gw], algorithms: [RS256], decoding_key: { kind: jwks_url, url: 'https://id.example/jwks' } }] } }
  - { name: log, kind: audit/logger }
global:
  authentication: [who]
routes:
  - tool: pay
    args:
      amount: \"int | 1..10\"
    pre_invocation:
      - \"require(role.finance)\"
      - \"run(log)\"
      - when: \"args.amount > 5\"
        do:
          - \"deny('too much', 'pay.limit')\"
";
    let folder = folder(text);
    let path = folder.path().join("out/lines.json");
    for arguments in [&[][..], &["--strip"]] {
        build(folder.path(), arguments);
        let (lines, companion) = (json_of(&path), json_of(&folder.path().join("out/companion.json")));
        assert_eq!(lines["policy_digest"], companion["policy_digest"]);
        let lines = lines["lines"].as_object().expect("an object");
        for (rule, line) in [
            ("routes.tool:pay.args.amount", 10),
            ("routes.tool:pay.pre_invocation[0]", 12),
            ("routes.tool:pay.pre_invocation[1]", 13),
            ("routes.tool:pay.pre_invocation[2]", 14),
        ] {
            let expected = format!("policy.yaml:{line}");
            assert_eq!(lines.get(rule), Some(&json!(expected)), "{rule} of {lines:#?}");
        }
    }
}

#[test]
fn more_rules_than_the_companion_holds_have_no_lines() {
    let step = "      - \"deny('no', 'x.no')\"\n";
    let text = |rules: usize| {
        format!(
            "routes:\n  - tool: pay\n    pre_invocation:\n{}",
            step.repeat(rules)
        )
    };
    let folder = folder(&text(2));
    build(folder.path(), &[]);
    assert!(folder.path().join("out/lines.json").exists());
    let routes: String = (0..101)
        .map(|n| format!("  - tool: pay{n}\n    pre_invocation:\n{}", step.repeat(100)))
        .collect();
    fs::write(folder.path().join("policy.yaml"), format!("routes:\n{routes}")).expect("written");
    build(folder.path(), &[]);
    assert!(
        !folder.path().join("out/lines.json").exists(),
        "the old file would lie"
    );
}
