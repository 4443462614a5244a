//! Every Kubernetes object that we ship or emit, against the real custom resource definitions of Istio and Envoy Gateway:
//! structure, no unknown field, and the definitions' own CEL rules; and `@kubernetes-models/istio` as a second opinion. No API server is
//! needed. The definitions lie in `../shared/external`; where they are missing the tests say that they were skipped (with `CI=true`
//! they fail). `kubectl kustomize` builds what `aplc emit istio` writes and our overlays on it, and what comes out is judged too.
//!
//! `make manifests` prints one line a file.

mod crd;
mod emitted;
mod kustomize;
mod models;
mod rules;
mod structure;
mod yaml;

use std::path::{Path, PathBuf};

use aplomb_test_harness::programs;
use serde_json::Value;

use crd::Definitions;
use models::{Models, Opinion};

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
    /// Objects that the second opinion has a model of.
    models: usize,
    unknown: Vec<String>,
    errors: Vec<String>,
}

fn judge(definitions: &Definitions, models: Option<&Models>, file: &str, text: &str) -> Line {
    let mut line = Line {
        file: file.to_owned(),
        objects: 0,
        rules: 0,
        models: 0,
        unknown: Vec::new(),
        errors: Vec::new(),
    };
    match yaml::documents(text) {
        Err(error) => line.errors.push(error),
        Ok(objects) => {
            line.objects = objects.len();
            for opinion in models.map(|models| models.of(&objects)).unwrap_or_default() {
                line.models += usize::from(opinion != Opinion::Unknown);
                if let Opinion::Wrong(what) = opinion {
                    line.errors.push(format!("@kubernetes-models/istio: {what}"));
                }
            }
            for object in objects {
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
    println!(
        "{:<52} {:>7} {:>9} {:>7}  verdict",
        "file", "objects", "CEL rules", "models"
    );
    for line in lines {
        let verdict = match (line.errors.is_empty(), line.unknown.is_empty()) {
            (true, true) => "valid".to_owned(),
            (true, false) => format!("valid; no definition at hand for {}", line.unknown.join(", ")),
            (false, _) => format!("INVALID\n    {}", line.errors.join("\n    ")),
        };
        println!(
            "{:<52} {:>7} {:>9} {:>7}  {verdict}",
            line.file, line.objects, line.rules, line.models
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
    let models = Models::installed();
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
                models.as_ref(),
                &name,
                &std::fs::read_to_string(path).expect("a text"),
            )
        })
        .collect();
    let shipped = lines.len();
    assert!(shipped > 0, "there is nothing in istio/");
    for (name, text) in emitted::all() {
        lines.push(judge(&definitions, models.as_ref(), &name, &text));
    }
    assert!(lines.len() > shipped, "nothing was emitted");
    for mode in ["paired", "full", "single"] {
        for (name, text) in kustomize::all(mode).unwrap_or_default() {
            lines.push(judge(&definitions, models.as_ref(), &name, &text));
        }
    }
    print(&lines);
    let invalid: Vec<&str> = lines
        .iter()
        .filter(|line| !line.errors.is_empty())
        .map(|line| line.file.as_str())
        .collect();
    assert!(invalid.is_empty(), "invalid: {invalid:?}");
    let seconded: usize = lines.iter().map(|line| line.models).sum();
    assert!(
        models.is_none() || seconded > 50,
        "the second opinion knows {seconded} objects only"
    );
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
fn overlays_change_what_they_say_and_keep_the_rest() {
    let Some(built) = kustomize::all("paired") else {
        return;
    };
    let objects = |name: &str| -> Vec<Value> {
        let of = |(title, text): &(String, String)| {
            let wanted = title.starts_with(&format!("kubectl kustomize {name} "));
            wanted.then(|| yaml::documents(text).expect("YAML"))
        };
        built.iter().find_map(of).expect("built")
    };
    let base = objects("base");
    let plugins = |objects: &[Value]| -> Vec<Value> {
        let all = objects.iter().filter(|object| object["kind"] == "WasmPlugin");
        all.cloned().collect()
    };
    assert_eq!(plugins(&base).len(), 2);
    let private = objects("overlays/private-registry");
    assert_eq!(private.len(), base.len());
    for (plain, mut changed) in plugins(&base).into_iter().zip(plugins(&private)) {
        let spec = changed["spec"].as_object_mut().expect("a map");
        assert_eq!(spec.remove("imagePullSecret"), Some("aplomb-registry".into()));
        assert_eq!(spec.remove("imagePullPolicy"), Some("IfNotPresent".into()));
        assert_eq!(changed, plain);
    }
    let production = objects("overlays/production");
    assert_eq!(production.len(), base.len());
    let companion = production.iter().find(|object| object["kind"] == "StatefulSet");
    let pod = &companion.expect("a companion")["spec"]["template"]["spec"];
    assert_eq!(pod["priorityClassName"], "system-cluster-critical");
    assert_eq!(pod["containers"][0]["resources"]["limits"]["memory"], "512Mi");
}

/// The objects of this kind that are written for a gateway in mode `paired`.
fn of_kind(kind: &str, shared: bool) -> Vec<Value> {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("out");
    match shared {
        true => emitted::istio_with_a_shared_store(&out, folder.path()),
        false => emitted::istio("paired", &out, folder.path()),
    }
    let files = std::fs::read_dir(&out).expect("a folder").flatten();
    let yaml = files.filter(|file| file.path().extension().is_some_and(|end| end == "yaml"));
    let texts = yaml.map(|file| std::fs::read_to_string(file.path()).expect("a text"));
    let objects = texts.flat_map(|text| yaml::documents(&text).expect("YAML"));
    objects.filter(|object| object["kind"] == kind).collect()
}

#[test]
fn companions_hand_over_to_each_other_where_they_share_a_store() {
    let companion = |shared| {
        let mut found = of_kind("StatefulSet", shared);
        assert_eq!(found.len(), 1);
        found.remove(0)
    };
    let arguments = |object: &Value| object["spec"]["template"]["spec"]["containers"][0]["args"].to_string();
    let (alone, several) = (companion(false), companion(true));
    assert_eq!(alone["spec"]["replicas"], 1);
    assert!(!arguments(&alone).contains("--drain"), "{alone}");
    assert_eq!(several["spec"]["replicas"], 2);
    assert!(arguments(&several).contains("--drain=10"), "{several}");
    let pod = &several["spec"]["template"]["spec"];
    assert_eq!(pod["terminationGracePeriodSeconds"], 30);
    assert_eq!(
        pod["containers"][0]["readinessProbe"]["httpGet"]["path"],
        "/readyz"
    );
    let selected = &several["spec"]["template"]["metadata"]["labels"];
    let budgets = of_kind("PodDisruptionBudget", true);
    assert_eq!(&budgets[0]["spec"]["selector"]["matchLabels"], selected);
    assert_eq!(of_kind("PodDisruptionBudget", false), Vec::<Value>::new());
    for (shared, expected) in [(true, 1.into()), (false, Value::Null)] {
        let rule = of_kind("DestinationRule", shared).remove(0);
        let outliers = &rule["spec"]["trafficPolicy"]["outlierDetection"];
        assert_eq!(outliers["consecutiveLocalOriginFailures"], expected, "{rule}");
    }
}

#[test]
fn the_second_opinion_refuses_what_is_wrong() {
    let Some(models) = Models::installed() else { return };
    let mut enumeration = good();
    enumeration["spec"]["failStrategy"] = "FAIL_SAFE".into();
    let mut missing = good();
    missing["spec"].as_object_mut().expect("a map").remove("url");
    let service = serde_json::json!({ "apiVersion": "v1", "kind": "Service", "metadata": { "name": "a" } });
    let opinions = models.of(&[good(), enumeration, missing, service]);
    assert!(
        matches!(
            opinions.as_slice(),
            [
                Opinion::Valid,
                Opinion::Wrong(_),
                Opinion::Wrong(_),
                Opinion::Unknown
            ]
        ),
        "{opinions:?}"
    );
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
