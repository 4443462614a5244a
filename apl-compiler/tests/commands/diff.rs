//! `aplc diff`.

use std::fs;

use serde_json::Value;

use crate::cli::{POLICY, aplc, folder, run};

/// The changes between the policy and what `change` makes of it: danger and text.
fn changes(change: impl FnOnce(String) -> String) -> Vec<(String, String)> {
    let folder = folder(POLICY);
    fs::write(folder.path().join("new.yaml"), change(POLICY.to_owned())).unwrap();
    let (out, _) = run(
        folder.path(),
        &["diff", "--format", "json", "policy.yaml", "new.yaml"],
        0,
    );
    let value: Value = serde_json::from_str(&out).expect("JSON");
    value["changes"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|change| {
            let text = |key: &str| change[key].as_str().unwrap_or("").to_owned();
            (text("danger"), format!("{}: {}", text("operation"), text("what")))
        })
        .collect()
}

fn one(old: &str, new: &str) -> (String, String) {
    assert!(POLICY.contains(old), "{old}");
    let found = changes(|text| text.replacen(old, new, 1));
    assert_eq!(found.len(), 1, "{found:#?}");
    found.into_iter().next().expect("one")
}

#[test]
fn a_rule_that_moves_to_a_group_shows_nothing() {
    let found = changes(|text| {
        text.replace("      - \"require(perm.mail)\"\n", "")
            .replace("  - tool: mail\n", "  - tool: mail\n    groups: [mail]\n")
            .replace(
                "groups:\n  finance:",
                "groups:\n  mail:\n    pre_invocation: [\"require(perm.mail)\"]\n  finance:",
            )
    });
    assert_eq!(found, []);
}

#[test]
fn what_lets_more_through_is_loosened() {
    for (old, new, says) in [
        ("      - \"require(perm.mail)\"\n", "", "gate gone"),
        ("      - \"taint(money, session)\"\n", "", "label no longer set"),
        (
            "permissions: [pay]",
            "permissions: [pay, refund]",
            "more scopes: refund",
        ),
        (
            "target: payments,",
            "target: payments, audience: all,",
            "audience payments became all",
        ),
        ("amount > 1000", "amount > 2000", "gate changed"),
        (
            "\"redact(!perm.view_balance)\"",
            "\"str\"",
            "result.balance changed",
        ),
        (
            "audiences: [\"gateway\"]",
            "audiences: [\"gateway\", \"web\"]",
            "audience gateway became gateway, web",
        ),
        (
            "global:",
            "engine_settings: { unmatched: allow }\nglobal:",
            "without a route are allowed",
        ),
    ] {
        let (danger, what) = one(old, new);
        assert!(danger == "loosened" && what.contains(says), "{danger} {what}");
    }
}

#[test]
fn what_lets_less_through_is_tightened() {
    for (old, new, says) in [
        ("permissions: [pay]", "permissions: [pay]", ""),
        ("!role.boss: deny", "!role.boss | args.x: deny", "gate changed"),
        (
            "\"redact(!perm.view_balance)\"",
            "\"redact\"",
            "result.balance changed",
        ),
        (
            "      - \"require(perm.mail)\"\n",
            "      - \"require(perm.mail)\"\n      - \"args.bcc: deny\"\n",
            "new gate",
        ),
    ] {
        if old == new {
            continue;
        }
        let (danger, what) = one(old, new);
        assert!(danger == "tightened" && what.contains(says), "{danger} {what}");
    }
}

#[test]
fn the_exit_code_tells_on_request_and_programs_compare_too() {
    let folder = folder(POLICY);
    let loose = POLICY.replace("      - \"require(perm.mail)\"\n", "");
    fs::write(folder.path().join("new.yaml"), loose).unwrap();
    let code = |arguments: &[&str]| aplc(folder.path(), arguments).status.code();
    assert_eq!(code(&["diff", "policy.yaml", "new.yaml"]), Some(0));
    assert_eq!(
        code(&["diff", "--fail-on", "loosened", "policy.yaml", "new.yaml"]),
        Some(1)
    );
    assert_eq!(
        code(&["diff", "--fail-on", "loosened", "new.yaml", "policy.yaml"]),
        Some(0)
    );
    assert_eq!(
        code(&["diff", "--fail-on", "any", "new.yaml", "policy.yaml"]),
        Some(1)
    );
    run(folder.path(), &["build", "policy.yaml", "-o", "out"], 0);
    let (out, _) = run(
        folder.path(),
        &["diff", "--fail-on", "any", "policy.yaml", "out/policy.aplb"],
        0,
    );
    assert_eq!(out, "both mean the same\n");
}

#[test]
fn a_route_that_goes_is_denied_where_nothing_else_governs_it() {
    let cut = POLICY.find("\n  - tool: mail").expect("is there");
    let found = changes(|text| text[..cut].to_owned());
    assert_eq!(
        found,
        [(
            "tightened".to_owned(),
            "tool:mail: the route is gone; the operation is denied".to_owned()
        )]
    );
}
