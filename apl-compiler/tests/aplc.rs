//! The `aplc` program as operators run it: exit codes, artefacts, messages.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// A secret that must be found nowhere but in `secrets.env`.
const SECRET: &str = "it's-a-secret-7f3a";

const GOOD: &str = r#"
plugins:
  - name: user
    kind: identity/jwt
    config:
      trusted_issuers:
        - issuer: "https://idp.example"
          audiences: ["gateway"]
          algorithms: ["RS256"]
          decoding_key: { kind: jwks_url, url: "https://idp.example/keys" }
  - name: tokens
    kind: delegator/oauth
    config:
      token_endpoint: "https://idp.example/token"
      client_id: gateway
      client_secret_source: SOURCE
      timeout_seconds: 7
global:
  authentication: [user]
routes:
  - tool: pay
    pre_invocation:
      - "require(perm.pay)"
      - "delegate(tokens, target: payments, permissions: [pay])"
"#;

const BY_REFERENCE: &str = "{ kind: env_var, name: GATEWAY_SECRET }";

fn literal() -> String {
    format!("{{ kind: literal, secret: \"{SECRET}\" }}")
}

/// A folder with `policy.yaml`.
fn folder(policy: impl AsRef<[u8]>) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("policy.yaml"), policy).expect("written");
    folder
}

fn good(source: &str) -> tempfile::TempDir {
    folder(GOOD.replace("SOURCE", source))
}

fn aplc(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_aplc"))
        .args(arguments)
        .current_dir(folder)
        .output()
        .expect("runs")
}

/// Runs, checks the exit code, and returns standard output and standard error.
fn run(folder: &Path, arguments: &[&str], code: i32) -> (String, String) {
    let output = aplc(folder, arguments);
    let out = String::from_utf8(output.stdout).expect("text");
    let err = String::from_utf8(output.stderr).expect("text");
    assert_eq!(
        output.status.code(),
        Some(code),
        "aplc {arguments:?}\n{out}\n{err}"
    );
    assert!(!err.contains("panicked"), "{err}");
    (out, err)
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).expect("there")).expect("JSON")
}

#[test]
fn ends_with_0_1_or_2_as_nothing_the_policy_or_the_invocation_is_at_fault() {
    let fine = good(BY_REFERENCE);
    run(fine.path(), &["check", "policy.yaml"], 0);
    let wrong = folder("routes:\n  - tool: a\n    pre_invocation: [\"require(\"]\n");
    run(wrong.path(), &["check", "policy.yaml"], 1);
    run(wrong.path(), &["build", "policy.yaml", "-o", "out"], 1);
    run(wrong.path(), &["listing", "policy.yaml"], 1);
    run(fine.path(), &["check", "absent.yaml"], 2);
    run(fine.path(), &["check"], 2);
    run(fine.path(), &["no-such-command"], 2);
    run(fine.path(), &["build", "policy.yaml"], 2);
    run(fine.path(), &["explain", "APL9999"], 2);
}

#[test]
fn an_invalid_policy_writes_nothing() {
    let wrong = folder("routes:\n  - tool: a\n    pre_invocation: [\"require(\"]\n");
    run(wrong.path(), &["build", "policy.yaml", "-o", "out"], 1);
    assert!(!wrong.path().join("out").exists());
}

