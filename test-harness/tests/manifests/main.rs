//! Every Kubernetes object that we ship or emit, against the real custom resource definitions of Istio and Envoy Gateway:
//! structure, no unknown field, and the definitions' own CEL rules. No API server is needed. The definitions lie in
//! `../shared/external`; where they are missing the tests say that they were skipped (with `CI=true` they fail).
//!
//! `make manifests` prints one line a file.

mod crd;
mod emitted;
mod rules;
mod structure;
mod yaml;

use std::path::{Path, PathBuf};

use aplomb_test_harness::programs;
use serde_json::Value;

use crd::Definitions;

/// The definitions, or why there are none.
fn definitions() -> Option<Definitions> {
    let folder = programs::root().join("../shared/external");
    if !folder.is_dir() {
        assert!(
            std::env::var_os("CI").is_none_or(|ci| ci != "true"),
            "{} is not there, and CI=true",
            folder.display()
        );
        eprintln!("skipped: {} is not there", folder.display());
        return None;
    }
    Some(Definitions::read(&[
        &folder.join("istio"),
        &folder.join("envoy-gateway"),
    ]))
}

/// What one file came to, for the table.
struct Line {
    file: String,
    objects: usize,
    rules: usize,
    unknown: Vec<String>,
    errors: Vec<String>,
}

fn judge(definitions: &Definitions, file: &str, text: &str) -> Line {
    let mut line = Line {
        file: file.to_owned(),
        objects: 0,
        rules: 0,
        unknown: Vec::new(),
        errors: Vec::new(),
    };
    match yaml::documents(text) {
        Err(error) => line.errors.push(error),
        Ok(objects) => {
            for object in objects {
                line.objects += 1;
                let verdict = definitions.check(&object);
                line.rules += verdict.rules;
                line.errors.extend(verdict.errors);
                line.unknown.extend(verdict.no_definition);
            }
        }
    }
    line
}

fn print(lines: &[Line]) {
    println!("{:<52} {:>7} {:>9}  verdict", "file", "objects", "CEL rules");
    for line in lines {
        let verdict = match (line.errors.is_empty(), line.unknown.is_empty()) {
            (true, true) => "valid".to_owned(),
            (true, false) => format!("valid; no definition at hand for {}", line.unknown.join(", ")),
            (false, _) => format!("INVALID\n    {}", line.errors.join("\n    ")),
        };
        println!(
            "{:<52} {:>7} {:>9}  {verdict}",
            line.file, line.objects, line.rules
        );
    }
}

fn yaml_files(folder: &Path, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> = std::fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            yaml_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "yaml") {
            found.push(path);
        }
    }
}

#[test]
fn every_manifest_that_is_shipped_or_emitted_is_valid() {
    let Some(definitions) = definitions() else { return };
    let root = programs::root();
    let mut paths = Vec::new();
    yaml_files(&root.join("istio"), &mut paths);
    let mut lines: Vec<Line> = paths
        .iter()
        .map(|path| {
            let name = path
                .strip_prefix(&root)
                .expect("below the root")
                .to_string_lossy();
            judge(
                &definitions,
                &name,
                &std::fs::read_to_string(path).expect("a text"),
            )
        })
        .collect();
    let shipped = lines.len();
    assert!(shipped > 0, "there is nothing in istio/");
    for (name, text) in emitted::all() {
        lines.push(judge(&definitions, &name, &text));
    }
    assert!(lines.len() > shipped, "nothing was emitted");
    print(&lines);
    let invalid: Vec<&str> = lines
        .iter()
        .filter(|line| !line.errors.is_empty())
        .map(|line| line.file.as_str())
        .collect();
    assert!(invalid.is_empty(), "invalid: {invalid:?}");
    let rules: usize = lines.iter().map(|line| line.rules).sum();
    assert!(
        rules > 100,
        "only {rules} CEL rules were run: are they still found in the definitions?"
    );
}

/// A WasmPlugin with nothing wrong.
fn good() -> Value {
    serde_json::json!({
        "apiVersion": "extensions.istio.io/v1alpha1",
        "kind": "WasmPlugin",
        "metadata": { "name": "a", "namespace": "b" },
        "spec": {
            "targetRefs": [{ "group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "g" }],
            "url": "oci://r.example/a@sha256:0",
            "failStrategy": "FAIL_RELOAD",
            "vmConfig": { "env": [{ "name": "A", "valueFrom": "HOST" }] },
            "pluginConfig": { "anything": { "goes": [1, true] } }
        }
    })
}

#[test]
fn what_an_api_server_would_refuse_is_refused() {
    let Some(definitions) = definitions() else { return };
    assert_eq!(definitions.check(&good()).errors, Vec::<String>::new());
    type Change = fn(&mut Value);
    let cases: [(&str, Change); 8] = [
        ("unknown field", |object| {
            object["spec"]["failStratgy"] = "FAIL_CLOSE".into()
        }),
        ("enumeration", |object| {
            object["spec"]["failStrategy"] = "FAIL_SAFE".into()
        }),
        ("type", |object| object["spec"]["priority"] = "high".into()),
        ("required", |object| {
            object["spec"].as_object_mut().expect("a map").remove("url");
        }),
        ("CEL: HOST with a value", |object| {
            object["spec"]["vmConfig"]["env"][0]["value"] = "x".into();
        }),
        ("CEL: selector beside targetRefs", |object| {
            object["spec"]["selector"] = serde_json::json!({ "matchLabels": { "app": "x" } });
        }),
        ("CEL: scheme of the URL", |object| {
            object["spec"]["url"] = "ftp://r.example/a".into()
        }),
        ("list type map", |object| {
            let again = object["spec"]["vmConfig"]["env"][0].clone();
            object["spec"]["vmConfig"]["env"]
                .as_array_mut()
                .expect("a list")
                .push(again);
        }),
    ];
    for (name, change) in cases {
        let mut object = good();
        change(&mut object);
        assert!(
            !definitions.check(&object).errors.is_empty(),
            "{name} went through"
        );
    }
}
