//! `diff`, `graph` and `inspect` on every protocol, and on what stands beside the rules: pins, challenges, shadow, responses,
//! assertions, bindings of a deployment, `restrict`.

use std::fs;

use serde_json::Value;

use crate::cli::{folder, run};

const DIGEST: &str = "b95bdf283325e7e805aa9895de8ae4f66baff5fd714d251c5a9972a369a652c5";

const PLUGINS: &str = r#"
plugins:
  - name: user
    kind: identity/jwt
    config:
      trusted_issuers:
        - {issuer: "https://idp.example", audiences: [gateway], algorithms: [RS256], decoding_key: {kind: jwks_url, url: "https://idp.example/keys"}}
"#;

/// The changes between two policies: danger and text.
fn changes(old: &str, new: &str) -> Vec<(String, String)> {
    let folder = folder(format!("{PLUGINS}{old}"));
    fs::write(folder.path().join("new.yaml"), format!("{PLUGINS}{new}")).expect("written");
    let (out, _) = run(
        folder.path(),
        &["diff", "--format", "json", "policy.yaml", "new.yaml"],
        0,
    );
    let value: Value = serde_json::from_str(&out).expect("JSON");
    let text = |change: &Value, key: &str| change[key].as_str().unwrap_or("").to_owned();
    let changes = value["changes"].as_array().expect("a list").iter();
    changes
        .map(|change| {
            let what = format!("{}: {}", text(change, "operation"), text(change, "what"));
            (text(change, "danger"), what)
        })
        .collect()
}

/// One change, and that it is seen the other way round, too.
fn is_told(old: &str, new: &str, danger: &str, says: &str, back: &str, says_back: &str) {
    for (old, new, danger, says) in [(old, new, danger, says), (new, old, back, says_back)] {
        let found = changes(old, new);
        let [(is, what)] = found.as_slice() else {
            panic!("{found:#?}\n{old}\n{new}");
        };
        assert!(
            is == danger && what.contains(says),
            "{is} {what}; wanted {danger} {says}"
        );
    }
}

/// A route of each kind: its selector, how it is called, a field of arguments and one of results.
const KINDS: [(&str, &str, &str); 6] = [
    ("tool: pay", "tool:pay", "ssn"),
    ("prompt: letter", "prompt:letter", "ssn"),
    ("resource: \"file:///a\"", "resource:file:///a", "ssn"),
    ("llm: gpt-4", "llm:gpt-4", "\"choices.message.content\""),
    ("a2a: message/send", "a2a:message/send", "\"**.ssn\""),
    ("http: {path: /a, method: GET}", "http:GET /a", "ssn"),
];

#[test]
fn routes_gates_redactions_and_labels_are_compared_on_every_protocol() {
    for (selector, name, field) in KINDS {
        let policy = |gate: bool, redacts: bool, label: bool| {
            let mut steps = vec!["\"require(role.hr)\""];
            steps.extend(gate.then_some("\"require(perm.x)\""));
            steps.extend(label.then_some("\"taint(seen, session)\""));
            let result = if redacts {
                format!("\n    result: {{{field}: redact}}")
            } else {
                String::new()
            };
            format!(
                "global: {{authentication: [user]}}\nroutes:\n  - {selector}\n    pre_invocation: [{}]{result}\n",
                steps.join(", ")
            )
        };
        let none = "global: {authentication: [user]}\nroutes: []\n";
        let whole = policy(true, true, true);
        is_told(
            none,
            &whole,
            "loosened",
            &format!("{name}: a route for what was denied"),
            "tightened",
            "the route is gone; the operation is denied",
        );
        is_told(
            &whole,
            &policy(false, true, true),
            "loosened",
            &format!("{name}: gate gone"),
            "tightened",
            "new gate",
        );
        is_told(
            &whole,
            &policy(true, false, true),
            "loosened",
            &format!("{name}: field no longer checked or hidden"),
            "tightened",
            "field newly checked or hidden",
        );
        is_told(
            &whole,
            &policy(true, true, false),
            "loosened",
            &format!("{name}: label no longer set"),
            "tightened",
            "label newly set",
        );
    }
}