#[test]
fn writes_what_filter_and_companion_need() {
    let folder = good(BY_REFERENCE);
    let arguments = [
        "build",
        "policy.yaml",
        "-o",
        "new/out",
        "--protocol",
        "/pay/mcp=mcp@pay",
        "--mode",
        "paired",
        "--companion-cluster",
        "beside",
    ];
    run(folder.path(), &arguments, 0);
    let out = folder.path().join("new/out");
    let program = fs::read(out.join("policy.aplb")).expect("there");
    let digest = apl_bytecode::load(&program).expect("loads").digest_hex();

    let companion = json(&out.join("companion.json"));
    assert_eq!(companion["policy_digest"], digest.as_str());
    assert_eq!(companion["issuers"][0]["jwks_url"], "https://idp.example/keys");
    let delegator = &companion["delegators"]["tokens"];
    assert_eq!(delegator["client_secret"]["env"], "GATEWAY_SECRET");
    assert_eq!(delegator["timeout_ms"], 7000);

    let filter = json(&out.join("filter-config.json"));
    assert_eq!(filter["policy"], STANDARD.encode(&program));
    assert_eq!(filter["policy_digest"], digest.as_str());
    assert_eq!(filter["protocols"][0]["path_prefix"], "/pay/mcp");
    assert_eq!(filter["protocols"][0]["scope"], "pay");
    assert_eq!(filter["install"]["mode"], "paired");
    assert_eq!(filter["install"]["role"], "decider");
    assert_eq!(filter["companion"]["cluster"], "beside");
    assert_eq!(
        filter["companion"]["timeout_ms"], 7200,
        "the slowest effect and 200 ms"
    );
    assert!(!out.join("secrets.env").exists(), "there is no literal secret");
}

#[test]
fn the_same_policy_gives_the_same_bytes() {
    let folder = good(&literal());
    for out in ["one", "two"] {
        run(folder.path(), &["build", "policy.yaml", "-o", out], 0);
    }
    for name in [
        "policy.aplb",
        "companion.json",
        "filter-config.json",
        "secrets.env",
    ] {
        let read = |out: &str| fs::read(folder.path().join(out).join(name)).expect("there");
        assert_eq!(read("one"), read("two"), "{name}");
    }
}

