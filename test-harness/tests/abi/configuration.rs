//! What is refused, and with which words.

use aplomb_test_harness::abi::{Configured, Host};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::fixture::{configuration, program};

fn refusal(text: &str, env: &[(&str, &str)]) -> String {
    match Host::start(env).unwrap().configure(text).unwrap() {
        Configured::Refused(why) => why,
        Configured::Accepted(_) => panic!("accepted: {text}"),
    }
}

fn changed(change: impl FnOnce(&mut Value)) -> String {
    let mut json = configuration(json!({"mode": "full"}));
    change(&mut json);
    json.to_string()
}

#[test]
fn names_what_is_wrong() {
    let mut truncated = apl_bytecode::encode(&program());
    truncated.truncate(truncated.len() - 3);
    let cases: Vec<(String, &str)> = vec![
        (String::new(), "empty"),
        ("{".to_owned(), "not valid"),
        ("[1]".to_owned(), "not valid"),
        (changed(|json| json["surprise"] = json!(1)), "surprise"),
        (changed(|json| json["install"] = Value::Null), "install.mode"),
        (
            changed(|json| json["install"] = json!({"mode": "paired"})),
            "install.role",
        ),
        (
            changed(|json| json["install"] = json!({"mode": "full", "role": "holder"})),
            "install.role",
        ),
        (changed(|json| json["protocols"] = json!([])), "protocols"),
        (changed(|json| json["policy"] = json!("***")), "base64"),
        (changed(|json| json["policy"] = json!("")), "policy"),
        (
            changed(|json| json["policy"] = json!(STANDARD.encode(b"a file of another kind"))),
            "policy",
        ),
        (
            changed(|json| json["policy"] = json!(STANDARD.encode(&truncated))),
            "policy",
        ),
        (
            changed(|json| json["policy_digest"] = json!("00")),
            "policy_digest",
        ),
        (changed(|json| json["companion"] = Value::Null), "companion"),
        (
            changed(|json| json["companion"]["token_env"] = json!("NOT_SET")),
            "NOT_SET",
        ),
        (
            changed(|json| json["limits"]["max_body_bytes"] = json!(0)),
            "limits.max_body_bytes",
        ),
        // A single plugin holds no headers, and `edited` edits the body that they describe.
        (
            changed(|json| json["install"] = json!({"mode": "single"})),
            "install.mode: single",
        ),
    ];
    for (text, wanted) in cases {
        let why = refusal(&text, &[]);
        assert!(why.contains(wanted), "`{wanted}` is not named in `{why}`");
    }
}

#[test]
fn a_secret_comes_from_the_environment() {
    let text = changed(|json| json["companion"]["token_env"] = json!("TOKEN"));
    assert!(refusal(&text, &[("TOKEN", "")]).contains("TOKEN"));
    let mut host = Host::start(&[("OTHER", "x"), ("TOKEN", "sesame")]).unwrap();
    let root = host.configure(&text).unwrap().root();
    let x = host.exchange(&[root], true);
    host.request_head(x, &crate::fixture::head("POST", "/mcp"), false)
        .unwrap();
    host.request_body(x, crate::fixture::message("recorded").as_bytes(), true)
        .unwrap();
    let callout = host.callouts().last().unwrap();
    let authorization = callout
        .headers
        .iter()
        .find(|(name, _)| name == b"authorization")
        .map(|(_, value)| value);
    assert_eq!(authorization.unwrap(), b"Bearer sesame");
    assert!(!host.logs().iter().any(|line| line.contains("sesame")));
}