#[test]
fn what_stands_beside_the_rules_is_compared() {
    let route = "global: {authentication: [user]}\nroutes:\n  - tool: pay\n    pre_invocation: [\"require(perm.pay)\"]\n";
    let with = |line: &str| format!("{route}    {line}\n");
    is_told(
        route,
        &with("challenge: {scopes: [pay]}"),
        "changed",
        "told to acquire changed from `nothing` to `needs the scopes pay`",
        "changed",
        "to `nothing`",
    );
    is_told(
        route,
        &with("enforcement: shadow"),
        "loosened",
        "recorded only",
        "tightened",
        "enforced",
    );
    is_told(
        &with("enforcement: shadow\n    until: 2030-01-01T00:00:00Z"),
        &with("enforcement: shadow"),
        "loosened",
        "the shadow time is another",
        "tightened",
        "the shadow time is another",
    );
    is_told(
        route,
        &with("assertions: {request: {headers: [{name: x-user, from: subject.id}]}}"),
        "loosened",
        "asserted headers changed from `none` to `request x-user from subject.id`",
        "loosened",
        "to `none`",
    );
    let pins = |tools: &str, more: &str| format!("pins: [{{tools: {{{tools}}}{more}}}]\n{route}");
    let pinned = format!("pay: '{DIGEST}'");
    is_told(
        route,
        &pins(&pinned, ""),
        "tightened",
        "the tool `pay` without a scope is pinned",
        "loosened",
        "no longer pinned",
    );
    is_told(
        &pins(&pinned, ""),
        &pins(&pinned.replace("b95b", "b95c"), ""),
        "changed",
        "pinned to another definition",
        "changed",
        "pinned to another definition",
    );
    is_told(
        &pins(&pinned, ""),
        &pins(&pinned, ", unpinned: hide"),
        "tightened",
        "without a pin are hidden",
        "loosened",
        "no longer hidden",
    );
    is_told(
        &format!("engine_settings: {{public_paths: [/a]}}\n{route}"),
        &format!("engine_settings: {{public_paths: [/a, /b]}}\n{route}"),
        "loosened",
        "paths that need no identity changed from [/a] to [/a, /b]",
        "tightened",
        "from [/a, /b] to [/a]",
    );
    let restrict = |models: &str| {
        let step = format!("[\"require(perm.pay)\", {{restrict: {{allow_models: [{models}]}}}}]");
        route.replace("[\"require(perm.pay)\"]", &step)
    };
    let found = changes(&restrict("a"), &restrict("a, b"));
    assert!(
        matches!(found.as_slice(), [(danger, what)] if danger == "loosened" && what.contains("gate changed") && what.contains("restrict")),
        "{found:#?}"
    );
}

const BESIDE: &str = r#"
pins:
  - {scope: bank, unpinned: hide, tools: {pay: 'b95bdf283325e7e805aa9895de8ae4f66baff5fd714d251c5a9972a369a652c5'}}
engine_settings: {public_paths: [/open]}
global: {authentication: [user]}
routes:
  - tool: pay
    challenge: {scopes: ["payments:write"], lists: annotate}
    assertions: {request: {headers: [{name: x-user, from: subject.id}]}}
    pre_invocation:
      - "require(perm.pay)"
      - restrict: {allow_models: [small]}
  - tool: look
    enforcement: shadow
    until: 2030-01-01T00:00:00Z
    pre_invocation: ["require(perm.look)"]
  - http: /reports
    response: {status: 451, body: "not here"}
    pre_invocation: ["require(perm.reports)"]
"#;

#[test]
fn what_stands_beside_the_rules_is_drawn() {
    let folder = folder(format!("{PLUGINS}{BESIDE}"));
    let (chart, _) = run(folder.path(), &["graph", "policy.yaml"], 0);
    for drawn in [
        "its definition is the pinned one",
        "denied tool.definition",
        "told to a caller who is denied: needs the scopes payments:write, and lists say so",
        "headers: request x-user from subject.id",
        "restrict",
        "tool:look (shadow: recorded, not enforced)",
        "denied as: status 451",
        "pinned tools of bank: pay#59; others hidden and denied",
        "without identity: /open",
    ] {
        let drawn = drawn.replace('"', "");
        assert!(chart.contains(&drawn), "{drawn}\n{chart}");
    }
    let (json, _) = run(folder.path(), &["graph", "policy.yaml", "--format", "json"], 0);
    let json: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(json["pins"][0]["tools"]["pay"], DIGEST);
    assert_eq!(json["operations"][0]["challenge"]["lists"], "annotate");
    assert_eq!(json["operations"][1]["until"], 1_893_456_000);
}

#[test]
fn what_stands_beside_the_rules_is_inspected() {
    let folder = folder(format!("{PLUGINS}{BESIDE}"));
    run(folder.path(), &["build", "policy.yaml", "-o", "out"], 0);
    for file in ["out/policy.aplb", "out/filter-config.json"] {
        let (said, _) = run(folder.path(), &["inspect", file], 0);
        for told in [
            "pins  1 tools of bank, others hidden",
            "public_paths  /open",
            "in_shadow  tool:look: until second 1893456000 of the Unix epoch",
            "challenges  tool:pay: needs the scopes payments:write",
            "responses  http:/reports: status 451",
            "assertions  tool:pay: request x-user from subject.id",
            "restricts  tool:pay",
        ] {
            assert!(said.contains(told), "{told}\n{said}");
        }
    }
}