#[test]
fn a_literal_secret_goes_to_its_own_file_and_nowhere_else() {
    let folder = good(&literal());
    let out = folder.path().join("out");
    fs::create_dir(&out).expect("made");
    // One that everybody may read must not be reused.
    fs::write(out.join("secrets.env"), "old").expect("written");
    fs::set_permissions(out.join("secrets.env"), fs::Permissions::from_mode(0o644)).expect("set");
    let (printed, warned) = run(folder.path(), &["build", "policy.yaml", "-o", "out"], 0);

    let secrets = out.join("secrets.env");
    let mode = fs::metadata(&secrets).expect("there").permissions().mode() & 0o777;
    assert_eq!(mode, 0o600, "{mode:o}");
    assert_eq!(
        fs::read_to_string(&secrets).expect("text"),
        "APLOMB_SECRET_TOKENS='it's-a-secret-7f3a'\n",
        "the companion removes the outer quotes and expands nothing"
    );
    let companion = json(&out.join("companion.json"));
    assert_eq!(
        companion["delegators"]["tokens"]["client_secret"]["env"],
        "APLOMB_SECRET_TOKENS"
    );
    for name in ["policy.aplb", "companion.json", "filter-config.json"] {
        let bytes = fs::read(out.join(name)).expect("there");
        assert!(!contains(&bytes, SECRET.as_bytes()), "{name} holds the secret");
    }
    // In the filter's configuration the program is base64.
    let filter = json(&out.join("filter-config.json"));
    let program = STANDARD
        .decode(filter["policy"].as_str().expect("text"))
        .expect("base64");
    assert!(
        !contains(&program, SECRET.as_bytes()),
        "the program holds the secret"
    );
    assert!(printed.contains("secrets.env (mode 0600)"), "{printed}");
    assert!(warned.contains("APL0305"), "{warned}");

    // A build without one takes the file away, or the companion would read it.
    fs::write(
        folder.path().join("policy.yaml"),
        GOOD.replace("SOURCE", BY_REFERENCE),
    )
    .expect("written");
    run(folder.path(), &["build", "policy.yaml", "-o", "out"], 0);
    assert!(!secrets.exists());
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[test]
fn a_stripped_program_is_smaller_and_has_the_same_digest() {
    let folder = good(BY_REFERENCE);
    run(folder.path(), &["build", "policy.yaml", "-o", "whole"], 0);
    run(
        folder.path(),
        &["build", "policy.yaml", "-o", "stripped", "--strip"],
        0,
    );
    let read = |out: &str| fs::read(folder.path().join(out).join("policy.aplb")).expect("there");
    let (whole, stripped) = (read("whole"), read("stripped"));
    assert!(
        stripped.len() < whole.len(),
        "{} and {}",
        stripped.len(),
        whole.len()
    );
    let digest = |bytes: &[u8]| apl_bytecode::load(bytes).expect("loads").digest_hex();
    assert_eq!(digest(&whole), digest(&stripped));
    let said = |out: &str| json(&folder.path().join(out).join("filter-config.json"))["policy_digest"].clone();
    assert_eq!(said("whole"), said("stripped"));
}

#[test]
fn lists_a_policy_and_its_program_alike() {
    let folder = good(BY_REFERENCE);
    run(folder.path(), &["build", "policy.yaml", "-o", "out"], 0);
    let (of_policy, _) = run(folder.path(), &["listing", "policy.yaml"], 0);
    let (of_program, _) = run(folder.path(), &["listing", "out/policy.aplb"], 0);
    assert_eq!(of_policy, of_program);
    for part in ["pay", "payments", "policy.yaml:"] {
        assert!(of_policy.contains(part), "no `{part}` in\n{of_policy}");
    }
}

#[test]
fn a_truncated_program_is_refused_by_name() {
    let folder = good(BY_REFERENCE);
    run(folder.path(), &["build", "policy.yaml", "-o", "out"], 0);
    let whole = fs::read(folder.path().join("out/policy.aplb")).expect("there");
    for length in [5, 36, 37, whole.len() / 2, whole.len() - 1] {
        fs::write(folder.path().join("cut.aplb"), &whole[..length]).expect("written");
        let (out, err) = run(folder.path(), &["listing", "cut.aplb"], 1);
        assert!(
            out.is_empty() && err.contains("`cut.aplb` does not load: "),
            "{length}: {err}"
        );
    }
    let mut changed = whole.clone();
    let last = 4 + 1 + 32 + 6;
    changed[last] ^= 1;
    fs::write(folder.path().join("changed.aplb"), changed).expect("written");
    let (_, err) = run(folder.path(), &["listing", "changed.aplb"], 1);
    assert!(err.contains("`changed.aplb` does not load: "), "{err}");
}

#[test]
fn a_foreign_file_is_refused_and_not_taken_for_a_policy() {
    let folder = good(BY_REFERENCE);
    // Another format's magic, an empty file, a later version of ours.
    fs::write(folder.path().join("foreign.aplb"), b"\0asm\x01\0\0\0").expect("written");
    let (_, err) = run(folder.path(), &["listing", "foreign.aplb"], 1);
    assert!(err.contains("APL0001"), "{err}");
    fs::write(folder.path().join("empty.aplb"), b"").expect("written");
    let (_, err) = run(folder.path(), &["listing", "empty.aplb"], 1);
    assert!(err.contains("APL0008"), "{err}");
    let mut later = b"APLB\x63".to_vec();
    later.extend([0; 64]);
    fs::write(folder.path().join("later.aplb"), later).expect("written");
    let (_, err) = run(folder.path(), &["listing", "later.aplb"], 1);
    assert!(err.contains("does not load") && err.contains("99"), "{err}");
}

#[test]
fn malformed_yaml_is_named_with_file_line_and_column() {
    let folder = folder("routes:\n  - tool: \"a\n");
    let (out, err) = run(folder.path(), &["check", "policy.yaml"], 1);
    assert!(out.is_empty());
    assert!(err.contains("APL0002") && err.contains("policy.yaml:"), "{err}");
    let (out, _) = run(folder.path(), &["check", "policy.yaml", "--format", "json"], 1);
    let answer: Value = serde_json::from_str(&out).expect("JSON");
    assert!(
        answer["diagnostics"][0]["line"]
            .as_u64()
            .is_some_and(|line| (2..=3).contains(&line)),
        "{out}"
    );
}

#[test]
fn an_unknown_key_is_refused_with_a_suggestion() {
    let folder = folder("routes:\n  - tool: a\n    pre_invokation: [\"require(role.hr)\"]\n");
    let (_, err) = run(folder.path(), &["check", "policy.yaml"], 1);
    assert!(
        err.contains("APL0101") && err.contains("did you mean `pre_invocation`?"),
        "{err}"
    );
}

#[test]
fn a_file_that_cannot_be_read_is_the_invocations_fault() {
    let folder = folder(b"routes:\n  - tool: \xff\n");
    let (_, err) = run(folder.path(), &["check", "policy.yaml"], 2);
    assert_eq!(
        err,
        "aplc: `policy.yaml` is not UTF-8 text: the first bad byte is at line 2, column 11 (offset 18)\n"
    );
    let (_, err) = run(folder.path(), &["check", "absent.yaml"], 2);
    assert!(err.starts_with("aplc: cannot read `absent.yaml`: "), "{err}");
    let (_, err) = run(folder.path(), &["check", "."], 2);
    assert!(err.starts_with("aplc: `.` has no `platform.yaml`, "), "{err}");
}

#[test]
fn a_reader_that_has_seen_enough_ends_it_quietly() {
    let folder = folder("routes: []\n");
    let (closed, writing) = std::io::pipe().expect("a pipe");
    drop(closed);
    let output = Command::new(env!("CARGO_BIN_EXE_aplc"))
        .arg("schema")
        .current_dir(folder.path())
        .stdout(writing)
        .stderr(std::process::Stdio::piped())
        .output()
        .expect("runs");
    assert_eq!(output.status.code(), Some(141));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn a_full_disk_is_told() {
    let Ok(full) = fs::OpenOptions::new().write(true).open("/dev/full") else {
        eprintln!("skipped: this system has no /dev/full");
        return;
    };
    let output = Command::new(env!("CARGO_BIN_EXE_aplc"))
        .arg("schema")
        .stdout(full)
        .stderr(std::process::Stdio::piped())
        .output()
        .expect("runs");
    assert_eq!(output.status.code(), Some(2));
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(
        err.starts_with("aplc: cannot write to standard output: No space left"),
        "{err}"
    );
}

#[test]
fn a_folder_is_a_policy_of_several_files() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, text).expect("written");
    };
    write(
        "policy/platform.yaml",
        "global: {attribute_files: [data/limits.yaml]}\nteams: {pay: {tool: [\"pay-*\"]}}\n",
    );
    write("policy/data/limits.yaml", "data: {limit: 3}\n");
    write(
        "policy/teams/pay.yaml",
        "routes:\n  - tool: pay-out\n    pre_invocation: [\"args.n > 3: deny\", \"data.limit == 4: deny\"]\n",
    );
    let (out, _) = run(folder.path(), &["build", "policy", "-o", "out"], 0);
    assert!(out.contains("tool:pay-out"), "{out}");
    let (listing, _) = run(folder.path(), &["listing", "out/policy.aplb"], 0);
    assert!(listing.contains("policy/teams/pay.yaml:3:"), "{listing}");
    write("policy/teams/pay.yaml", "routes:\n  - tool: refund\n");
    let (_, err) = run(folder.path(), &["check", "policy"], 1);
    assert!(
        err.contains("policy/teams/pay.yaml:2") && err.contains("policy/platform.yaml:2"),
        "both files are named: {err}"
    );
}

