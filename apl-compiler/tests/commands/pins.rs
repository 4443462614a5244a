//! Pins, public paths and challenges: what is written, what is refused, what the program says.

use std::fs;

use crate::cli::{folder, run};

const DIGEST: &str = "b95bdf283325e7e805aa9895de8ae4f66baff5fd714d251c5a9972a369a652c5";

#[test]
fn what_pin_prints_stands_in_a_policy_as_it_is() {
    let routes = "routes:\n  - tool: \"pay \\\"now\\\"\"\n    pre_invocation: ['require(role.hr)']\n";
    let folder = folder(routes);
    let list = r#"{"tools":[{"name":"pay \"now\""},{"name":"a: b"}]}"#;
    fs::write(folder.path().join("tools.json"), list).expect("written");
    for arguments in [
        &["pin", "tools.json"][..],
        &["pin", "tools.json", "--scope", "hr: \"1\""],
        &["pin", "tools.json", "--format", "json"],
    ] {
        let (pins, _) = run(folder.path(), arguments, 0);
        // A JSON object is not at home behind a block, so it stands as the value.
        let pins = match pins.trim().strip_prefix('{') {
            Some(_) => {
                let json: serde_json::Value = serde_json::from_str(&pins).expect("JSON");
                format!("pins: {}\n", json["pins"])
            }
            None => pins,
        };
        fs::write(folder.path().join("policy.yaml"), format!("{pins}{routes}")).expect("written");
        run(folder.path(), &["build", "policy.yaml", "-o", "out"], 0);
        let (listing, _) = run(folder.path(), &["listing", "policy.yaml"], 0);
        assert!(listing.contains("pay \"now\""), "{arguments:?}\n{listing}");
        assert!(listing.contains("pins"), "{arguments:?}\n{listing}");
    }
}

#[test]
fn a_program_says_what_is_pinned_public_and_lacking() {
    let policy = format!(
        "pins:\n  - tools: {{b: '{DIGEST}', a: '{DIGEST}'}}\n  - {{scope: hr, unpinned: hide, tools: {{}}}}\n\
         engine_settings: {{public_paths: [/.well-known/agent-card.json, /docs/*]}}\n\
         routes:\n  - tool: [pay, transfer]\n    challenge: {{scopes: [pay, 'pay:all'], lists: annotate}}\n    pre_invocation: ['require(perm.pay)']\n"
    );
    let folder = folder(policy);
    let (listing, _) = run(folder.path(), &["listing", "policy.yaml"], 0);
    for line in [
        &format!("pins unpinned=allow\n  a {DIGEST}\n  b {DIGEST}\n"),
        "pins scope=hr unpinned=hide\n",
        "public paths [/.well-known/agent-card.json, /docs/*]",
        "challenge route 0 scopes=[pay, pay:all] lists=annotate",
        "challenge route 1 scopes=[pay, pay:all] lists=annotate",
    ] {
        assert!(listing.contains(line), "{line}\n{listing}");
    }
}

#[test]
fn what_cannot_be_meant_is_refused_by_its_reason() {
    let long = "x".repeat(124);
    for (policy, word) in [
        ("pins: {search: abc}".to_owned(), "`pins` is a list"),
        (
            "pins: [{tools: {search: abc}}]".to_owned(),
            "the pin of `search` is no digest",
        ),
        (
            format!("pins: [{{tools: {{search: '{}+'}}}}]", &DIGEST[1..]),
            "no digest",
        ),
        (
            format!("pins: [{{tools: {{{long}: '{DIGEST}'}}}}]"),
            "cannot be pinned",
        ),
        (
            format!("pins: [{{scope: {}, tools: {{ab: '{DIGEST}'}}}}]", &long[..122]),
            "cannot be pinned",
        ),
        (
            "pins: [{scope: a, tools: {}}, {scope: a, tools: {}}]".to_owned(),
            "two lists of pins",
        ),
        (
            "pins: [{unpinned: deny, tools: {}}]".to_owned(),
            "it is one of `allow`, `hide`",
        ),
        ("pins: [{scope: a}]".to_owned(), "a list of pins needs `tools`"),
        (
            "engine_settings: {public_paths: [docs]}".to_owned(),
            "is no public path",
        ),
        (
            "engine_settings: {public_paths: ['/a/../b']}".to_owned(),
            "is no public path",
        ),
        (
            "engine_settings: {public_paths: ['/a%2fb']}".to_owned(),
            "is no public path",
        ),
        (
            "engine_settings: {public_paths: ['/a*']}".to_owned(),
            "is no public path",
        ),
        (
            "routes: [{tool: a, challenge: {scopes: ['a b']}, pre_invocation: [deny]}]".to_owned(),
            "is no OAuth scope",
        ),
        (
            "routes: [{tool: a, challenge: {scopes: []}, pre_invocation: [deny]}]".to_owned(),
            "without scopes",
        ),
    ] {
        let folder = folder(&policy);
        let (_, err) = run(folder.path(), &["check", "policy.yaml"], 1);
        assert!(err.contains(word), "{policy}\n{err}");
    }
}
