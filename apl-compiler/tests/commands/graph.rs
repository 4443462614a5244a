//! `aplc graph`.

use crate::cli::{POLICY, folder, run};

#[test]
fn draws_gates_effects_fields_and_whom_a_field_is_hidden_from() {
    let folder = folder(POLICY);
    let (out, _) = run(folder.path(), &["graph", "--route", "tool:pay", "policy.yaml"], 0);
    for part in [
        "flowchart TD",
        "subgraph op0[\"tool:pay\"]",
        "limit.amount",
        "label money on session",
        "delegate by tokens to payments",
        "hidden from callers with !perm.view_balance",
        "identity: user",
    ] {
        assert!(out.contains(part), "{part}\n{out}");
    }
    assert!(!out.contains("tool:mail"), "{out}");
    let (_, err) = run(
        folder.path(),
        &["graph", "--route", "tool:nope", "policy.yaml"],
        2,
    );
    assert!(err.contains("tool:pay, tool:mail"), "{err}");
}

#[test]
fn no_text_of_a_policy_can_break_out_of_its_label() {
    let nasty = POLICY.replace("too much", r#"\"]; click x %%{init: {}}%% <b>`#quot; & end | {{"#);
    assert_ne!(nasty, POLICY);
    let nasty = nasty.replace("\\\"]", "\\\\\\\"]");
    let folder = folder(&nasty);
    let (out, _) = run(folder.path(), &["graph", "policy.yaml"], 0);
    for line in out.lines() {
        // Two quotes a label; what is inside has only characters without a meaning, or numbers of the others.
        let quotes = line.matches('"').count();
        assert!(quotes == 0 || quotes == 2, "{line}");
        let inside = line.split('"').nth(1).unwrap_or("");
        assert!(
            !inside.contains(['<', '>', '`', '%', '{', '}', '[', ']', '|', '&', '\\']),
            "{line}"
        );
    }
}

#[test]
fn the_outline_as_json_has_every_operation() {
    let folder = folder(POLICY);
    let (out, _) = run(folder.path(), &["graph", "--format", "json", "policy.yaml"], 0);
    let value: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    let names: Vec<&str> = value["operations"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|operation| operation["name"].as_str())
        .collect();
    assert!(names.starts_with(&["tool:pay", "tool:mail"]), "{names:?}");
}
