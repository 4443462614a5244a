//! A policy in each of the three dialects: it loads unchanged, behaves as its tests say, and `--from` tells what differs.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dialects")
}

fn aplc(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_aplc"))
        .args(arguments)
        .current_dir(folder())
        .output()
        .expect("aplc")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

const DOCUMENTS: [&str; 3] = ["seed.yaml", "cpex-0.2.yaml", "praxis-0.5.yaml"];

#[test]
fn a_policy_of_each_dialect_loads_unchanged() {
    for document in DOCUMENTS {
        let run = aplc(&["check", document]);
        assert!(run.status.success(), "{document}:\n{}", text(&run.stderr));
    }
}

#[test]
fn a_policy_of_each_dialect_behaves_as_its_tests_say() {
    for document in DOCUMENTS {
        let run = aplc(&["test", document]);
        let said = text(&run.stdout);
        assert!(run.status.success(), "{document}:\n{said}{}", text(&run.stderr));
        assert!(
            said.contains(" passed, 0 failed") || !said.contains("failed"),
            "{said}"
        );
    }
}

/// What `--from` says that plain `check` does not.
fn differences(document: &str, from: &str) -> Vec<String> {
    let messages = |arguments: &[&str]| -> Vec<String> {
        let run = aplc(arguments);
        let answer: Value = serde_json::from_slice(&run.stdout).expect("JSON");
        let list = answer["diagnostics"].as_array().expect("a list");
        list.iter()
            .map(|one| one["message"].as_str().unwrap_or("").to_owned())
            .collect()
    };
    let plain = messages(&["check", document, "--format", "json"]);
    let mut told = messages(&["check", document, "--format", "json", "--from", from]);
    told.retain(|message| !plain.contains(message));
    told
}

#[test]
fn what_differs_from_where_a_policy_comes_from_is_told() {
    for (document, from, at_least) in [
        ("cpex-0.2.yaml", "cpex-0.2", 5),
        ("praxis-0.5.yaml", "praxis-0.5", 3),
    ] {
        let told = differences(document, from);
        assert!(told.len() >= at_least, "{document}: {told:#?}");
    }
    // Each list is its dialect's own.
    assert_ne!(
        differences("cpex-0.2.yaml", "cpex-0.2"),
        differences("cpex-0.2.yaml", "praxis-0.5")
    );
}

/// Every construct of the two references stands in at least one of the documents.
#[test]
fn every_construct_of_the_references_is_in_a_document() {
    let documents: String = DOCUMENTS
        .iter()
        .map(|name| std::fs::read_to_string(folder().join(name)).expect("a document"))
        .collect();
    let constructs = [
        // Sections and spellings.
        "policy:",
        "post_policy:",
        "pre_invocation:",
        "post_invocation:",
        "authorization:",
        "apl:",
        "args:",
        "result:",
        "groups:",
        "policies:",
        "defaults:",
        "tags:",
        "scope:",
        "properties:",
        "attribute_files:",
        "session_store:",
        "pdp:",
        "plugin_settings:",
        "engine_settings:",
        "secrets:",
        "assertions:",
        "authentication:",
        "plugin_dirs:",
        "hooks:",
        "plugins: [",
        "mode:",
        "priority:",
        "capabilities:",
        // Selectors.
        "tool:",
        "resource:",
        "prompt: [",
        // Predicates.
        "require(role.hr, perm.read)",
        "require(role.hr | role.legal)",
        "require(!delegated)",
        "require(exists(",
        "require(delegation.depth <= 1)",
        "contains",
        " not in ",
        " in data.",
        "!=",
        "exists(",
        "data.tenants[claim.tenant]",
        "!(",
        // Steps and effects.
        "run(",
        "plugin(",
        "taint(",
        "message",
        "delegate(",
        "delegate: {",
        "when:",
        "do:",
        "id: r1",
        "sequential:",
        "parallel:",
        "restrict:",
        "allow_models",
        "deny_models",
        "allow_regions",
        "allow_sites",
        "max_cost_tier",
        "custom:",
        "on_empty",
        "require_approval(",
        "confirm(",
        "require_step_up(",
        "cel:",
        "cedar:",
        "opa:",
        "nemo:",
        "pdp(rebac):",
        "on_allow:",
        "on_deny:",
        ": allow",
        "on_error: continue",
        // Stages.
        "uuid",
        "int | 0..10k",
        "float",
        "bool",
        "email",
        "url",
        "enum(",
        "regex(",
        "len(",
        "mask(",
        "redact\"",
        "redact(",
        "omit",
        "hash",
        "pii.detect",
        "injection.scan",
        "taint(seen, [session, message])",
        "**.ssn",
        "items.0.note",
        // Templates.
        "${args.",
    ];
    let missing: Vec<&str> = constructs
        .into_iter()
        .filter(|construct| !documents.contains(construct))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}