#[test]
fn an_output_folder_that_cannot_be_made_is_the_invocations_fault() {
    let folder = good(BY_REFERENCE);
    let (_, err) = run(
        folder.path(),
        &["build", "policy.yaml", "-o", "policy.yaml/out"],
        2,
    );
    assert!(err.contains("aplc: cannot create `policy.yaml/out`: "), "{err}");
}

#[test]
fn a_bad_protocol_is_refused_with_the_form_it_takes() {
    let folder = good(BY_REFERENCE);
    for bad in ["/mcp", "mcp=mcp", "/mcp=soap"] {
        let (_, err) = run(
            folder.path(),
            &["build", "policy.yaml", "-o", "out", "--protocol", bad],
            2,
        );
        assert!(
            err.contains(&format!("`--protocol {bad}`")) && err.contains("write `/mcp=mcp`"),
            "{err}"
        );
    }
}

#[test]
fn json_is_all_there_is_on_standard_output() {
    let folder = good(&literal());
    for (arguments, code, ok) in [
        (vec!["check", "policy.yaml", "--format", "json"], 0, true),
        (
            vec!["build", "policy.yaml", "-o", "out", "--format", "json"],
            0,
            true,
        ),
    ] {
        let (out, err) = run(folder.path(), &arguments, code);
        let answer: Value = serde_json::from_str(&out).expect("JSON");
        assert_eq!(answer["ok"], ok);
        assert!(err.is_empty(), "{err}");
        assert!(!out.contains(SECRET), "{out}");
        let diagnostic = &answer["diagnostics"][0];
        for key in ["code", "severity", "message", "file", "line", "column"] {
            assert!(!diagnostic[key].is_null(), "no `{key}` in {diagnostic}");
        }
    }
    let (out, _) = run(
        folder.path(),
        &["build", "policy.yaml", "-o", "out", "--format", "json"],
        0,
    );
    let summary = serde_json::from_str::<Value>(&out).expect("JSON")["summary"].clone();
    let program = fs::read(folder.path().join("out/policy.aplb")).expect("there");
    assert_eq!(summary["bytes"]["total"], program.len());
    assert_eq!(summary["literal_secrets"], 1);
    assert_eq!(summary["digest"].as_str().map(str::len), Some(64));
}

