//! `aplc inspect`.

use std::fs;

use serde_json::{Value, json};

use crate::cli::{POLICY, folder, run};

fn built() -> tempfile::TempDir {
    let folder = folder(POLICY);
    run(folder.path(), &["build", "policy.yaml", "-o", "out"], 0);
    folder
}

#[test]
fn shows_what_is_in_a_program() {
    let folder = built();
    let (out, _) = run(
        folder.path(),
        &["inspect", "--format", "json", "out/policy.aplb"],
        0,
    );
    let value: Value = serde_json::from_str(&out).expect("JSON");
    let program = &value["found"][0]["program"];
    assert_eq!(program["routes"], json!(["tool:pay", "tool:mail"]));
    assert_eq!(program["routes_by_kind"], json!({ "tool": 2 }));
    assert_eq!(program["labels"], json!(["money"]));
    assert_eq!(program["signature"], "none");
    let file = fs::read(folder.path().join("out/policy.aplb")).unwrap();
    let sections = program["sections"].as_object().expect("sections");
    let sum: u64 = sections.values().filter_map(Value::as_u64).sum();
    // The header is the rest.
    assert_eq!(sum + 37, file.len() as u64);
}

#[test]
fn finds_every_configuration_in_a_config_dump() {
    let folder = built();
    let config = fs::read_to_string(folder.path().join("out/filter-config.json")).unwrap();
    let wasm = |configuration: Value| json!({ "name": "aplomb", "typed_config": { "config": { "configuration": configuration } } });
    let text = json!({ "@type": "type.googleapis.com/google.protobuf.StringValue", "value": config });
    let dump = json!({ "configs": [
        { "dynamic_listeners": [{ "name": "in", "active_state": { "http_filters": [wasm(text)] } }] },
        { "ecds_filters": [{ "ecds_filter": wasm(serde_json::from_str(&config).unwrap()) }] },
    ] });
    fs::write(folder.path().join("dump.json"), dump.to_string()).unwrap();
    let (out, _) = run(folder.path(), &["inspect", "--format", "json", "dump.json"], 0);
    let value: Value = serde_json::from_str(&out).expect("JSON");
    let found = value["found"].as_array().expect("a list");
    assert_eq!(found.len(), 2, "{out}");
    assert!(found[0]["at"].as_str().unwrap().contains("[in]"), "{out}");
    assert_eq!(found[0]["program"]["digest"], found[0]["policy_digest"]);
    let (out, _) = run(folder.path(), &["inspect", "dump.json"], 0);
    assert!(out.contains("tool:pay, tool:mail"), "{out}");
}

#[test]
fn says_what_it_can_read_when_there_is_nothing() {
    let folder = built();
    for text in ["", "{}", "routes: []", "[1, 2]"] {
        fs::write(folder.path().join("other"), text).unwrap();
        let (_, err) = run(folder.path(), &["inspect", "other"], 2);
        assert!(err.contains("holds no Aplomb policy"), "{err}");
    }
    let mut broken = fs::read(folder.path().join("out/policy.aplb")).unwrap();
    broken[50] ^= 1;
    fs::write(folder.path().join("broken.aplb"), broken).unwrap();
    let (out, _) = run(folder.path(), &["inspect", "broken.aplb"], 1);
    assert!(out.contains("fault"), "{out}");
}