#[test]
fn a_secret_is_not_printed_with_its_line() {
    let folder = good(&literal());
    for arguments in [
        &["check", "policy.yaml"][..],
        &["build", "policy.yaml", "-o", "out"],
    ] {
        let (out, err) = run(folder.path(), arguments, 0);
        assert!(!out.contains(SECRET) && !err.contains(SECRET), "{out}{err}");
        assert!(err.contains("secret: ****"), "the line is shown: {err}");
    }
    // Also where it does not belong, beside another mistake.
    let wrong = GOOD.replace(
        "SOURCE",
        &format!("{{ kind: literal, secrets: x, password: \"{SECRET}\" }}"),
    );
    fs::write(folder.path().join("policy.yaml"), wrong).expect("written");
    let (out, err) = run(folder.path(), &["check", "policy.yaml"], 1);
    assert!(!out.contains(SECRET) && !err.contains(SECRET), "{out}{err}");
}

#[test]
fn explains_each_code_it_lists() {
    let folder = tempfile::tempdir().expect("a folder");
    let (list, _) = run(folder.path(), &["explain"], 0);
    assert!(list.lines().count() > 40, "{list}");
    for line in list.lines() {
        let (code, title) = line.split_once("  ").expect("code and title");
        let (page, _) = run(folder.path(), &["explain", &code.to_lowercase()], 0);
        assert!(page.starts_with(&format!("{code}: {title}\n\n")), "{page}");
        assert!(
            page.lines().skip(2).any(|line| !line.is_empty()),
            "{code} has no text"
        );
    }
    let (_, err) = run(folder.path(), &["explain", "APL9999"], 2);
    assert_eq!(
        err,
        "aplc: there is no code `APL9999`; `aplc explain` lists them all\n"
    );
}
